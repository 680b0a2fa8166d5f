"""Who computes on how many threads: a batch in parts, one for each core, and linear algebra in a single thread.

Gradients and predictions of the parts add up to those of the whole. Threads inside an operation wait for each other busily:
when another program takes one of their cores, every operation takes many times as long (measured: 50 times on two cores). Here
every part is one thread's own work from its first operation to its last, at low priority, so that windows and other programs
stay quick and cost it only the time they take.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from .device import CAN_YIELD, CORES

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

NICENESS = 10
"""Of the computing threads, where the system knows a thread's own priority (Linux)."""

Input = TypeVar("Input")
Result = TypeVar("Result")

_lock = Lock()
_inside = 0
_limit = ExitStack()


def _begin(threads: int) -> None:
    torch.set_num_threads(threads)
    if CAN_YIELD:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let the calling thread compute alone what it does between the parts, so that results repeat bit for bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def set_gradients(weights: Sequence[Tensor], parts: Sequence[Sequence[Tensor]]) -> None:
    """Make each weight's gradient the sum of its parts', always added in the same order, so that results repeat bit for bit.

    It is in the weight's own memory order, which the fused Adam takes for granted.
    """
    for weight, *own in zip(weights, *parts, strict=True):
        weight.grad = torch.empty_like(weight).copy_(own[0])
        for other in own[1:]:
            weight.grad += other


class CorePool:
    """Computes parts side by side on the CPU, and one after the other where there is one core or a GPU."""

    def __init__(self, most: int, device: torch.device) -> None:
        """``most``: parts that the work can be cut into."""
        self.count = max(1, min(CORES, most)) if device.type == "cpu" else 1
        self._pool = None
        if device.type == "cpu":
            self._pool = ThreadPoolExecutor(self.count, "s2sst", _begin, (max(1, CORES // self.count),))

    def map(self, work: Callable[[Input], Result], parts: Iterable[Input]) -> list[Result]:
        """The results in the order of the parts, whatever the order in which they were ready."""
        return [work(part) for part in parts] if self._pool is None else list(self._pool.map(work, parts))

    def close(self) -> None:
        """Give the threads back."""
        if self._pool is not None:
            self._pool.shutdown()

    def __enter__(self) -> CorePool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Do linear algebra in one thread: many small products gain nothing from more, and other threads are at work in the network.

    BLAS libraries let each product take every core and wait busily for its end; beside a network on the same two cores that
    cost a map of 340 x 252 bins a sixth of its time. How many threads they take belongs to the whole process. threadpoolctl
    lets one thread at a time change it, and of two that overlap the last would put back what the first had set: so one
    thread does it for all. May be nested, and entered by several threads; the last that leaves puts back what was before.
    """
    global _inside
    with _lock:
        if not _inside:
            _keeper().submit(_begin_blas).result()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _keeper().submit(_limit.close).result()


def _begin_blas() -> None:
    _limit.enter_context(_controller().limit(limits=1, user_api="blas"))


@cache
def _keeper() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "s2sst-blas")


if hasattr(os, "register_at_fork"):  # threads do not come along
    os.register_at_fork(after_in_child=_keeper.cache_clear)


@cache
def _controller() -> ThreadpoolController:
    """The libraries of linear algebra; looking for them takes some ms, and those of numpy and scipy are loaded by then."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
