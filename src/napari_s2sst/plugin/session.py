"""What the window knows: slide, gene, settings, state, losses, result. Evented, without Qt.

Panels draw a session and send intents; the window is the only place that changes one. Training events become
fields here through :meth:`Session.apply`.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, ClassVar

from psygnal import SignalGroupDescriptor

from ..engine.cluster.connect import ClusterPlace
from ..engine.config import RunConfig
from ..engine.events import Event, Finished, Started, Stepped, Validated, Waiting
from ..engine.maps import GeneMap

if TYPE_CHECKING:
    from ..engine.network.model import Trained
    from ..engine.runs.run import Result
    from ..engine.scores.metrics import Scores
    from ..engine.slides.slide import Slide

MAX_CURVE_POINTS = 2000
"""More can't be told apart in a plot 350 pixels wide; past it every second point is dropped."""


class State(Enum):
    """State of the window, which decides what can be done next."""

    EMPTY = "no slide"
    READY = "ready"
    STARTING = "starting"
    TRAINING = "training"
    PAUSED = "paused"
    STOPPING = "stopping"
    SCORING = "scoring"


class Mode(Enum):
    """Use of the bins between the measured ones."""

    CHECK = "check"
    """Hide the bins that the lattice skips, impute them, and compare with what was really counted there."""
    FILL_IN = "fill in"
    """Every bin was measured: impute a grid that is finer by the stride."""


@dataclass(frozen=True)
class Sampling:
    """Bins and lattice, as chosen in the window."""

    bin_um: float = 20.0
    stride: int = 2
    mode: Mode = Mode.CHECK


class Several(Enum):
    """Way to train on several chosen genes."""

    IN_TURN = "in turn"
    """A training of its own for each gene."""
    TOGETHER = "together"
    """One network for all of them in one training."""


@dataclass(frozen=True)
class Queue:
    """Place in a row of trainings."""

    number: int
    """Of the present one, from 1."""
    total: int
    gene: str


@dataclass(frozen=True, eq=False)
class Entry:
    """One gene of a run, as the list of results shows it."""

    result: Result
    index: int = 0
    """Of the gene within the run."""
    number: int = 0
    """Tells runs on one gene apart, from 1; 0 is what the weights that come with the program make of it instantly."""

    @property
    def gene(self) -> str:
        return self.result.job.sparse[self.index].gene

    @property
    def scores(self) -> dict[str, Scores]:
        """Method -> scores, ours first; empty where nobody knows the truth."""
        return self.result.scores.get(self.gene, {})

    def same(self, other: Entry | None) -> bool:
        return other is not None and other.result is self.result and other.index == self.index


@dataclass(frozen=True)
class LossPoint:
    """One try on the held-out bins; errors in the normalised space."""

    step: int
    training_mae: float
    held_out_mae: float


_SAME = {
    name: operator.is_
    for name in ("slide", "gene_map", "result", "entries", "shown", "model", "started", "losses", "loss_curve")
}


@dataclass(kw_only=True)
class Session:
    """Assigning a field tells everyone connected to ``session.events.<field>``."""

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor(equality_operators=_SAME)

    slide: Slide | None = None
    gene: str = ""
    """The one that is shown."""
    genes: tuple[str, ...] = ()
    """All that are chosen, the shown one among them."""
    several: Several = Several.IN_TURN
    gene_map: GeneMap | None = None
    """Counts of the gene at the chosen bin size, restricted to the region; None while they are being counted."""
    sampling: Sampling = field(default_factory=Sampling)
    outdated: bool = False
    """Bins or region were changed since :attr:`gene_map` was counted, so a run on it would not be what the window says."""
    settings: RunConfig = field(default_factory=lambda: RunConfig.preset("fast"))
    """The settings of the training panel; :attr:`config` is the whole of it."""
    cluster: ClusterPlace | None = None
    """Where trainings run; None: on this computer."""
    state: State = State.EMPTY
    busy: str = ""
    """What goes on in the background, such as ``"Counting LTF ..."``."""
    message: str = ""
    """The last problem, a sentence; empty when there is none."""
    waiting: str = ""
    """What a training elsewhere waits for before it begins, as a sentence."""
    started: Started | None = None
    progress: Stepped | None = None
    losses: tuple[LossPoint, ...] = ()
    loss_curve: tuple[tuple[int, float], ...] = ()
    """(step, total loss), thinned to at most MAX_CURVE_POINTS."""
    finished: Finished | None = None
    queue: Queue | None = None
    """None unless several trainings follow each other."""
    result: Result | None = None
    """Of the last run."""
    entries: tuple[Entry, ...] = ()
    """Every gene of every run, the newest first; what was imputed instantly is the first of all."""
    shown: Entry | None = None
    model: Trained | None = None
    """Of the last run, or read from a file; what "the last run" starts from."""

    @property
    def config(self) -> RunConfig:
        """Every setting of the next run. Raises ConfigError on a value that makes no sense."""
        return self.settings.changed(bin_um=self.sampling.bin_um, stride=self.sampling.stride)

    @property
    def running(self) -> bool:
        return self.state not in (State.EMPTY, State.READY)

    @property
    def can_open(self) -> bool:
        return not self.busy

    @property
    def can_change(self) -> bool:
        """Gene, bins, settings: not while a run uses them."""
        return self.state is State.READY

    @property
    def can_train(self) -> bool:
        return self.state is State.READY and self.gene_map is not None and not self.outdated and not self.busy

    @property
    def can_pause(self) -> bool:
        return self.state in (State.TRAINING, State.PAUSED)

    @property
    def can_stop(self) -> bool:
        """Whether it can be stopped. Before the first event the generator can't be told anything, unless it waits for a cluster.
        Many genes are imputed one by one, so that too can be cut short."""
        many = self.started is not None and len(self.started.genes) > 1
        waits = self.state is State.STARTING and bool(self.waiting)
        return waits or self.state in (State.TRAINING, State.PAUSED) or (self.state is State.SCORING and many)

    @property
    def can_export(self) -> bool:
        return self.shown is not None and not self.busy

    def open(self, slide: Slide | None) -> None:
        """Take another slide; everything of the last one goes."""
        self.gene, self.genes, self.gene_map, self.result, self.outdated = "", (), None, None, False
        self.entries, self.shown, self.model = (), None, None
        self.clear_run()
        self.slide = slide
        self.state = State.EMPTY if slide is None else State.READY
        self.message = ""

    def clear_run(self) -> None:
        """Forget the events of the last run, not its result."""
        self.waiting, self.started, self.progress, self.finished = "", None, None, None
        self.losses, self.loss_curve = (), ()

    def begin(self, *, first: bool = True) -> None:
        """Start a run; of a row of runs, only the first one clears what an earlier one complained about."""
        if first:
            self.message = ""
        self.clear_run()
        self.state = State.STARTING

    def apply(self, event: Event | Waiting) -> None:
        """Take up one event of a training."""
        match event:
            case Waiting(what=what) if self.state is State.STARTING:
                self.waiting = what
            case Started():
                self.waiting, self.started = "", event
                if self.state is not State.STOPPING:  # asked for while it waited for a worker
                    self.state = State.TRAINING
            case Stepped(step=step, loss=loss):
                self.progress = event
                self.loss_curve = _thinned((*self.loss_curve, (step, loss)))
            case Validated(step=step, held_out_mae=held_out, training_mae=training):
                self.losses = _thinned((*self.losses, LossPoint(step, training, held_out)))
            case Finished():
                self.finished = event
                self.state = State.SCORING

    def take_instant(self, entry: Entry | None) -> None:
        """Put what was imputed without training in the place of what was before; None: it no longer fits the choice."""
        runs = tuple(listed for listed in self.entries if listed.number)
        was_shown = self.shown is None or not self.shown.number
        self.entries = runs if entry is None else (entry, *runs)
        if was_shown or entry is not None:
            self.shown = entry

    def take(self, result: Result, number: int) -> None:
        """Put a run's genes at the head of the list, and its first one is shown."""
        new = tuple(Entry(result, index, number) for index in range(len(result.imputed)))
        self.entries = (*new, *(listed for listed in self.entries if listed.number))
        self.shown = new[0]

    def remove(self, entry: Entry) -> None:
        """Take an entry out of the list; the one that takes its place is shown."""
        at = next(at for at, listed in enumerate(self.entries) if listed.same(entry))
        self.entries = tuple(listed for listed in self.entries if not listed.same(entry))
        if entry.same(self.shown):
            self.shown = self.entries[min(at, len(self.entries) - 1)] if self.entries else None

    def put_back(self, entry: Entry, at: int) -> None:
        """Put a removed entry back in its place, and show it."""
        self.entries = (*self.entries[:at], entry, *self.entries[at:])
        self.shown = entry

    def end(self, result: Result | None = None) -> None:
        """End a run; without a result the one before stays."""
        if result is not None:
            self.result = result
        self.state = State.EMPTY if self.slide is None else State.READY


def _thinned(points: tuple) -> tuple:
    return points[::2] if len(points) > MAX_CURVE_POINTS else points
