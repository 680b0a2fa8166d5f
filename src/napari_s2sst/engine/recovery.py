"""A training whose loss explodes -> the same one, from its last good weights and at half the rate."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .learner import Learner

GOOD_EVERY_STEPS = 25
"""A copy of the weights is kept as often, once a loss computed with them was in bounds."""

EXPLODED = 100.0
"""Times the first loss, or what that can be expected to be where the first batch happened to be empty. A loss that grows
with every wrong step passes it within a few; chance never does."""

HIGH_STEPS = 3
"""Steps in a row beyond that; a single batch may be odd."""

MOST_RECOVERIES = 3


class Recovery:
    """The last good weights of a learner, and how often they were needed. Without an explosion it changes nothing."""

    def __init__(self, learner: Learner, expected: float) -> None:
        """``expected``: a loss that is no sign of trouble, whatever the first one is."""
        self._learner, self._expected = learner, expected
        self._candidate: dict[str, Tensor] | None = None
        self.good: dict[str, Tensor] | None = None
        """As :meth:`.Learner.tensors` gives them; None until a first loss was a number."""
        self.good_step = 0
        self.count = 0
        self.rate = 1.0
        """Share of the scheduled learning rate."""
        self._first: float | None = None
        self._high = 0

    def begin_step(self, step: int) -> None:
        """Copy the weights every now and then, before they are changed."""
        due = step % GOOD_EVERY_STEPS == 0 and not self._high
        self._candidate = self._learner.tensors() if due else None

    def exploded(self, loss: float, step: int) -> bool:
        """Whether this loss, of the weights before the step, says that they are beyond help."""
        if self._first is None and math.isfinite(loss):
            self._first = loss
        if math.isfinite(loss) and loss <= EXPLODED * max(self._first, self._expected):
            self._high = 0
            if self._candidate is not None:
                self.good, self.good_step = self._candidate, step
        else:
            self._high += 1
        self._candidate = None
        return not math.isfinite(loss) or self._high >= HIGH_STEPS

    def ends_badly(self) -> bool:
        """Whether the last steps spoilt the weights, too late for another loss to tell."""
        return bool(self._high) or not self._learner.is_finite()

    def go_back(self) -> None:
        """To the last good weights, at half the rate. There must be some."""
        self._learner.restore(self.good)
        self.count, self.rate, self._high = self.count + 1, self.rate / 2, 0

    def record(self) -> dict[str, Any]:
        """What is to be kept beside :attr:`good`, for JSON."""
        return {
            "good_step": self.good_step, "count": self.count, "rate": self.rate, "first": self._first,
            "high": self._high,
        }  # fmt: skip

    def restore(self, record: Mapping[str, Any], good: dict[str, Tensor]) -> None:
        """Become what :meth:`record` and :attr:`good` were. Raises KeyError, TypeError or ValueError."""
        self.good = good or None
        self.good_step, self.count = int(record["good_step"]), int(record["count"])
        self.rate, self._high = float(record["rate"]), int(record["high"])
        self._first = None if record["first"] is None else float(record["first"])
