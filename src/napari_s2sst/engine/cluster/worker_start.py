"""What a worker of this computer does first, as Dask's `preload` calls it. Light, so that workers are there soon."""

from __future__ import annotations

import contextlib
import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Leave Ctrl-C and a closed terminal to the process that started the worker: it ends its workers itself."""
    for number in (signal.SIGINT, getattr(signal, "SIGHUP", None)):
        if number is not None:
            with contextlib.suppress(ValueError):  # not in the main thread
                signal.signal(number, signal.SIG_IGN)
