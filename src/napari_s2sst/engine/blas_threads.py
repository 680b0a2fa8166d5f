"""Linear algebra in one thread: many small products take no more of it, and other threads are at work in the network.

BLAS libraries let each product take every core, and wait busily for its end; beside a network on the same cores that costs
both half of their speed. Their number of threads belongs to the whole process, so whoever asks last puts it back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

_lock = Lock()
_inside: list[Any] = []
"""One for each that is inside; the first holds what is put back."""


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """May be nested, and entered by several threads at a time."""
    with _lock:
        _inside.append(_inside[0] if _inside else _controller().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            limiter = _inside.pop()
            if not _inside:
                limiter.restore_original_limits()


@cache
def _controller() -> ThreadpoolController:
    """Looking for the libraries takes some ms; those of numpy and scipy are loaded by then."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
