"""One run as asked for in the window, and what is told of it beside the engine's events."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...engine.cluster.connect import ClusterPlace
from ...engine.config import RunConfig
from ...engine.events import Event, Waiting
from ...engine.maps import GeneMap
from ...engine.runs.kept import Painted, SavedRun
from ...engine.sampling.regions import Region
from ..session import Mode

if TYPE_CHECKING:
    from ...engine.network.model import Trained
    from ...engine.pictures.stains import StainImage
    from ...engine.scores.metrics import Scores
    from ...engine.slides.slide import Slide

KEEP_EVERY_S = 30.0
"""Work that a crash may cost."""


@dataclass(frozen=True)
class Stage:
    """What goes on before and after the training, for the progress line."""

    text: str
    done: int = 0
    of: int = 1
    """Parts of equal length, when there are several."""


@dataclass(frozen=True)
class LiveScores:
    """How a preview compares with what was counted in the hidden bins."""

    step: int
    scores: Scores


Told = Event | Waiting | Stage | LiveScores


@dataclass(frozen=True, eq=False)
class Request:
    """One run, as asked for in the window."""

    maps: tuple[GeneMap, ...]
    """Counts of the genes that share a network, already restricted to the regions."""
    config: RunConfig
    mode: Mode
    slide: Path
    regions: tuple[Region, ...] = ()
    start: Trained | None = None
    """Weights at hand to begin with, instead of what the config says."""
    trains: bool = True
    """False: impute with ``start`` as it is."""
    edited_tissue: bool = False
    """Somebody painted on the tissue that was found."""
    painted: Painted | None = None
    """What was painted; only to be kept."""
    slide_name: str = ""
    waiting: tuple[str, ...] = ()
    """Genes of the runs that follow; only to be kept."""
    kept: SavedRun | None = None
    """Where the training is kept until its result is shown; None: nowhere."""
    keep_every_s: float = KEEP_EVERY_S
    resumes: bool = False
    """Go on from what is kept there."""
    images: tuple[StainImage, ...] = ()
    """The slide's stains, for settings that look at them."""
    panel: Slide | None = None
    """The opened slide, for settings that look at its other genes."""
    size_um: float | None = None
    """The slide's pixel, bin or unit as its user said it, where no file does."""
    cluster: ClusterPlace | None = None
    """Where it trains; None: on this computer. All before and after the training happens here."""

    @property
    def elsewhere(self) -> ClusterPlace | None:
        """The cluster, if its training really goes there: what is resumed was kept here, and goes on here."""
        return self.cluster if self.trains and not self.resumes else None
