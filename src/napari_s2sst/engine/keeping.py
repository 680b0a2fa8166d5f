"""A training <-> its checkpoint: what of it is kept, and put back so that it goes on bit for bit."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from .best_weights import BestWeights
from .config import RunConfig
from .device import label
from .errors import CheckpointError, ExportError
from .events import Unsaved, Validated
from .learner import Learner
from .maps import SparseMap
from .patches import SlidePatches
from .recovery import Recovery
from .trained import Trained
from .training_state import Saved, check_same, damaged, identity, load_state, save_state

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
class Keeping:
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
