"""Warnings and errors of this package -> a log file in the user's log folder, never larger than it should be.

Neither it nor a report made of it names places or people: the home folder, the slide's folder and files, and regions are
hidden first.
"""

from __future__ import annotations

import logging
import os
import re
import site
import sys
import sysconfig
import threading
from collections.abc import Mapping
from pathlib import Path

from ..files import STATE_VARIABLE

LOG_NAME = "napari-s2sst.log"
MAX_BYTES = 500_000
"""Then it becomes the old log, of which there is one."""

LOGGER = "napari_s2sst"
"""Our whole package's."""

MIN_LETTERS = 3
"""A shorter name would be found everywhere; it also tells nobody anything."""

_names: dict[str, str] = {}
_guard = threading.Lock()

_ROOT = r"(?:[A-Za-z]:[\\/]|\\\\|~?/)"
_LETTER = r"[^\s\"'`<>|:;,()\[\]{}\\/]"
_QUOTED = re.compile(rf"([\"'`]){_ROOT}[^\n]*?\1")
_PATH = re.compile(rf"(?<![\w.<>…/\\-]){_ROOT}(?:{_LETTER}+[\\/]+)*{_LETTER}+")
"""An absolute path of any system; one that stands in no quotes ends at the first space."""


def hide_path(path: str | Path, name: str) -> None:
    """Tell, from now on, this path and its last part as ``<name>``, the folders above it as ``<name's folder>``."""
    path = Path(path).expanduser()
    places = {path, path.absolute(), path.resolve()}
    for place in places:
        _remember(str(place), f"<{name}>")
        _remember(str(place).replace("\\", "/"), f"<{name}>")
        for above in place.parents:
            if len(above.parts) > 2:
                _remember(str(above), f"<{name}'s folder>")
    hide_name(path.name, name)


def hide_name(text: str, name: str) -> None:
    """Tell, from now on, this word or these words as ``<name>``."""
    if len(text.strip()) >= MIN_LETTERS:
        _remember(text.strip(), f"<{name}>")


def without_names(text: str) -> str:
    """Replace in a text all that was hidden, the home folder and every other absolute path.

    Files of the program, of Python and its packages stay, from the last folder on that tells which they are.
    """
    with _guard:
        names = dict(_names)
    for prefix in _own_places():
        text = text.replace(prefix, "…")
    text = _replaced(text, names)
    home = str(Path.home())
    if len(Path.home().parts) > 1:
        text = text.replace(home, "~").replace(home.replace("\\", "\\\\"), "~")
    return _PATH.sub("<path>", _QUOTED.sub(r"\1<path>\1", text))


def _replaced(text: str, names: dict[str, str]) -> str:
    """Replace all names at once, the longest first: none replaces a word of what stands for another (a slide called "slide")."""
    forms = {form: instead for name, instead in names.items() for form in (name, name.replace("\\", "\\\\"))}
    if not forms:
        return text
    any_form = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{any_form})(?![\w-])", lambda name: forms[name[0]], text)


def _remember(text: str, instead: str) -> None:
    with _guard:
        _names.setdefault(text, instead)


def _own_places() -> list[str]:
    """Folders where programs lie, the deepest first."""
    import napari_s2sst

    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), sys.prefix, sys.base_prefix, str(Path(napari_s2sst.__file__).parent.parent)}
    return sorted((path for path in paths if path and len(Path(path).parts) > 2), key=len, reverse=True)


class LogFile(logging.Handler):
    """A handler that opens the file for each line, so that any number of windows can write to it and a full one be moved away.

    A process's first line, and a new file's, is preceded by what it runs with. Where nothing can be written, nothing happens:
    a log must end no run.
    """

    def __init__(self, about: Mapping[str, str]) -> None:
        super().__init__(logging.WARNING)
        self._about = "\n".join(f"    {name}: {value}" for name, value in about.items())
        self._has_begun = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            path, text = log_path(), f"{without_names(self.format(record))}\n"
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and path.stat().st_size + len(text) + len(self._about) > MAX_BYTES:
                os.replace(path, old_log_path())
            if not self._has_begun or not path.exists():
                text = without_names(f"\nprocess {record.process} runs with\n{self._about}\n") + text
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            self._has_begun = True
        except OSError:
            pass


def log_path() -> Path:
    """Place the log, which need not exist."""
    from platformdirs import user_log_path

    chosen = os.environ.get(STATE_VARIABLE)
    return (Path(chosen).expanduser() if chosen else user_log_path("napari-s2sst", appauthor=False)) / LOG_NAME


def old_log_path() -> Path:
    """Place what was in the log before it grew too large."""
    return log_path().with_suffix(".old.log")


def begin_log(about: Mapping[str, str]) -> None:
    """Send warnings and errors of this package to the file from now on; once, however often it is asked for."""
    logger = logging.getLogger(LOGGER)
    if not any(isinstance(handler, LogFile) for handler in logger.handlers):
        handler = LogFile(about)
        handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


def read_log() -> str:
    """Read the old log and the present one; "" where there is none."""
    texts = []
    for path in (old_log_path(), log_path()):
        try:
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
    return "".join(texts)
