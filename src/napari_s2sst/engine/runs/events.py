"""What a run tells beside its training's own events (:mod:`napari_s2sst.engine.events`): where it is, and how good it looks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..events import Event, Waiting

if TYPE_CHECKING:
    from ..scores.metrics import Scores


@dataclass(frozen=True)
class Stage:
    """A stage before the training."""

    text: str
    """As a sentence for the user."""


@dataclass(frozen=True)
class LiveScores:
    """Scores of a preview against what was counted in the hidden bins; follows its :class:`Previewed`."""

    step: int
    scores: Scores


@dataclass(frozen=True)
class Imputing:
    """The network is trained, and this gene is imputed next. A STOP in answer keeps the genes before it, if there are any."""

    gene: str
    number: int
    """From 1 on."""
    total: int
    is_scored: bool = False
    """Its truth is known, so it is compared with the classical methods as well."""

    @property
    def text(self) -> str:
        """Sentence for the user."""
        place = f" ({self.number} of {self.total})" if self.total > 1 else ""
        also = " and comparing with the classical methods" if self.is_scored else ""
        return f"Imputing {self.gene}{place}{also} ..."


@dataclass(frozen=True)
class Written:
    """The last event, of a run that writes its result."""

    paths: tuple[Path, ...]
    """The files, in the order in which they were written."""


RunEvent = Event | Waiting | Stage | LiveScores | Imputing | Written
