"""Versions, devices, settings and log -> one text to attach to a report of an error; no data of a slide."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..config import RunConfig
from ..files import written_whole
from .log import read_log, without_names

PACKAGES = (
    "napari-s2sst", "napari", "npe2", "qtpy", "PyQt6", "PySide6", "superqt", "pyqtgraph", "torch", "numpy", "scipy",
    "scikit-image", "pyarrow", "zarr", "tifffile", "anndata", "pydantic", "shapely",
)  # fmt: skip

MAX_LOG_LETTERS = 400_000
"""The end of the log counts."""

HEADING = "Report of napari-s2sst. It holds no counts, gene maps or pictures; names of folders and slides are replaced."


def environment() -> dict[str, str]:
    """Name the program, the machine and the packages, as far as that costs nothing: see :func:`processors`."""
    facts = {
        "platform": platform.platform(),
        "python": sys.version.replace("\n", " "),
        "processors": str(os.cpu_count()),
    }
    for name in PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "not installed"
    return facts


def processors() -> dict[str, str]:
    """Ask torch what it was built for and finds. Imports it."""
    import torch

    from ..device import devices

    return {
        "torch build": f"{torch.__version__}, CUDA {torch.version.cuda or 'none'}, threads {torch.get_num_threads()}",
        "devices": "; ".join(f"{name} ({label})" for name, label in devices()),
    }


def settings_text(config: RunConfig) -> str:
    """Write every setting on one line; what is a path goes with the other names."""
    return json.dumps(config.model_dump(mode="json"))


def report_text(config: RunConfig | None, facts: Mapping[str, str]) -> str:
    """Write the whole report. ``facts``: what only the caller knows, such as the Qt binding and what the window is doing; no names.

    They stay as they are, so that a slide in a folder called ``slide`` does not turn "no slide" into a riddle.
    """
    lines = [HEADING, "", f"made: {datetime.now(UTC).isoformat(timespec='seconds')}"]
    lines += [f"{name}: {value}" for name, value in {**environment(), **processors(), **facts}.items()]
    settings = "none: no window is open" if config is None else without_names(settings_text(config))
    lines += ["", "Settings", settings, "", "Log", without_names(read_log()[-MAX_LOG_LETTERS:]) or "empty"]
    return "\n".join(lines) + "\n"


def save_report(path: str | Path, config: RunConfig | None, facts: Mapping[str, str]) -> Path:
    """Write :func:`report_text` into one file. Raises :class:`ExportError` where it can't be written."""
    path = Path(path).expanduser()
    text = report_text(config, facts)
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")
    return path
