"""A safetensors file of ours -> what it says of itself, and its tensors. Nothing in it is ever executed."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import CheckpointError


def read_tensors(
    path: Path, wanted: str, *, kind: str, advice: str, with_tensors: bool = True
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(the header's notes, name -> tensor), without tensors where only the notes are asked for.

    ``wanted``: the format that the notes must name. Raises :class:`CheckpointError`, which calls the file ``kind`` and
    ends with ``advice``.
    """
    try:
        with safe_open(path, framework="pt") as file:
            notes = file.metadata() or {}
            names = file.keys() if with_tensors and notes.get("format") == wanted else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} can't be read as {kind} ({error}). {advice}") from error
    if notes.get("format") != wanted:
        found = notes.get("format", "something of another program")
        raise CheckpointError(f"{path} holds {found}, and {wanted!r} is needed. {advice}")
    return notes, tensors
