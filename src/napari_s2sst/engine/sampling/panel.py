"""A panel's genes in the same bins -> what the others lead to expect of one: with less noise than its own few counts.

A ridge regression of the logarithm of the gene's counts on those of the others, over all measured bins of a slide. Of genes
that are expressed together, such as those of one cell type, each bin's counts tell about each other. The expectation stands
beside the counts of a :class:`SparseMap`; :mod:`.imputing.regression` looks at that of a bin's neighbours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ..errors import SamplingError
from ..maps import SparseMap
from ..transcripts.table import MIN_QV

if TYPE_CHECKING:
    from scipy.sparse import csc_matrix

    from ..slides.slide import Slide


MOST_GENES = 500
"""The most frequent ones of a larger panel are looked at."""

RIDGE = 1.0
"""Weight of the squared coefficients, in measured bins of standardised genes. Between a hundredth and three the maps of four
slides hardly differ; with less, rare genes are told worse where genes are nearly as many as bins."""

LEAST_SPREAD = 0.05
"""Of a gene's logarithm over the bins; what varies less counts as this much, or single transcripts would rule."""

LEARNT_FROM = 50_000
"""Measured bins, evenly through the list of all, so that a large slide takes no longer to learn from."""

BINS_AT_ONCE = 8192

KEPT = 3
"""Lattices of which a slide's genes are kept, as long as it is open."""

_kept: WeakKeyDictionary[Slide, dict[tuple, Coexpression | None]] = WeakKeyDictionary()


def with_panel(
    maps: Sequence[SparseMap], slide: Slide | None = None, *, min_qv: float = MIN_QV, filled_in: bool = False
) -> list[SparseMap]:
    """Maps, all sampled from this slide on one lattice, with what its other genes lead to expect in their bins.

    That is ``coexpressed`` (lattice rows, lattice columns), in standard deviations. ``min_qv`` is the Phred score from which a
    transcript counts.

    Without a ``slide``, as of arrays of one's own, the maps are each other's panel: all of it, for the total count of a bin is
    the sum of theirs where they have none.

    ``filled_in``: the lattice is the whole of the slide's bins, as :func:`.lattice.refine` makes it. As they were, where the
    slide has no other genes or fewer measured bins than genes. Raises :class:`BundleError` where the slide can't be read,
    :class:`SamplingError` where maps that are each other's panel differ in their measured bins or share a name.
    """
    if slide is None:
        return _of_each_other(maps)
    panel = coexpression(maps[0], slide, min_qv=min_qv, filled_in=filled_in)
    return list(maps) if panel is None else [panel.beside(sparse) for sparse in maps]


def _of_each_other(maps: Sequence[SparseMap]) -> list[SparseMap]:
    """Maps of several genes of one lattice, with what they lead to expect of each other."""
    if not maps:
        return []
    first, named = maps[0], Counter(sparse.gene for sparse in maps)
    for sparse in maps:
        same = (sparse.stride, sparse.phase) == (first.stride, first.phase) and np.array_equal(sparse.seen, first.seen)
        if not same:
            raise SamplingError(
                f"The maps of {first.gene!r} and {sparse.gene!r} were not measured in the same bins, so neither tells what to "
                "expect of the other. Sample maps of one slide with the same tissue, stride and phase."
            )
        if named[sparse.gene] > 1:
            raise SamplingError(
                f"Two maps are named {sparse.gene!r}, and a gene can't tell what to expect of itself. Name each: GeneMap(gene=...)."
            )
    totals = np.sum([sparse.values for sparse in maps], axis=0, dtype=np.float32)
    maps = [replace(sparse, totals=totals) if sparse.totals is None else sparse for sparse in maps]
    frequent = sorted(maps, key=lambda sparse: float(sparse.values.sum()), reverse=True)[:MOST_GENES]
    if not 1 < len(frequent) < np.count_nonzero(first.seen):
        return maps
    logarithms = _columns((sparse.values[first.seen] for sparse in frequent), int(np.count_nonzero(first.seen)))
    panel = Coexpression([sparse.gene for sparse in frequent], logarithms)
    return [panel.beside(sparse) for sparse in maps]


def coexpression(
    sparse: SparseMap, slide: Slide, *, min_qv: float = MIN_QV, filled_in: bool = False
) -> Coexpression | None:
    """Find what the genes of a slide tell of each other on the lattice of one of its maps. Raises :class:`BundleError`.

    None where there is a single gene, or not more measured bins than genes: what is learnt from so few is mostly chance.
    """
    kept, place = _kept.setdefault(slide, {}), _place(sparse, min_qv, filled_in)
    try:
        return kept[place]
    except KeyError:
        names = tuple(slide.genes)[:MOST_GENES]
        panel = None
        if 1 < len(names) < np.count_nonzero(sparse.seen):
            panel = Coexpression(names, _logarithms(names, sparse, slide, min_qv, filled_in))
        while len(kept) >= KEPT:
            kept.pop(next(iter(kept)), None)
        kept[place] = panel
        return panel


def is_known(sparse: SparseMap, slide: Slide, *, min_qv: float = MIN_QV, filled_in: bool = False) -> bool:
    """Whether :func:`with_panel` would read nothing, because the slide's genes were counted on the same bins before."""
    return _place(sparse, min_qv, filled_in) in _kept.get(slide, {})


def _place(sparse: SparseMap, min_qv: float, filled_in: bool) -> tuple[Any, ...]:
    seen = sparse.seen
    return (
        seen.shape, np.packbits(seen).tobytes(), tuple(sparse.phase), sparse.stride, float(sparse.bin_um), float(min_qv), filled_in,
    )  # fmt: skip


def _logarithms(names: Sequence[str], sparse: SparseMap, slide: Slide, min_qv: float, filled_in: bool) -> csc_matrix:
    """(measured bins, genes) log1p of the counts; empty bins take no memory."""
    bin_um = sparse.bin_um * sparse.stride if filled_in else sparse.bin_um
    take = np.s_[:, :] if filled_in else sparse.on_lattice
    maps = slide.gene_maps(list(names), bin_um=bin_um, min_qv=min_qv)
    return _columns((gene_map.values[take][sparse.seen] for gene_map in maps), int(np.count_nonzero(sparse.seen)))


def _columns(genes: Iterable[np.ndarray], bins: int) -> csc_matrix:
    """(bins,) counts of each gene -> (bins, genes) log1p of them."""
    from scipy.sparse import csc_matrix

    rows, logarithms = [], []
    for counts in genes:
        at = np.flatnonzero(counts > 0)
        rows.append(at.astype(np.int32))
        logarithms.append(np.log1p(counts[at]))
    starts = np.cumsum([0, *map(len, rows)])
    return csc_matrix((np.concatenate(logarithms), np.concatenate(rows), starts), shape=(bins, len(rows)))


class Coexpression:
    """A panel's genes at the measured bins of one lattice, and how they vary together."""

    def __init__(self, genes: Sequence[str], logarithms: csc_matrix) -> None:
        """``logarithms`` (measured bins, genes) of 1 + counts."""
        self._number = {gene: number for number, gene in enumerate(genes)}
        self._logarithms = logarithms
        bins = logarithms.shape[0]
        self._some = np.linspace(0, bins - 1, min(bins, LEARNT_FROM)).round().astype(int)
        learnt = logarithms if len(self._some) == bins else logarithms.tocsr()[self._some]
        mean = np.asarray(learnt.mean(axis=0), np.float64).ravel()
        products = np.zeros((len(genes),) * 2)
        for rows in (learnt.tocsr()[begin : begin + BINS_AT_ONCE] for begin in range(0, len(self._some), BINS_AT_ONCE)):
            dense = rows.toarray()
            products += dense.T @ dense
        covariance = products / max(1, len(self._some)) - np.outer(mean, mean)
        self._spread = np.maximum(np.sqrt(np.maximum(np.diag(covariance), 0)), LEAST_SPREAD)
        self._correlation = covariance / np.outer(self._spread, self._spread)
        self._learnt = learnt.tocsc()

    def beside(self, sparse: SparseMap) -> SparseMap:
        """A map with what the others lead to expect of its gene; as it was, where they tell nothing."""
        expectation = self._expectation(sparse)
        if expectation is None:
            return sparse
        layer = np.zeros(sparse.measured.shape, np.float32)
        layer[sparse.seen] = expectation
        return replace(sparse, coexpressed=layer)

    def _expectation(self, sparse: SparseMap) -> np.ndarray | None:
        """(measured bins,) with mean 0 and standard deviation 1."""
        others = np.ones(len(self._number), bool)
        if sparse.gene in self._number:
            others[self._number[sparse.gene]] = False
        own = np.log1p(np.maximum(sparse.values[sparse.seen], 0))[self._some].astype(np.float64)
        shared = self._learnt.T @ (own - own.mean()) / max(1, len(own)) / self._spread
        weights = np.zeros(len(others))
        matrix = self._correlation[np.ix_(others, others)] + RIDGE * np.eye(np.count_nonzero(others))
        weights[others] = np.linalg.solve(matrix, shared[others]) / self._spread[others]
        expectation = self._logarithms @ weights
        spread = expectation.std()
        return (expectation - expectation.mean()) / spread if spread > 0 else None
