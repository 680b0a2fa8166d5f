import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_s2sst.engine.errors import SamplingError
from napari_s2sst.engine.maps import GeneMap, Normalisation
from napari_s2sst.engine.sampling.lattice import lattice, refine, sample, sparse_layer, spread

sizes = st.integers(16, 40)


@given(rows=sizes, columns=sizes, stride=st.integers(2, 4))
def test_the_phases_of_a_lattice_tile_the_grid(rows, columns, stride):
    phases = [(r, c) for r in range(stride) for c in range(stride)]
    assert np.array_equal(
        sum(lattice((rows, columns), stride, phase).astype(int) for phase in phases), np.ones((rows, columns))
    )


@given(rows=sizes, columns=sizes, stride=st.integers(2, 4), phase=st.tuples(st.integers(0, 1), st.integers(0, 1)))
def test_spreading_is_the_inverse_of_sampling(rows, columns, stride, phase):
    values = np.random.default_rng(0).poisson(3, (rows, columns)).astype(np.float32)
    sparse = sample(GeneMap(values), stride, phase)
    full = spread(sparse.values, sparse.shape, stride, phase)
    assert np.array_equal(full[sparse.lattice_mask()], values[lattice((rows, columns), stride, phase)])
    assert np.isnan(full[~sparse.lattice_mask()]).all()


def test_a_sparse_map_holds_nothing_of_the_unmeasured_bins():
    values = np.random.default_rng(0).poisson(3, (20, 20)).astype(np.float32)
    other = np.where(lattice((20, 20), 2), values, 1e6)
    first, second = sample(GeneMap(values), 2), sample(GeneMap(other), 2)
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(sparse_layer(first), sparse_layer(second), equal_nan=True)


def test_the_median_total_comes_from_measured_bins_alone():
    totals = np.where(lattice((20, 20), 2), 10.0, 1e6)
    sparse = sample(GeneMap(np.ones((20, 20)), totals=totals), 2)
    assert sparse.normalisation("median-log1p").median_total == 10.0


def test_bins_outside_the_tissue_are_not_measured():
    tissue = np.zeros((20, 20), bool)
    tissue[:, :10] = True
    sparse = sample(GeneMap(np.ones((20, 20)), tissue), 2)
    assert sparse.lattice_mask().sum() == 50


def test_thinning_keeps_every_s_th_measured_bin():
    values = np.arange(400.0).reshape(20, 20)
    sparser = sample(GeneMap(values, bin_um=10), 2).thinned()
    assert np.array_equal(sparser.values, values[::4, ::4])
    assert sparser.shape == (10, 10)
    assert sparser.bin_um == 20


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_refining_keeps_the_centres_of_measured_bins_in_place(stride):
    sparse = refine(GeneMap(np.ones((6, 7)), bin_um=12, origin_um=(5.0, 8.0)), stride)
    row, column = np.argwhere(sparse.lattice_mask())[0]
    centre = (sparse.origin_um[0] + (row + 0.5) * sparse.bin_um, sparse.origin_um[1] + (column + 0.5) * sparse.bin_um)
    assert centre == pytest.approx((5 + 6, 8 + 6))
    assert sparse.shape == (6 * stride, 7 * stride)


@pytest.mark.parametrize(("stride", "word"), [(1, "every bin"), (7, "at most 6"), (0, "choose 2")])
def test_a_stride_that_does_not_fit_is_refused_in_one_sentence(stride, word):
    with pytest.raises(SamplingError, match=word):
        sample(GeneMap(np.ones((20, 20))), stride)


def test_tissue_without_a_measured_bin_is_refused():
    tissue = np.zeros((20, 20), bool)
    tissue[1, 1] = True
    with pytest.raises(SamplingError, match="larger region"):
        sample(GeneMap(np.ones((20, 20)), tissue), 2)


def test_a_thinned_map_is_in_the_normalised_space_of_the_one_it_comes_from():
    totals = np.where(lattice((32, 32), 4), 10.0, 100.0)
    sparse = sample(GeneMap(totals / 5, totals=totals), 2)
    kind = "median-log1p"
    assert np.array_equal(sparse.thinned().normalised(kind), sparse.normalised(kind)[::2, ::2])
    assert sparse.thinned().thinned().normalisation(kind) == sparse.normalisation(kind)


def test_a_normalised_map_is_refused_as_its_logarithm_would_be_taken_twice():
    with pytest.raises(SamplingError, match="needs counts"):
        sample(GeneMap(np.ones((20, 20))).normalised(Normalisation()), 2)


def test_a_piece_of_a_sparse_map_holds_the_same_bins_in_the_same_place_and_space():
    values = np.random.default_rng(0).poisson(4, (31, 38)).astype(np.float32)
    sparse = sample(GeneMap(values, bin_um=10, origin_um=(5.0, 7.0), totals=values + 3), 3, (1, 2))
    piece = sparse.cut((slice(2, 6), slice(3, len(sparse.values[0]))))
    assert np.array_equal(piece.values, sparse.values[2:6, 3:])
    assert np.array_equal(piece.normalised("median-log1p"), sparse.normalised("median-log1p")[2:6, 3:])
    assert piece.shape == (12, 38 - 9)
    assert piece.origin_um == (5.0 + 6 * 10, 7.0 + 9 * 10)
    assert np.array_equal(values[6:18, 9:][piece.on_lattice], piece.values)


def test_a_filled_map_lies_where_the_sparse_one_does_and_restoring_puts_the_measured_bins_back():
    sparse = sample(GeneMap(np.full((20, 24), 3.0), gene="G", bin_um=10, origin_um=(5.0, 7.0)), 2)
    values = np.zeros(sparse.shape, np.float32)
    sparse.restore(values, "log1p")
    filled = sparse.filled(values, "log1p", interval=(values - 1, values + 2))
    assert (filled.gene, filled.bin_um, filled.origin_um) == ("G", 10, (5.0, 7.0))
    assert np.array_equal(filled.values[sparse.on_lattice], sparse.normalised("log1p"))
    assert not filled.values[~sparse.lattice_mask()].any()
    assert (filled.uncertainty == 1.5).all()
