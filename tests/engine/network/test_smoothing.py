import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_s2sst.engine.network.inputs import smoothed


def test_a_constant_lattice_is_smoothed_to_the_same_constant_with_bins_missing():
    measured = (torch.rand(1, 1, 12, 9, generator=torch.Generator().manual_seed(0)) > 0.3).float()
    found = smoothed(torch.full((1, 1, 12, 9), 3.0), measured, (0.7, 5.0), 2)
    assert torch.allclose(found, torch.full((1, 2, 24, 18), 3.0), atol=1e-5)


def test_at_the_measured_bins_it_is_the_normalised_gaussian_filter_of_the_lattice():
    values = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    found = smoothed(torch.from_numpy(values)[None, None], torch.ones(1, 1, 20, 30), (1.4,), 3)[0, 0, ::3, ::3].numpy()
    gauss = {"sigma": 1.4, "mode": "constant", "truncate": 20}
    expected = ndimage.gaussian_filter(values, **gauss) / ndimage.gaussian_filter(np.ones_like(values), **gauss)
    assert found == pytest.approx(expected, abs=1e-5)


def test_values_of_bins_that_were_not_measured_do_not_matter():
    measured = torch.ones(1, 1, 8, 8)
    measured[..., 2:4, 2:4] = 0
    values = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(
        smoothed(values, measured, (1.0,), 2), smoothed(values + 5 * (1 - measured), measured, (1.0,), 2)
    )
