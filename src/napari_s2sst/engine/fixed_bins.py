"""What files that hold counts on a grid of their own have in common: they stand in for a Xenium bundle, with the bins they have."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .maps import GeneMap
from .transcripts import no_such_gene
from .xenium import DENSE_BYTES


class FixedBins(ABC):
    """Gene maps and extent of a grid that is what it is. Maps start at (0, 0) um."""

    name: str
    names: tuple[str, ...]
    """Everything that has counts, controls included, in the file's order."""
    genes: dict[str, int]
    shape: tuple[int, int]
    """(rows, columns)."""
    bin_um: float

    @abstractmethod
    def counts_on_grid(self, name: str) -> np.ndarray:
        """(rows, columns) float32 counts of one of the names."""

    @abstractmethod
    def totals_and_tissue(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) each: counts of all genes, where the tissue is."""

    @property
    def extent_um(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1), the outer edges of the bins."""
        return (0.0, 0.0, self.shape[0] * self.bin_um, self.shape[1] * self.bin_um)

    def gene_map(self, gene: str, bin_um: float | None = None, min_qv: float | None = None) -> GeneMap:
        """Counts of one gene. Raises :class:`BundleError` on an unknown gene.

        The bins are what they are: ``bin_um`` and ``min_qv`` are there so that this can stand in for a bundle, and
        change nothing. The map's own ``bin_um`` tells the truth.
        """
        return self.gene_maps([gene], bin_um, min_qv)[0]

    def gene_maps(
        self, genes: Iterable[str], bin_um: float | None = None, min_qv: float | None = None
    ) -> Sequence[GeneMap]:
        """The same for many genes, in the order asked for; a control's name is known too.

        Maps too large to be held together are each made when asked for.
        """
        wanted, known = list(genes), set(self.names)
        for gene in wanted:
            if gene not in known:
                raise no_such_gene(gene, self.genes, self.name)
        maps = MapsOfBins(self, tuple(wanted))
        return maps if 4 * math.prod(self.shape) * len(wanted) > DENSE_BYTES else list(maps)


@dataclass(frozen=True, eq=False)
class MapsOfBins(Sequence[GeneMap]):
    """Maps of some genes, each made when it is asked for, and none kept."""

    slide: FixedBins
    genes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.genes)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        slide, gene = self.slide, self.genes[index]
        totals, tissue = slide.totals_and_tissue()
        return GeneMap(slide.counts_on_grid(gene), tissue, gene, slide.bin_um, totals=totals)
