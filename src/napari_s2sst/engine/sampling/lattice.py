"""Dense -> sparse: which bins a cheaper experiment measures (Fang et al. 2025, section 2.1), and whether they are enough.

The lattice keeps every S-th bin along both axes. Its phases (r, c), 0 <= r, c < S, tile the grid without overlap. The same
lattice is laid the other way round where every bin was measured and a finer grid is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import SamplingError
from ..maps import GeneMap, SparseMap
from ..transcripts.panel import MapsOnDemand

CONTEXT_LATTICE = 16
"""Lattice bins around the regions that are looked at: half of the paper's patch of 64 bins, which a stride of 2 makes 32, as
what is told in a patch's middle is never told from farther. On the bone marrow section estimates at a region's border then
differ from the whole slide's by 0.003 on average (0.035 without), a hundredth of their error
(tests/engine/sampling/test_context.py)."""

MIN_LATTICE_BINS = 4
"""Along an axis; with fewer there is nothing to learn from or to interpolate between."""


def lattice(shape: tuple[int, int], stride: int, phase: tuple[int, int] = (0, 0)) -> np.ndarray:
    """(rows, columns) boolean mask of the lattice's bins."""
    mask = np.zeros(shape, bool)
    mask[phase[0] :: stride, phase[1] :: stride] = True
    return mask


def check_lattice(shape: tuple[int, int], stride: int, phase: tuple[int, int] = (0, 0)) -> None:
    """Raise :class:`SamplingError` unless the lattice fits a map of this shape."""
    if stride < 2:
        raise SamplingError(f"The stride is {stride}; choose 2 or more, as a stride of 1 measures every bin.")
    if not (0 <= phase[0] < stride and 0 <= phase[1] < stride):
        raise SamplingError(
            f"The phase {phase} lies outside the stride {stride}; choose offsets from 0 to {stride - 1}."
        )
    bins = [len(range(offset, length, stride)) for offset, length in zip(phase, shape, strict=True)]
    if min(bins) < MIN_LATTICE_BINS:
        most = (min(shape) - 1) // (MIN_LATTICE_BINS - 1)
        advice = f"a stride of at most {most}, or smaller bins" if most >= 2 else "smaller bins"
        raise SamplingError(
            f"A stride of {stride} leaves {bins[0]} x {bins[1]} measured bins of a map of {shape[0]} x {shape[1]} bins; "
            f"choose {advice}."
        )


def sample(gene_map: GeneMap, stride: int = 2, phase: tuple[int, int] = (0, 0)) -> SparseMap:
    """Keep the lattice's bins of a map of counts and forget the others (Fang et al. 2025, section 2.1: X_h -> X_m).

    The map's (rows, columns) become lattice bins [``phase``[0] :: ``stride``, ``phase``[1] :: ``stride``], both in bins.
    Raises :class:`SamplingError` when the stride is below 2 or too large for the map, no bin of the lattice lies in the
    tissue, or the map holds normalised values, of which the logarithm would be taken twice.
    """
    if gene_map.normalisation is not None:
        raise SamplingError(
            f"Map {gene_map.gene!r} holds values in the {gene_map.normalisation.kind} space, and sampling needs counts. "
            "Sample the map of counts; its values are normalised afterwards."
        )
    check_lattice(gene_map.shape, stride, phase)
    take = np.s_[phase[0] :: stride, phase[1] :: stride]
    measured = gene_map.tissue[take]
    if not measured.any():
        raise SamplingError(
            f"No measured bin of gene {gene_map.gene!r} lies in the tissue: the tissue or region covers "
            f"{int(gene_map.tissue.sum())} bins, none of them on the lattice. Choose a larger region or smaller bins."
        )
    context = None if gene_map.context is None else _near(gene_map.context[take], gene_map.tissue, stride)
    seen = measured if context is None else measured | context
    return SparseMap(
        values=np.where(seen, gene_map.values[take], np.float32(0)),
        measured=measured.copy(),
        tissue=gene_map.tissue,
        stride=stride,
        phase=tuple(phase),
        gene=gene_map.gene,
        bin_um=gene_map.bin_um,
        origin_um=gene_map.origin_um,
        totals=None if gene_map.totals is None else gene_map.totals[take].copy(),
        context=context,
    )


def lattice_cells(wanted: np.ndarray, shape: tuple[int, int], stride: int) -> np.ndarray:
    """(rows, columns) -> lattice of that shape, True where any bin of its S x S is True.

    Bins beyond the last whole cell belong to the last one.
    """
    for axis, length in enumerate(shape):
        wanted = np.logical_or.reduceat(wanted, np.arange(length) * stride, axis=axis)
    return wanted


def _near(around: np.ndarray, tissue: np.ndarray, stride: int) -> np.ndarray | None:
    """(lattice rows, lattice columns) bins ``around`` the regions within reach of their tissue; None where there are none."""
    from scipy import ndimage  # slow to import, and only regions need it

    cells = lattice_cells(tissue, around.shape, stride)
    near = around & ndimage.maximum_filter(cells, 2 * CONTEXT_LATTICE + 1, mode="constant")
    return near if near.any() else None


def spread(values: np.ndarray, shape: tuple[int, int], stride: int, phase: tuple[int, int] = (0, 0)) -> np.ndarray:
    """Lattice values at their bins of the full grid of that shape, NaN elsewhere: the inverse of taking the lattice."""
    full = np.full(shape, np.nan, np.float32)
    full[phase[0] :: stride, phase[1] :: stride] = values
    return full


def sparse_layer(sparse: SparseMap, kind: str = "log1p") -> np.ndarray:
    """(rows, columns) measured values in the normalised space, NaN where nothing was measured."""
    values = np.where(sparse.measured, sparse.normalised(kind), np.float32(np.nan))
    return spread(values, sparse.shape, sparse.stride, sparse.phase)


def refine(gene_map: GeneMap, stride: int = 2) -> SparseMap:
    """The map's bins as the lattice of an S times finer grid, for where every bin was measured and a finer grid is wanted.

    A value then stands for a window of the original bin's size about the finer bin's centre. Measured windows keep their
    place: where S is even, the finer grid is shifted by half a finer bin so that centres coincide. (rows, columns) become
    (S rows, S columns). Raises :class:`SamplingError` when the stride is below 2.
    """
    if stride < 2:
        raise SamplingError(f"The grid can't be made {stride} times finer; choose 2 or more.")
    phase = (stride - 1) // 2
    tissue = np.kron(gene_map.tissue, np.ones((stride, stride), bool))
    shift_um = gene_map.bin_um / 2 - (phase + 0.5) * gene_map.bin_um / stride
    context = None if gene_map.context is None else _near(gene_map.context, tissue, stride)
    seen = gene_map.tissue if context is None else gene_map.tissue | context
    return SparseMap(
        values=np.where(seen, gene_map.values, np.float32(0)),
        measured=gene_map.tissue,
        tissue=tissue,
        stride=stride,
        phase=(phase, phase),
        gene=gene_map.gene,
        bin_um=gene_map.bin_um / stride,
        origin_um=(gene_map.origin_um[0] + shift_um, gene_map.origin_um[1] + shift_um),
        totals=gene_map.totals,
        context=context,
    )


@dataclass(frozen=True, eq=False)
class SparseOnDemand(Sequence[SparseMap]):
    """Sparse maps of a panel too large to hold them, each made by :func:`sample` or :func:`refine` when it is asked for.

    They share one tissue, one lattice and one array of totals.
    """

    maps: MapsOnDemand
    first: SparseMap
    """Of the panel's first map."""
    take: tuple[slice, slice]
    """The lattice's bins of such a map."""
    finished: Callable[[SparseMap], SparseMap] = lambda sparse: sparse
    """What is still to be done to a map."""

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        gene_map, first = self.maps[index], self.first
        values = np.where(first.seen, gene_map.values[self.take], np.float32(0))
        return self.finished(replace(first, gene=gene_map.gene, values=values))


FEW_BINS = 400
"""Measured bins below which a map is smaller than the patches that training is made of, 20 x 20 of them at most."""

FEW_FILLED = 0.02
"""Share of measured bins with a transcript below which hardly any bin tells another."""


@dataclass(frozen=True)
class LatticeFacts:
    """Counts of the bins that a cheaper experiment would measure inside the tissue or region, and of what they hold."""

    tissue_bins: int
    measured_bins: int
    filled_bins: int
    """Measured bins that hold a transcript of the gene."""
    mean_count: float
    """Transcripts of the gene per measured bin."""

    @property
    def measured_share(self) -> float:
        """Share of the tissue's bins that are measured, 0 to 1."""
        return self.measured_bins / self.tissue_bins if self.tissue_bins else 0.0

    @property
    def warning(self) -> str:
        """A sentence when there is too little to learn from, else empty."""
        if not self.measured_bins:
            return "No bin of the lattice lies in the tissue. Choose smaller bins or a larger region."
        if not self.filled_bins:
            return "No measured bin holds a transcript of this gene. Choose larger bins or another gene."
        if self.filled_bins / self.measured_bins < FEW_FILLED:
            share = 100 * self.filled_bins / self.measured_bins
            return f"Only {share:.2g} % of the measured bins hold a transcript of this gene. Choose larger bins."
        if self.measured_bins < FEW_BINS:
            return f"Only {self.measured_bins:,} bins are measured. Choose smaller bins, a smaller stride or a larger region."
        return ""


def lattice_facts(gene_map: GeneMap, stride: int, phase: tuple[int, int] = (0, 0)) -> LatticeFacts:
    """Count the bins of a map of counts that a lattice measures. A stride of 1 measures every bin."""
    measured = gene_map.tissue & lattice(gene_map.shape, stride, phase)
    counts = gene_map.values[measured]
    return LatticeFacts(
        tissue_bins=int(gene_map.tissue.sum()),
        measured_bins=int(measured.sum()),
        filled_bins=int(np.count_nonzero(counts)),
        mean_count=float(counts.mean(dtype=np.float64)) if counts.size else 0.0,
    )
