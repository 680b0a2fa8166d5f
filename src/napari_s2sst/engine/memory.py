"""A step's batch -> its results, in as few parts as the memory holds.

The losses and gradients of a batch's parts add up to those of the whole (see :meth:`.Batch.parts`). So a batch that is too
large for the memory is halved until its parts fit, one after the other, and every step learns from as much as before.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

from .errors import TrainingError
from .objective import Batch
from .shards import Shards

Result = TypeVar("Result")

_WORDS = ("out of memory", "can't allocate memory", "could not create a primitive")
"""What GPUs, the CPU's allocator and oneDNN say where they raise no error of their own kind."""


def is_shortage(error: RuntimeError) -> bool:
    """Whether the computing library failed for want of memory."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in str(error).lower() for words in _WORDS)


def give_back_memory() -> None:
    """What nobody uses any more, to the device and to other programs."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def in_parts(shards: Shards, work: Callable[[Batch], Result], batch: Batch, count: int) -> tuple[list[Result], int]:
    """The work's result for each of ``count`` parts of the batch, or of twice as many until they fit; and how many.

    Raises :class:`TrainingError` when not even parts of one slide and one picture patch fit.
    """
    most = max(1, len(batch.slide.values), len(batch.pictures))
    while True:
        try:
            return shards.map(work, batch.parts(count)), count
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
