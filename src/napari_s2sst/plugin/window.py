"""The dock widget "S2S-ST imputation": joins the session to its panels, to the viewer's layers and to the worker.

Panels draw and ask, the session knows, the display shows; this is the only place that connects them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import Notification, NotificationSeverity, notification_manager
from qtpy.QtWidgets import QFileDialog, QSizePolicy, QVBoxLayout, QWidget

from ..engine.errors import S2SSTError
from ..engine.events import Event, Finished, Previewed, Started, Stepped, Validated
from ..engine.maps import GeneMap
from . import tasks
from .background import Background
from .display import Display
from .docked import DockedWidget, single_shot
from .panel_column import PanelColumn
from .runner import Runner
from .session import Mode, Sampling, Session, State
from .theme import theme_colours, window_style
from .training_panel import clock
from .worker import Request, Stage

if TYPE_CHECKING:
    import napari

MIN_WIDTH_PX, WIDTH_PX = 360, 380
SETTLE_MS = 250
"""Bins are counted anew when the user has stopped turning the wheel."""


class ImputationWidget(DockedWidget):
    """napari's dock widget. ``session`` is its model; everything in the window follows from it."""

    def __init__(self, napari_viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.viewer = napari_viewer
        self.session = Session()
        self.display = Display(napari_viewer, self)
        self.runner = Runner(self.session, self)
        self._seen_slides: list[Path] = []
        self._opening, self._counting, self._writing, self._looking = (Background(self) for _ in range(4))
        self._settle = single_shot(self, SETTLE_MS, self._count)
        self._notice = single_shot(self, 0, self._notice_layers)
        self.panels = PanelColumn()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.panels)
        self.setMinimumWidth(MIN_WIDTH_PX)
        # Or napari puts an empty stretch below, and the panels get half of the height.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setMaximumWidth(WIDTH_PX)
        self._connect()
        self._follow_theme()
        self._follow_session()
        self._notice.start()

    def _connect(self) -> None:
        for background in (self._opening, self._counting, self._writing):
            background.failed.connect(self.show_problem)
            background.idle.connect(self._no_longer_busy)
        self.panels.slide.openRequested.connect(self._ask_for_slide)
        self.panels.slide.valueChanged.connect(self.choose_gene)
        self.panels.sampling.valueChanged.connect(self._sampling_changed)
        self.panels.sampling.latticeToggled.connect(self._draw_lattice)
        self.panels.region.valueChanged.connect(self._count_soon)
        self.panels.region.drawRequested.connect(self._draw_region)
        self.panels.training.valueChanged.connect(lambda config: setattr(self.session, "training", config))
        self.panels.training.trainRequested.connect(self.train)
        self.panels.training.pauseToggled.connect(self.runner.toggle_pause)
        self.panels.training.stopRequested.connect(self.runner.stop)
        self.runner.told.connect(self._show_event)
        self.runner.returned.connect(self._show_result)
        self.runner.failed.connect(self._run_failed)
        self.panels.result.exportRequested.connect(self._ask_for_folder)
        self.panels.message.dismissed.connect(lambda: setattr(self.session, "message", ""))
        self.session.events.connect(self._follow_session)
        for source, slot in self._viewer_events():
            source.connect(slot)

    def _viewer_events(self) -> tuple:
        events = self.viewer.layers.events
        return (
            (events.inserted, self._notice_soon),
            (events.removed, self._notice_soon),
            (self.viewer.events.theme, self._follow_theme),
        )

    # ---- slide and gene

    def open_slide(self, path: str | Path) -> None:
        """Open a Xenium folder in the background; a run on another slide is ended first, without its result."""
        path = Path(path)
        self._abandon_run()
        self.session.message = ""
        self.session.busy = f"Opening {path.name} ..."
        known = path in self.display.slides()
        self._opening.start(lambda: tasks.open_slide(path, known), self._slide_opened)

    def choose_gene(self, gene: str) -> None:
        """Count a gene in the background and show it."""
        if self.session.bundle is not None and not self.session.running:
            self.session.gene = gene
            self._count()

    def _ask_for_slide(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Open a Xenium output folder")
        if path:
            self.open_slide(path)

    def _notice_soon(self) -> None:
        self._notice.start()

    def _notice_layers(self) -> None:
        """What was dropped on the window, or opened before the dock was."""
        self.panels.region.setChoices(self.display.region_names())
        if self._opening.busy:
            return
        before, self._seen_slides = self._seen_slides, self.display.slides()
        new = [path for path in self._seen_slides if path not in before]
        if new:
            self.open_slide(new[-1])

    def _slide_opened(self, opened: tasks.OpenedSlide) -> None:
        bundle, genes = opened.bundle, opened.genes
        self.session.open(bundle)
        self.panels.clear_run()
        self.display.show_slide(Path(bundle.path), opened.layers)
        self._seen_slides = self.display.slides()
        self.panels.slide.setSlide(*opened.card())
        self.panels.slide.setGenes(genes)
        own_bins = getattr(bundle, "bin_um", None)  # a count cube comes with its bins
        self.panels.sampling.setBinLocked(own_bins is not None)
        if own_bins is not None:
            self.session.sampling = Sampling(own_bins, self.session.sampling.stride, self.session.sampling.mode)
            self.panels.sampling.setValue(self.session.sampling)
        if genes:
            self.choose_gene(next(iter(genes)))
        self._looking.start(tasks.find_devices, self.panels.training.setDevices)

    def _count(self) -> None:
        session = self.session
        if session.running:
            self._settle.start()  # a region was redrawn or deleted meanwhile: counted when the run is over
        if session.bundle is None or not session.gene or session.running:
            return
        try:
            bundle, gene, config = session.bundle, session.gene, session.config
            regions = self.display.regions(self.panels.region.value())
        except S2SSTError as error:
            self.show_problem(str(error))
            return
        session.busy = f"Counting {gene} ..."
        self._counting.start(lambda: tasks.count_gene(bundle, gene, config, regions), self._show_counts)

    def _show_counts(self, gene_map: GeneMap) -> None:
        if gene_map.gene != self.session.gene or self.session.running:
            return
        self.session.message = ""
        self.session.gene_map = gene_map
        self.session.outdated = self._settle.isActive()
        self.panels.slide.setValue(gene_map.gene)
        self.display.show_counts(gene_map)
        self._draw_lattice()

    def _sampling_changed(self, sampling: Sampling) -> None:
        same_bins = sampling.bin_um == self.session.sampling.bin_um
        self.session.sampling = sampling
        (self._draw_lattice if same_bins else self._count_soon)()

    def _count_soon(self) -> None:
        self.session.outdated = self.session.gene_map is not None
        self._settle.start()

    def _draw_lattice(self) -> None:
        wanted = self.panels.sampling.lattice_box.isChecked() and self.session.sampling.mode is Mode.CHECK
        self.display.show_lattice(self.session.gene_map if wanted else None, self.session.sampling.stride)

    def _draw_region(self) -> None:
        layer = self.display.add_region_layer()
        layer.events.data.connect(self._count_soon)
        self.panels.region.setChoices(self.display.region_names())
        self.panels.region.setValue(layer.name)

    # ---- training

    def train(self) -> None:
        """Start a run on what is chosen."""
        session = self.session
        if not session.can_train:
            return
        try:
            regions = self.display.regions(self.panels.region.value())
            path = Path(session.bundle.path)
            self.runner.start(Request(session.gene_map, session.config, session.sampling.mode, path, regions))
        except S2SSTError as error:
            self.show_problem(str(error))
            return
        self.panels.clear_run()
        self.display.begin_run(session.gene)
        self.panels.training.setBusy("Getting ready ...")

    def _abandon_run(self) -> None:
        if self.runner.active:
            self.runner.abandon()
            self.panels.training.setBusy("")
            self.display.end_preview()

    def _show_event(self, event: Event | Stage) -> None:
        match event:
            case Stage():
                self.panels.training.setBusy(event.text)
            case Started():
                self.panels.training.setBusy("")
                self.panels.losses.setClassical(event.classical)
            case Stepped() if self.session.state is not State.STOPPING:
                self.panels.training.setProgress(event)
                if not self.session.started.held_out_bins:
                    self.panels.losses.setLossCurve(self.session.loss_curve)
            case Validated():
                self.panels.losses.setLosses(self.session.losses)
            case Previewed():
                self.display.show_preview(event.imputed, self.runner.sparse, self.runner.request.config)
            case Finished():
                self.panels.training.setBusy("Finishing ...")

    def _show_result(self, result: Any) -> None:
        finished, gene = self.session.finished, result.job.sparse[0].gene
        how = "Stopped" if finished is not None and finished.stopped else "Done"
        self.panels.training.setDone(f"{how}: {result.trained.steps:,} steps in {clock(result.trained.seconds)}")
        self.display.show_result(result)
        self.panels.result.setScores(gene, result.scores[gene])
        self.panels.reveal_result()

    def _run_failed(self, message: str) -> None:
        self.panels.training.setBusy("")
        self.display.end_preview()
        self.show_problem(message)

    # ---- export

    def export(self, folder: str | Path) -> None:
        """Write the result's files into a folder, in the background."""
        result, folder = self.session.result, Path(folder)
        if result is None:
            return
        self.session.busy = "Writing ..."
        self.panels.result.setExported("Writing ...")
        self._writing.start(lambda: tasks.write_files(folder, result), self._exported)

    def _ask_for_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write the result into this folder")
        if folder:
            self.export(folder)

    def _exported(self, paths: list[Path]) -> None:
        self.session.message = ""
        self.panels.result.setExported(f"{len(paths)} files in {paths[0].parent}")

    # ---- what follows from the session

    def _follow_session(self, *_: Any) -> None:
        self.panels.follow(self.session)

    def _no_longer_busy(self) -> None:
        if not (self._opening.busy or self._counting.busy or self._writing.busy):
            self.session.busy = ""

    def show_problem(self, text: str) -> None:
        """In the dock, where it stays, and as napari shows messages. What was chosen last and worked is shown again."""
        self.session.message = text
        self.panels.result.setExported("")
        if self.session.gene_map is not None:
            self.session.gene = self.session.gene_map.gene
            self.panels.slide.setValue(self.session.gene)
        notification_manager.dispatch(Notification(text, NotificationSeverity.WARNING))

    def _follow_theme(self) -> None:
        colours = theme_colours(self.viewer.theme)
        self.setStyleSheet(window_style(colours))
        self.panels.losses.setTheme(colours.text)

    # ---- the end

    def shut_down(self) -> None:
        """Stop everything and let go of the viewer."""
        for source, slot in self._viewer_events():
            source.disconnect(slot)
        self.session.events.disconnect(self._follow_session)
        self._settle.stop()
        self._notice.stop()
        self.display.forget()
        self.runner.abandon()
        for background in (self._opening, self._counting, self._writing, self._looking):
            background.abandon()
