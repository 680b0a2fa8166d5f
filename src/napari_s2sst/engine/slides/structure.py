"""Turn the gene maps of a slide into how much spatial structure each gene has: Moran's I, share of bins, transcripts.

Moran's I compares bins that share an edge (Moran 1950)::

    I = n / W * sum_ij w_ij (x_i - m)(x_j - m) / sum_i (x_i - m)^2

with ``n`` bins of the tissue, their mean ``m``, ``w_ij`` 1 where bins i and j share an edge and both lie in the tissue (rook
weights), else 0, and ``W`` their sum. Near 1: neighbours are alike; -1 / (n - 1), which is nearly 0: values lie anywhere;
-1: a checkerboard. Rook and not queen weights, because the sampling takes every second bin along each axis: what matters is
how much a bin tells of the one beside it, and a diagonal neighbour lies 1.4 times as far.

Maps are scored as log1p of the counts. A count's variance grows with its mean, so that of raw counts a few bright bins make up
most of both sums; and it is the space in which maps are imputed by default.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..maps import GeneMap
from ..transcripts.cache import Kept
from ..transcripts.grid import Grid
from ..transcripts.table import MIN_QV
from .slide import Slide

BLOCK_BYTES = 200_000_000
"""Maps made at a time: with bins of 20 um, 530 genes of 10 x 3.6 mm, 200 of 10 x 10 mm."""
PART_VALUES = 4_000_000
"""Values scored at a time: 16 MB, a few hundredths of a second, so that the table fills steadily and is soon cancelled."""

_COLUMNS = ("transcripts", "bins_share", "morans_i")


@dataclass(frozen=True)
class GeneStructure:
    """Structure of a gene on a slide, at one bin size."""

    transcripts: int
    """On the whole slide, of the quality asked for."""
    bins_share: float
    """Share of the tissue's bins with at least one transcript, 0 to 1; NaN without tissue."""
    morans_i: float
    """-1 to 1, see the module; NaN where all bins are equal."""


def morans_i(values: np.ndarray, tissue: np.ndarray) -> float:
    """Moran's I of one map, with rook weights inside the tissue (Moran 1950; the equation is the module's).

    ``values`` (rows, columns) numbers, taken as they are; ``tissue`` (rows, columns) True inside, values outside are not
    looked at. NaN when all values are equal, and when no two bins of the tissue share an edge.
    """
    tissue = np.asarray(tissue, bool)
    maps = np.array(values, np.float32)[None]
    np.copyto(maps, 0, where=~tissue)
    return float(_morans_i(maps, tissue)[0])


def structure_parts(
    slide: Slide,
    genes: Iterable[str],
    bin_um: float = 20.0,
    min_qv: float = MIN_QV,
    *,
    block_bytes: int = BLOCK_BYTES,
    part_values: int = PART_VALUES,
) -> Iterator[dict[str, GeneStructure]]:
    """Score the genes of a slide, in the order asked for, part by part; to cancel it, ask for no further part.

    One pass over the transcripts; no more than ``block_bytes`` of maps are made at a time. Scores of a large slide's genes are
    kept, and told at once when they are asked for again. A slide with bins of its own has these and its own quality, whatever
    is asked for. Raises :class:`BundleError` on an unknown gene or absurd bin size.
    """
    names = list(dict.fromkeys(genes))
    table = slide.transcripts
    key = None if table is None else table.cache_key("structure", bin_um=float(bin_um), min_qv=float(min_qv))
    kept = _kept(table.cache.get(key), names) if key else None
    if kept is not None:
        yield kept
        return
    bins = Grid.over(slide.extent_um, bin_um).size if slide.shape is None else math.prod(slide.shape)
    of_block = max(1, block_bytes // (4 * bins))
    of_part = max(1, part_values // bins)
    panel = None if table is None else slide.gene_maps(names, bin_um, min_qv)
    scores: dict[str, GeneStructure] = {}
    for first in range(0, len(names), of_block):
        block = slice(first, first + of_block)
        maps = slide.gene_maps(names[block], bin_um, min_qv) if panel is None else panel[block]
        for start in range(0, len(maps), of_part):
            part = _structure_of(maps[start : start + of_part])
            scores |= part
            yield part
        del maps  # or the next block is made beside this one
    if key and slide.genes.keys() <= scores.keys():
        columns = {name: [getattr(score, name) for score in scores.values()] for name in _COLUMNS}
        table.cache.keep(key, {"gene": list(scores), **columns}, {})


def _kept(kept: Kept | None, names: list[str]) -> dict[str, GeneStructure] | None:
    """Scores of the genes from the cache; None where it has not got them all."""
    columns = kept and kept.columns()
    if not columns or set(columns) != {"gene", *_COLUMNS}:
        return None
    rows = zip(columns["gene"], *(columns[name].tolist() for name in _COLUMNS), strict=True)
    scores = {gene: GeneStructure(*row) for gene, *row in rows}
    return {name: scores[name] for name in names} if scores.keys() >= set(names) else None


def _structure_of(maps: list[GeneMap]) -> dict[str, GeneStructure]:
    """Scores of some maps that share their tissue."""
    transcripts = [round(float(gene_map.values.sum(dtype=np.float64))) for gene_map in maps]
    window = _bounding_window(maps[0].tissue)
    tissue = maps[0].tissue[window]
    values = np.stack([gene_map.values[window] for gene_map in maps])  # (genes, rows, columns)
    np.copyto(values, 0, where=~tissue)
    bins = np.count_nonzero(values, axis=(1, 2))
    np.log1p(values, out=values)
    inside = np.count_nonzero(tissue)
    shares = bins / inside if inside else np.full(len(maps), np.nan)
    scored = zip(maps, transcripts, shares.tolist(), _morans_i(values, tissue).tolist(), strict=True)
    return {gene_map.gene: GeneStructure(count, share, moran) for gene_map, count, share, moran in scored}


def _morans_i(values: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """(genes,) float64 of (genes, rows, columns) float32, 0 outside ``tissue`` (rows, columns). Overwrites ``values``."""
    bins = np.count_nonzero(tissue)
    edges = np.count_nonzero(tissue[:, 1:] & tissue[:, :-1]) + np.count_nonzero(tissue[1:] & tissue[:-1])
    if not edges:
        return np.full(len(values), np.nan)
    # Counted from the value of one bin, equal values become exactly 0, however they are rounded.
    row, column = np.unravel_index(np.argmax(tissue), tissue.shape)
    values -= values[:, row, column].copy()[:, None, None]
    np.copyto(values, 0, where=~tissue)
    varies = values.any(axis=(1, 2))
    values -= (_sum(values) / bins).astype(np.float32)[:, None, None]
    np.copyto(values, 0, where=~tissue)
    alike = _sum_of_products(values[:, :, 1:], values[:, :, :-1]) + _sum_of_products(values[:, 1:], values[:, :-1])
    spread = _sum_of_products(values, values)
    # Each edge stands twice in the sum over i and j, and twice in W.
    return np.divide(bins / edges * alike, spread, out=np.full(len(values), np.nan), where=varies & (spread > 0))


def _sum(values: np.ndarray) -> np.ndarray:
    """(genes,) float64: rows in float32, which is fast, their sums in float64, which is exact enough for any slide."""
    return values.sum(axis=2).sum(axis=1, dtype=np.float64)


def _sum_of_products(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.einsum("grc,grc->gr", first, second).sum(axis=1, dtype=np.float64)


def _bounding_window(tissue: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns that hold all of the tissue; everything where there is none."""
    ends = [np.flatnonzero(tissue.any(axis=axis)) for axis in (1, 0)]
    if not len(ends[0]):
        return np.s_[:, :]
    return tuple(slice(inside[0], inside[-1] + 1) for inside in ends)
