"""A text for a report -> the same without names of places and people: home, the slide's folder and files, regions."""

from __future__ import annotations

import re
import site
import sys
import sysconfig
import threading
from pathlib import Path

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
    """From now on this path and its last part are told as ``<name>``, the folders above it as ``<name's folder>``."""
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
    """From now on this word or these words are told as ``<name>``."""
    if len(text.strip()) >= MIN_LETTERS:
        _remember(text.strip(), f"<{name}>")


def without_names(text: str) -> str:
    """The text with all that was hidden, the home folder and every other absolute path replaced.

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
    """In one go, the longest first: a name never replaces a word of what stands for another (a slide called "slide")."""
    forms = {form: instead for name, instead in names.items() for form in (name, name.replace("\\", "\\\\"))}
    if not forms:
        return text
    any_form = "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
    return re.sub(rf"(?<![\w.-])(?:{any_form})(?![\w-])", lambda found: forms[found[0]], text)


def _remember(text: str, instead: str) -> None:
    with _guard:
        _names.setdefault(text, instead)


def _own_places() -> list[str]:
    """Where programs lie, the deepest first."""
    import napari_s2sst

    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    paths |= {*site.getsitepackages(), sys.prefix, sys.base_prefix, str(Path(napari_s2sst.__file__).parent.parent)}
    return sorted((path for path in paths if path and len(Path(path).parts) > 2), key=len, reverse=True)
