"""A safetensors file of ours -> what it says of itself, and its tensors. Nothing in it is ever executed."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import CheckpointError

TRIES = 50
"""Readings of a file that another process replaces meanwhile; one takes about a millisecond."""

Content = tuple[dict[str, str], dict[str, Tensor]]


def read_tensors(path: Path, wanted: str, *, kind: str, advice: str, with_tensors: bool = True) -> Content:
    """(the header's notes, name -> tensor), without tensors where only the notes are asked for.

    ``wanted``: the format that the notes must name. Raises :class:`CheckpointError`, which calls the file ``kind`` and
    ends with ``advice``.
    """
    try:
        notes, tensors = _all_of_one_file(path, wanted, with_tensors)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} can't be read as {kind} ({error}). {advice}") from error
    if notes.get("format") != wanted:
        found = notes.get("format", "something of another program")
        raise CheckpointError(f"{path} holds {found}, and {wanted!r} is needed. {advice}")
    return notes, tensors


def _all_of_one_file(path: Path, wanted: str, with_tensors: bool) -> Content:
    """safetensors opens a path twice, for the header and for the data: of a file that was replaced in between it would
    take the one from the old and the other from the new, so such a reading is thrown away.
    """
    for _ in range(TRIES):
        before = _which(path)
        try:
            content = _read(path, wanted, with_tensors)
        except (SafetensorError, RuntimeError):
            if _which(path) == before:
                raise
            continue
        if _which(path) == before:
            return content
    raise OSError("another process replaces it all the time")


def _read(path: Path, wanted: str, with_tensors: bool) -> Content:
    with safe_open(path, framework="pt") as file:
        notes = file.metadata() or {}
        names = file.keys() if with_tensors and notes.get("format") == wanted else ()
        return notes, {name: file.get_tensor(name) for name in names}


def _which(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns
