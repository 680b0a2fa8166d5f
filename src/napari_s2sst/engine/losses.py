"""How far the cascades' estimates are from what is known (Fang et al. 2025, eqs 3, 4, 8, 9).

Every loss weighs cascade k by k / K and averages over the bins of its mask, so that bins outside the tissue count
neither in the sum nor in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .patches import VALUE_SCALE


def cascade_loss(
    estimates: Sequence[Tensor], target: Tensor, mask: Tensor | None = None, quantiles: Sequence[float] = ()
) -> Tensor:
    """Sum over cascades of k/K times the mean error over the mask.

    ``estimates``: K tensors (B, 1 + quantiles, rows, columns); ``target`` and ``mask`` (B, 1, rows, columns). Without
    quantiles the error is the paper's L1, in the network's units. With them it is that of a predicted distribution,
    in the units of the values: the mean's squared error and each quantile's pinball loss.
    """
    bins = target.numel() if mask is None else mask.sum().clamp_min(1)
    total = target.new_zeros(())
    for k, estimate in enumerate(estimates, start=1):
        error = l1(estimate, target) if not quantiles else distribution_error(estimate, target, quantiles)
        total = total + k / len(estimates) * (error if mask is None else error * mask).sum() / bins
    return total


def l1(estimate: Tensor, target: Tensor) -> Tensor:
    """Absolute error per bin, (B, 1, rows, columns)."""
    return (estimate.float() - target).abs()


def distribution_error(estimate: Tensor, target: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Squared error of the mean plus twice the pinball loss of each quantile, (B, 1, rows, columns).

    The minimum is the true mean and the true quantiles. Twice, so that the median's part is the plain absolute error.
    """
    error = (target - estimate.float()) * VALUE_SCALE
    level = torch.as_tensor(quantiles, dtype=error.dtype, device=error.device).view(1, -1, 1, 1)
    pinball = torch.maximum(level * error[:, 1:], (level - 1) * error[:, 1:])
    return error[:, :1].square() + 2 * pinball.sum(1, keepdim=True)
