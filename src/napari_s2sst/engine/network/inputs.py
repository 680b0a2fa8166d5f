"""Measured bins of a lattice -> what the network is given beside them: smooth maps at several widths, and the map's noise.

Both follow from what was measured alone. The noise is how badly the measured bins tell each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import ParamSpec

import torch
import torch.nn.functional as F
from torch import Tensor

VALUE_SCALE = 10.0
"""The network sees values divided by this, and its output is multiplied by it (the authors' code)."""

LEAST_WEIGHT = 1e-4
"""Of measured bins in reach, in bins; with less, far from everything measured, the map falls to 0."""


SMALLEST_ERRORS = 0.01, 0.002
"""Absolute and squared error added to a map's noise, so that one without any count weighs no more than others."""

Sizes = ParamSpec("Sizes")


def kept_constant(maxsize: int) -> Callable[[Callable[Sizes, Tensor]], Callable[Sizes, Tensor]]:
    """Keep the last ``maxsize`` tensors that a function makes of sizes alone.

    A compiler that traces the network is let past the memory, which it would warn of: what it traces is a constant to it.
    """

    def decorate(make: Callable[Sizes, Tensor]) -> Callable[Sizes, Tensor]:
        kept = lru_cache(maxsize)(make)

        @wraps(make)
        def constant(*sizes: Sizes.args, **named: Sizes.kwargs) -> Tensor:
            return make(*sizes, **named) if torch.compiler.is_compiling() else kept(*sizes, **named)

        return constant

    return decorate


def smoothed(values: Tensor, measured: Tensor, widths: Sequence[float], stride: int) -> Tensor:
    """(B, 1, h, w) lattice values and mask -> (B, widths, S h, S w) float32; ``widths`` in lattice pitches.

    A convolution sees a few bins around; what a weak gene does can only be told from many. Normalised Gaussian weights
    (Nadaraya 1964, Watson 1964) gather them in one matrix product along each axis, however wide they are.
    """
    with torch.autocast(values.device.type, enabled=False):
        values, measured = values.float(), measured.float()
        maps = []
        for width in widths:
            along = [_weights(length, width, stride, values.device) for length in values.shape[2:]]
            total = along[0] @ (values * measured) @ along[1].T
            weight = along[0] @ measured @ along[1].T
            maps.append(total / weight.clamp_min(LEAST_WEIGHT))
        return torch.cat(maps, dim=1)


@kept_constant(maxsize=64)
def _weights(length: int, width: float, stride: int, device: torch.device) -> Tensor:
    """(S length, length) Gaussian weight of each measured bin along one axis for each bin of the full grid."""
    with torch.inference_mode(False):  # kept for trainings too
        bins = torch.arange(length * stride, device=device, dtype=torch.float32) / stride
        lattice = torch.arange(length, device=device, dtype=torch.float32)
        return torch.exp(-((bins[:, None] - lattice[None]) ** 2) / (2 * width**2))


@dataclass(frozen=True)
class NoiseScale:
    """Mean absolute and squared error of each map, (B, 1, 1, 1), in the units of the values."""

    absolute: Tensor
    squared: Tensor

    @property
    def unit(self) -> Tensor:
        """Root of the mean squared error, (B, 1, 1, 1): what the network works in."""
        return self.squared.sqrt()

    def __getitem__(self, part: slice | Tensor) -> NoiseScale:
        return NoiseScale(self.absolute[part], self.squared[part])


def noise_scale(values: Tensor, measured: Tensor) -> NoiseScale:
    """Mean errors of every measured bin as told by the eight around it. (B, 1, h, w) lattice values and mask -> (B, 1, 1, 1) each.

    It is a function of the input alone. A scale that depended on the target would favour maps whose noise came out small,
    and the mean that is learnt would be too low.
    """
    with torch.autocast(values.device.type, enabled=False):
        ring = torch.tensor([[1.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 1.0]], device=values.device)[None, None]
        known = values.float() * measured * VALUE_SCALE
        weight = F.conv2d(measured.float(), ring, padding=1)
        error = (F.conv2d(known, ring, padding=1) / weight.clamp_min(1) - known).abs() * measured * (weight > 0)
        bins = measured.sum((1, 2, 3), keepdim=True).clamp_min(1)
        means = (error.sum((1, 2, 3), keepdim=True) / bins, error.square().sum((1, 2, 3), keepdim=True) / bins)
        return NoiseScale(*(mean + least for mean, least in zip(means, SMALLEST_ERRORS, strict=True)))
