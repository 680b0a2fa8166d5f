"""Estimates and what is known -> how far they are off, bin by bin (Fang et al. 2025, eqs 3, 4, 8, 9) or as whole maps.

The loss of bins weighs cascade k by k / K and averages over the bins of its mask, so that bins outside the tissue count
neither in the sum nor in the mean. That of maps is in what maps are judged by: errors, correlation, structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from ..network.inputs import VALUE_SCALE, NoiseScale

SQUARED, ABSOLUTE, UNCORRELATED, UNLIKE = 0.3, 1.0, 9.0, 0.8
"""Weights of the parts of a map's loss. A hundredth of the absolute error is worth about as much as 0.001 of the correlation and
0.005 of the structural similarity, which is how far methods lie apart in them."""

LEAST_VARIANCE = 1e-4
"""Of a map, in the units of the values; below it there is nothing to correlate with."""

SSIM_WINDOW = 7
"""Side of the window of the structural similarity, as in the scores."""

SSIM_CONSTANTS = 0.01, 0.03
"""K1 and K2 of Wang et al. 2004, shares of the range of the values."""


def cascade_loss(
    estimates: Sequence[Tensor],
    target: Tensor,
    mask: Tensor | None = None,
    quantiles: Sequence[float] = (),
    *,
    scale: NoiseScale | None = None,
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
    estimate: Tensor, target: Tensor, quantiles: Sequence[float], scale: NoiseScale | None = None
) -> Tensor:
    """Twice the pinball loss of each quantile, (B, 1, rows, columns); least at the true quantiles.

    Channel 0, the map, has a loss of its own (:func:`map_loss`). Twice, so that the median's part is the absolute error.
    """
    error = (target - estimate.float()) * VALUE_SCALE
    level = torch.as_tensor(quantiles, dtype=error.dtype, device=error.device).view(1, -1, 1, 1)
    pinball = 2 * torch.maximum(level * error[:, 1:], (level - 1) * error[:, 1:]).sum(1, keepdim=True)
    return pinball if scale is None else pinball / scale.absolute


def map_loss(estimate: Tensor, target: Tensor, tissue: Tensor, measured: Tensor, scale: NoiseScale | None) -> Tensor:
    """Weighted sum of the parts for each map, (B,). All tensors (B, 1, rows, columns); masks are 1 or 0.

    A map that is best by squared error alone is too flat for a good structural similarity and has large absolute errors where
    counts are sparse; one that is best by absolute error alone is empty there. This asks for all of them at once.
    Only unmeasured tissue bins are judged. Errors are in the units of ``scale``, or of the values without one.
    """
    judged = tissue * (1 - measured)
    bins = judged.sum((1, 2, 3)).clamp_min(1)
    error = (estimate.float() - target) * VALUE_SCALE * judged
    absolute, squared = error.abs().sum((1, 2, 3)) / bins, error.square().sum((1, 2, 3)) / bins
    if scale is not None:
        absolute, squared = absolute / scale.absolute.flatten(), squared / scale.squared.flatten()
    return (
        SQUARED * squared + ABSOLUTE * absolute + UNCORRELATED * decorrelation(estimate, target, judged)
        + UNLIKE * dissimilarity(estimate, target, tissue, measured)
    )  # fmt: skip


def decorrelation(estimate: Tensor, target: Tensor, judged: Tensor) -> Tensor:
    """1 - Pearson's correlation over the judged bins of each map, (B,); 1 where one of them is constant."""
    bins = judged.sum((1, 2, 3), keepdim=True).clamp_min(1)
    x, y = (part.float() * VALUE_SCALE for part in (estimate, target))
    x, y = ((part - (part * judged).sum((1, 2, 3), keepdim=True) / bins) * judged for part in (x, y))
    together, of_x, of_y = ((a * b).sum((1, 2, 3)) / bins.flatten() for a, b in ((x, y), (x, x), (y, y)))
    return 1 - together / (of_x.clamp_min(LEAST_VARIANCE) * of_y.clamp_min(LEAST_VARIANCE)).sqrt()


def dissimilarity(estimate: Tensor, target: Tensor, tissue: Tensor, measured: Tensor) -> Tensor:
    """1 - SSIM (Wang et al. 2004) of each map with its target, measured bins put back; (B,).

    All (B, 1, rows, columns), masks 1 or 0. Uniform windows and sample covariances, as the scores have them. Outside the tissue
    both are 0. The range is that of each target. A map judged by squared error alone is too flat for a good SSIM.
    """
    y = target * tissue * VALUE_SCALE
    x = torch.where(measured > 0, y, estimate.float() * tissue * VALUE_SCALE)
    spread = (y.amax((1, 2, 3), keepdim=True) - y.amin((1, 2, 3), keepdim=True)).clamp_min(0.5)
    c1, c2 = ((share * spread) ** 2 for share in SSIM_CONSTANTS)
    mean = partial(F.avg_pool2d, kernel_size=SSIM_WINDOW, stride=1)
    bins = SSIM_WINDOW**2
    ux, uy = mean(x), mean(y)
    vx, vy, vxy = (
        bins / (bins - 1) * (mean(a * b) - ua * ub) for a, b, ua, ub in ((x, x, ux, ux), (y, y, uy, uy), (x, y, ux, uy))
    )
    similarity = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    edge = SSIM_WINDOW // 2
    inside = (tissue * (1 - measured))[:, :, edge:-edge, edge:-edge]
    return ((1 - similarity) * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp_min(1)
