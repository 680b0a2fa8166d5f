"""Linear algebra in one thread: many small products take no more of it, and other threads are at work in the network.

BLAS libraries let each product take every core, and wait busily for its end; beside a network on the same two cores that cost
a map of 340 x 252 bins a sixth of its time. How many threads they take belongs to the whole process. threadpoolctl lets only
one thread at a time change it, and of two that overlap the last would put back what the first had set: so one thread does it
for all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_lock = Lock()
_inside = 0
_limit = ExitStack()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """May be nested, and entered by several threads at a time; the last that leaves puts back what was before."""
    global _inside
    with _lock:
        if not _inside:
            _keeper().submit(_begin).result()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _keeper().submit(_limit.close).result()


def _begin() -> None:
    _limit.enter_context(_controller().limit(limits=1, user_api="blas"))


@cache
def _keeper() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "s2sst-blas")


if hasattr(os, "register_at_fork"):  # threads do not come along
    os.register_at_fork(after_in_child=_keeper.cache_clear)


@cache
def _controller() -> ThreadpoolController:
    """Looking for the libraries takes some ms; those of numpy and scipy are loaded by then."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
