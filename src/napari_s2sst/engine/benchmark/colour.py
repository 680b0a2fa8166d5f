"""A slide's stains -> their mean brightness in each bin of a gene map, for methods that look at the morphology image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..maps import GeneMap
from ..pictures.stains import StainImage

PIXELS_ALONG_BIN = 3
"""At least, where the image has them: the coarsest level that still does is read."""


def colour_map(images: Sequence[StainImage], gene_map: GeneMap) -> np.ndarray | None:
    """Average every stain in bins: (rows, columns, stains) float32 on the grid of ``gene_map``.

    Bins beyond the image get the image's mean. None where no image tells its pixel size.
    """
    stains = [_per_bin(image, gene_map) for image in images if image.pixel_size_um is not None]
    return np.stack(stains, -1) if stains else None


def _per_bin(image: StainImage, gene_map: GeneMap) -> np.ndarray:
    scales = [image.levels[0].shape[0] / level.shape[0] * image.pixel_size_um for level in image.levels]
    fine_enough = [index for index, scale in enumerate(scales) if scale * PIXELS_ALONG_BIN <= gene_map.bin_um]
    level = max(fine_enough, default=0)
    pixels = np.asarray(image.levels[level])
    bins = [
        np.floor(((np.arange(length) + 0.5) * scales[level] - origin_um) / gene_map.bin_um).astype(int)
        for length, origin_um in zip(pixels.shape, gene_map.origin_um, strict=True)
    ]
    inside = [(at >= 0) & (at < length) for at, length in zip(bins, gene_map.shape, strict=True)]
    rows, columns = (at[within] for at, within in zip(bins, inside, strict=True))
    total = np.zeros((gene_map.shape[0], pixels.shape[1]))
    np.add.at(total, rows, pixels[inside[0]])
    total = _summed_columns(total[:, inside[1]], columns, gene_map.shape[1])
    count = np.outer(np.bincount(rows, minlength=gene_map.shape[0]), np.bincount(columns, minlength=gene_map.shape[1]))
    mean = float(pixels.mean())
    return np.where(count > 0, total / np.maximum(count, 1), mean).astype(np.float32)


def _summed_columns(values: np.ndarray, columns: np.ndarray, length: int) -> np.ndarray:
    total = np.zeros((length, len(values)))
    np.add.at(total, columns, values.T)
    return total.T
