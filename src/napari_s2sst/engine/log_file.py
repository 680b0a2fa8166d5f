"""What goes wrong -> a log file in the user's log folder, without names of places and people, never larger than it should be."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

from .kept_training import STATE_VARIABLE
from .private_names import without_names

LOG_NAME = "napari-s2sst.log"
MAX_BYTES = 500_000
"""Then it becomes the old log, of which there is one."""

LOGGER = "napari_s2sst"
"""Our whole package's."""


class LogFile(logging.Handler):
    """Opens the file for each line, so that any number of windows can write to it and a full one be moved away.

    A process's first line, and a new file's, is preceded by what it runs with. Where nothing can be written, nothing happens:
    a log must end no run.
    """

    def __init__(self, about: Mapping[str, str]) -> None:
        super().__init__(logging.WARNING)
        self._about = "\n".join(f"    {name}: {value}" for name, value in about.items())
        self._told = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            path, text = log_path(), f"{without_names(self.format(record))}\n"
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size + len(text) + len(self._about) > MAX_BYTES:
                os.replace(path, old_log_path())
            if not self._told or not path.exists():
                text = without_names(f"\nprocess {record.process} runs with\n{self._about}\n") + text
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            self._told = True
        except OSError:
            pass


def log_path() -> Path:
    """Need not exist."""
    from platformdirs import user_log_path

    chosen = os.environ.get(STATE_VARIABLE)
    return (Path(chosen).expanduser() if chosen else user_log_path("napari-s2sst", appauthor=False)) / LOG_NAME


def old_log_path() -> Path:
    """What was in the log before it grew too large."""
    return log_path().with_suffix(".old.log")


def begin_log(about: Mapping[str, str]) -> None:
    """From now on warnings and errors of this package go to the file; once, however often it is asked for."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(each, LogFile) for each in logger.handlers):
        handler = LogFile(about)
        handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


def read_log() -> str:
    """The old log and the present one; "" where there is none."""
    texts = []
    for path in (old_log_path(), log_path()):
        try:
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return "".join(texts)
