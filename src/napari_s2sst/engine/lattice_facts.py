"""A gene's map and a lattice -> what a cheaper experiment would measure, and whether that is enough to learn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .maps import GeneMap
from .sampling import lattice

FEW_BINS = 400
"""Measured bins below which a map is smaller than the patches that training is made of, 20 x 20 of them at most."""

FEW_FILLED = 0.02
"""Share of measured bins with a transcript below which hardly any bin tells another."""


@dataclass(frozen=True)
class LatticeFacts:
    """Counts of bins inside the tissue or region."""

    tissue_bins: int
    measured_bins: int
    filled_bins: int
    """Measured bins that hold a transcript of the gene."""
    mean_count: float
    """Transcripts of the gene per measured bin."""

    @property
    def measured_share(self) -> float:
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
    """Of a map of counts. A stride of 1 measures every bin."""
    measured = gene_map.tissue & lattice(gene_map.shape, stride, phase)
    counts = gene_map.values[measured]
    return LatticeFacts(
        tissue_bins=int(gene_map.tissue.sum()),
        measured_bins=int(measured.sum()),
        filled_bins=int(np.count_nonzero(counts)),
        mean_count=float(counts.mean(dtype=np.float64)) if counts.size else 0.0,
    )
