"""A slide's stains -> what they show in every bin: how bright it is, how finely patterned, and how much of it is bright.

The image is known everywhere, also where no gene was measured. It is read in blocks, at the coarsest level whose pixels
are at most 1 um: nuclei must be told from each other, and more detail tells no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from ..maps import SparseMap
from ..pictures.stains import StainImage

if TYPE_CHECKING:
    import dask.array as da

FEATURES = (
    "brightness", "logarithm of the brightness", "fine texture", "coarse texture", "blobs", "contrast",
    "above the lower quartile", "above the median", "above the upper quartile", "among the brightest 5 %",
)  # fmt: skip
"""Of each stain. Texture is the gradient's magnitude, blobs that of the Laplacian, contrast the standard deviation."""

COARSEST_PIXEL_UM = 1.0
"""With 1.7 um a twentieth of what the image tells was lost on the bone marrow section, with 3.4 um a quarter."""

FINE_UM, COARSE_UM = 1.3, 2.6
"""Widths of the Gaussians under which texture is looked at: a grain of chromatin, and half a nucleus."""

HALO_WIDTHS = 4
"""Widths of a Gaussian that a block needs of its neighbours."""

BLOCK_PX = 1024
"""Along the squares that are looked at together; two at a time are held in memory."""

LEVEL_QUANTILES = (0.25, 0.5, 0.75, 0.95)
"""Of the smoothed brightness in the tissue; how much of a bin is above each is a feature."""

SAMPLE_BINS = 64
"""Tissue bins that those quantiles are taken from."""


KEPT = 3
"""Sets of bins whose features are kept for each stain, as long as that is open."""

_kept: WeakKeyDictionary[StainImage, dict[tuple, np.ndarray]] = WeakKeyDictionary()


def with_image(maps: Sequence[SparseMap], images: Sequence[StainImage]) -> list[SparseMap]:
    """Maps, all on one grid, with what the stains show in their tissue, ``image`` (rows, columns, stains x :data:`FEATURES`).

    As they were, where no stain has a pixel size. Raises :class:`BundleError` when a stain's pixels can't be read.
    """
    features = image_features(images, _wanted(maps[0]), maps[0].bin_um, maps[0].origin_um)
    return list(maps) if features is None else [replace(sparse, image=features) for sparse in maps]


def is_known(maps: Sequence[SparseMap], images: Sequence[StainImage]) -> bool:
    """Whether :func:`with_image` would take no time, because the stains were looked at on the same bins before."""
    stains = _of_known_size(images)
    place = _place(_wanted(maps[0]), maps[0].bin_um, maps[0].origin_um)
    return bool(stains) and all(place in _kept.get(stain, {}) for stain in stains)


def _wanted(sparse: SparseMap) -> np.ndarray:
    """(rows, columns) tissue, and what was measured around it."""
    wanted = sparse.tissue.copy()
    wanted[sparse.on_lattice] |= sparse.seen
    return wanted


def image_features(
    images: Sequence[StainImage], wanted: np.ndarray, bin_um: float, origin_um: tuple[float, float]
) -> np.ndarray | None:
    """(rows, columns, stains x :data:`FEATURES`) float32, on the grid of ``wanted`` (rows, columns); 0 elsewhere.

    Each feature has mean 0 and standard deviation 1 over the wanted bins; bins beyond the image have 0. None where no
    image tells its pixel size, or nothing is wanted.
    """
    stains = _of_known_size(images)
    if not stains or not wanted.any():
        return None
    return np.concatenate([_of_stain(stain, wanted, bin_um, origin_um) for stain in stains], axis=-1)


def _of_known_size(images: Sequence[StainImage]) -> list[StainImage]:
    return [image for image in images if image.pixel_size_um is not None]


def _of_stain(stain: StainImage, wanted: np.ndarray, bin_um: float, origin_um: tuple[float, float]) -> np.ndarray:
    """(rows, columns, features) of one stain, standardised; kept from before, where they were."""
    kept, place = _kept.setdefault(stain, {}), _place(wanted, bin_um, origin_um)
    features = kept.get(place)
    if features is None:
        features = _standardised(_per_bin(stain, wanted, bin_um, origin_um), wanted)
        while len(kept) >= KEPT:
            kept.pop(next(iter(kept)), None)
        kept[place] = features
    return features


def _place(wanted: np.ndarray, bin_um: float, origin_um: tuple[float, float]) -> tuple:
    return wanted.shape, np.packbits(wanted).tobytes(), float(bin_um), tuple(map(float, origin_um))


def _standardised(features: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Features, each with mean 0 and standard deviation 1 over the wanted bins; NaN becomes the mean."""
    known = wanted & np.isfinite(features).all(-1)
    if not known.any():
        return np.zeros(features.shape, np.float32)
    of_known = features[known]
    features = (features - of_known.mean(0)) / np.maximum(of_known.std(0), 1e-6)
    return np.where(known[..., None], features, 0).astype(np.float32)


def _per_bin(stain: StainImage, wanted: np.ndarray, bin_um: float, origin_um: tuple[float, float]) -> np.ndarray:
    """(rows, columns, features) of one stain; NaN where it shows nothing."""
    scales = [stain.levels[0].shape[0] / level.shape[0] * stain.pixel_size_um for level in stain.levels]
    fine_enough = [number for number, scale in enumerate(scales) if scale <= min(COARSEST_PIXEL_UM, bin_um / 4)]
    number = max(fine_enough, default=0)
    pixels, scale = stain.levels[number], scales[number]
    edges = [
        np.ceil((origin + np.arange(length + 1) * bin_um) / scale - 0.5).astype(int).clip(0, size)
        for origin, length, size in zip(origin_um, wanted.shape, pixels.shape, strict=True)
    ]  # a bin has the pixels whose centres lie in it
    levels = _levels(pixels, scale, wanted, edges)
    features = np.full((*wanted.shape, len(FEATURES)), np.nan, np.float32)

    def fill(block: tuple[slice, slice]) -> None:
        rows, columns = (edge[part.start : part.stop + 1] for edge, part in zip(edges, block, strict=True))
        if rows[0] < rows[-1] and columns[0] < columns[-1]:
            features[block] = _features(_layers(pixels, scale, rows, columns, levels), rows, columns)

    with ThreadPoolExecutor(2) as pool:  # while one block is read, another is looked at
        list(pool.map(fill, _blocks(wanted, max(1, round(BLOCK_PX * scale / bin_um)))))
    return features


def _blocks(wanted: np.ndarray, side: int) -> Iterator[tuple[slice, slice]]:
    """Squares of bins, those with anything wanted."""
    for row in range(0, wanted.shape[0], side):
        for column in range(0, wanted.shape[1], side):
            block = slice(row, min(row + side, wanted.shape[0])), slice(column, min(column + side, wanted.shape[1]))
            if wanted[block].any():
                yield block


def _levels(pixels: da.Array, scale: float, wanted: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    """Quantiles of the smoothed brightness, from tissue bins that lie evenly through the list of all."""
    bins = np.argwhere(wanted)
    bins = bins[np.linspace(0, len(bins) - 1, min(len(bins), SAMPLE_BINS)).astype(int)]
    brightness = []
    for row, column in bins:
        box = [(edge[at], edge[at + 1]) for edge, at in zip(edges, (row, column), strict=True)]
        if all(begin < end for begin, end in box):
            brightness.append(_smoothed(_read(pixels, *box), FINE_UM / scale).ravel())
    return np.quantile(np.concatenate(brightness), LEVEL_QUANTILES) if brightness else np.zeros(len(LEVEL_QUANTILES))


def _read(pixels: da.Array, rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    """Pixels of a part, float32, read without dask's callbacks.

    One of those is napari's cache: it can't stand two threads that read at the same time.
    """
    part = pixels[rows[0] : rows[1], columns[0] : columns[1]]
    return np.asarray(part.compute(scheduler="synchronous", callbacks=()), dtype=np.float32)


def _smoothed(pixels: np.ndarray, width_px: float) -> np.ndarray:
    from scipy import ndimage

    return ndimage.gaussian_filter(pixels, width_px, truncate=HALO_WIDTHS - 1)


def _layers(
    pixels: da.Array, scale: float, rows: np.ndarray, columns: np.ndarray, levels: np.ndarray
) -> list[np.ndarray]:
    """Layers of (pixel rows, pixel columns) between the outer edges of the block: what is averaged over a bin."""
    fine_px, coarse_px = FINE_UM / scale, COARSE_UM / scale
    halo = int(np.ceil(HALO_WIDTHS * coarse_px)) + 1
    box = [
        (max(0, int(edges[0]) - halo), min(size, int(edges[-1]) + halo))
        for edges, size in zip((rows, columns), pixels.shape, strict=True)
    ]
    raw = _read(pixels, *box)
    fine = _smoothed(raw, fine_px)
    coarse = _smoothed(fine, float(np.sqrt(coarse_px**2 - fine_px**2)))
    layers = [raw, np.log1p(fine), _steepness(fine), _steepness(coarse), _bending(coarse), fine * fine]
    layers += [(fine > level).astype(np.float32) for level in levels]
    inner = tuple(
        slice(int(edges[0]) - first, int(edges[-1]) - first)
        for edges, (first, _) in zip((rows, columns), box, strict=True)
    )
    return [layer[inner] for layer in [*layers, fine]]


def _steepness(pixels: np.ndarray) -> np.ndarray:
    """The gradient's magnitude, from differences over two pixels; 0 along the border."""
    steep = np.zeros_like(pixels)
    down = pixels[2:, 1:-1] - pixels[:-2, 1:-1]
    right = pixels[1:-1, 2:] - pixels[1:-1, :-2]
    steep[1:-1, 1:-1] = np.sqrt(down * down + right * right) / 2
    return steep


def _bending(pixels: np.ndarray) -> np.ndarray:
    """The Laplacian's magnitude; 0 along the border."""
    bent = np.zeros_like(pixels)
    around = pixels[2:, 1:-1] + pixels[:-2, 1:-1] + pixels[1:-1, 2:] + pixels[1:-1, :-2]
    bent[1:-1, 1:-1] = np.abs(around - 4 * pixels[1:-1, 1:-1])
    return bent


def _features(layers: list[np.ndarray], rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Means over the bins between the edges (pixels) -> (bin rows, bin columns, features); NaN for a bin without a pixel."""
    means = np.stack([_mean_in_bins(layer, rows - rows[0], columns - columns[0]) for layer in layers], axis=-1)
    raw, log, fine, coarse, blobs, square, *above, mean = np.moveaxis(means, -1, 0)
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    return np.stack([np.log1p(raw), log, *map(np.log1p, (fine, coarse, blobs, spread)), *above], axis=-1)


def _mean_in_bins(pixels: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    total = _sums(_sums(pixels, rows).T, columns).T
    count = np.outer(np.diff(rows), np.diff(columns))
    with np.errstate(invalid="ignore", divide="ignore"):
        return total / np.where(count, count, np.nan)


def _sums(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Sums along the first axis, between the edges; 0 where two are the same."""
    total = np.zeros((len(edges) - 1, *values.shape[1:]), np.float32)
    filled = np.flatnonzero(np.diff(edges))
    total[filled] = np.add.reduceat(values[: edges[-1]], edges[filled], axis=0)
    return total
