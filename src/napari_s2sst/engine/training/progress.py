"""Where a training stands: how far it is, what its steps took, what is told of it and what was not told yet."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..events import Stepped, Validated

RECENT_STEPS = 50
"""Whose mean time says how fast it goes."""


@dataclass(kw_only=True)
class Progress:
    """All that changes from step to step, beside the network, the patches still to come and the random numbers."""

    steps: int | None
    """In all; None while a time limit has not become a number of steps."""
    parts: int
    """That a step's batch is computed in: those that run side by side, or more where the memory holds no fewer."""
    step: int = 0
    """Steps taken."""
    began: float = field(default_factory=time.perf_counter)
    """The clock at the beginning, as though the training had never been interrupted."""
    spent_s: float = 0.0
    """On steps; what passes at events, as in pauses, must not count."""
    durations_s: list[float] = field(default_factory=list)
    """Of the last steps."""
    untold_losses: list[dict[str, float]] = field(default_factory=list)
    """By term, of the steps since the last :class:`Stepped`."""
    rows: list[dict[str, Any]] = field(default_factory=list)
    """Of the loss curve: one for each :class:`Stepped` and each :class:`Validated`."""
    ended: str = ""
    """Why the training ends, when before its last step."""

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self.began

    @property
    def is_over(self) -> bool:
        """Whether no further step is to be taken."""
        return bool(self.ended) or (self.steps is not None and self.step >= self.steps)

    def add_step(self, duration_s: float) -> None:
        """Count the time of a step that was taken."""
        self.durations_s = [*self.durations_s[1 - RECENT_STEPS :], duration_s]
        self.spent_s += duration_s

    def stepped(self) -> Stepped:
        """The steps that were not told yet, as an event and a row; there must be some."""
        losses, self.untold_losses = self.untold_losses, []
        mean = {name: float(np.mean([terms[name] for terms in losses])) for name in losses[0]}
        recent_s = float(np.mean(self.durations_s))
        self.rows.append({"step": self.step, "seconds": round(self.spent_s, 3), **mean})
        return Stepped(
            step=self.step,
            steps=self.steps,
            loss=mean.pop("loss"),
            terms=mean,
            steps_per_second=1 / recent_s,
            seconds_left=None if self.steps is None else (self.steps - self.step) * recent_s,
        )

    def validated(self, held_out_mae: float, training_mae: float) -> Validated:
        """The network's errors at this step, as an event and a row."""
        row = {"step": self.step, "held_out_mae": held_out_mae, "training_mae": training_mae}
        self.rows.append(row)
        return Validated(**row)

    def validated_before(self) -> list[Validated]:
        """The events of all validations so far, from their rows."""
        names = {"step", "held_out_mae", "training_mae"}
        return [Validated(**{name: row[name] for name in names}) for row in self.rows if names <= row.keys()]

    def record(self) -> dict[str, Any]:
        """Plain values for JSON, all but the rows."""
        return {
            "step": self.step,
            "steps": self.steps,
            "seconds": self.seconds,
            "spent_s": self.spent_s,
            "durations": self.durations_s,
            "since": self.untold_losses,
            "parts": self.parts,
            "ended": self.ended,
        }

    def restore(self, record: Mapping[str, Any], rows: list[dict[str, Any]]) -> None:
        """Become what :meth:`record` and the rows were; this machine may need more parts.

        Raises KeyError, TypeError or ValueError.
        """
        self.step = int(record["step"])
        self.steps = None if record["steps"] is None else int(record["steps"])
        self.began = time.perf_counter() - float(record["seconds"])
        self.spent_s = float(record["spent_s"])
        self.durations_s = [float(duration_s) for duration_s in record["durations"]]
        self.untold_losses = list(record["since"])
        self.parts = max(self.parts, int(record["parts"]))
        self.ended = str(record["ended"])
        self.rows = rows
