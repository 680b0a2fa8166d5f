import numpy as np
import pytest
import torch

from napari_s2sst.engine.network.inputs import VALUE_SCALE
from napari_s2sst.engine.training.losses import cascade_loss


def test_the_loss_weighs_cascade_k_by_k_over_K():
    target = torch.zeros(1, 1, 4, 4)
    estimates = [target + 3.0, target + 6.0, target + 9.0]
    assert cascade_loss(estimates, target).item() == pytest.approx(3 / 3 + 2 / 3 * 6 + 9)


def test_only_bins_of_the_mask_count_in_sum_and_mean():
    target, mask = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    mask[..., :2, :2] = 1
    estimate = torch.where(mask > 0, 2.0, 1e6)
    assert cascade_loss([estimate], target, mask).item() == pytest.approx(2.0)


def test_an_empty_mask_gives_no_loss_and_no_division_by_zero():
    target = torch.zeros(1, 1, 4, 4)
    assert cascade_loss([target + 1], target, torch.zeros_like(target)).item() == 0


def test_the_distributional_loss_is_least_at_the_quantiles():
    quantiles = (0.05, 0.5, 0.95)
    sample = torch.from_numpy(np.random.default_rng(0).gamma(1.0, 1.0, 20_000).astype(np.float32)).view(1, 1, 100, 200)
    best = torch.tensor([sample.mean(), *np.quantile(sample.numpy(), quantiles)], dtype=torch.float32)

    def loss(values: torch.Tensor) -> float:
        estimate = (values / VALUE_SCALE).view(1, 4, 1, 1).expand(1, 4, 100, 200)
        return cascade_loss([estimate], sample / VALUE_SCALE, None, quantiles).item()

    for channel in range(1, 4):
        for step in (-0.05, 0.05):
            moved = best.clone()
            moved[channel] += step
            assert loss(moved) > loss(best)
