"""Count points per gene and bin: threads turn them into numbers in order, of which equal ones are then counted.

A panel's counters fill a GB, and transcripts come in no order of genes: counted as they come, each would be waited for. So a
point becomes the number of its counter, gene x bins + bin; some hundred thousand numbers are put in order at once; and when all
are there, those of a few genes at a time are taken from every heap. Empty bins take neither time nor memory.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeVar

import numpy as np

from .grid import Grid
from .panel import SparsePanel, added, counted, stacked

HEAP_POINTS = 1 << 18
"""Points put in order at a time: 1 MB."""
WAITING_POINTS = 1 << 26
"""Points kept in order before they are counted: 268 MB, all of most slides."""
BLOCK_POINTS = 1 << 21
"""Points counted at a time: 8 MB."""
WORKERS = max(1, min(4, os.cpu_count() or 1))
"""Finding bins in more threads than this waits for the memory."""

Item, Result = TypeVar("Item"), TypeVar("Result")


def ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``function(item)`` of every item, in order; threads compute a few of them while the next items are fetched."""
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="s2sst-bins") as pool:
        under_way: deque[Future[Result]] = deque()
        for item in items:
            under_way.append(pool.submit(function, item))
            if len(under_way) > 2 * WORKERS:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


@dataclass(frozen=True, eq=False, kw_only=True)
class Points:
    """Transcripts of one batch; everything is (n,) but the tables of names."""

    y_um: np.ndarray
    x_um: np.ndarray
    good: np.ndarray | None
    """Good enough to be counted; None: all are."""
    name: np.ndarray
    """Integers into the two tables of names that follow."""
    slot: np.ndarray
    """(names,) int64 number of a gene that is counted; -1 for the others."""
    in_total: np.ndarray
    """(names,) bool: counts among all genes; looked at by a tally with ``totals``."""

    def hits(self, of_names: np.ndarray) -> np.ndarray | slice:
        """Index of the good points of some names, a (names,) bool; of all points, a slice, which copies nothing."""
        hits = of_names.take(self.name)
        if self.good is not None:
            hits &= self.good
        return slice(None) if hits.all() else np.flatnonzero(hits)


@dataclass(eq=False, kw_only=True)
class Tally:
    """Counts of some genes and, with ``totals``, of all genes on a grid. Threads may add to it at the same time."""

    genes: int
    grid: Grid
    totals: bool
    heap_points: int = HEAP_POINTS
    waiting_points: int = WAITING_POINTS
    _totals: np.ndarray | None = field(init=False, repr=False)
    _loose: list[np.ndarray] = field(default_factory=list, repr=False)
    _heaps: list[np.ndarray] = field(default_factory=list, repr=False)
    _panels: list[SparsePanel] = field(default_factory=list, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def __post_init__(self) -> None:
        # One bin more than the grid: bin -1, not to be counted, goes to the last one.
        self._totals = np.zeros(self.grid.size + 1, np.int32) if self.totals else None
        # Half as long numbers are put in order twice as fast.
        self._number = np.uint32 if self.genes * self.grid.size < 1 << 32 else np.uint64

    def add(self, batches: Iterable[Points]) -> None:
        """Count some batches; those of one call are put in order together."""
        counters: list[np.ndarray] = []
        for points in batches:
            numbers, all_bins = self._counters_of(points)
            counters.append(numbers)
            if all_bins is not None:
                with self._lock:
                    np.add.at(self._totals, all_bins, np.int32(1))
        with self._lock:
            self._loose += counters
            if sum(map(len, self._loose)) < self.heap_points:
                return
            counters, self._loose = self._loose, []
        self._put_in_order(counters)

    def result(self) -> tuple[SparsePanel, np.ndarray | None]:
        """Counts of the genes and, with ``totals``, (rows, columns) int32 of all genes; nothing can be added afterwards."""
        self._put_in_order(self._loose)
        self._count_waiting()
        return added(self._panels), None if self._totals is None else self._totals[:-1].reshape(self.grid.shape)

    def _counters_of(self, points: Points) -> tuple[np.ndarray, np.ndarray | None]:
        """The counters that the points belong to, among the genes' and among the totals."""
        hits = points.hits(points.slot >= 0)
        if self.totals:
            all_bins = self.grid.bins_of(points.y_um, points.x_um)
            bins, all_bins = all_bins[hits], all_bins[points.hits(points.in_total)]
        else:
            bins, all_bins = self.grid.bins_of(points.y_um[hits], points.x_um[hits]), None
        first = (np.maximum(points.slot, 0) * self.grid.size).astype(self._number)
        numbers = first.take(points.name[hits])
        if len(bins) and bins.min() < 0:
            numbers, bins = numbers[bins >= 0], bins[bins >= 0]
        numbers += bins.view(np.uint32)
        return numbers, all_bins

    def _put_in_order(self, counters: list[np.ndarray]) -> None:
        numbers = np.concatenate(counters) if counters else np.zeros(0, self._number)
        numbers.sort()
        with self._lock:
            self._heaps.append(numbers)
            if sum(map(len, self._heaps)) >= self.waiting_points:
                self._count_waiting()

    def _count_waiting(self) -> None:
        heaps, self._heaps = self._heaps, []
        if self._panels and not any(map(len, heaps)):
            return
        of_block = max(1, self.genes * BLOCK_POINTS // max(1, sum(map(len, heaps))))
        edges = np.array([*range(0, max(1, self.genes), of_block), self.genes])
        first = edges * self.grid.size
        cuts = [np.searchsorted(heap, first.astype(self._number)) for heap in heaps]

        def of_genes(block: int) -> SparsePanel:
            parts = [heap[cut[block] : cut[block + 1]] for heap, cut in zip(heaps, cuts, strict=True)]
            numbers = np.concatenate(parts)
            numbers -= self._number(first[block])
            return counted(numbers, int(edges[block + 1] - edges[block]), self.grid.shape)

        self._panels.append(stacked(list(ahead(of_genes, range(len(edges) - 1)))))
