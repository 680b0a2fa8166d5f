"""Which processor computes: CUDA, then MPS, then the CPU, which always works."""

from __future__ import annotations

import contextlib
import os
import platform
from pathlib import Path

import torch

from .errors import ConfigError

_CPU = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
"""What the processor can do; older versions of torch don't tell."""

CAN_YIELD = hasattr(os, "setpriority") and platform.system() == "Linux"
"""Whether a thread can be given a low priority of its own."""

CORES = max(1, torch.get_num_threads() - (not CAN_YIELD))
"""Threads that compute. Where they can't be given a low priority, one core stays free for the window."""


def devices() -> list[tuple[str, str]]:
    """(name, label with free memory) of every device here, the best first; the CPU is always the last.

    Such as ``("cuda:0", "NVIDIA H200, 139 GB, 120 GB free")``; what the system doesn't tell is left out.
    """
    return [(place, ", ".join([name, *_memory(place)])) for place, name in _named()]


def choose_device(name: str = "auto") -> torch.device:
    """The named device, or the best one for ``auto``. Raises :class:`ConfigError` when it is not there."""
    here = [place for place, _ in _named()]
    if name == "auto":
        return torch.device(here[0])
    wanted = "cuda:0" if name == "cuda" else name
    if wanted not in here:
        raise ConfigError(f"There is no device {name!r} here. Choose auto or one of {', '.join(here)}.")
    return torch.device(wanted)


def label(device: torch.device) -> str:
    """The device as a user would name it, without what changes from minute to minute."""
    names = dict(_named())
    return names.get(str(device), str(device))


def _named() -> list[tuple[str, str]]:
    devices_here = [
        (f"cuda:{i}", torch.cuda.get_device_name(i))
        for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    ]
    if torch.backends.mps.is_available():
        devices_here.append(("mps", "Apple GPU"))
    return [*devices_here, ("cpu", f"CPU, {CORES} core{'s' if CORES > 1 else ''}")]


def _memory(place: str) -> list[str]:
    """``["139 GB", "120 GB free"]``, as far as it is known."""
    if place.startswith("cuda"):
        free, whole = torch.cuda.mem_get_info(int(place.removeprefix("cuda:")))
        return [_gigabytes(whole), f"{_gigabytes(free)} free"]
    if place == "mps":
        return [f"{_gigabytes(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())} free"]
    free = free_memory_bytes()
    return [] if free is None else [f"{_gigabytes(free)} free"]


def free_memory_bytes() -> int | None:
    """Bytes that a program can still take of the computer's memory; None where the system doesn't tell.

    Linux counts caches that it would give up as available, and a container's limit below that of its machine.
    """
    limits = []
    with contextlib.suppress(OSError, StopIteration, ValueError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        limits.append(1024 * int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]))
    with contextlib.suppress(OSError, ValueError):  # "max" where there is no limit
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        limits.append(max(0, most - int((group / "memory.current").read_text())))
    if not limits:
        with contextlib.suppress(AttributeError, OSError, ValueError):  # no sysconf on Windows, no such name on a Mac
            limits.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def _gigabytes(count: int) -> str:
    """``17 GB``, ``0.8 GB``."""
    size = count / 2**30
    return f"{size:.0f} GB" if size >= 10 else f"{size:.1f} GB"


def resolve_precision(device: torch.device, precision: str) -> str:
    """The precision that ``auto`` means on this device: bfloat16 where the hardware multiplies it, else float32."""
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
