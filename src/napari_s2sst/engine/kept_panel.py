"""Turn a panel's counts into columns for the cache and back, a few genes at a time where only those are wanted.

The rows are those of a sparse panel, the totals first, as if they were a gene of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .count_cache import CountCache, Kept
from .grid import Grid
from .sparse_panel import SparsePanel, stacked

FEW_GENES = 16
"""So many are read one by one; more come with all of them."""


def keep_panel(
    cache: CountCache, key: Mapping[str, Any], genes: Sequence[str], panel: SparsePanel, totals: np.ndarray
) -> bool:
    """Keep all genes' counts and their totals, (rows, columns). False where that can't be done."""
    flat = totals.ravel()
    bins = np.flatnonzero(flat)
    of_all = SparsePanel(panel.shape, np.array([0, len(bins)]), bins.astype(np.int32), flat[bins].astype(np.int32))
    whole = stacked([of_all, panel])
    notes = {"genes": list(genes), "starts": whole.starts.tolist(), "shape": list(panel.shape)}
    return cache.keep(key, {"bin": whole.bins, "count": whole.counts}, notes)


def kept_panel(
    cache: CountCache, key: Mapping[str, Any], genes: Sequence[str], grid: Grid
) -> tuple[SparsePanel, np.ndarray] | None:
    """The genes' counts in this order and the totals, (rows, columns) int32; None where they are not all there and whole."""
    kept = cache.get(key)
    if kept is None:
        return None
    slot = {gene: number for number, gene in enumerate(kept.notes.get("genes", ()), start=1)}
    starts = np.array(kept.notes.get("starts", ()), np.int64)
    if any(gene not in slot for gene in genes) or tuple(kept.notes.get("shape", ())) != grid.shape:
        return None
    if len(starts) != len(slot) + 2 or starts[0] != 0 or starts[-1] != kept.rows or np.any(np.diff(starts) < 0):
        return None
    wanted = [0, *(slot[gene] for gene in genes)]
    parts = _one_by_one(kept, starts, wanted, grid) if len(genes) <= FEW_GENES else _at_once(kept, starts, wanted, grid)
    if parts is None:
        return None
    of_all = parts[0].totals()
    return stacked(parts[1:] or [_empty(grid)]), of_all


def _one_by_one(kept: Kept, starts: np.ndarray, wanted: Sequence[int], grid: Grid) -> list[SparsePanel] | None:
    parts = [_panel(kept, int(starts[slot]), int(starts[slot + 1]), grid) for slot in wanted]
    return None if any(part is None for part in parts) else parts


def _at_once(kept: Kept, starts: np.ndarray, wanted: Sequence[int], grid: Grid) -> list[SparsePanel] | None:
    whole = _panel(kept, 0, kept.rows, grid)
    if whole is None:
        return None
    whole = SparsePanel(grid.shape, starts, whole.bins, whole.counts)
    return [
        SparsePanel(grid.shape, np.array([0, len(bins)]), bins, counts) for bins, counts in map(whole.occupied, wanted)
    ]


def _panel(kept: Kept, first: int, last: int, grid: Grid) -> SparsePanel | None:
    """Some rows as one gene; None where they can't be this grid's."""
    columns = kept.columns(first, last)
    if columns is None or set(columns) != {"bin", "count"}:
        return None
    bins, counts = columns["bin"], columns["count"]
    if bins.dtype != np.int32 or counts.dtype != np.int32:
        return None
    if len(bins) and not (bins.min() >= 0 and bins.max() < grid.size and counts.min() > 0):
        return None
    return SparsePanel(grid.shape, np.array([0, len(bins)]), bins, counts)


def _empty(grid: Grid) -> SparsePanel:
    return SparsePanel(grid.shape, np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))
