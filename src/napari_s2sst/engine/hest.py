"""Turn a HEST-1k .h5ad of square pseudo-spots into what a Xenium bundle offers: genes, gene maps, an extent.

What HEST writes (Jaume et al. 2024; ``pool_transcripts_xenium`` in its library), and what is read of it::

    st/TENX94.h5ad
      X                         (spots, genes) counts, dense or sparse, controls among the genes; bins without any count
                                have no row
      obs/array_row, array_col  the spot's bin; wrong in pooled Visium HD, which is numbered after empty bins were dropped
      obsm/spatial              (spots, 2) x, y of the bin's centre, in pixels of the H&E image
      uns/spatial/ST/scalefactors/spot_diameter_fullres    55 um in these pixels, for Xenium
    metadata/TENX94.json        pixel_size_um_estimated; may be missing

So the bins come from array_row and array_col where these agree with the coordinates, and else from the coordinates alone.
Maps start at (0, 0) um.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from .errors import BundleError
from .fixed_bins import FixedBins
from .grid import MAX_BINS
from .morphology import StainImage
from .spot_grid import bins_of_spots
from .transcripts import CONTROL

HEST_BIN_UM = 100.0
"""Side of HEST's bins of Xenium slides (``spot_size_um`` in its library, issues 39 and 79 of its repository)."""
VISIUM_SPOT_UM = 55.0
"""Diameter that HEST notes for a pseudo-spot, whatever the side of its bin (``register_downscale_img``)."""
_PIXEL_KEYS = ("pixel_size_um_estimated", "pixel_size_um", "pixel_size")
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True, eq=False)
class HestSlide(FixedBins):
    """Counts of a HEST-1k sample on its own grid of square bins. The tissue is where there are spots."""

    path: Path
    counts: sparse.csc_matrix
    """(spots, genes) float32, in the order of ``names``."""
    names: tuple[str, ...]
    bins: np.ndarray
    """(spots,) flat number of each spot's bin on a grid of ``shape``."""
    shape: tuple[int, int]
    bin_um: float
    pixel_size_um: float | None = None
    """Of the H&E image; None where nothing says."""
    bin_is_assumed: bool = False
    """Nothing says how large a pixel is, or how far the spots lie apart, so ``bin_um`` is HEST's usual 100 um."""

    images: tuple[StainImage, ...] = ()
    """None: HEST keeps the picture in another file."""

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def genes(self) -> dict[str, int]:
        """Gene -> total count, most frequent first. Controls are left out."""
        sums = np.asarray(self.counts.sum(axis=0, dtype=np.float64)).ravel()[self._is_gene].tolist()
        names = [name for name, is_gene in zip(self.names, self._is_gene, strict=True) if is_gene]
        order = sorted(zip(names, sums, strict=True), key=lambda gene: (-gene[1], gene[0]))
        return {name: round(total) for name, total in order}

    def counts_on_grid(self, name: str) -> np.ndarray:
        return self._on_grid(self._counts_of(name))

    def totals_and_tissue(self) -> tuple[np.ndarray, np.ndarray]:
        return self._totals_and_tissue

    @cached_property
    def _column(self) -> dict[str, int]:
        return {name: column for column, name in enumerate(self.names)}

    @cached_property
    def _is_gene(self) -> np.ndarray:
        return np.array([CONTROL.match(name) is None for name in self.names], bool)

    @cached_property
    def _totals_and_tissue(self) -> tuple[np.ndarray, np.ndarray]:
        totals = self._on_grid(np.asarray(self.counts @ self._is_gene.astype(np.float32)).ravel())
        return totals, self._on_grid(np.ones(len(self.bins), np.float32)) > 0

    def _counts_of(self, gene: str) -> np.ndarray:
        return self.counts[:, [self._column[gene]]].toarray().ravel()

    def _on_grid(self, of_spots: np.ndarray) -> np.ndarray:
        values = np.zeros(math.prod(self.shape), np.float32)
        values[self.bins] = of_spots
        return values.reshape(self.shape)


def open_hest(path: str | Path) -> HestSlide:
    """Open a HEST-1k .h5ad.

    Raises :class:`BundleError` when it can't be read, holds no counts, or its spots do not fill a grid of square bins, as
    Visium's, which lie in a honeycomb.
    """
    path = Path(path).expanduser().absolute()
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Choose an .h5ad from the folder st of HEST-1k.")
    counts, names, array, xy, said = _read(path)
    _check_counts(path, counts, names)
    places, pitch_px = bins_of_spots(path, array, xy)
    shape = (int(places[:, 0].max()) + 1, int(places[:, 1].max()) + 1)
    if math.prod(shape) > MAX_BINS:
        raise BundleError(
            f"The spots of {path} span {shape[0]:,} x {shape[1]:,} bins, more than {MAX_BINS // 1_000_000} million, so their "
            "places can't be right. Download the file again."
        )
    bins = places[:, 0] * shape[1] + places[:, 1]
    if len(np.unique(bins)) < len(bins):
        raise BundleError(
            f"{len(bins) - len(np.unique(bins))} spots of {path} lie in a bin that another spot is in; one spot for each bin "
            "is needed. Give one sample a file, as HEST-1k does."
        )
    pixel_size_um = _pixel_size_um(path, said, pitch_px)
    assumed = pixel_size_um is None or pitch_px is None
    bin_um = HEST_BIN_UM if assumed else round(pitch_px * pixel_size_um, 1)
    return HestSlide(path, counts, names, bins, shape, bin_um, pixel_size_um, assumed)


def _read(path: Path):
    """counts (spots, genes), gene names, (spots, 2) row and column or None, (spots, 2) x and y or None, uns."""
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's, on files of its own earlier versions
            table = anndata.read_h5ad(path, backed="r")
            try:
                counts = _in_memory(table)
                names = tuple(map(str, table.var_names))
                array = _columns(table.obs, "array_row", "array_col")
                xy = np.asarray(table.obsm["spatial"])[:, :2] if "spatial" in table.obsm else None
                if xy is None:
                    xy = _columns(table.obs, "pxl_col_in_fullres", "pxl_row_in_fullres")
                said = dict(table.uns)
            finally:
                table.file.close()
    except Exception as error:  # anndata raises nearly every kind on a file that is not its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(
            f"{path} can't be read as a table of anndata ({reason}). Choose an .h5ad from the folder st of HEST-1k, and "
            "download it again if it is one."
        ) from None
    if xy is not None and (xy.dtype.kind not in "iuf" or not np.isfinite(xy).all()):
        raise BundleError(
            f"The coordinates in {path} (obsm spatial) are not all numbers; x and y in pixels are needed for every spot. "
            "Download the file again."
        )
    return counts, names, array, None if xy is None else xy.astype(np.float64), said


def _in_memory(table: Any) -> sparse.csc_matrix | None:
    """The counts as a sparse matrix, however they are stored; a dense table is read in parts. None without any."""
    try:
        x = table.X
    except KeyError:
        return None
    if hasattr(x, "to_memory"):
        return sparse.csc_matrix(x.to_memory())
    parts = [sparse.csr_matrix(x[start : start + _ROWS_AT_ONCE]) for start in range(0, x.shape[0], _ROWS_AT_ONCE)]
    return sparse.csc_matrix(sparse.vstack(parts)) if parts else sparse.csc_matrix(x.shape)


def _columns(obs: Any, *names: str) -> np.ndarray | None:
    """(spots, names) of the table's columns; None where one is missing or holds no numbers."""
    if not all(name in obs and obs[name].dtype.kind in "iuf" for name in names):
        return None
    return np.column_stack([obs[name].to_numpy(np.float64) for name in names])


def _check_counts(path: Path, counts: sparse.csc_matrix | None, names: tuple[str, ...]) -> None:
    if counts is None or 0 in counts.shape or counts.dtype.kind not in "iufb":
        found = (
            "nothing" if counts is None else f"{counts.dtype} for {counts.shape[0]} spots and {counts.shape[1]} genes"
        )
        raise BundleError(
            f"The table X of {path} holds {found}; counts of genes in spots are needed. Download it again."
        )
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})[:3] if len(names) < 10_000 else ["some genes"]
        raise BundleError(
            f"{path} names {', '.join(twice)} more than once. Make the names unique (var_names_make_unique)."
        )
    values = counts.data
    if not np.isfinite(values).all() or (values < 0).any() or (values != np.floor(values)).any():
        raise BundleError(
            f"The table X of {path} holds values that are no counts: below 0, not whole or not numbers. Give the file as "
            "HEST-1k has it, before any normalisation."
        )
    counts.data = values.astype(np.float32)


def _pixel_size_um(path: Path, said: Mapping[str, Any], pitch_px: float | None) -> float | None:
    """From HEST's metadata beside the file, from the file, or from the spot's diameter where bins are 100 um by it."""
    try:
        beside = json.loads((path.parent.parent / "metadata" / f"{path.stem}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        beside = {}
    for source in (beside if isinstance(beside, dict) else {}, said):
        for key in _PIXEL_KEYS:
            if (size := _above_0(source.get(key))) is not None:
                return size
    for sample in said["spatial"].values() if isinstance(said.get("spatial"), Mapping) else ():
        factors = sample.get("scalefactors") if isinstance(sample, Mapping) else None
        diameter_px = _above_0(factors.get("spot_diameter_fullres")) if isinstance(factors, Mapping) else None
        if diameter_px and pitch_px and abs(pitch_px / diameter_px * VISIUM_SPOT_UM / HEST_BIN_UM - 1) < 0.05:
            return VISIUM_SPOT_UM / diameter_px
    return None


def _above_0(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < math.inf else None
