"""Which processor computes: CUDA, then MPS, then the CPU, which always works."""

from __future__ import annotations

import contextlib
import os
import platform

import torch

from .errors import ConfigError

_CPU = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
"""What the processor can do; older versions of torch don't tell."""


CAN_YIELD = hasattr(os, "setpriority") and platform.system() == "Linux"

CORES = max(1, torch.get_num_threads() - (not CAN_YIELD))
"""Threads that compute. Where they can't be given a low priority, one core stays free for the window."""


def devices() -> list[tuple[str, str]]:
    """(name, label) of every device here, the best first; the CPU is always the last."""
    found = [
        (f"cuda:{i}", f"{torch.cuda.get_device_name(i)}, {torch.cuda.mem_get_info(i)[0] / 2**30:.0f} GB free")
        for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    if torch.backends.mps.is_available():
        found.append(("mps", "Apple GPU"))
    return [*found, ("cpu", f"CPU, {CORES} thread{'s' if CORES > 1 else ''}")]


def choose_device(name: str = "auto") -> torch.device:
    """The named device, or the best one for ``auto``. Raises :class:`ConfigError` when it is not there."""
    here = [place for place, _ in devices()]
    if name == "auto":
        return torch.device(here[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise ConfigError(f"There is no device {name!r} here. Choose auto or one of {', '.join(here)}.")
    return torch.device(wanted)


def label(device: torch.device) -> str:
    """The device as a user would name it."""
    names = dict(devices())
    return names.get(str(device), str(device))


def resolve_precision(device: torch.device, precision: str) -> str:
    """``auto`` as what it means on this device: bfloat16 where the hardware multiplies it, else float32."""
    if precision != "auto":
        return precision
    on_gpu = device.type == "cuda" and torch.cuda.is_bf16_supported()
    on_cpu = device.type == "cpu" and _CPU.get("avx512_bf16", False)
    return "bfloat16" if on_gpu or on_cpu else "float32"


def arithmetic(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """A context in which the network computes with the wanted precision; its weights stay float32."""
    if resolve_precision(device, precision) == "float32":
        return contextlib.nullcontext()
    return torch.autocast(device.type, torch.bfloat16)
