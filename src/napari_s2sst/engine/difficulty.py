"""How badly the measured bins of a map tell each other: the scale of its noise, from what was measured alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .patches import VALUE_SCALE

SMALLEST_ERRORS = 0.01, 0.002
"""Absolute and squared error added to a map's difficulty, so that one without any count weighs no more than others."""


@dataclass(frozen=True)
class Difficulty:
    """Mean absolute and squared error of each map, (B, 1, 1, 1), in the units of the values."""

    absolute: Tensor
    squared: Tensor

    @property
    def unit(self) -> Tensor:
        """Root of the mean squared error, (B, 1, 1, 1): what the network works in."""
        return self.squared.sqrt()

    def __getitem__(self, part: slice | Tensor) -> Difficulty:
        return Difficulty(self.absolute[part], self.squared[part])


def difficulty(values: Tensor, measured: Tensor) -> Difficulty:
    """Every measured bin is told from the eight around it, itself left out. (B, 1, h, w) lattice values and mask.

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
        return Difficulty(*(mean + least for mean, least in zip(means, SMALLEST_ERRORS, strict=True)))
