"""The dock widget "S2S-ST imputation": makes the parts of the window and joins them.

Panels draw and ask, the session knows, the display shows, a controller joins some of them for one purpose; this is the
only place that connects controllers to each other.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import Notification, NotificationSeverity, notification_manager
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from .controllers.controller import Controller, Workspace
from .controllers.counting import Counting
from .controllers.extras import Extras
from .controllers.genes import ChosenGenes
from .controllers.instant import Instant
from .controllers.models import Models
from .controllers.opening import Opening
from .controllers.regions import Regions
from .controllers.reporting import Reporting
from .controllers.results import Results
from .controllers.resuming import Resuming
from .controllers.run_queue import RunQueue
from .controllers.runs import Runs
from .controllers.sampling import ChosenSampling
from .panels.pages import Panels
from .session import Sampling, Session
from .threads import tasks
from .viewer.display import Display
from .viewer.tissue_layer import TissueLayer
from .widgets.docked import DockedWidget, unwrapped
from .widgets.theme import theme_colours, window_style

if TYPE_CHECKING:
    import napari

MIN_WIDTH_PX, WIDTH_PX = 364, 400

log = logging.getLogger(__name__)


class ImputationWidget(DockedWidget):
    """napari's dock widget. ``session`` is its model; everything in the window follows from it."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = unwrapped(napari_viewer)
        self.session = Session()
        self.panels = Panels()
        self.display = Display(self.viewer, self)
        self.tissue = TissueLayer(self.viewer, self)
        self.controllers = self._make_controllers()
        self.panels.genes.setShortcutHome(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.panels)
        self.setMinimumWidth(MIN_WIDTH_PX)
        # Or napari puts an empty stretch below, and the panels get half of the height.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setMaximumWidth(WIDTH_PX)
        self._connect()
        self._follow_theme()
        self._follow_session()
        self._follow_display()
        self.opening.notice_soon()
        self.resuming.look()

    def _make_controllers(self) -> tuple[Controller, ...]:
        """All controllers, in the order in which they end what they do."""
        workspace = Workspace(
            session=self.session, panels=self.panels, display=self.display, tissue=self.tissue, window=self
        )
        self.run_queue = RunQueue(self.session, self)
        self.regions = Regions(workspace)
        self.extras = Extras(workspace)
        self.opening = Opening(workspace)
        self.counting = Counting(workspace, regions=self.regions.value)
        self.genes = ChosenGenes(workspace, counting=self.counting, extras=self.extras)
        self.runs = Runs(workspace, run_queue=self.run_queue, counting=self.counting, regions=self.regions)
        self.results = Results(workspace)
        self.instant = Instant(workspace, results=self.results, regions=self.regions.value)
        self.sampling = ChosenSampling(workspace, counting=self.counting, instant=self.instant)
        self.models = Models(workspace)
        self.resuming = Resuming(
            workspace, opening=self.opening, counting=self.counting, runs=self.runs, regions=self.regions
        )
        self.reporting = Reporting(workspace)
        return (
            self.regions, self.extras, self.reporting, self.runs, self.results, self.instant, self.counting, self.genes,
            self.sampling, self.opening, self.models, self.resuming,
        )  # fmt: skip

    def _connect(self) -> None:
        for controller in self.controllers:
            controller.failed.connect(self.show_problem)
            controller.idle.connect(self._no_longer_busy)
        self.opening.leaving.connect(self._leave_slide)
        self.opening.opened.connect(self._slide_opened)
        self.opening.opened.connect(self.resuming.slide_opened)
        self.opening.failed.connect(self.resuming.not_opened)
        self.resuming.recalled.connect(self._show_counts)
        self.counting.counted.connect(self._show_counts)
        self.models.chosen.connect(self._use_model)
        self.run_queue.began.connect(self.instant.rest)
        self.run_queue.failed.connect(self.instant.go_on)
        self.runs.finished.connect(self.results.show)
        self.runs.warned.connect(self._warn)
        self.reporting.saved.connect(self._tell)
        self.panels.view.valueChanged.connect(self.display.look_at)
        self.display.changed.connect(self._follow_display)
        self.panels.message.dismissed.connect(lambda: setattr(self.session, "message", ""))
        self.session.events.connect(self._follow_session)
        for source, slot in self._viewer_events():
            source.connect(slot)

    def _viewer_events(self) -> tuple:
        events = self.viewer.layers.events
        return (
            (events.inserted, self.opening.notice_soon),
            (events.removed, self.opening.notice_soon),
            (events.removed, self._follow_display),
            (self.viewer.events.theme, self._follow_theme),
        )

    def open_slide(self, path: str | Path) -> None:
        """Open a slide in the background; when that is done a run on the one before is ended, without its result."""
        self.opening.open(path)

    def choose_gene(self, gene: str) -> None:
        """Count a gene in the background and show it."""
        self.genes.choose((gene,))

    def choose_genes(self, genes: Sequence[str]) -> None:
        """Choose several genes; the first of them is shown."""
        self.genes.choose(genes)

    def train(self) -> None:
        """Start a run, or a row of runs, on what is chosen."""
        self.runs.train()

    def _leave_slide(self) -> None:
        for controller in self.controllers:
            controller.leave()

    def _slide_opened(self, opened: tasks.OpenedSlide) -> None:
        slide, panels, session = opened.slide, self.panels, self.session
        panels.clear_run()
        self.regions.set_slide(slide)
        self.tissue.clear()
        self.extras.setSlide(slide)
        self.results.clear()
        panels.setSlide(slide, opened.genes)
        panels.sampling.setBinLocked(slide.bin_um is not None)
        if slide.bin_um is not None:
            session.sampling = Sampling(slide.bin_um, session.sampling.stride, session.sampling.mode)
            panels.sampling.setValue(session.sampling)
        self.genes.set_slide(tuple(opened.genes))
        self.runs.find_devices()

    def _show_counts(self, counted: tasks.Counted) -> None:
        gene_map = counted.maps[0]
        self.genes.show_counted(gene_map.gene)
        self.display.show_counts(gene_map)
        if self.tissue.shown:
            self.tissue.show(counted.whole)
        self.sampling.draw()
        self.instant.start()
        self.genes.score()

    def _use_model(self, trains: bool) -> None:
        """A model was read: train on from it, or impute with it as it is."""
        self._follow_session()
        if trains:
            self.panels.training.setValue(self.session.model.config)
            self.panels.training.setStartFrom("last")
            self.sampling.change_settings(self.panels.training.value())
        else:
            self.runs.impute()

    def _follow_session(self, *_: Any) -> None:
        self.panels.follow(self.session)
        self.resuming.follow()

    def _follow_display(self, *_: Any) -> None:
        self.panels.view.setChoices(self.display.kinds(), self.display.kind)
        if self.session.slide is not None:
            self.panels.header.setShown(self.results.describe(self.session.shown))

    def _no_longer_busy(self) -> None:
        if not any(controller.busy for controller in self.controllers):
            self.session.busy = ""

    def show_problem(self, text: str) -> None:
        """Show a problem in the dock, where it stays, and as napari shows messages.

        What was chosen last and worked is shown again.
        """
        self.genes.go_back()
        self._warn(text)

    def _warn(self, text: str) -> None:
        log.warning("told: %s", text)
        self.session.message = text
        self._tell(text, NotificationSeverity.WARNING)

    def _tell(self, text: str, severity: NotificationSeverity = NotificationSeverity.INFO) -> None:
        notification_manager.dispatch(Notification(text, severity))

    def _follow_theme(self) -> None:
        colours = theme_colours(self.viewer.theme)
        self.setStyleSheet(window_style(colours))
        self.panels.losses.setTheme(colours.text)
        self.panels.result.setTheme(colours.text)

    def shut_down(self) -> None:
        """Stop everything and let go of the viewer."""
        for source, slot in self._viewer_events():
            source.disconnect(slot)
        self.session.events.disconnect(self._follow_session)
        self.display.forget()
        self.tissue.forget()
        for controller in self.controllers:
            controller.forget()
