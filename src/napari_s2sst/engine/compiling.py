"""A network -> the same, compiled by torch where that is wanted and possible, and as it is where not.

Compiling takes from half a minute to some minutes, at the first step and wherever a batch has another size. On two cores of a
processor a step was no faster for it (docs/benchmarks.md); on a GPU, for which it is meant, it has not been measured.
"""

from __future__ import annotations

import warnings
from threading import Lock

import torch
from torch import nn


class Forward:
    """Calls a network; its weights stay the network's own, and are learnt through either way of calling it."""

    def __init__(self, network: nn.Module, compiled: bool) -> None:
        self._network = network
        self._lock = Lock()
        if compiled:  # what smooth maps keep are constants: to trace past that cache, as torch warns, is right
            warnings.filterwarnings("ignore", message="Dynamo detected a call to a .functools.lru_cache")
        self.call: nn.Module = torch.compile(network) if compiled else network

    @property
    def is_compiled(self) -> bool:
        return self.call is not self._network

    def gives_up(self, called: nn.Module, error: RuntimeError) -> str | None:
        """What to tell, if an error of a step that called this was the compiler's; the network is called as it is from now on.

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
