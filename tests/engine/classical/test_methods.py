import numpy as np
import pytest

from napari_s2sst import GeneMap, interpolate, sample, score
from napari_s2sst.engine.classical.methods import BENCHMARK_METHODS, METHODS
from napari_s2sst.engine.errors import ConfigError
from napari_s2sst.engine.sampling.lattice import lattice

EVERY = (*METHODS, *BENCHMARK_METHODS)


def by(method: str, sparse, normalisation="log1p") -> GeneMap:
    """The method's map, with an image that tells it where bright bins are."""
    y, x = np.mgrid[: sparse.shape[0], : sparse.shape[1]]
    colour = np.stack([np.sin(x / 7) * np.cos(y / 9), x + 0.1 * y], -1)
    return interpolate(sparse, method, normalisation, colour=colour if method in BENCHMARK_METHODS else None)


def smooth(shape=(50, 60), **kwargs) -> GeneMap:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return GeneMap(5 + 4 * np.sin(x / 7) * np.cos(y / 9), gene="A", **kwargs)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_constant_map_comes_back_constant(method, stride):
    sparse = sample(GeneMap(np.full((40, 44), 3.0)), stride)
    np.testing.assert_allclose(by(method, sparse).values, np.log1p(3.0), rtol=1e-5)


@pytest.mark.parametrize("method", [method for method in EVERY if method != "nearest"])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_every_method_beats_the_nearest_bin_on_a_smooth_map(method, stride):
    truth = smooth()
    sparse = sample(truth, stride)
    found, nearest = (score(by(name, sparse), truth=truth, sparse=sparse) for name in (method, "nearest"))
    assert found.mae_unmeasured < nearest.mae_unmeasured


@pytest.mark.parametrize("method", EVERY)
def test_measured_bins_come_out_bit_exact_and_unmeasured_ones_are_never_seen(method):
    truth = smooth()
    other = GeneMap(np.where(lattice(truth.shape, 2), truth.values, 99), gene="A")
    first, second = (by(method, sample(which)).values for which in (truth, other))
    assert np.array_equal(first, second)
    assert np.array_equal(first[::2, ::2], np.log1p(truth.values[::2, ::2]))


def test_bilinear_is_exact_on_a_slope():
    y, x = np.mgrid[:41, :61]
    slope = GeneMap(y * 0.5 + x * 0.25)
    np.testing.assert_allclose(interpolate(sample(slope), "bilinear", "none").values, slope.values, atol=1e-5)


def test_inverse_distance_weighs_as_shepard_says():
    values = np.zeros((20, 20))
    values[10, 10] = 1.0
    tissue = np.zeros((20, 20), bool)
    tissue[10, 10:13] = tissue[8, 10] = True
    found = interpolate(sample(GeneMap(values, tissue)), "inverse distance", "none").values
    weight = {"itself": 1 / 1, "right": 1 / 1, "up": 1 / np.sqrt(5)}
    assert found[10, 11] == pytest.approx(weight["itself"] / sum(weight.values()), rel=1e-6)


@pytest.mark.parametrize("method", EVERY)
def test_nothing_is_given_outside_the_tissue(method):
    tissue = np.zeros((50, 60), bool)
    tissue[10:40, 10:40] = True
    found = by(method, sample(smooth(tissue=tissue)))
    assert not found.values[~tissue].any()
    assert (found.values[tissue] != 0).all()


@pytest.mark.parametrize("method", EVERY)
def test_a_ragged_tissue_with_a_lone_bin_gets_values_within_reach_of_the_measured_ones(method):
    rng = np.random.default_rng(0)
    tissue = rng.random((60, 70)) < 0.4
    tissue[:20] = False
    tissue[0, 0] = tissue[1, 1] = True
    found = by(method, sample(smooth((60, 70), tissue=tissue)))
    assert np.isfinite(found.values).all()
    assert np.abs(found.values[tissue]).max() < 2 * np.log1p(9)


@pytest.mark.parametrize("method", EVERY)
@pytest.mark.parametrize("bins", [1, 2, 3])
def test_a_few_measured_bins_are_enough(method, bins):
    tissue = np.zeros((20, 20), bool)
    tissue[4, 4 : 4 + 2 * bins] = True
    found = by(method, sample(GeneMap(np.full((20, 20), 5.0), tissue)))
    np.testing.assert_allclose(found.values[tissue], np.log1p(5.0), rtol=1e-5)


@pytest.mark.parametrize("method", ["Gaussian", "kriging", "thin plate"])
def test_turning_the_slide_turns_the_result(method):
    counts = np.random.default_rng(1).poisson(smooth((41, 41)).values)
    tissue = np.hypot(*np.mgrid[-20:21, -20:21]) < 19
    found, turned = (by(method, sample(GeneMap(np.rot90(counts, n), np.rot90(tissue, n)))).values for n in (0, 1))
    np.testing.assert_allclose(np.rot90(found), turned, atol=1e-4)


@pytest.mark.parametrize("method", ["Gaussian", "kriging", "thin plate"])
def test_noisy_counts_are_smoothed_better_than_straight_lines_between_them(method):
    truth = smooth((80, 80))
    noisy = GeneMap(np.random.default_rng(2).poisson(truth.values / 4))
    sparse = sample(noisy)
    found, straight = (score(by(name, sparse), truth=noisy, sparse=sparse) for name in (method, "bilinear"))
    assert found.pcc_unmeasured > straight.pcc_unmeasured


def test_tesla_follows_the_colour_where_the_image_shows_an_edge():
    edge = np.zeros((40, 40))
    edge[:, 21:] = 10.0
    sparse = sample(GeneMap(edge))
    seen = score(interpolate(sparse, "TESLA with image", colour=edge[..., None]), truth=GeneMap(edge), sparse=sparse)
    blind = score(interpolate(sparse, "TESLA"), truth=GeneMap(edge), sparse=sparse)
    assert seen.mae_unmeasured < 1e-3 < blind.mae_unmeasured


@pytest.mark.parametrize("colour", [None, np.zeros((3, 4, 1)), np.zeros((50, 60))])
def test_a_colour_map_that_is_missing_or_of_another_grid_is_refused(colour):
    with pytest.raises(ConfigError, match="colour map"):
        interpolate(sample(smooth()), "TESLA with image", colour=colour)


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="bilinear"):
        interpolate(sample(smooth()), "linear")
