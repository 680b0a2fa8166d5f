"""Counting points in heaps, by threads, with and without limits: always the same counts."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_s2sst.engine.transcripts import counting as tally_module
from napari_s2sst.engine.transcripts.counting import Points, Tally, ahead
from napari_s2sst.engine.transcripts.grid import Grid

GRID = Grid.over((0.0, 0.0, 90.0, 70.0), 10.0)
SLOT, IN_TOTAL = np.array([0, 1, -1, 2]), np.array([True, True, True, False])


def batches(count: int = 4, points: int = 50) -> list[Points]:
    """Some points lie off the grid, some are not good."""
    rng = np.random.default_rng(0)
    return [
        Points(y_um=rng.uniform(-5, 95, points), x_um=rng.uniform(-5, 75, points), good=rng.random(points) > 0.2,
               name=rng.integers(0, 4, points), slot=SLOT, in_total=IN_TOTAL)
        for _ in range(count)
    ]  # fmt: skip


def by_hand(given: list[Points]) -> tuple[np.ndarray, np.ndarray]:
    counts, totals = np.zeros((3, *GRID.shape), int), np.zeros(GRID.shape, int)
    for points in given:
        for y, x, good, name in zip(points.y_um, points.x_um, points.good, points.name, strict=True):
            row, column = int(y // 10), int(x // 10)
            if good and 0 <= row < GRID.shape[0] and 0 <= column < GRID.shape[1]:
                totals[row, column] += IN_TOTAL[name]
                if SLOT[name] >= 0:
                    counts[SLOT[name], row, column] += 1
    return counts, totals


def check(tally: Tally, given: list[Points]) -> None:
    panel, totals = tally.result()
    expected, of_all = by_hand(given)
    assert expected.sum() > 50
    np.testing.assert_array_equal(np.stack([panel.dense(gene) for gene in range(len(panel))]), expected)
    np.testing.assert_array_equal(totals, of_all)
    assert all(np.all(np.diff(panel.occupied(gene)[0]) > 0) for gene in range(len(panel)))


@pytest.mark.parametrize("limits", [{}, {"heap_points": 1}, {"heap_points": 70, "waiting_points": 1},
                                    {"heap_points": 1, "waiting_points": 60}])  # fmt: skip
def test_limits_change_no_count(limits):
    given = batches()
    tally = Tally(genes=3, grid=GRID, totals=True, **limits)
    for points in given:
        tally.add([points])
    check(tally, given)


def test_threads_that_add_at_the_same_time_lose_no_point():
    given = batches(count=64)
    tally = Tally(genes=3, grid=GRID, totals=True, heap_points=90, waiting_points=300)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda points: tally.add([points]), given))
    check(tally, given)


def test_more_counters_than_32_bits_can_number_are_counted_all_the_same():
    grid = Grid(1.0, (0, 0), (40_000, 40_000))
    tally = Tally(genes=4, grid=grid, totals=False)
    assert tally.genes * grid.size > 1 << 32
    y = np.array([39_999.5, 0.5, 39_999.5], np.float32)
    name, every = np.array([3, 0, 3]), np.ones(4, bool)
    tally.add([Points(y_um=y, x_um=y, good=None, name=name, slot=np.arange(4), in_total=every)])
    panel, _ = tally.result()
    assert [panel.occupied(gene)[1].tolist() for gene in range(4)] == [[1], [], [], [2]]
    assert panel.occupied(3)[0].tolist() == [grid.size - 1]


@pytest.mark.parametrize("genes", [0, 3])
def test_nothing_to_count_is_a_panel_of_zeros(genes):
    panel, totals = Tally(genes=genes, grid=GRID, totals=True).result()
    assert len(panel) == genes
    assert panel.counts.sum() == totals.sum() == 0


def test_items_come_back_in_order_however_long_each_takes():
    assert tally_module.WORKERS >= 1
    assert list(ahead(lambda number: sum(range(100_000 // (number + 1))) * 0 + number, range(50))) == list(range(50))
