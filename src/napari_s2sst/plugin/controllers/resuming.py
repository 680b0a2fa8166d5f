"""Offer trainings that a crash interrupted, and go on with one: its slide, settings, regions, tissue and genes come back first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Signal

from ...engine.runs.saved_run import Interrupted, interrupted_trainings, named
from ..session import Mode, Sampling, Several
from ..threads import tasks
from ..threads.background import Background
from .controller import Controller, Workspace
from .counting import Counting
from .opening import Opening
from .regions import Regions
from .runs import Runs


class Resuming(Controller):
    """Offers one at a time, the newest first. Main thread only."""

    recalled = Signal(object)
    """A tasks.Counted: the session holds what the training was begun with, and its run is about to begin."""

    def __init__(
        self, workspace: Workspace, *, opening: Opening, counting: Counting, runs: Runs, regions: Regions
    ) -> None:
        super().__init__(workspace)
        self.opening, self.counting, self.runs, self.regions = opening, counting, runs, regions
        self.banner = banner = self.panels.resume
        self.offered: Interrupted | None = None
        self._offers: list[Interrupted] = []
        self._put_off: set[Path] = set()
        self._going_on: Interrupted | None = None
        self._looking, self._recalling = Background(self), Background(self)
        self._recalling.failed.connect(self._can_not)
        self._recalling.idle.connect(self.idle)
        banner.resumeRequested.connect(self.resume)
        banner.discardRequested.connect(self.discard)
        banner.laterRequested.connect(self.put_off)
        runs.run_queue.interrupted.connect(self.look)

    @property
    def busy(self) -> bool:
        return self._recalling.busy

    def look(self) -> None:
        """See whether there is something to offer."""
        self._looking.start(interrupted_trainings, self._looked)

    def follow(self) -> None:
        """Let go on what can go on: the session has changed."""
        self.banner.setEnabledParts(resume=not (self.session.busy or self.session.running))

    def resume(self) -> None:
        """Go on with what is offered."""
        offered = self.offered
        if offered is None or offered.problem or self.session.running or self.session.busy:
            return
        if not offered.saved_run.hold():
            self._tell(f"Another window goes on with the training of {named(offered.record.genes)}.")
            return
        self._going_on = offered
        self.banner.setText("", can_resume=False)
        if self._is_open(offered):
            self._set_back()
        else:
            self.opening.open(offered.record.slide, offered.record.size_um)

    def discard(self) -> None:
        """Remove what is kept of what is offered."""
        if self.offered is not None:
            self.offered.saved_run.remove()
            self._next_offer()

    def put_off(self) -> None:
        """Put aside what is offered until a window is opened anew."""
        if self.offered is not None:
            self._put_off.add(self.offered.saved_run.folder)
            self._next_offer()

    def abandon(self) -> None:
        self._looking.abandon()
        self._recalling.abandon()
        self._let_go()

    def _looked(self, interrupted: list[Interrupted]) -> None:
        self._offers = [training for training in interrupted if training.saved_run.folder not in self._put_off]
        self._offer()

    def _offer(self) -> None:
        self.offered = next(iter(self._offers), None)
        if self.offered is None:
            self.banner.setText("", can_resume=False)
        else:
            self.banner.setText(self.offered.sentence(), can_resume=not self.offered.problem)
        self.follow()

    def _tell(self, problem: str) -> None:
        """Show a problem in place of the offer."""
        self._offers[0] = self.offered = replace(self.offered, problem=problem)
        self._offer()

    def _next_offer(self) -> None:
        """The next one is offered."""
        self._offers = self._offers[1:]
        self._offer()

    def _let_go(self) -> None:
        going_on, self._going_on = self._going_on, None
        if going_on is not None:
            going_on.saved_run.release()

    def _is_open(self, offered: Interrupted) -> bool:
        slide, record = self.session.slide, offered.record
        if slide is None or slide.path.absolute() != record.slide:
            return False
        return record.size_um in (None, slide.given_um)

    def slide_opened(self, _: tasks.OpenedSlide) -> None:
        """The window has shown it."""
        if self._going_on is None:
            self.look()
        elif self._is_open(self._going_on):
            self._set_back()
        else:  # the user has opened another one meanwhile
            self._let_go()
            self._offer()

    def not_opened(self, problem: str) -> None:
        """A slide could not be opened."""
        if self._going_on is not None:
            self._can_not(f"The training of {named(self._going_on.record.genes)} can't go on: {problem}")

    def _can_not(self, problem: str) -> None:
        self._let_go()
        self._tell(problem)

    def _set_back(self) -> None:
        """The window says what the training was begun with; then its genes are counted."""
        record, session, panels = self._going_on.record, self.session, self.panels
        config = record.config
        session.sampling = Sampling(config.grid.bin_um, config.sampling.stride, Mode(record.mode))
        session.several = Several.TOGETHER if len(record.genes) > 1 else Several.IN_TURN
        session.genes = (*record.genes, *record.waiting)
        session.gene = session.genes[0]
        panels.sampling.setValue(session.sampling)
        panels.several.setValue(session.several)
        panels.genes.setValue(session.genes)
        self.tissue.put_back(record.painted)
        panels.sampling.setTissue(shown=self.tissue.shown, edited=self.tissue.edited)
        self._set_regions_back()
        session.busy = f"Going back to the training of {named(record.genes)} ..."
        going_on, slide, edited = self._going_on, session.slide, self.tissue.apply
        self._recalling.start(lambda: tasks.recall(going_on, slide, edited), self._go_on)

    def _set_regions_back(self) -> None:
        """Put the training's regions back. What was drawn meanwhile stays, and counts no more."""
        wanted = {region.name: region for region in self._going_on.record.regions}
        used = {region.name: region for region in self.regions.value()}
        same = {name for name in wanted if name in used and used[name].polygon.equals(wanted[name].polygon)}
        for name in used.keys() - same:
            self.panels.region.usedChanged.emit(name, False)
        new = [region for name, region in wanted.items() if name not in same]
        if new:
            self.regions.drawn.add(new)

    def _go_on(self, recalled: tasks.Recalled) -> None:
        going_on, session, counted = self._going_on, self.session, recalled.counted
        if going_on is None or session.running or not self._is_open(going_on):
            self._let_go()
            return
        record = going_on.record
        session.settings = recalled.config
        self.panels.training.setValue(recalled.config)
        if recalled.start is not None:
            session.model = recalled.start
            self.panels.training.setStartFrom("last")
        self.counting.abandon()  # of what was chosen before, or of the regions that have just come back
        session.gene_map, session.outdated, session.message = counted.maps[0], False, ""
        self.recalled.emit(counted)
        first, *others = self.runs.requests(
            counted.maps, regions=record.regions, start=recalled.start, edited_tissue=record.edited_tissue,
            painted=record.painted,
        )  # fmt: skip
        self._going_on = None
        self._next_offer()
        self.runs.begin(replace(first, saved_run=going_on.saved_run, resumes=True), *others)
