"""A step's gradients -> new weights: the network, its optimiser and the running mean of its weights, and a copy of all three.

How long to train and at which rate are functions of the step, so that a run repeats by its steps.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from ..config import RunConfig, TrainingConfig
from ..network.cdcin import CDCIN
from ..network.model import Trained
from ..threads import set_gradients

TIMED_STEPS = 12
"""Steps after which a time limit becomes a number of steps. The rate must not depend on that number before."""

WARMING_STEPS = 3
"""First steps, slower than the others, that are left out of that timing."""

TIME_FOR_STEPS = 0.94
"""Share of a time limit spent on steps; the rest goes to validation and the last weights."""

LAST_RATE = 0.02
"""Of the peak rate, at the end of a cosine."""

MAX_GRADIENT = 1.0
"""Norm at which the distributional loss's gradient is clipped; counts have outliers. The paper clips nothing."""


def learning_rate(training: TrainingConfig, step: int, steps: int | None) -> float:
    """The rate of the coming step, counted from 0; it is that of a time limit as of the steps that this becomes."""
    rate = training.learning_rate * min(1.0, (step + 1) / (training.warmup_steps + 1))
    first = max(training.warmup_steps, TIMED_STEPS)
    if training.schedule == "constant" or step < first or steps is None:
        return rate
    return rate * cosine((step - first) / max(1, steps - first))


def cosine(done: float) -> float:
    """A share that falls from 1 to :data:`LAST_RATE`, over ``done`` from 0 to 1."""
    return LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def steps_within(seconds: float, durations_s: Sequence[float]) -> int | None:
    """Steps in all that a time limit allows, from how long the first ones took; None until enough were timed.

    Unless those first ones have used the time up already.
    """
    left = TIME_FOR_STEPS * seconds - sum(durations_s)
    if left <= 0:
        return len(durations_s)
    if len(durations_s) < TIMED_STEPS:
        return None
    return len(durations_s) + int(left / float(np.median(durations_s[WARMING_STEPS:])))


def running_mean(mean: Tensor, weight: Tensor, averaged: Tensor, *, decay: float) -> Tensor:
    """The mean (any shape) with one more weight in it; short at first, so that the random start is forgotten soon."""
    n = float(averaged)
    return mean.lerp(weight, 1 - min(decay, (1 + n) / (10 + n)))


class Learner:
    """The network that is trained, with Adam's moments and, where the settings ask for one, the running mean."""

    def __init__(self, config: RunConfig, stride: int, device: torch.device, first: Trained | None = None) -> None:
        """``first``: the model whose weights come first; else they are random, by the config's seed."""
        training = config.training
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = CDCIN(config.network, stride)
        if first is not None:
            self.network.load_state_dict(dict(first.weights))
        for cascade in self.network.cascades:
            cascade.recompute = device.type == "cpu" and config.network.layout == "dense"
        self.network.to(device, memory_format=torch.channels_last)
        self.weights = list(self.network.parameters())
        self._clipped = bool(config.network.quantiles)
        self._optimiser = torch.optim.Adam(self.weights, lr=training.learning_rate, betas=training.betas, fused=True)
        self._mean = None
        if training.average:
            self._mean = AveragedModel(
                self.network, avg_fn=partial(running_mean, decay=training.average), use_buffers=False
            )

    def learn(self, parts: Sequence[Sequence[Tensor]], rate: float) -> None:
        """One optimiser step along the sum of the parts' gradients."""
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        set_gradients(self.weights, parts)
        if self._clipped:
            torch.nn.utils.clip_grad_norm_(self.weights, MAX_GRADIENT)
        self._optimiser.step()
        if self._mean is not None:
            self._mean.update_parameters(self.network)

    @property
    def has_learnt(self) -> bool:
        """Whether the weights are others than the first ones."""
        return bool(self._optimiser.state)

    def averaged(self) -> CDCIN:
        """The network that predicts: that of the running mean, where there is one yet."""
        mean = self._mean if self.has_learnt else None
        return (self.network if mean is None else mean.module).eval()

    def is_finite(self) -> bool:
        """Whether every weight is a number."""
        return all(bool(weight.isfinite().all()) for weight in self.weights)

    def tensors(self) -> dict[str, Tensor]:
        """A copy of everything, by name; what is not there yet has none."""
        tensors = {f"weight.{name}": weight for name, weight in self.network.named_parameters()}
        if self._mean is not None:
            tensors |= {f"mean.{name}": weight for name, weight in self._mean.module.named_parameters()}
            tensors["mean_steps"] = self._mean.n_averaged
        for name, weight in self.network.named_parameters():
            for moment, value in self._optimiser.state.get(weight, {}).items():
                tensors[f"adam.{moment}.{name}"] = value
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Become what :meth:`tensors` copied; every bit, and the memory order that the fused Adam takes for granted.

        Raises KeyError or RuntimeError when they are another network's.
        """
        with torch.no_grad():
            for name, weight in self.network.named_parameters():
                weight.copy_(tensors[f"weight.{name}"])
            if self._mean is not None:
                for name, weight in self._mean.module.named_parameters():
                    weight.copy_(tensors[f"mean.{name}"])
                self._mean.n_averaged.copy_(tensors["mean_steps"])
            self._optimiser.state.clear()
            for name, weight in self.network.named_parameters():
                if f"adam.step.{name}" in tensors:
                    moments = ("exp_avg", "exp_avg_sq")
                    self._optimiser.state[weight] = {
                        "step": tensors[f"adam.step.{name}"].to(weight.device, copy=True),
                        **{part: torch.empty_like(weight).copy_(tensors[f"adam.{part}.{name}"]) for part in moments},
                    }
