"""The dock widget "S2S-ST imputation": joins the session to its panels, to the viewer's layers and to the worker.

Panels draw and ask, the session knows, the display shows; this is the only place that connects them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import Notification, NotificationSeverity, notification_manager
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from ..engine.slides.facts import slide_facts
from ..engine.slides.questions import question_of
from .controllers.counting import Counting
from .controllers.extras import Extras
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
from .threads.background import Background, StructureTask
from .viewer.display import Display
from .viewer.tissue_layer import TissueLayer
from .widgets.banners import ResumeBanner
from .widgets.docked import DockedWidget, unwrapped
from .widgets.theme import theme_colours, window_style

if TYPE_CHECKING:
    import napari

    from ..engine.network.model import Trained

MIN_WIDTH_PX, WIDTH_PX = 364, 400

log = logging.getLogger(__name__)


class ImputationWidget(DockedWidget):
    """napari's dock widget. ``session`` is its model; everything in the window follows from it."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer = unwrapped(napari_viewer)
        self.session = Session()
        self.panels = Panels()
        self.display = Display(viewer, self)
        self.regions = Regions(viewer, self.panels.region, self)
        self.tissue = TissueLayer(viewer, self)
        self.extras = Extras(viewer, self)
        self.structure = StructureTask(self)
        self.opening = Opening(self.session, self.display, self)
        self.counting = Counting(self.session, self.regions.value, lambda: self.tissue.apply, self)
        self.run_queue = RunQueue(self.session, self)
        self.runs = Runs(self.session, self.run_queue, self.panels, self.display, self)
        self.results = Results(self.session, self.display, self.panels.result, self)
        self.instant = Instant(self.session, self.display, self.results, self.regions.value, self.tissue, self)
        self.chosen_sampling = ChosenSampling(
            self.session, self.panels, self.display, self.counting, self.tissue, self.instant, self
        )
        self.models = Models(self.session, self)
        self.resume_banner = ResumeBanner()
        self.resuming = Resuming(
            self.session, self.resume_banner, self.panels, self.opening, self.counting, self.runs, self.regions,
            self.tissue, self,
        )  # fmt: skip
        self.devices = Background(self)
        self.reporting = Reporting(self.session, viewer, self)
        self._scored: tuple[float, float] | None = None  # bins and quality of the genes' scores
        self.panels.genes.setShortcutHome(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.resume_banner)
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

    def _connect(self) -> None:
        panels = self.panels
        for part in (self.opening, self.counting, self.results, self.models):
            part.failed.connect(self.show_problem)
        for part in (self.opening, self.counting, self.results, self.models, self.resuming):
            part.idle.connect(self._no_longer_busy)
        for part in (self.instant, self.extras, self.structure, panels.region, panels.losses, self.runs):
            part.failed.connect(self.show_problem)
        panels.header.openRequested.connect(self.opening.ask_for_folder)
        panels.header.openFileRequested.connect(self.opening.ask_for_file)
        panels.header.sampleRequested.connect(self.opening.open_sample)
        self.opening.leaving.connect(self._leave_slide)
        self.opening.opened.connect(self._slide_opened)
        self.opening.opened.connect(self.resuming.slide_opened)
        self.opening.failed.connect(self.resuming.not_opened)
        self.resuming.recalled.connect(self._show_counts)
        panels.genes.valueChanged.connect(self.choose_genes)
        panels.genes.unknownTyped.connect(self.choose_gene)
        self.structure.told.connect(panels.genes.setStructure)
        panels.card.layerToggled.connect(self.extras.show)
        panels.card.sizeRequested.connect(self.opening.ask_for_size)
        self.extras.changed.connect(lambda: panels.card.setChoices(self.extras.choices()))
        self.extras.told.connect(panels.setNote)
        panels.sampling.instantToggled.connect(self.instant.switch)
        panels.region.valueChanged.connect(self.counting.soon)
        self.counting.counted.connect(self._show_counts)
        panels.several.valueChanged.connect(lambda several: setattr(self.session, "several", several))
        panels.training.place_box.valueChanged.connect(lambda place: setattr(self.session, "cluster", place))
        panels.training.saveModelRequested.connect(self.models.ask_to_save)
        panels.training.loadModelRequested.connect(self.models.ask_to_load)
        self.models.chosen.connect(self._use_model)
        self.run_queue.began.connect(self.instant.rest)
        self.run_queue.failed.connect(self.instant.go_on)
        self.runs.finished.connect(self.results.show)
        self.runs.warned.connect(self._warn)
        panels.run.trainRequested.connect(self.train)
        panels.run.pauseToggled.connect(self.run_queue.toggle_pause)
        panels.run.stopRequested.connect(self.run_queue.stop)
        panels.view.valueChanged.connect(self.display.look_at)
        self.display.changed.connect(self._follow_display)
        panels.message.reportRequested.connect(self.reporting.ask)
        self.reporting.failed.connect(self.show_problem)
        self.reporting.saved.connect(self._tell)
        panels.message.dismissed.connect(lambda: setattr(self.session, "message", ""))
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

    # ---- slide and gene

    def open_slide(self, path: str | Path) -> None:
        """Open a slide in the background; when that is done a run on the one before is ended, without its result."""
        self.opening.open(path)

    def choose_gene(self, gene: str) -> None:
        """Count a gene in the background and show it."""
        self.choose_genes((gene,))

    def choose_genes(self, genes: Sequence[str]) -> None:
        """Several may be chosen; the first of them is shown."""
        session = self.session
        if session.slide is None or session.running or not genes:
            return
        shown, session.genes = session.gene, tuple(genes)
        self.extras.setGenes(session.genes)
        if genes[0] != shown or session.gene_map is None:
            session.gene = genes[0]
            self.counting.now()

    def _leave_slide(self) -> None:
        self.runs.abandon()
        for part in (self.instant, self.counting, self.structure):
            part.abandon()
        self.results.leave()

    def _slide_opened(self, opened: tasks.OpenedSlide) -> None:
        slide, panels, session = opened.slide, self.panels, self.session
        panels.clear_run()
        self.regions.set_slide(slide)
        self.tissue.clear()
        self.extras.setSlide(slide)
        self.results.clear()
        panels.header.setSlide(slide.name, f"{slide.summary()}\n{slide.path}")
        panels.card.setFacts(slide_facts(slide))
        panels.card.setSizeQuestion(question_of(slide))
        panels.card.setChoices(self.extras.choices())
        panels.genes.setGenes(opened.genes)
        panels.sampling.setBinLocked(slide.bin_um is not None)
        if slide.bin_um is not None:
            session.sampling = Sampling(slide.bin_um, session.sampling.stride, session.sampling.mode)
            panels.sampling.setValue(session.sampling)
        self._scored = None
        if opened.genes:
            self.choose_gene(next(iter(opened.genes)))
        self.devices.start(tasks.find_devices, panels.training.setDevices)

    def _show_counts(self, counted: tasks.Counted) -> None:
        gene_map, panels = counted.maps[0], self.panels
        if gene_map.gene not in panels.genes.value():
            panels.genes.setValue((gene_map.gene,))
        self.display.show_counts(gene_map)
        if self.tissue.shown:
            self.tissue.show(counted.whole)
        self.chosen_sampling.draw()
        self.instant.start()
        self._score_genes()

    def _score_genes(self) -> None:
        """Once for a slide and its bins."""
        grid, slide = self.session.config.grid, self.session.slide
        if self._scored != (grid.bin_um, grid.min_qv):
            self._scored = (grid.bin_um, grid.min_qv)
            self.structure.start(slide, tuple(slide.genes), grid.bin_um, grid.min_qv)

    # ---- training

    def train(self) -> None:
        """Start a run, or a row of runs, on what is chosen."""
        if self.session.can_train:
            start = self.session.model if self.panels.training.start_from == "last" else None
            self._start_run(start)

    def _use_model(self, trains: bool) -> None:
        """A model was read: train on from it, or impute with it as it is."""
        self._follow_session()
        if trains:
            self.panels.training.setValue(self.session.model.config)
            self.panels.training.setStartFrom("last")
            self.chosen_sampling.change_settings(self.panels.training.value())
        elif self.session.can_train:
            self._start_run(self.session.model, trains=False)

    def _start_run(self, start: Trained | None, *, trains: bool = True) -> None:
        self.runs.start(
            self.counting, self.regions.value(), start, trains=trains, edited_tissue=self.tissue.edited,
            painted=self.tissue.painted(),
        )  # fmt: skip

    # ---- what follows

    def _follow_session(self, *_: Any) -> None:
        self.panels.follow(self.session)
        self.resuming.follow()

    def _follow_display(self, *_: Any) -> None:
        self.panels.view.setChoices(self.display.kinds(), self.display.kind)
        if self.session.slide is not None:
            self.panels.header.setShown(self.results.describe(self.session.shown))

    def _no_longer_busy(self) -> None:
        if not any(part.busy for part in (self.opening, self.counting, self.results, self.models, self.resuming)):
            self.session.busy = ""

    def show_problem(self, text: str) -> None:
        """In the dock, where it stays, and as napari shows messages. What was chosen last and worked is shown again."""
        session = self.session
        idle = not session.running and not self.counting.busy
        if idle and session.gene_map is not None and session.gene != session.gene_map.gene:
            session.gene = session.gene_map.gene
            session.genes = (session.gene,)
            self.panels.genes.setValue(session.genes)
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

    # ---- the end

    def shut_down(self) -> None:
        """Stop everything and let go of the viewer."""
        for source, slot in self._viewer_events():
            source.disconnect(slot)
        self.session.events.disconnect(self._follow_session)
        for part in (self.display, self.regions, self.tissue, self.extras, self.results, self.reporting):
            part.forget()
        self.run_queue.abandon(keep=True)
        working = (self.instant, self.counting, self.opening, self.structure, self.models, self.devices)
        for part in (*working, self.resuming):
            part.abandon()
