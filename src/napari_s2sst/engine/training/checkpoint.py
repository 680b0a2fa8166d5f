"""An unfinished training <-> one safetensors file, from which it goes on bit for bit as if it had never been ended.

checkpoint.safetensors
  now.*, good.*, best.*      weights: the present ones with their moments and running mean, the last good ones, the best
  held_out.*                 errors on the held-out bins, with the best and with the first weights
  patches.queue              positions of patches that are still to come
  rows as JSON               the loss curve
  header                     format, saved_at, identity (JSON: what the training is of), state (JSON: where it stands)

Nothing in it is ever executed: tensors are numbers, the rest is JSON. What it is of is told by hashes of the measured bins and
of the first weights, the settings and the version of the program. How often it is written, and what the user hears when it
can't be, is the writer's to know.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from ..config import CHECKPOINT_EVERY_S, DECIDES_LAST_DIGITS, RunConfig, flat_settings, setting_differences
from ..errors import CheckpointError, ExportError, S2SSTError
from ..events import Unsaved
from ..files import written_whole
from ..maps import SparseMap
from ..network.model import Trained, read_tensors
from ..provenance import sparse_hash, versions

FORMAT = "napari-s2sst training 1"

CHECKPOINT_NAME = "checkpoint.safetensors"
"""In the folder of a run's results, until those are written."""


_ROWS = "rows as JSON"
"""They grow with the time, and a safetensors file's header may not, so they travel as bytes."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """Facts of a checkpoint, for a person to decide whether to go on from it."""

    path: Path
    genes: tuple[str, ...]
    config: RunConfig
    """With its stride; ``start_from`` names the first weights, which are not needed any more."""
    input_sha256: str
    """Of the measured bins, as :func:`.sparse_hash` makes it."""
    step: int
    steps: int | None
    """In all; None while a time limit has not become a number of steps."""
    seconds: float
    """Spent so far."""
    device: str
    saved_at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All of a training between two steps."""

    state: Mapping[str, Any]
    """Where it stands; plain values for JSON."""
    rows: Sequence[Mapping[str, Any]]
    """Of the loss curve."""
    groups: Mapping[str, Mapping[str, Tensor]]
    """Group -> name -> tensor; a group without tensors may be left out."""

    def group(self, name: str) -> Mapping[str, Tensor]:
        """The tensors of one group."""
        return self.groups.get(name, {})


@dataclass(frozen=True, eq=False)
class Saved:
    """A checkpoint as it was read."""

    path: Path
    identity: Mapping[str, Any]
    """As :func:`identity` makes it."""
    snapshot: Snapshot


def identity(maps: Sequence[SparseMap], config: RunConfig, first: Trained | None) -> dict[str, Any]:
    """Facts that a checkpoint must share with a training that goes on from it; plain values for JSON."""
    return {
        "genes": [sparse.gene for sparse in maps],
        "input_sha256": sparse_hash(maps),
        "first_sha256": None if first is None else _hash(first.weights),
        "config": config.model_dump(mode="json"),
        "program": versions()["napari-s2sst"],
    }


def save_state(path: Path, identity: Mapping[str, Any], snapshot: Snapshot) -> None:
    """Write a checkpoint; the one before it is replaced only once the new one is whole and on the disk.

    A folder that was removed is made again, one that lay deeper is not. Raises :class:`ExportError`.
    """
    tensors = {
        f"{group}.{name}": tensor.detach().cpu().contiguous()
        for group, named in snapshot.groups.items()
        for name, tensor in named.items()
    }
    tensors[_ROWS] = torch.frombuffer(bytearray(json.dumps(list(snapshot.rows)).encode()), dtype=torch.uint8)
    notes = {
        "format": FORMAT,
        "identity": json.dumps(identity),
        "state": json.dumps(snapshot.state),
        "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_state(path, save(tensors, notes))


def write_state(path: Path, content: bytes) -> None:
    """The bytes of a checkpoint, such as came from another computer, written as :func:`save_state` does."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(exist_ok=True)
    with written_whole(path) as beside, beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def load_state(path: Path) -> Saved:
    """Read what :func:`save_state` wrote. Raises :class:`CheckpointError`."""
    notes, tensors = _read(path, with_tensors=True)
    with damage_told(path):
        rows = json.loads(tensors.pop(_ROWS).numpy().tobytes())
        groups: dict[str, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            group, _, name = key.partition(".")
            groups.setdefault(group, {})[name] = tensor
        return Saved(path, json.loads(notes["identity"]), Snapshot(json.loads(notes["state"]), list(rows), groups))


def unfinished(path: str | Path) -> Unfinished | None:
    """Facts of a checkpoint, read without its weights; None where there is no file. Raises :class:`CheckpointError`."""
    path = Path(path).expanduser()
    if not path.is_file():
        return None
    notes, _ = _read(path, with_tensors=False)
    with damage_told(path):
        about, state = json.loads(notes["identity"]), json.loads(notes["state"])
        return Unfinished(
            path=path,
            genes=tuple(about["genes"]),
            config=RunConfig.parsed(about["config"]),
            input_sha256=str(about["input_sha256"]),
            step=int(state["step"]),
            steps=None if state["steps"] is None else int(state["steps"]),
            seconds=float(state["seconds"]),
            device=str(state["device"]),
            saved_at=notes["saved_at"],
        )


def check_same(saved: Saved, ours: Mapping[str, Any]) -> None:
    """Raises :class:`CheckpointError` when the checkpoint is of another input, start, config or version."""
    theirs, path = saved.identity, saved.path
    advice = "Go on from it with what it was made with, or begin anew without resuming."
    if theirs.get("input_sha256") != ours["input_sha256"]:
        genes = ", ".join(map(str, theirs.get("genes", ())[:5]))
        raise CheckpointError(
            f"{path} is the checkpoint of a training on other measured bins (of {genes}): another slide, gene, region, bin size "
            f"or lattice. {advice}"
        )
    settings = flat_settings(ours["config"]), flat_settings(theirs.get("config", {}))
    if different := setting_differences(*settings, ignored=DECIDES_LAST_DIGITS):
        changes = ", ".join(f"{name} {theirs_} instead of {ours_}" for name, (ours_, theirs_) in different.items())
        raise CheckpointError(f"{path} is the checkpoint of a training with other settings: {changes}. {advice}")
    if ours["first_sha256"] is not None and theirs.get("first_sha256") != ours["first_sha256"]:
        raise CheckpointError(f"{path} is the checkpoint of a training that began with other weights. {advice}")
    if theirs.get("program") != ours["program"]:
        raise CheckpointError(
            f"{path} was written by version {theirs.get('program')} of this program, and this is version {ours['program']}. "
            f"{advice}"
        )


def remove_checkpoint(path: Path) -> None:
    """Remove the file, and what a killed process left half-written beside it."""
    for leftover in (path, *path.parent.glob(f".{path.name}.*.part")):
        with contextlib.suppress(OSError):
            leftover.unlink()


@contextlib.contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Raise the error of what makes no sense in a checkpoint as a :class:`CheckpointError` that says so."""
    try:
        yield
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, RuntimeError, S2SSTError) as error:
        raise CheckpointError(
            f"{path} is a checkpoint with a damaged record ({error}). Begin anew without resuming."
        ) from error


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    advice = "Begin anew without resuming."
    return read_tensors(path, FORMAT, kind="a checkpoint", advice=advice, with_tensors=with_tensors)


def _hash(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@dataclass
class CheckpointWriter:
    """Writer of a training's checkpoints: where, how often, and whether the training begins with what is kept there."""

    path: Path
    every_s: float = CHECKPOINT_EVERY_S
    resume: bool = False

    def __post_init__(self) -> None:
        self._identity: dict[str, Any] = {}
        self._saved_at = time.perf_counter()
        self._is_problem_told = False

    def saved(self) -> Saved | None:
        """State that the training is to go on from, if any. Raises :class:`CheckpointError`."""
        return load_state(self.path) if self.resume and self.path.is_file() else None

    def begin(self, identity: Mapping[str, Any], saved: Saved | None) -> None:
        """Write checkpoints of this training, which goes on from ``saved``.

        Raises :class:`CheckpointError` if that is of another training.
        """
        self._identity = dict(identity)
        if saved is not None:
            check_same(saved, identity)
            self._identity["first_sha256"] = saved.identity.get("first_sha256")

    def hurry(self) -> None:
        """Save after this step, whatever the time: something came to be known that only the clock decides."""
        self._saved_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.perf_counter() - self._saved_at >= self.every_s

    def save(self, snapshot: Snapshot, step: int) -> Unsaved | None:
        """Write the state after this step; what to tell the user where that can't be done."""
        self._saved_at = time.perf_counter()
        try:
            save_state(self.path, self._identity, snapshot)
        except ExportError as error:
            was_told, self._is_problem_told = self._is_problem_told, True
            return None if was_told else Unsaved(step, f"{error} Training goes on, and tries again.")
        self._is_problem_told = False
        return None
