import pytest
import torch

from napari_s2sst.engine.network.inputs import SMALLEST_ERRORS, VALUE_SCALE, noise_scale


def test_a_constant_map_is_told_without_error():
    found = noise_scale(torch.full((1, 1, 6, 7), 0.4), torch.ones(1, 1, 6, 7))
    assert (found.absolute.item(), found.squared.item()) == pytest.approx(SMALLEST_ERRORS, abs=1e-6)


def test_independent_noise_is_as_hard_as_its_own_spread_and_that_of_eight_neighbours_mean():
    noise = torch.randn(1, 1, 300, 300, generator=torch.Generator().manual_seed(0))
    of_mean = (4 * 2**2 + 4 * 1**2) / 12**2
    found = noise_scale(noise / VALUE_SCALE, torch.ones_like(noise))
    assert found.squared.item() == pytest.approx(1 + of_mean, rel=0.02)
    assert found.unit.item() == pytest.approx((1 + of_mean) ** 0.5, rel=0.01)


def test_bins_that_were_not_measured_count_neither_as_neighbours_nor_as_targets():
    measured = torch.ones(1, 1, 10, 10)
    measured[..., 5:] = 0
    values = torch.full((1, 1, 10, 10), 0.3) + 7 * (1 - measured)
    assert noise_scale(values, measured).absolute.item() == pytest.approx(SMALLEST_ERRORS[0], abs=1e-6)
