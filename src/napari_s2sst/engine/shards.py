"""A batch in parts, one for each core: gradients and predictions that add up to those of the whole.

Threads inside an operation wait for each other busily: when another program takes one of their cores, every operation
takes many times as long (measured: 50 times on two cores). Here every part is one thread's own work from its first
operation to its last, at low priority, so that windows and other programs stay quick and cost it only the time they take.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from .device import CAN_YIELD, CORES

Part = TypeVar("Part")
Result = TypeVar("Result")

NICENESS = 10
"""Of the computing threads, where the system knows a thread's own priority (Linux)."""


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    if CAN_YIELD:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """What the calling thread computes itself between the parts it does alone; so that results repeat bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_gradients(weights: Sequence[Tensor], parts: Sequence[Sequence[Tensor]]) -> None:
    """Each weight's gradient becomes the sum of its parts', in the weight's own memory order, which the fused Adam takes
    for granted; always added in the same order, so that results repeat bit for bit."""
    for weight, *own in zip(weights, *parts, strict=True):
        weight.grad = torch.empty_like(weight).copy_(own[0])
        for other in own[1:]:
            weight.grad += other


class Shards:
    """Computes parts side by side on the CPU, and one after the other where there is one core or a GPU."""

    def __init__(self, most: int, device: torch.device) -> None:
        """``most``: parts that the work can be cut into."""
        self.count = max(1, min(CORES, most)) if device.type == "cpu" else 1
        self._pool = None
        if device.type == "cpu":
            self._pool = ThreadPoolExecutor(self.count, "s2sst", _begin, (max(1, CORES // self.count),))

    def map(self, work: Callable[[Part], Result], parts: Iterable[Part]) -> list[Result]:
        """The results in the order of the parts, whatever the order in which they were ready."""
        return [work(part) for part in parts] if self._pool is None else list(self._pool.map(work, parts))

    def close(self) -> None:
        """Give the threads back."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
