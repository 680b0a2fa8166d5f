"""An unfinished training <-> one safetensors file, from which it goes on as if it had never been ended.

The file holds numbers (weights, optimiser moments, running mean, best and last good weights) and JSON (settings, random
state, where it stands, the rows of losses); nothing in it is ever executed. What it is for is told by hashes of the
measured bins and of the first weights, the settings and the version of the program.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from ..config import RunConfig
from ..device import label
from ..errors import CheckpointError, ExportError, S2SSTError
from ..events import Unsaved, Validated
from ..files import written_whole
from ..maps import SparseMap
from ..network.model import Trained, read_tensors
from ..provenance import sparse_hash, versions
from .learner import Learner
from .mishaps import Recovery
from .patches import SlidePatches
from .validation import BestWeights

FORMAT = "napari-s2sst training 1"

CHECKPOINT_NAME = "checkpoint.safetensors"
"""In the folder of a run's results, until those are written."""

ELSEWHERE = ("device", "precision", "compiled")
"""Settings that may change from one part of a training to the next, so that it can go on on another machine."""

_ROWS = "rows as JSON"
"""They grow with the time, and a safetensors file's header may not, so they travel as bytes."""


@dataclass(frozen=True)
class Unfinished:
    """What a checkpoint is of, for a person to decide whether to go on from it."""

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
class Saved:
    """All of a checkpoint."""

    path: Path
    identity: Mapping[str, Any]
    state: Mapping[str, Any]
    rows: list[dict[str, Any]]
    tensors: Mapping[str, Tensor]

    def group(self, name: str) -> dict[str, Tensor]:
        """The tensors that were saved under ``name.``, without it."""
        start = f"{name}."
        return {key.removeprefix(start): each for key, each in self.tensors.items() if key.startswith(start)}


def identity(maps: Sequence[SparseMap], config: RunConfig, first: Trained | None) -> dict[str, Any]:
    """What a checkpoint must share with a training that goes on from it; plain values for JSON."""
    return {
        "genes": [sparse.gene for sparse in maps],
        "input_sha256": sparse_hash(maps),
        "first_sha256": None if first is None else _hash(first.weights),
        "config": config.model_dump(mode="json"),
        "program": versions()["napari-s2sst"],
    }


def save_state(
    path: Path,
    identity: Mapping[str, Any],
    state: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    groups: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Write a checkpoint; the one before it is replaced only once the new one is whole and on the disk.

    A folder that was removed is made again, one that lay deeper is not. Raises :class:`ExportError`.
    """
    tensors = {f"{group}.{name}": each for group, parts in groups.items() for name, each in parts.items()}
    tensors = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    tensors[_ROWS] = torch.frombuffer(bytearray(json.dumps(list(rows)).encode()), dtype=torch.uint8)
    told = {
        "format": FORMAT,
        "identity": json.dumps(identity),
        "state": json.dumps(state),
        "saved_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_state(path, save(tensors, told))


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
    told, tensors = _read(path, with_tensors=True)
    try:
        rows = json.loads(tensors.pop(_ROWS).numpy().tobytes())
        return Saved(path, json.loads(told["identity"]), json.loads(told["state"]), list(rows), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error


def unfinished(path: str | Path) -> Unfinished | None:
    """What a checkpoint is of, read without its weights; None where there is no file. Raises :class:`CheckpointError`."""
    path = Path(path).expanduser()
    if not path.is_file():
        return None
    told, _ = _read(path, with_tensors=False)
    try:
        of, state = json.loads(told["identity"]), json.loads(told["state"])
        return Unfinished(
            path=path,
            genes=tuple(of["genes"]),
            config=RunConfig.parsed(of["config"]),
            input_sha256=str(of["input_sha256"]),
            step=int(state["step"]),
            steps=None if state["steps"] is None else int(state["steps"]),
            seconds=float(state["seconds"]),
            device=str(state["device"]),
            saved_at=told["saved_at"],
        )
    except (KeyError, TypeError, ValueError, S2SSTError) as error:
        raise damaged(path, error) from error


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
    if different := _differences(theirs.get("config", {}), ours["config"]):
        raise CheckpointError(f"{path} is the checkpoint of a training with other settings: {different}. {advice}")
    if ours["first_sha256"] is not None and theirs.get("first_sha256") != ours["first_sha256"]:
        raise CheckpointError(f"{path} is the checkpoint of a training that began with other weights. {advice}")
    if theirs.get("program") != ours["program"]:
        raise CheckpointError(
            f"{path} was written by version {theirs.get('program')} of this program, and this is version {ours['program']}. "
            f"{advice}"
        )


def remove_checkpoint(path: Path) -> None:
    """The file, and what a killed process left half-written beside it."""
    for each in (path, *path.parent.glob(f".{path.name}.*.part")):
        with contextlib.suppress(OSError):
            each.unlink()


def damaged(path: Path, error: Exception) -> CheckpointError:
    """The error of a checkpoint whose content makes no sense."""
    return CheckpointError(f"{path} is a checkpoint with a damaged record ({error}). Begin anew without resuming.")


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, str], dict[str, Tensor]]:
    advice = "Begin anew without resuming."
    return read_tensors(path, FORMAT, kind="a checkpoint", advice=advice, with_tensors=with_tensors)


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """``batch 8 instead of 16``: what the checkpoint has, and this training."""
    theirs, ours = _flat(theirs), _flat(ours)
    names = [name for name in {**ours, **theirs} if name not in ELSEWHERE and theirs.get(name) != ours.get(name)]
    return ", ".join(f"{name} {theirs.get(name)} instead of {ours.get(name)}" for name in names)


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    inner = {name: value for part in config.values() if isinstance(part, Mapping) for name, value in part.items()}
    return {name: value for name, value in config.items() if not isinstance(value, Mapping)} | inner


def _hash(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# ---- A training <-> its checkpoint: what of it is kept, and put back so that it goes on bit for bit.

EVERY_S = 30.0
"""Work that a crash may cost."""


class Keepable(Protocol):
    """A training, as far as it is kept."""

    maps: list[SparseMap]
    config: RunConfig
    device: torch.device
    learner: Learner
    recovery: Recovery
    best: BestWeights
    patches: SlidePatches
    rng: np.random.Generator
    parts: int
    step: int
    steps: int | None
    began: float
    spent_s: float
    durations: list[float]
    since: list[dict[str, float]]
    rows: list[dict[str, Any]]
    ended: str


@dataclass
class CheckpointWriter:
    """Where a training keeps its state, how often, and whether it begins with what is kept there."""

    path: Path
    every_s: float = EVERY_S
    resume: bool = False

    def __post_init__(self) -> None:
        self._identity: dict[str, Any] = {}
        self._saved_at = time.perf_counter()
        self._told = False

    def saved(self) -> Saved | None:
        """What the training is to go on from, if anything. Raises :class:`CheckpointError`."""
        return load_state(self.path) if self.resume and self.path.is_file() else None

    def begin(self, run: Keepable, saved: Saved | None, first: Trained | None) -> None:
        """Put back what was saved, if it is of this training. Raises :class:`CheckpointError`."""
        self._identity = identity(run.maps, run.config, first)
        if saved is None:
            return
        check_same(saved, self._identity)
        self._identity["first_sha256"] = saved.identity.get("first_sha256")
        try:
            _put_back(saved, run)
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise damaged(self.path, error) from error

    def hurry(self) -> None:
        """Save after this step, whatever the time: something came to be known that only the clock decides."""
        self._saved_at = float("-inf")

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.perf_counter() - self._saved_at >= self.every_s

    def save(self, run: Keepable) -> Unsaved | None:
        """Write the state of a run between two steps; what to tell the user where that can't be done."""
        self._saved_at = time.perf_counter()
        groups = {
            "now": run.learner.tensors(),
            "good": run.recovery.good or {},
            "best": run.best.weights or {},
            "held_out": run.best.losses(),
            "patches": {"queue": torch.from_numpy(run.patches.queue)},
        }
        try:
            save_state(self.path, self._identity, _state(run), run.rows, groups)
        except ExportError as error:
            told, self._told = self._told, True
            return None if told else Unsaved(run.step, f"{error} Training goes on, and tries again.")
        self._told = False
        return None


def _state(run: Keepable) -> dict[str, Any]:
    return {
        "step": run.step,
        "steps": run.steps,
        "seconds": time.perf_counter() - run.began,
        "spent_s": run.spent_s,
        "durations": run.durations,
        "since": run.since,
        "random": run.rng.bit_generator.state,
        "parts": run.parts,
        "ended": run.ended,
        "recovery": run.recovery.record(),
        "best": run.best.record(),
        "device": label(run.device),
    }


def _put_back(saved: Saved, run: Keepable) -> None:
    """Raises KeyError, TypeError, ValueError or RuntimeError where something is missing or of another kind."""
    state = saved.state
    run.learner.restore(saved.group("now"))
    run.recovery.restore(state["recovery"], saved.group("good"))
    run.best.restore(state["best"], saved.group("best"), saved.group("held_out"))
    run.patches.queue = saved.tensors["patches.queue"].numpy()
    run.rng.bit_generator.state = state["random"]
    run.step = int(state["step"])
    run.steps = None if state["steps"] is None else int(state["steps"])
    run.began = time.perf_counter() - float(state["seconds"])
    run.spent_s, run.durations = float(state["spent_s"]), [float(each) for each in state["durations"]]
    run.since, run.rows = list(state["since"]), saved.rows
    run.parts, run.ended = max(run.parts, int(state["parts"])), str(state["ended"])


def validated_before(rows: list[dict[str, Any]]) -> list[Validated]:
    """The events of the validations that a checkpoint's rows tell of."""
    names = {"step", "held_out_mae", "training_mae"}
    return [Validated(**{name: row[name] for name in names}) for row in rows if names <= row.keys()]
