"""How long to train, at which rate, and which weights to keep: functions of the step, so that a run repeats by its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from .config import TrainingConfig

TIMED_STEPS = 12
"""Steps after which a time limit becomes a number of steps. The rate must not depend on that number before."""

WARMING_STEPS = 3
"""First steps, slower than the others, that are left out of that timing."""

TIME_FOR_STEPS = 0.94
"""Share of a time limit spent on steps; the rest goes to validation and the last weights."""

LAST_RATE = 0.02
"""Of the peak rate, at the end of a cosine."""


def learning_rate(training: TrainingConfig, step: int, steps: int | None) -> float:
    """Of the coming step, counted from 0; the same for a time limit as for the steps it becomes."""
    rate = training.learning_rate * min(1.0, (step + 1) / (training.warmup_steps + 1))
    first = max(training.warmup_steps, TIMED_STEPS)
    if training.schedule == "constant" or step < first or steps is None:
        return rate
    return rate * cosine((step - first) / max(1, steps - first))


def cosine(done: float) -> float:
    """From 1 down to :data:`LAST_RATE`, over ``done`` from 0 to 1."""
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
    """Short at first, so that the random start is forgotten soon."""
    n = float(averaged)
    return mean.lerp(weight, 1 - min(decay, (1 + n) / (10 + n)))
