"""Turn a transcript table into the positions of a few genes' transcripts, up to a number that a viewer can draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .reading import Names, numbers
from .table import MIN_QV, TranscriptTable, no_such_gene

MAX_POINTS = 100_000
"""A viewer without a graphics card draws so many points in a second; a map of their density shows more of more."""


@dataclass(frozen=True, eq=False)
class Positions:
    """Transcripts of some genes: where each is, or only how many there are where they are too many."""

    genes: tuple[str, ...]
    count: int
    yx_um: np.ndarray | None = None
    """(count, 2) float32 (y, x), in the table's order; None when they are too many."""
    gene: np.ndarray | None = None
    """(count,) int64 index into ``genes``; None when they are too many."""

    def of(self, gene: str) -> np.ndarray:
        """(n, 2) float32 (y, x) um of one of the genes, which must not be too many."""
        return self.yx_um[self.gene == self.genes.index(gene)]


def read_positions(
    table: TranscriptTable, genes: Sequence[str], *, min_qv: float = MIN_QV, at_most: int = MAX_POINTS
) -> Positions:
    """Stream the table once for the genes' transcripts of ``min_qv`` and better.

    More than ``at_most`` of them are only counted; at the usual quality the survey of names tells without reading on.
    Points whose coordinates are not numbers are left out. Raises :class:`BundleError` on an unknown gene.
    """
    survey = table.survey
    genes = tuple(dict.fromkeys(genes))
    for gene in genes:
        if gene not in survey.code:
            raise no_such_gene(gene, survey.names, table.path.name)
    codes = [survey.code[gene] for gene in genes]
    surveyed = int(survey.counts[codes].sum())
    if min_qv == MIN_QV and surveyed > at_most:
        return Positions(genes, surveyed)
    # One entry more than names: code -1, a row without a name, reads the last one.
    slot = np.full(len(survey.names) + 1, -1, np.int64)
    slot[codes] = np.arange(len(genes))
    names = Names(survey.names)
    count, places, of_gene = 0, [np.zeros((0, 2), np.float32)], [np.zeros(0, np.int64)]
    for batch in table.batches(["feature_name", "y_location", "x_location", "qv"]):
        number = slot[names.codes(batch["feature_name"])]
        hits = number >= 0
        if "qv" in batch.schema.names:
            hits &= numbers(batch["qv"]) >= min_qv
        rows = np.flatnonzero(hits)
        yx_um = np.column_stack([numbers(batch[name])[rows] for name in ("y_location", "x_location")])
        good = np.isfinite(yx_um).all(axis=1)
        count += int(np.count_nonzero(good))
        if count <= at_most:
            places.append(yx_um[good].astype(np.float32))
            of_gene.append(number[rows][good])
        else:
            places, of_gene = [], []
    if count > at_most:
        return Positions(genes, count)
    return Positions(genes, count, np.concatenate(places), np.concatenate(of_gene))
