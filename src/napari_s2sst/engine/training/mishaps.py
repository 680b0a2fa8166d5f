"""What goes wrong in a training -> a way on: a loss that explodes, a memory that is too small, a network that can't be compiled.

A training whose loss explodes goes on from its last good weights and at half the rate. A batch that the memory doesn't hold is
computed in parts. A network that torch can't compile is called as it is.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..threads import CorePool
from .learner import Learner
from .objective import Batch

GOOD_EVERY_STEPS = 25
"""A copy of the weights is kept as often, once a loss computed with them was in bounds."""

EXPLODED = 100.0
"""Times the first loss, or what that can be expected to be where the first batch happened to be empty. A loss that grows
with every wrong step passes it within a few; chance never does."""

HIGH_STEPS = 3
"""Steps in a row beyond that; a single batch may be odd."""

MOST_RECOVERIES = 3

_WORDS = ("out of memory", "can't allocate memory", "could not create a primitive")
"""What GPUs, the CPU's allocator and oneDNN say where they raise no error of their own kind."""

Result = TypeVar("Result")


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
        """Return to the last good weights, at half the rate. There must be some."""
        self._learner.restore(self.good)
        self.count, self.rate, self._high = self.count + 1, self.rate / 2, 0

    def record(self) -> dict[str, Any]:
        """Values to keep beside :attr:`good`, for JSON."""
        return {
            "good_step": self.good_step, "count": self.count, "rate": self.rate, "first": self._first,
            "high": self._high,
        }  # fmt: skip

    def restore(self, record: Mapping[str, Any], good: Mapping[str, Tensor]) -> None:
        """Become what :meth:`record` and :attr:`good` were. Raises KeyError, TypeError or ValueError."""
        self.good = dict(good) or None
        self.good_step, self.count = int(record["good_step"]), int(record["count"])
        self.rate, self._high = float(record["rate"]), int(record["high"])
        self._first = None if record["first"] is None else float(record["first"])


def is_shortage(error: RuntimeError) -> bool:
    """Whether the computing library failed for want of memory."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in str(error).lower() for words in _WORDS)


def give_back_memory() -> None:
    """Give what nobody uses any more to the device and to other programs."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def in_parts(cores: CorePool, work: Callable[[Batch], Result], batch: Batch, count: int) -> tuple[list[Result], int]:
    """The work's result for each of ``count`` parts of the batch, or of twice as many until they fit; and how many.

    Losses and gradients of the parts add up to those of the whole (see :meth:`.Batch.parts`), so every step learns from as much
    as before. Raises :class:`TrainingError` when not even parts of one slide and one picture patch fit.
    """
    most = max(1, len(batch.slide.values), len(batch.pictures))
    while True:
        try:
            return cores.map(work, batch.parts(count)), count
        except RuntimeError as error:
            if not is_shortage(error):
                raise
        give_back_memory()  # after the error, whose traceback held the step's tensors
        if count >= most:
            side = batch.slide.values.shape[-1]
            raise TrainingError(
                f"The memory is too small for this training: not even one patch of {side} x {side} measured bins fits. Choose "
                "smaller patches (patch_bins), a smaller network, another device, or close other programs that use this one."
            )
        count = min(2 * count, most)


class Forward:
    """Calls a network, compiled by torch where that is wanted and possible.

    The weights stay the network's own, and are learnt through either way of calling it. Compiling takes from half a minute to
    some minutes, at the first step and wherever a batch has another size. On two cores of a processor a step was no faster
    for it (docs/benchmarks.md); on a GPU, for which it is meant, it has not been measured.
    """

    def __init__(self, network: nn.Module, compiled: bool) -> None:
        self._network = network
        self._lock = Lock()
        self.call: nn.Module = torch.compile(network) if compiled else network
        """The network, or the compiled one, which has to be asked for anew for every call."""

    @property
    def is_compiled(self) -> bool:
        """Whether calls go through what torch compiled."""
        return self.call is not self._network

    def gives_up(self, called: nn.Module, error: RuntimeError) -> str | None:
        """Tell that an error of a step that called this was the compiler's; the network is called as it is from now on.

        None where it was another error; nothing to tell ("") where another part of the step has told it.
        """
        if called is self._network:
            return None
        from torch._dynamo.exc import TorchDynamoException  # slow to import, and only a compiler raises it

        if not isinstance(error, TorchDynamoException):
            return None
        with self._lock:
            is_told, self.call = not self.is_compiled, self._network
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        going_on = "Training goes on without, more slowly; what is learnt stays the same."
        return "" if is_told else f"The network can't be compiled here ({why}). {going_on}"
