import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from napari_s2sst.engine.network.inputs import VALUE_SCALE
from napari_s2sst.engine.training.losses import decorrelation, dissimilarity


def test_it_is_one_minus_the_ssim_of_scikit_image_over_the_unmeasured_bins():
    rng = np.random.default_rng(0)
    truth = rng.gamma(1.0, 1.0, (30, 40)).astype(np.float32)
    estimate = (0.5 * truth + 0.3).astype(np.float32)
    measured = np.zeros((30, 40), bool)
    measured[::2, ::2] = True
    put_back = np.where(measured, truth, estimate)
    _, full = structural_similarity(truth, put_back, win_size=7, data_range=float(np.ptp(truth)), full=True)
    expected = 1 - full[3:-3, 3:-3][~measured[3:-3, 3:-3]].mean()

    def tensor(part):
        return torch.from_numpy(part.astype(np.float32))[None, None]

    found = dissimilarity(
        tensor(estimate / VALUE_SCALE), tensor(truth / VALUE_SCALE), torch.ones(1, 1, 30, 40), tensor(measured)
    )
    assert found.item() == pytest.approx(expected, abs=1e-4)


def test_the_same_map_is_not_dissimilar_and_an_empty_one_divides_by_nothing():
    values = torch.rand(2, 1, 16, 16)
    values[1] = 0
    ones, none = torch.ones_like(values), torch.zeros_like(values)
    assert dissimilarity(values, values, ones, none) == pytest.approx(torch.zeros(2), abs=1e-5)
    assert dissimilarity(values, values, ones, ones).tolist() == [0, 0]


def test_decorrelation_is_one_minus_pearsons_over_the_judged_bins_alone():
    rng = np.random.default_rng(0)
    x, y = rng.random((2, 12, 15))
    judged = rng.random((12, 15)) > 0.4
    x[~judged] = 1e3
    parts = [torch.from_numpy(part.astype(np.float32))[None, None] for part in (x, y, judged)]
    expected = 1 - np.corrcoef(x[judged], y[judged])[0, 1]
    assert decorrelation(*parts).item() == pytest.approx(expected, abs=1e-4)


def test_a_constant_map_correlates_with_nothing():
    ones = torch.ones(1, 1, 8, 8)
    assert decorrelation(ones, torch.rand(1, 1, 8, 8), ones).item() == pytest.approx(1, abs=1e-5)
