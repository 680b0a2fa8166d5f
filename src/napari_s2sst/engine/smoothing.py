"""Measured bins of a lattice -> smooth maps of it on the full grid, at several widths, for the network to look at.

A convolution sees a few bins around; what a weak gene does can only be told from many. Normalised Gaussian weights
(Nadaraya 1964, Watson 1964) gather them in one matrix product along each axis, however wide they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

LEAST_WEIGHT = 1e-4
"""Of measured bins in reach, in bins; with less, far from everything measured, the map falls to 0."""


def smoothed(values: Tensor, measured: Tensor, widths: Sequence[float], stride: int) -> Tensor:
    """(B, 1, h, w) lattice values and mask -> (B, widths, S h, S w) float32; ``widths`` in lattice pitches."""
    with torch.autocast(values.device.type, enabled=False):
        values, measured = values.float(), measured.float()
        maps = []
        for width in widths:
            along = [_weights(length, width, stride, values.device) for length in values.shape[2:]]
            total = along[0] @ (values * measured) @ along[1].T
            weight = along[0] @ measured @ along[1].T
            maps.append(total / weight.clamp_min(LEAST_WEIGHT))
        return torch.cat(maps, dim=1)


@lru_cache(maxsize=64)
def _weights(length: int, width: float, stride: int, device: torch.device) -> Tensor:
    """(S length, length) Gaussian weight of each measured bin along one axis for each bin of the full grid."""
    with torch.inference_mode(False):  # kept for trainings too
        bins = torch.arange(length * stride, device=device, dtype=torch.float32) / stride
        lattice = torch.arange(length, device=device, dtype=torch.float32)
        return torch.exp(-((bins[:, None] - lattice[None]) ** 2) / (2 * width**2))
