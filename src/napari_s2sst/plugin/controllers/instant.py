"""Show what the weights that come with the program make of the chosen gene before any training: the map, then its scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...engine.config import RunConfig
from ...engine.runs.run import CountedJob
from ...engine.sampling.regions import Region
from ..session import Entry, Mode
from ..threads import tasks
from ..threads.background import Background
from ..viewer.comparison import CompareMode
from ..widgets.docked import single_shot
from .controller import Controller, Workspace
from .results import Results


class Instant(Controller):
    """Imputes in the background whenever it is asked to, and shows it; never while a run needs the processor."""

    def __init__(self, workspace: Workspace, *, results: Results, regions: Callable[[], tuple[Region, ...]]) -> None:
        super().__init__(workspace)
        self.results, self._regions = results, regions
        self._on = True
        self._cut_short = False
        self._late: Entry | None = None
        self._show_late = single_shot(self, 0, self._put_late)
        results.comparison.ended.connect(self._show_late.start)
        self._background = Background(self)
        self._background.failed.connect(self.failed)
        self.panels.sampling.instantToggled.connect(self.switch)

    @property
    def imputing(self) -> bool:
        """Whether it works in the background, beside all else."""
        return self._background.busy

    def switch(self, on: bool) -> None:
        """Set whether it imputes at all; when it is switched on it begins."""
        self._on = on
        self.start()

    def start(self) -> None:
        """Impute what is counted; unless that is switched off."""
        session = self.session
        if self._on and session.gene_map is not None and not session.running:
            counted = self._counted()
            self._cut_short, self._late = False, None
            self._background.start(
                lambda: tasks.impute_instantly(counted), lambda result: self._imputed(counted, result)
            )

    def rest(self) -> None:
        """A run begins: it needs the processor, and its maps are not to be covered."""
        self._cut_short = self._cut_short or self.imputing
        self.abandon()

    def go_on(self) -> None:
        """The run came to nothing: what it cut short is done after all."""
        if self._cut_short:
            self.start()

    def leave(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._background.abandon()
        self._show_late.stop()
        self._late = None

    def _counted(self) -> CountedJob:
        """Choices in the window now, as a run of the preset ``instant``."""
        session, chosen, slide = self.session, self.session.config, self.session.slide
        config = RunConfig.preset(
            "instant", bin_um=chosen.grid.bin_um, min_qv=chosen.grid.min_qv, stride=chosen.sampling.stride,
            phase=chosen.sampling.phase, normalisation=chosen.grid.normalisation, device="cpu",
        )  # fmt: skip
        return CountedJob(
            maps=(session.gene_map,), config=config, fill_in=session.sampling.mode is Mode.FILL_IN, regions=self._regions(),
            edited_tissue=self.tissue.edited, input_name=slide.path.name, images=slide.images, panel=slide,
            size_um=slide.given_um,
        )  # fmt: skip

    def _imputed(self, counted: CountedJob, result: Any) -> None:
        if not self._holds(counted):
            return
        entry = Entry(result)
        self.session.take_instant(entry)
        self.display.show_instant(entry)
        self.results.show()
        self._background.start(lambda: tasks.score_instant(counted), lambda result: self._judged(counted, result))

    def _judged(self, counted: CountedJob, result: Any) -> None:
        """Show the judged result, unless a run's result is looked at by now."""
        shown = self.session.shown
        if self._holds(counted) and (shown is None or shown.number == 0):
            entry = Entry(result)
            self.session.take_instant(entry)
            self.results.show()
            self._late = entry
            self._put_late()

    def _put_late(self) -> None:
        """Put the judged layers into the viewer, unless something is compared just now."""
        entry = self._late
        if entry is not None and self.results.comparison.mode is CompareMode.OFF:
            self._late = None
            if entry.same(self.session.shown):
                self.display.show_instant(entry, again=True)

    def _holds(self, counted: CountedJob) -> bool:
        """Whether the window still says what was asked for."""
        session = self.session
        same = session.gene_map is counted.maps[0] and session.sampling.stride == counted.config.sampling.stride
        fills_in = session.sampling.mode is Mode.FILL_IN
        return self._on and same and fills_in == counted.fill_in and not session.running
