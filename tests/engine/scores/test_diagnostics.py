"""Errors and uncertainties with a known distribution are described as what they are."""

from dataclasses import replace

import numpy as np
import pytest

from napari_s2sst import GeneMap, interpolate, sample, score
from napari_s2sst.engine.errors import S2SSTError
from napari_s2sst.engine.maps import Normalisation
from napari_s2sst.engine.scores.diagnostics import best_classical, diagnose, error_histogram, reliability

NONE = Normalisation("none")
SHAPE = (120, 120)
HALF_OF_90 = 1.6449
"""Half width of a standard normal distribution's 90 % interval."""


def normal_maps(*, stated: float = 1.0, bias: float = 0.0):
    """A truth, its sparse map, and an estimate whose errors are normal with a width that rises along the columns.

    The estimate states ``stated`` times the half width that its errors have.
    """
    rng = np.random.default_rng(0)
    truth = GeneMap(np.full(SHAPE, 50.0), gene="G")
    sigma = np.broadcast_to(np.linspace(0.5, 3, SHAPE[1]), SHAPE)
    values = truth.values + bias + sigma * rng.normal(size=SHAPE)
    imputed = GeneMap(values, gene="G", normalisation=NONE, uncertainty=stated * HALF_OF_90 * sigma)
    return sample(truth, stride=2), imputed, truth


def test_an_honest_uncertainty_covers_nine_bins_of_ten_in_every_group():
    found = reliability(*normal_maps())
    assert found.overall == pytest.approx(0.9, abs=0.01)
    np.testing.assert_allclose(found.coverage, 0.9, atol=0.03)
    np.testing.assert_allclose(found.observed, found.predicted, rtol=0.12)


def test_an_uncertainty_half_as_wide_as_it_should_be_covers_what_a_normal_distribution_says():
    found = reliability(*normal_maps(stated=0.5))
    assert found.overall == pytest.approx(0.589, abs=0.015)  # of a normal distribution within 0.8225 sigma
    assert (found.observed > 1.6 * found.predicted).all()


def test_groups_rise_in_uncertainty_and_hold_every_unmeasured_bin_once():
    sparse, imputed, truth = normal_maps()
    found = reliability(sparse, imputed, truth)
    assert len(found.bins) == 10
    assert (np.diff(found.predicted) > 0).all()
    assert found.bins.sum() == (~sparse.lattice_mask()).sum()


def test_one_uncertainty_everywhere_is_one_group():
    sparse, imputed, truth = normal_maps()
    found = reliability(sparse, replace(imputed, uncertainty=np.full(SHAPE, 2.0)), truth)
    assert len(found.bins) == 1


def test_the_ends_of_the_interval_are_used_where_the_map_has_them():
    sparse, imputed, truth = normal_maps()
    narrow = replace(imputed, lower=imputed.values + 1e3, upper=imputed.values + 2e3)
    assert reliability(sparse, narrow, truth).overall == 0


def test_measured_bins_are_in_neither_picture():
    sparse, imputed, truth = normal_maps()
    measured = sparse.lattice_mask()
    spoilt = replace(imputed, values=np.where(measured, 1e6, imputed.values))
    for describe, fields in ((reliability, ("observed", "coverage")), (error_histogram, ("edges", "counts"))):
        one, other = describe(sparse, imputed, truth), describe(sparse, spoilt, truth)
        for name in fields:
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_histogram_is_symmetric_about_0_and_counts_every_bin():
    sparse, imputed, truth = normal_maps()
    found = error_histogram(sparse, imputed, truth)
    np.testing.assert_allclose(found.edges, -found.edges[::-1])
    assert found.counts.sum() == (~sparse.lattice_mask()).sum()
    assert found.counts.argmax() == pytest.approx(len(found.counts) // 2, abs=2)


def test_a_map_that_is_too_high_on_the_whole_shows_it():
    low, high = (error_histogram(*normal_maps(bias=bias)) for bias in (0.0, 1.0))
    assert low.bias == pytest.approx(0, abs=0.05)
    assert high.bias == pytest.approx(1, abs=0.05)
    errors = np.abs(np.random.default_rng(1).normal(size=100_000) * np.random.default_rng(2).uniform(0.5, 3, 100_000))
    assert low.mae == pytest.approx(errors.mean(), rel=0.03)


def test_a_perfect_map_is_one_bar_in_the_middle():
    truth = GeneMap(np.random.default_rng(0).poisson(3, (20, 20)), gene="G")
    found = error_histogram(sample(truth), truth.normalised(NONE), truth)
    assert np.flatnonzero(found.counts).tolist() == [len(found.counts) // 2]
    assert (found.mae, found.bias) == (0, 0)


def test_the_best_classical_method_is_the_one_with_the_lowest_error_on_unmeasured_bins(sample_slide):
    from napari_s2sst import open_xenium

    truth = open_xenium(sample_slide).gene_map("ERBB2", bin_um=25.0)
    sparse = sample(truth)
    ours = interpolate(sparse, method="kriging")
    scores = {"CDCIN": ours, **{name: interpolate(sparse, method=name) for name in ("nearest", "kriging", "bicubic")}}
    scores = {name: score(one, truth=truth, sparse=sparse) for name, one in scores.items()}
    assert best_classical(scores) == min(list(scores)[1:], key=lambda name: scores[name].mae_unmeasured)
    found = diagnose(sparse, ours, truth, scores)
    assert found.reliability is None
    assert found.histogram.classical_mae == pytest.approx(scores[found.histogram.classical_name].mae_unmeasured)
    assert found.histogram.mae == pytest.approx(scores["CDCIN"].mae_unmeasured, rel=1e-5)
    assert found.histogram.classical.sum() == found.histogram.counts.sum()


def test_without_classical_scores_there_is_no_second_histogram():
    found = diagnose(*normal_maps())
    assert found.histogram.classical is None
    assert best_classical({}) == ""


def test_what_cannot_be_described_is_one_clear_sentence():
    sparse, imputed, truth = normal_maps()
    with pytest.raises(S2SSTError, match="no uncertainty"):
        reliability(sparse, replace(imputed, uncertainty=None), truth)
    with pytest.raises(S2SSTError, match="was measured"):
        error_histogram(sparse, replace(imputed, tissue=sparse.lattice_mask()), truth)
    with pytest.raises(S2SSTError, match="same grid"):
        error_histogram(sample(GeneMap(np.ones((10, 10)))), imputed, truth)
