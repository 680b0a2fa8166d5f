import numpy as np
import pytest

from napari_s2sst import GeneMap, interpolate, sample, score
from napari_s2sst.engine.baselines import METHODS
from napari_s2sst.engine.errors import ConfigError
from napari_s2sst.engine.sampling import lattice


def smooth(shape=(50, 60), **kwargs) -> GeneMap:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return GeneMap(5 + 4 * np.sin(x / 7) * np.cos(y / 9), gene="A", **kwargs)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_a_constant_map_comes_back_constant(method, stride):
    sparse = sample(GeneMap(np.full((40, 44), 3.0)), stride)
    np.testing.assert_allclose(interpolate(sparse, method).values, np.log1p(3.0), rtol=1e-5)


@pytest.mark.parametrize("method", [method for method in METHODS if method != "nearest"])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_every_method_beats_the_nearest_bin_on_a_smooth_map(method, stride):
    truth = smooth()
    sparse = sample(truth, stride)
    found, nearest = (score(interpolate(sparse, name), truth=truth, sparse=sparse) for name in (method, "nearest"))
    assert found.mae_unmeasured < nearest.mae_unmeasured


@pytest.mark.parametrize("method", METHODS)
def test_measured_bins_come_out_bit_exact_and_unmeasured_ones_are_never_seen(method):
    truth = smooth()
    other = GeneMap(np.where(lattice(truth.shape, 2), truth.values, 99), gene="A")
    first, second = (interpolate(sample(which), method).values for which in (truth, other))
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


@pytest.mark.parametrize("method", METHODS)
def test_nothing_is_given_outside_the_tissue(method):
    tissue = np.zeros((50, 60), bool)
    tissue[10:40, 10:40] = True
    found = interpolate(sample(smooth(tissue=tissue)), method)
    assert not found.values[~tissue].any()
    assert (found.values[tissue] != 0).all()


def test_an_unknown_method_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="bilinear"):
        interpolate(sample(smooth()), "linear")
