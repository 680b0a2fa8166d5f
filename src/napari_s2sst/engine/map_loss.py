"""How far a predicted map is from the known one in what maps are judged by: errors, correlation, structure.

A map that is best by squared error alone is too flat for a good structural similarity and has large absolute errors
where counts are sparse; one that is best by absolute error alone is empty there. This loss asks for all of them at once.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from .difficulty import Difficulty
from .patches import VALUE_SCALE

SQUARED, ABSOLUTE, UNCORRELATED, UNLIKE = 0.3, 1.0, 9.0, 0.8
"""Weights of the parts. A hundredth of the absolute error is worth about as much as 0.001 of the correlation and 0.005 of the
structural similarity, which is how far methods lie apart in them."""

LEAST_VARIANCE = 1e-4
"""Of a map, in the units of the values; below it there is nothing to correlate with."""

SSIM_WINDOW = 7
"""Side of the window, as in the scores."""

SSIM_CONSTANTS = 0.01, 0.03
"""K1 and K2 of Wang et al. 2004, shares of the range of the values."""


def map_loss(estimate: Tensor, target: Tensor, tissue: Tensor, measured: Tensor, scale: Difficulty | None) -> Tensor:
    """Weighted sum of the parts for each map, (B,). All tensors (B, 1, rows, columns); masks are 1 or 0.

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
    found = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    edge = SSIM_WINDOW // 2
    inside = (tissue * (1 - measured))[:, :, edge:-edge, edge:-edge]
    return ((1 - found) * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3)).clamp_min(1)
