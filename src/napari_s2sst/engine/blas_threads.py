"""Linear algebra in one thread: many small products take no more of it, and other threads are at work in the network.

BLAS libraries let each product take every core, and wait busily for its end; beside a network on the same cores that costs
both a fifth of their speed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def one_blas_thread() -> AbstractContextManager:
    """May be nested. Of several threads that are inside, the first decides for the whole process and puts it back."""
    return _controller().limit(limits=1, user_api="blas")


@cache
def _controller() -> ThreadpoolController:
    """Looking for the libraries takes some ms; those of numpy and scipy are loaded by then."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
