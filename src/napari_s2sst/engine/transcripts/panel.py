"""Hold a panel's counts without the empty bins: of 5,000 genes on a large slide most bins of most genes are empty.

The layout is that of compressed sparse rows, a row a gene::

    gene g has counts[starts[g]:starts[g + 1]] at bins[starts[g]:starts[g + 1]], in order of the bins
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..maps import GeneMap

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(frozen=True, eq=False)
class SparsePanel:
    """Counts of some genes on one grid; 8 bytes for each bin of a gene that has any."""

    shape: tuple[int, int]
    """(rows, columns)."""
    starts: np.ndarray
    """(genes + 1,) int64."""
    bins: np.ndarray
    """(occupied,) int32 flat bin numbers."""
    counts: np.ndarray
    """(occupied,) int32, above 0."""

    def __len__(self) -> int:
        return len(self.starts) - 1

    def occupied(self, gene: int) -> tuple[np.ndarray, np.ndarray]:
        """(occupied,) flat bin numbers of one gene, and the counts there."""
        part = slice(self.starts[gene], self.starts[gene + 1])
        return self.bins[part], self.counts[part]

    def dense(self, gene: int) -> np.ndarray:
        """(rows, columns) float32 counts of one gene."""
        values = np.zeros(self.shape[0] * self.shape[1], np.float32)
        bins, counts = self.occupied(gene)
        values[bins] = counts
        return values.reshape(self.shape)

    def totals(self) -> np.ndarray:
        """(rows, columns) int32 counts of all genes together."""
        totals = np.zeros(self.shape[0] * self.shape[1], np.int32)
        np.add.at(totals, self.bins, self.counts)
        return totals.reshape(self.shape)

    def matrix(self) -> csr_matrix:
        """(genes, bins) as scipy has it, int32, on the same memory where scipy's own indices allow."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.counts, self.bins, self.starts), shape=(len(self), self.shape[0] * self.shape[1]))


@dataclass(frozen=True, eq=False, kw_only=True)
class MapsOnDemand(Sequence[GeneMap]):
    """Gene maps of a panel too large to hold them all: each is made when it is asked for, and none is kept."""

    panel: SparsePanel
    genes: tuple[str, ...]
    """Names of the wanted maps, in their order; a gene may stand there twice."""
    slots: tuple[int, ...]
    """Where in the panel each of them is."""
    tissue: np.ndarray
    totals: np.ndarray
    bin_um: float
    origin_um: tuple[float, float]
    context: np.ndarray | None = None
    """The whole slide's tissue, as in a :class:`GeneMap`, where ``tissue`` is only that of some regions."""

    def __len__(self) -> int:
        return len(self.genes)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        slot, gene = self.slots[index], self.genes[index]
        return GeneMap(
            self.panel.dense(slot),
            self.tissue,
            gene=gene,
            bin_um=self.bin_um,
            origin_um=self.origin_um,
            totals=self.totals,
            context=self.context,
        )

    def __iter__(self) -> Iterator[GeneMap]:
        return (self[index] for index in range(len(self)))


def counted(numbers: np.ndarray, genes: int, shape: tuple[int, int]) -> SparsePanel:
    """Counts of points (n,), each the number of its counter, gene x bins + bin, in any order. Puts them in order."""
    size = shape[0] * shape[1]
    numbers.sort()
    changes = np.flatnonzero(numbers[1:] != numbers[:-1]) + 1
    first = np.concatenate([np.zeros(min(1, len(numbers)), np.int64), changes])
    counts = np.diff(first, append=len(numbers)).astype(np.int32)
    numbers = numbers[first]
    starts = np.searchsorted(numbers, (np.arange(genes) * size).astype(numbers.dtype))
    starts = np.append(starts, len(numbers)).astype(np.int64)
    bins = numbers - np.repeat((np.arange(genes) * size).astype(numbers.dtype), np.diff(starts))
    return SparsePanel(shape, starts, bins.astype(np.int32), counts)


def stacked(panels: Sequence[SparsePanel]) -> SparsePanel:
    """Put the genes of one panel after those of the other; at least one panel, all of one grid."""
    ends = np.cumsum([0, *(panel.starts[-1] for panel in panels)])
    starts = [panel.starts[:-1] + end for panel, end in zip(panels, ends[:-1], strict=True)]
    return SparsePanel(
        panels[0].shape,
        np.concatenate([*starts, ends[-1:]]).astype(np.int64),
        np.concatenate([panel.bins for panel in panels]),
        np.concatenate([panel.counts for panel in panels]),
    )


def added(panels: Sequence[SparsePanel]) -> SparsePanel:
    """The sum of at least one panel of the same genes and grid."""
    if len(panels) == 1:
        return panels[0]
    matrix = sum((panel.matrix() for panel in panels[1:]), start=panels[0].matrix())
    matrix.sort_indices()
    return SparsePanel(
        panels[0].shape, matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data.astype(np.int32)
    )
