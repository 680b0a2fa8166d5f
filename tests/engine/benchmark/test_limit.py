import numpy as np
import pytest

from napari_s2sst import GeneMap, interpolate, sample, score
from napari_s2sst.engine.benchmark.limit import LIMIT, dense_estimates, information_limit
from napari_s2sst.engine.classical.methods import BENCHMARK_METHODS, METHODS


def noisy(seed=0, side=80) -> GeneMap:
    y, x = np.mgrid[:side, :side]
    return GeneMap(np.random.default_rng(seed).poisson(1.5 + np.sin(x / 6) * np.cos(y / 7)), gene="A")


def test_the_limit_lies_above_every_method_on_noisy_counts():
    truth = noisy()
    sparse = sample(truth)
    limit = information_limit(sparse, truth=truth)
    for method in METHODS:
        assert limit.pcc_unmeasured > score(interpolate(sparse, method), truth=truth, sparse=sparse).pcc_unmeasured


def test_a_bin_is_never_used_to_predict_itself():
    truth = noisy()
    changed = truth.values.copy()
    changed[31, 33] += 50
    before, after = (list(dense_estimates(sample(truth), each, "log1p")) for each in (truth, GeneMap(changed)))
    for first, second in zip(before, after, strict=True):
        assert first.values[31, 33] == pytest.approx(second.values[31, 33], abs=1e-5)
        assert first.values[31, 34] != second.values[31, 34]


def test_measured_bins_are_put_back_and_nothing_lies_outside_the_tissue():
    tissue = np.hypot(*np.mgrid[-40:40, -40:40]) < 35
    truth = GeneMap(noisy().values, tissue)
    sparse = sample(truth)
    for found in dense_estimates(sparse, truth, "log1p"):
        mask = sparse.lattice_mask()
        assert np.array_equal(found.values[mask], np.log1p(truth.values[mask]))
        assert not found.values[~tissue].any()


def test_what_looks_at_the_truth_is_no_method():
    assert LIMIT not in (*METHODS, *BENCHMARK_METHODS)
