import numpy as np
import pytest
from scipy.stats import pearsonr
from skimage.metrics import structural_similarity

from napari_s2sst import GeneMap, error_map, interpolate, sample, score
from napari_s2sst.engine.errors import S2SSTError
from napari_s2sst.engine.maps import Normalisation


@pytest.fixture
def truth() -> GeneMap:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :80]
    tissue = (y - 30) ** 2 + (x - 40) ** 2 < 30**2
    return GeneMap(rng.poisson(5 + 4 * np.sin(x / 6)), tissue=tissue, gene="A")


def test_scores_are_those_of_scipy_and_skimage(truth):
    sparse = sample(truth)
    imputed = interpolate(sparse)
    scores = score(imputed, truth=truth, sparse=sparse)
    expected = np.where(truth.tissue, np.log1p(truth.values), 0)
    unmeasured = truth.tissue & ~sparse.lattice_mask()
    assert scores.mae == pytest.approx(np.abs(imputed.values - expected)[truth.tissue].mean(), rel=1e-5)
    assert scores.pcc_unmeasured == pytest.approx(
        pearsonr(imputed.values[unmeasured], expected[unmeasured])[0], rel=1e-5
    )
    full = structural_similarity(expected.astype(float), imputed.values.astype(float), data_range=np.ptp(expected))
    assert scores.ssim_full == pytest.approx(full, rel=1e-6)
    assert scores.bins == unmeasured.sum()


def test_a_perfect_map_has_no_error(truth):
    perfect = truth.normalised(Normalisation())
    scores = score(perfect, truth=truth, sparse=sample(truth))
    assert (scores.mae, scores.mae_unmeasured) == (0, 0)
    assert scores.pcc == pytest.approx(1)
    assert scores.ssim == pytest.approx(1)


def test_bins_outside_the_tissue_do_not_count(truth):
    sparse = sample(truth)
    imputed = interpolate(sparse)
    values = np.where(truth.tissue, truth.values, 1e4)
    other = GeneMap(values, tissue=truth.tissue, gene="A")
    with_glass, without = (score(imputed, truth=which, sparse=sparse) for which in (other, truth))
    assert repr(with_glass) == repr(without)  # repr, as NaN equals nothing


def test_the_error_map_is_imputed_minus_true_and_empty_outside_the_tissue(truth):
    imputed = interpolate(sample(truth))
    error = error_map(imputed, truth)
    assert np.isnan(error[~truth.tissue]).all()
    np.testing.assert_allclose(error[truth.tissue], (imputed.values - np.log1p(truth.values))[truth.tissue], rtol=1e-6)


def test_a_truth_of_another_grid_is_refused(truth):
    sparse = sample(truth)
    with pytest.raises(S2SSTError, match="same grid"):
        score(interpolate(sparse), truth=GeneMap(np.ones((10, 10))), sparse=sparse)


def test_a_constant_truth_has_no_correlation_and_no_crash():
    flat = GeneMap(np.full((20, 20), 3.0))
    scores = score(interpolate(sample(flat)), truth=flat, sparse=sample(flat))
    assert scores.mae == pytest.approx(0, abs=1e-6)
    assert np.isnan(scores.pcc)
