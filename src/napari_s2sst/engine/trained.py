"""What a training returns: weights, and all that is needed to use them and to say where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .config import RunConfig
from .network import CDCIN


@dataclass(frozen=True)
class Calibration:
    """What held-out bins say about how to read the network's output."""

    interval_scale: float = 1.0
    """The predicted 90 % interval is stretched by this about the estimate, so that it covers 90 % of held-out bins."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network. ``impute(trained, sparse)`` makes maps of it."""

    weights: Mapping[str, Tensor]
    """On the CPU, float32."""
    config: RunConfig
    """As it was run: device, steps and stride are the ones used."""
    stride: int
    genes: tuple[str, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    device: str = ""
    held_out_mae: float | None = None
    """Of these weights, in the normalised space; None where no bins were held out."""
    classical: Mapping[str, float] = field(default_factory=dict)
    """Method -> mean absolute error on the same held-out bins."""
    calibration: Calibration = Calibration()
    losses: tuple[Mapping[str, Any], ...] = ()
    """A row for each reported moment: step, seconds, loss, its terms, held_out_mae."""

    def network(self, device: torch.device) -> CDCIN:
        """The network with these weights, ready to predict."""
        network = CDCIN(self.config.network, self.stride)
        network.load_state_dict(dict(self.weights))
        return network.to(device, memory_format=torch.channels_last).eval()
