"""What a batch of many parts tells while it runs, beside the events of its trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..events import Event
from ..runs.events import Imputing
from .plan import Part, Plan


@dataclass(frozen=True)
class Planned:
    """The first event: what is missing, and who does it. Nothing was written yet."""

    plan: Plan
    workers: int


@dataclass(frozen=True)
class PartStarted:
    """A worker has begun with a part, or begun again."""

    part: Part
    worker: str
    """Its address, or ``this process``."""
    process: int
    """Its process id, on its computer."""
    attempt: int
    """1 the first time."""


@dataclass(frozen=True)
class PartTold:
    """An event of a part's training or imputing."""

    part: Part
    event: Event | Imputing


@dataclass(frozen=True)
class PartDone:
    """A part's results are written."""

    part: Part
    files: tuple[str, ...]
    """Names in the part's folder."""
    facts: Mapping[str, Any]
    """``steps``, ``seconds``, ``device``, ``worker``, ``mae_unmeasured`` (mean over genes; None where there is no truth)."""


@dataclass(frozen=True)
class PartFailed:
    """An attempt failed."""

    part: Part
    why: str
    """As a sentence for the user."""
    attempt: int
    is_final: bool
    """It is not tried again."""


BatchEvent = Planned | PartStarted | PartTold | PartDone | PartFailed


@dataclass(frozen=True)
class BatchResult:
    """Outcome of a batch: the parts that are done, failed and left."""

    done: tuple[PartDone, ...]
    failed: tuple[PartFailed, ...]
    """Parts given up, with the reason of their last attempt."""
    left: tuple[Part, ...]
    """Neither done nor given up, where it was stopped."""
    genes_done_before: int
