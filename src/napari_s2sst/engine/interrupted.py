"""Trainings that were left behind -> what a user is told of each, and whether it can go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .errors import CheckpointError
from .kept_training import KeptTraining, Record, left_behind
from .provenance import versions

if TYPE_CHECKING:
    from .training_state import Unfinished

GENES_NAMED = 3


@dataclass(frozen=True, eq=False)
class Interrupted:
    """One of them."""

    kept: KeptTraining
    record: Record | None
    """None where it can't be read."""
    unfinished: Unfinished | None
    problem: str = ""
    """Why it can't go on, as a sentence; empty where it can."""

    def sentence(self, now: datetime | None = None) -> str:
        """What the window offers, or why it can't."""
        return self.problem or _offer(self.record, self.unfinished, now or datetime.now(UTC))


def interrupted_trainings() -> list[Interrupted]:
    """All that nobody goes on with, the newest first. Imports torch if there are any."""
    return [_looked_at(kept) for kept in left_behind()]


def named(genes: Sequence[str]) -> str:
    """``LTF``, ``LTF, KRT8 and ERBB2``, ``LTF, KRT8, ERBB2 and 397 more genes``."""
    first = list(genes[:GENES_NAMED])
    more = len(genes) - len(first)
    if more:
        return f"{', '.join(first)} and {more:,} more gene{'s' if more > 1 else ''}"
    return " and ".join([", ".join(first[:-1]), first[-1]] if len(first) > 1 else first)


def day_and_time(at: datetime, now: datetime) -> str:
    """``today 17:03``, ``yesterday 17:03``, ``on 2026-11-12 at 17:03``, where the user is."""
    at, now = at.astimezone(), now.astimezone()
    days = {now.date(): "today", (now - timedelta(days=1)).date(): "yesterday"}
    return f"{days[at.date()]} {at:%H:%M}" if at.date() in days else f"on {at:%Y-%m-%d} at {at:%H:%M}"


def _looked_at(kept: KeptTraining) -> Interrupted:
    from .training_state import unfinished

    record = left = None
    try:
        record = kept.read()
        left = unfinished(kept.checkpoint)
    except CheckpointError:
        of = "A training" if record is None else f"The training of {named(record.genes)}"
        return Interrupted(kept, record, left, f"{of} was interrupted, and what was kept of it can't be read.")
    return Interrupted(kept, record, left, _problem(record))


def _problem(record: Record) -> str:
    was = f"The training of {named(record.genes)} was interrupted, and can't go on:"
    here = versions()["napari-s2sst"]
    if record.program != here:
        return f"{was} version {record.program} of the program began it, and this is version {here}."
    if not record.slide.exists():
        return f"{was} its slide is no longer at {record.slide}."
    return ""


def _offer(record: Record, left: Unfinished, now: datetime) -> str:
    config = record.config
    where = f"{record.slide_name}, {config.grid.bin_um:g} µm, stride {config.sampling.stride}"
    step = f"step {left.step:,}" + ("" if left.steps is None else f" of {left.steps:,}")
    when = day_and_time(datetime.fromisoformat(left.saved_at), now)
    count = len(record.waiting)
    others = f" {count:,} more {'was' if count == 1 else 'were'} waiting." if count else ""
    return f"A training of {named(record.genes)} ({where}) was interrupted at {step}, {when}.{others}"
