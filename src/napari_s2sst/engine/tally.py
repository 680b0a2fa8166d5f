"""Count points per gene and bin: threads find the counters of a few batches ahead, one place adds them up, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from .grid import Grid

MAX_COUNTERS = 1_000_000_000
"""Genes x bins counted in one pass: 4 GB."""
CACHED_COUNTERS = 4_000_000
"""16 MB: more do not stay in a processor's cache, so points are put in order before they are counted."""
WAITING_POINTS = 1 << 23
"""Points put in order at a time: 32 MB."""
WORKERS = max(1, min(4, os.cpu_count() or 1))
"""Finding bins in more threads than this waits for the reading."""

Item, Found = TypeVar("Item"), TypeVar("Found")


def ahead(function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """``function(item)`` of every item, in order; threads compute a few of them while the next items are fetched."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="s2sst-bins") as pool:
        under_way: deque[Future[Found]] = deque()
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) > 2 * WORKERS:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


@dataclass(frozen=True, eq=False)
class Points:
    """Transcripts of one batch; everything (n,) but what is said of names."""

    y_um: np.ndarray
    x_um: np.ndarray
    good: np.ndarray | None
    """Good enough to be counted; None: all are."""
    name: np.ndarray
    """Integers into the two tables of names that follow."""
    slot: np.ndarray
    """(names,) int64 number of a gene that is counted; -1 for the others."""
    in_total: np.ndarray
    """(names,) bool: counts among all genes."""

    def hits(self, of_names: np.ndarray) -> np.ndarray | slice:
        """Index of the good points of some names, a (names,) bool; of all points, a slice, which copies nothing."""
        hits = of_names.take(self.name)
        if self.good is not None:
            hits &= self.good
        return slice(None) if hits.all() else np.flatnonzero(hits)


@dataclass(eq=False)
class Tally:
    """Counters of some genes and, with ``totals``, of all genes on a grid."""

    genes: int
    grid: Grid
    totals: bool
    cached_counters: int = CACHED_COUNTERS
    waiting_points: int = WAITING_POINTS
    _counts: np.ndarray = field(init=False, repr=False)
    _totals: np.ndarray | None = field(init=False, repr=False)
    _waiting: list[np.ndarray] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._counts = np.zeros(self.genes * self.grid.size, np.int32)
        # One bin more than the grid: bin -1, not to be counted, goes to the last one.
        self._totals = np.zeros(self.grid.size + 1, np.int32) if self.totals else None

    def find(self, points: Points) -> tuple[np.ndarray, np.ndarray | None]:
        """The counters that the points belong to, among the genes' and among the totals. Changes nothing."""
        hits = points.hits(points.slot >= 0)
        if self.totals:
            all_bins = self.grid.bins_of(points.y_um, points.x_um)
            bins, all_bins = all_bins[hits], all_bins[points.hits(points.in_total)]
        else:
            bins, all_bins = self.grid.bins_of(points.y_um[hits], points.x_um[hits]), None
        counters = points.slot.take(points.name[hits])
        counters *= self.grid.size
        counters += bins
        if len(bins) and bins.min() < 0:
            counters = counters[bins >= 0]
        return counters.astype(np.uint32) if self._in_order else counters, all_bins

    def add(self, counters: np.ndarray, all_bins: np.ndarray | None) -> None:
        """Count what :meth:`find` found."""
        if all_bins is not None:
            np.add.at(self._totals, all_bins, np.int32(1))
        if not self._in_order:
            np.add.at(self._counts, counters, np.int32(1))
            return
        self._waiting.append(counters)
        if sum(map(len, self._waiting)) >= self.waiting_points:
            self._count_waiting()

    def result(self) -> tuple[np.ndarray, np.ndarray | None]:
        """(genes, rows, columns) and, with ``totals``, (rows, columns); int32."""
        self._count_waiting()
        totals = None if self._totals is None else self._totals[:-1].reshape(self.grid.shape)
        return self._counts.reshape(self.genes, *self.grid.shape), totals

    @property
    def _in_order(self) -> bool:
        return len(self._counts) > self.cached_counters

    def _count_waiting(self) -> None:
        # Each point of a whole panel is in another corner of a GB; in order, memory is walked through once.
        if self._waiting:
            counters = np.concatenate(self._waiting)
            self._waiting.clear()
            counters.sort()
            for part in np.array_split(counters, -(-len(counters) // (1 << 16)) or 1):
                np.add.at(self._counts, part.astype(np.int64), np.int32(1))
