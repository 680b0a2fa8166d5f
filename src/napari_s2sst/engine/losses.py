"""How far the cascades' estimates are from what is known (Fang et al. 2025, eqs 3, 4, 8, 9).

Every loss weighs cascade k by k / K and averages over the bins of its mask, so that bins outside the tissue count
neither in the sum nor in the mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .difficulty import Difficulty
from .patches import VALUE_SCALE


def cascade_loss(
    estimates: Sequence[Tensor],
    target: Tensor,
    mask: Tensor | None = None,
    quantiles: Sequence[float] = (),
    *,
    scale: Difficulty | None = None,
    bins: Tensor | float | None = None,
) -> Tensor:
    """Sum over cascades of k/K times the mean error over the mask.

    ``estimates``: K tensors (B, 1 + quantiles, rows, columns); ``target`` and ``mask`` (B, 1, rows, columns). Without
    quantiles the error is the paper's L1, in the network's units. With them it is that of a predicted distribution,
    in the units of the values or of the ``scale``: each quantile's pinball loss.
    ``bins``: those of the whole batch, where this is only a part of it; so parts add up to the whole.
    """
    if bins is None:
        bins = target.numel() if mask is None else mask.sum()
    total = target.new_zeros(())
    for k, estimate in enumerate(estimates, start=1):
        error = distribution_error(estimate, target, quantiles, scale) if quantiles else l1(estimate, target)
        total = total + k / len(estimates) * (error if mask is None else error * mask).sum() / max(1.0, float(bins))
    return total


def l1(estimate: Tensor, target: Tensor) -> Tensor:
    """Absolute error per bin, (B, 1, rows, columns)."""
    return (estimate.float() - target).abs()


def distribution_error(
    estimate: Tensor, target: Tensor, quantiles: Sequence[float], scale: Difficulty | None = None
) -> Tensor:
    """Twice the pinball loss of each quantile, (B, 1, rows, columns); least at the true quantiles.

    Channel 0, the map, has a loss of its own (:func:`map_loss`). Twice, so that the median's part is the absolute error.
    """
    error = (target - estimate.float()) * VALUE_SCALE
    level = torch.as_tensor(quantiles, dtype=error.dtype, device=error.device).view(1, -1, 1, 1)
    pinball = 2 * torch.maximum(level * error[:, 1:], (level - 1) * error[:, 1:]).sum(1, keepdim=True)
    return pinball if scale is None else pinball / scale.absolute
