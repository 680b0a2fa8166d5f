"""Make runs of what is chosen, and show on the panels and in the viewer what they tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Signal

from ...engine.config import CHECKPOINT_EVERY_S
from ...engine.errors import S2SSTError
from ...engine.events import Finished, Previewed, Recovered, Started, Stepped, Unsaved, Validated, Waiting
from ...engine.maps import GeneMap
from ...engine.runs.events import Imputing, LiveScores, RunEvent, Stage
from ...engine.runs.run import CountedJob
from ...engine.runs.saved_run import Painted, new_saved_run
from ...engine.sampling.regions import Region
from ..session import Mode, Several, State
from ..threads import tasks
from ..threads.background import Background
from ..threads.request import Request
from ..threads.tasks import Counted
from ..viewer.layers import value_limits
from ..widgets.clock import clock
from .controller import Controller, Workspace
from .counting import Counting
from .regions import Regions
from .run_queue import RunQueue

if TYPE_CHECKING:
    from ...engine.network.model import Trained


class Runs(Controller):
    """Makes one row of runs at a time."""

    warned = Signal(str)
    """Something to know of a run that goes on."""
    finished = Signal()
    """The session shows a new result, and the viewer its maps."""

    def __init__(self, workspace: Workspace, *, run_queue: RunQueue, counting: Counting, regions: Regions) -> None:
        super().__init__(workspace)
        self.run_queue, self.counting, self.regions = run_queue, counting, regions
        self.keep_every_s = CHECKPOINT_EVERY_S
        self._warned: set[str] = set()
        run_queue.began.connect(self._began)
        run_queue.reported.connect(self._follow)
        run_queue.returned.connect(self._returned)
        run_queue.failed.connect(self._failed)
        self.panels.run.trainRequested.connect(self.train)
        self.panels.run.pauseToggled.connect(run_queue.toggle_pause)
        self.panels.run.stopRequested.connect(run_queue.stop)
        self.panels.losses.failed.connect(self.failed)
        self._devices = Background(self)

    def find_devices(self) -> None:
        """Offer the devices of this computer on the page Training, the best one first."""
        self._devices.start(tasks.find_devices, self.panels.training.setDevices)

    def train(self) -> None:
        """Start a run, or a row of runs, on what is chosen."""
        if self.session.can_train:
            self.start(self.session.model if self.panels.training.start_from == "last" else None)

    def impute(self) -> None:
        """Start a run that imputes with the session's model as it is."""
        if self.session.can_train:
            self.start(self.session.model, trains=False)

    def start(self, start: Trained | None, *, trains: bool = True) -> None:
        """Begin a run for each chosen gene, or one for all; with several, the others are counted first."""
        chosen = dict(
            regions=self.regions.value(),
            start=start,
            trains=trains,
            edited_tissue=self.tissue.edited,
            painted=self.tissue.painted(),
        )

        def begin(maps: tuple) -> None:
            self.begin(*self.requests(maps, **chosen))

        if len(self.session.genes) <= 1:
            begin((self.session.gene_map,))
        else:
            self.counting.all(lambda counted: begin(counted.maps) if self._still(counted) else None)

    def begin(self, *requests: Request) -> None:
        """Begin runs that are made, one after the other."""
        try:
            self.run_queue.start(*requests)
        except S2SSTError as error:
            self.failed.emit(str(error))

    def leave(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        """End a row of runs and forget it, with what it has shown."""
        self.run_queue.abandon()
        self.display.end_preview()
        self.panels.clear_run()
        self._show_queue()

    def forget(self) -> None:
        """The window is closed: what a run has learnt is offered when one opens again."""
        self.run_queue.abandon(keep=True)
        self._devices.abandon()

    def _still(self, counted: Counted) -> bool:
        """Whether these are what is chosen, and nothing else was begun meanwhile."""
        session = self.session
        same = tuple(gene_map.gene for gene_map in counted.maps) == session.genes
        return same and not session.outdated and not session.running

    def requests(
        self,
        maps: tuple[GeneMap, ...],
        *,
        regions: tuple[Region, ...] = (),
        start: Trained | None = None,
        trains: bool = True,
        edited_tissue: bool = False,
        painted: Painted | None = None,
    ) -> list[Request]:
        """Make runs on maps of the session's slide, as its settings say; each training is kept in a place of its own."""
        session = self.session
        groups = [maps] if session.several is Several.TOGETHER else [(gene_map,) for gene_map in maps]
        trains = trains or start is None
        keeps = trains and session.config.training.steps != 0
        waiting = [
            tuple(gene_map.gene for group in groups[at:] for gene_map in group) for at in range(1, len(groups) + 1)
        ]
        slide = session.slide
        counted = CountedJob(
            maps=maps, config=session.config, fill_in=session.sampling.mode is Mode.FILL_IN, regions=regions, start=start,
            edited_tissue=edited_tissue, input_name=slide.path.name, images=slide.images, panel=slide,
            size_um=slide.given_um,
        )  # fmt: skip
        return [
            Request(
                job=replace(counted, maps=group), slide=slide.path, slide_name=slide.name, trains=trains, painted=painted,
                waiting=then, saved_run=new_saved_run() if keeps else None, checkpoint_every_s=self.keep_every_s,
                cluster=session.cluster if keeps else None,
            )
            for group, then in zip(groups, waiting, strict=True)
        ]  # fmt: skip

    def _began(self, request: Request) -> None:
        self.panels.clear_run()
        self.panels.show_page("Training")
        self.display.begin_run(tuple(gene_map.gene for gene_map in request.job.maps))
        self._show_queue()
        self.panels.run.setBusy("Getting ready ...")

    def _follow(self, event: RunEvent) -> None:
        panels = self.panels
        match event:
            case Stage() | Imputing():
                panels.run.setBusy(event.text)
            case Waiting() if self.session.state is State.STARTING or event.is_stuck:
                panels.run.setBusy(event.what)
            case Started():
                panels.run.setBusy("")
                panels.losses.setClassical(event.classical)
            case Stepped() if self.session.state is not State.STOPPING:
                panels.run.setProgress(event)
                if not self.session.started.held_out_bins:
                    panels.losses.setLossCurve(self.session.loss_curve)
            case Validated():
                panels.losses.setLosses(self.session.losses)
            case Previewed():
                limits = value_limits(self.run_queue.sparse, self.run_queue.request.job.config)
                self.display.show_preview(event.imputed, limits)
            case LiveScores():
                panels.live.setScores(event.step, event.scores)
            case Recovered(what=text) | Unsaved(why=text) if text not in self._warned:
                self._warned.add(text)
                self.warned.emit(text)
            case Finished():
                panels.run.setBusy("Finishing ...")

    def _returned(self, result: Any) -> None:
        session, finished = self.session, self.session.finished
        how = "Stopped" if finished is not None and finished.stopped else "Done"
        self.panels.run.setDone(f"{how}: {result.trained.steps:,} steps in {clock(result.trained.seconds)}")
        session.model = result.trained
        session.take(result, self.display.run_number)
        self.display.show_result(session.shown)
        self.finished.emit()
        if not self.run_queue.waits:
            self.panels.show_page("Results")
        self._show_queue(done=True)

    def _failed(self, message: str) -> None:
        self.panels.run.setBusy("")
        self._show_queue(done=True)
        self.display.end_preview()
        self.failed.emit(message)

    def _show_queue(self, *, done: bool = False) -> None:
        """A row that was stopped is not shown any more."""
        queue = self.session.queue
        if queue is None or (done and not self.run_queue.waits and queue.number < queue.total):
            self.panels.run.setQueue(0, 1, "")
        else:
            self.panels.run.setQueue(queue.number - (not done), queue.total, queue.gene)
