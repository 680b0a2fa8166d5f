"""The network of DIST: residual 3x3 convolutions, a phase for each bin of the denser grid, a replicated skip (Zhao et al. 2023).

Facts marked (code) were read in the authors' released package; see ``dist``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH = 64
"""Channels of every layer but the last (code)."""

STAGES = 2
"""Residual stages of three 3x3 convolutions each, before the one that reconstructs (code)."""

INIT_VARIANCE = 0.1
"""Of a layer's sum when training starts, were its inputs of variance 1; small, as the skip already is an answer (code)."""


class Stage(nn.Module):
    """Three 3x3 convolutions; what the first gives is added to what the others make of it."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, rows, columns) -> (B, width, rows, columns)."""
        x = self.enter(x)
        return functional.relu(x + self.second(self.first(functional.relu(x))))


class DistNetwork(nn.Module):
    """A lattice -> the S times denser grid: each of the S*S phases is the lattice's value plus what the network adds."""

    def __init__(self, stride: int, width: int = WIDTH, stages: int = STAGES) -> None:
        super().__init__()
        self.stride = stride
        self.stages = nn.Sequential(*[Stage(width if i else 1, width) for i in range(stages)])
        self.reconstruct = nn.Conv2d(width, stride * stride, 3, padding=1)

    def initialise(self, generator: torch.Generator) -> None:
        """Normally distributed weights of variance ``INIT_VARIANCE`` / inputs, biases 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                inputs = layer.weight[0].numel()
                nn.init.normal_(layer.weight, std=math.sqrt(INIT_VARIANCE / inputs), generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, lattice: Tensor) -> Tensor:
        """(B, 1, rows, columns) -> (B, 1, S rows, S columns); measured bins lie at phase (0, 0)."""
        phases = lattice + self.reconstruct(self.stages(lattice))  # (B, S*S, rows, columns)
        return functional.pixel_shuffle(phases, self.stride)
