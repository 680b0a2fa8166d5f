"""Points to bins, bins to tissue."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.transcripts.grid import Grid
from napari_s2sst.engine.transcripts.tissue import tissue_mask

position = st.floats(-1e5, 1e5, width=32)
bin_size = st.sampled_from([0.5, 0.7, 3.3, 8.0, 20.0, 55.0, 100.0])


@given(st.lists(st.tuples(position, position), min_size=1, max_size=50), bin_size)
@settings(max_examples=200, deadline=None)
def test_every_point_lands_in_the_bin_that_covers_it(points, bin_um):
    yx = np.array(points, np.float32)
    low, high = yx.min(0).astype(float), yx.max(0).astype(float)
    try:
        grid = Grid.over((*low, *high), bin_um)
    except BundleError:
        return  # more than MAX_BINS: refused elsewhere
    bins = grid.bins_of(yx[:, 0], yx[:, 1])
    assert bins.min() >= 0
    assert bins.max() < grid.size
    rows, columns = np.divmod(bins, grid.shape[1])
    np.testing.assert_array_equal(rows + grid.first[0], np.floor(yx[:, 0].astype(float) / bin_um))
    np.testing.assert_array_equal(columns + grid.first[1], np.floor(yx[:, 1].astype(float) / bin_um))


def test_bins_are_aligned_to_the_slides_origin():
    grid = Grid.over((61.0, -0.2, 99.0, 40.0), 20.0)
    assert grid.origin_um == (60.0, -20.0)
    assert grid.shape == (2, 4)


def test_the_grid_has_no_spare_row_or_column():
    grid = Grid.over((0.0, 0.0, 39.9, 19.9), 20.0)
    assert grid.shape == (2, 1)
    assert Grid.over((5.0, 5.0, 5.0, 5.0), 20.0).shape == (1, 1)


def test_points_off_the_grid_or_not_numbers_get_no_bin():
    grid = Grid.over((0.0, 0.0, 99.0, 99.0), 10.0)
    y = np.array([5, np.nan, 5, np.inf, -1, 100, 5], np.float32)
    x = np.array([15, 5, np.nan, 5, 5, 5, 100], np.float32)
    np.testing.assert_array_equal(grid.bins_of(y, x), [1, -1, -1, -1, -1, -1, -1])


def test_no_points_have_no_bins():
    assert Grid.over((0.0, 0.0, 9.0, 9.0), 1.0).bins_of(np.zeros(0), np.zeros(0)).shape == (0,)


@pytest.mark.parametrize("bin_um", [0, -20, float("nan"), float("inf")])
def test_a_bin_without_a_size_is_refused(bin_um):
    with pytest.raises(BundleError, match="choose one above 0"):
        Grid.over((0.0, 0.0, 100.0, 100.0), bin_um)


def test_an_absurd_number_of_bins_is_refused_with_its_size():
    with pytest.raises(BundleError, match=r"10\.2 x 3\.6 mm into 102,50\d x 36,00\d bins.*larger bins"):
        Grid.over((0.0, 0.0, 3600.0, 10250.0), 0.1)


def disc(shape, centre, radius):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


@pytest.mark.parametrize("bin_um", [2.0, 5.0, 20.0, 40.0])
def test_tissue_is_closed_filled_and_without_dust(bin_um):
    n = round(1600 / bin_um)
    body = disc((n, n), (n / 2, n / 2), n / 4)
    totals = body & (np.random.default_rng(0).random((n, n)) < 0.5)
    totals &= ~disc((n, n), (n / 2, n / 2), n / 10)  # a lumen
    totals[1, 1] = True  # a stray transcript
    tissue = tissue_mask(totals, bin_um)
    assert tissue.dtype == bool
    assert tissue.shape == totals.shape
    assert not tissue[: n // 8].any()
    assert tissue[n // 2, n // 2]
    assert (tissue != body).mean() < 0.02


def test_tissue_at_the_edge_of_the_map_stays_inside_its_outline():
    totals = np.zeros((60, 60))
    totals[20:40, :20] = 1
    np.testing.assert_array_equal(tissue_mask(totals, 20.0), totals > 0)


def test_glass_around_a_map_changes_nothing_of_its_tissue():
    totals = (np.random.default_rng(2).random((60, 70)) < 0.15).astype(int)
    totals[15:35, :] = 0  # a gap that reaches two edges
    np.testing.assert_array_equal(tissue_mask(np.pad(totals, 20), 20.0)[20:-20, 20:-20], tissue_mask(totals, 20.0))


def test_scattered_transcripts_are_kept_when_there_is_nothing_else():
    totals = np.zeros((200, 200))
    totals[::20, ::20] = 1
    tissue = tissue_mask(totals, 20.0)
    assert tissue[totals > 0].all()


def test_one_transcript_is_enough_for_tissue():
    totals = np.zeros((50, 40))
    totals[7, 9] = 1
    assert tissue_mask(totals, 1.0)[7, 9]


def test_no_transcripts_no_tissue():
    assert not tissue_mask(np.zeros((5, 7)), 20.0).any()


def test_turning_the_slide_turns_its_tissue():
    totals = (np.random.default_rng(1).random((90, 70)) < 0.1).astype(int)
    totals[:30] = 0
    np.testing.assert_array_equal(tissue_mask(np.rot90(totals), 20.0), np.rot90(tissue_mask(totals, 20.0)))
