"""Turn an .h5ad of spots on a square lattice into a slide with bins of its own, whose tissue is where there are spots.

Read are HEST-1k's Xenium samples (Jaume et al. 2024; ``pool_transcripts_xenium`` in its library), the first Spatial
Transcriptomics (Visium ST), binned Visium HD, and any other table of spots that fill squares::

    st/TENX94.h5ad
      X                         (spots, genes) counts, dense or sparse, controls among the genes; bins without any count
                                may have no row
      layers/counts             the same, where X holds no counts
      obs/array_row, array_col  the spot's bin; wrong in HEST's pooled Visium HD, numbered after empty bins were dropped
      obs index                 ``10x13`` of Spatial Transcriptomics: column x row, where there is no array_row
      obs/in_tissue             0 where a spot is beside the tissue
      obsm/spatial              (spots, 2) x, y of the bin's centre, in pixels of the H&E image
      var/feature_types         rows of proteins and of anything else that is no ``Gene Expression`` are left out
      uns, and files beside it  how large a bin is: see ``h5ad_places.scale_of_bins``

So the bins come from array_row and array_col where these agree with the coordinates, and else from the coordinates alone.
The map lies as the picture does. It starts at (0, 0) um.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from scipy import sparse

from ..errors import BundleError
from ..files import local_path
from ..transcripts.grid import MAX_BINS
from ..transcripts.table import CONTROL
from .h5ad_file import GENES, WANTED, AnnDataFile, are_counts, read_anndata
from .h5ad_places import bins_of_spots, scale_of_bins
from .slide import FixedBins


@dataclass(frozen=True, eq=False, kw_only=True)
class AnnDataSlide(FixedBins):
    """Counts of spots on their own grid of square bins. The tissue is where there are spots, but for those beside it."""

    path: Path
    counts: sparse.csc_matrix
    """(spots, genes) float32, in the order of ``names``."""
    names: tuple[str, ...]
    bins: np.ndarray
    """(spots,) flat number of each spot's bin on a grid of ``shape``."""
    shape: tuple[int, int] = field()  # or the base's None would be its default, as of the next one
    bin_um: float = field()
    pixel_size_um: float | None = None
    """Of the H&E image, which is in another file; None where nothing says."""
    bin_is_assumed: bool = False
    """Nothing says how large a pixel is, or how far the spots lie apart, so ``bin_um`` is the method's usual one."""
    bin_said_by: str = ""
    """Who says how large a bin is, such as ``by microns_per_pixel of its scalefactors``."""
    pitch_px: float | None = None
    """Pixels of the H&E image from one spot to the next; None without coordinates."""
    in_tissue: np.ndarray | None = None
    """(spots,) bool; None: all are."""
    given_um: float | None = None
    """The bin's side as somebody said it, where the file does not."""

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

    def summary(self) -> str:
        """One line: ``3 genes on 12 x 9 bins of 100 um (by its spots of 55 um), 83 of 108 bins filled``."""
        rows, columns = self.shape
        return (
            f"{len(self.genes):,} genes on {rows:,} x {columns:,} bins of {self.bin_um:g} um ({self.bin_said_by}), "
            f"{len(self.bins):,} of {rows * columns:,} bins filled"
        )

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
        inside = np.ones(len(self.bins), bool) if self.in_tissue is None else self.in_tissue
        return totals, self._on_grid(inside.astype(np.float32)) > 0

    def _counts_of(self, gene: str) -> np.ndarray:
        return self.counts[:, [self._column[gene]]].toarray().ravel()

    def _on_grid(self, of_spots: np.ndarray) -> np.ndarray:
        values = np.zeros(math.prod(self.shape), np.float32)
        values[self.bins] = of_spots
        return values.reshape(self.shape)


def open_anndata(path: str | Path, bin_um: float | None = None) -> AnnDataSlide:
    """Open an .h5ad of spots on a square lattice. ``bin_um``, the side of a bin, overrides what the file says or lacks.

    Raises :class:`BundleError` when it can't be read, holds no counts, or its spots do not fill a grid of square bins, as
    Visium's, which lie in a honeycomb.
    """
    path = local_path(path, WANTED)
    if bin_um is not None and not 0 < bin_um < math.inf:
        raise BundleError(f"The bin size is {bin_um} um; choose one above 0, such as 100.")
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Choose {WANTED}.")
    file = read_anndata(path)
    counts, names = _checked_counts(path, file)
    places, pitch_px = bins_of_spots(path, file.array, file.xy)
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
            "is needed. Give every sample a file of its own."
        )
    scale = scale_of_bins(
        path,
        uns=file.uns,
        names=file.some_spots,
        pitch_px=pitch_px,
        given_um=None if bin_um is None else float(bin_um),
    )
    return AnnDataSlide(
        path=path,
        counts=counts,
        names=names,
        bins=bins,
        shape=shape,
        bin_um=scale.bin_um,
        pixel_size_um=scale.pixel_size_um,
        bin_is_assumed=scale.is_assumed,
        bin_said_by=scale.said_by,
        pitch_px=pitch_px,
        in_tissue=file.in_tissue,
    )


def _checked_counts(path: Path, file: AnnDataFile) -> tuple[sparse.csc_matrix, tuple[str, ...]]:
    """The genes' counts as float32, and their names."""
    counts = file.counts
    if counts is None or 0 in counts.shape or counts.dtype.kind not in "iufb":
        held = (
            "nothing" if counts is None else f"{counts.dtype} for {counts.shape[0]} spots and {counts.shape[1]} genes"
        )
        raise BundleError(
            f"The {file.counts_from} of {path} holds {held}; counts of genes in spots are needed. Download it again."
        )
    names = file.names
    if not file.is_gene.all():
        if not file.is_gene.any():
            raise BundleError(f"{path} holds no row of {GENES!r} (var feature_types). Choose a file with genes.")
        counts = counts[:, np.flatnonzero(file.is_gene)]
        names = tuple(name for name, is_gene in zip(names, file.is_gene, strict=True) if is_gene)
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise BundleError(
            f"{path} names {', '.join(twice[:3])} more than once. Make the names unique (var_names_make_unique)."
        )
    values = counts.data
    if not are_counts(values):
        raise BundleError(
            f"The {file.counts_from} of {path} holds values that are no counts: below 0, not whole or not numbers. Give the "
            "file as it was before any normalisation, or with the counts in a layer of that name."
        )
    counts.data = values.astype(np.float32)
    return counts, names
