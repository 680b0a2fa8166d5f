"""The panels of the dock on four pages, drawn from a session; what is always needed stands above and below the pages."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QLabel, QScrollArea, QTabWidget, QVBoxLayout, QWidget

from ...engine.slides.facts import slide_facts
from ...engine.slides.questions import question_of
from ...engine.slides.slide import Slide
from ..session import Session, State
from ..widgets.banners import MessageBar, ResumeBanner
from ..widgets.theme import heading, line
from .results.page import ResultPanel
from .run_bar import RunBar
from .sampling.page import SamplingPanel
from .sampling.regions import RegionPanel
from .slide.card import SlideCard
from .slide.gene_table import GeneTable
from .slide.header import SlideHeader
from .training.live_scores import LiveScoresLine
from .training.loss_plot import LossPlot
from .training.page import TrainingPanel
from .training.several import SeveralPanel
from .view_switch import ViewSwitch

PAGES = ("Slide", "Sampling", "Training", "Results")
PAGE_TITLES = ("&Slide", "Sa&mpling", "&Training", "&Results")
PAGE_TIPS = (
    "Genes to choose from, and what else of the slide to show (Alt+S)",
    "Bins, lattice, tissue and regions of interest (Alt+M)",
    "How to train, and how it goes (Alt+T)",
    "Scores, plots, comparing and export (Alt+R)",
)


class Panels(QWidget):
    """Holds the panels as attributes; :meth:`follow` makes them fit a session."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.resume = ResumeBanner()
        self.message = MessageBar()
        self.header = SlideHeader()
        self.view = ViewSwitch()
        self.card = SlideCard()
        self.note = QLabel("")
        self.note.setObjectName("s2sst_quiet")
        self.note.setWordWrap(True)
        self.note.hide()
        self.genes = GeneTable()
        self.sampling = SamplingPanel()
        self.region = RegionPanel()
        self.several = SeveralPanel()
        self.training = TrainingPanel()
        self.losses = LossPlot()
        self.live = LiveScoresLine()
        self.result = ResultPanel()
        self.run = RunBar()
        self.tabs = QTabWidget()
        self.tabs.setObjectName("s2sst_pages")
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setExpanding(True)
        self.tabs.tabBar().setUsesScrollButtons(False)
        pages = (
            _page(self.genes, heading("About this slide"), self.card, self.note, stretch=self.genes),
            _page(self.sampling, line(), self.region),
            _page(self.several, self.training, self.live, self.losses, stretch=self.losses),
            _page(self.result),
        )
        for title, tip, page in zip(PAGE_TITLES, PAGE_TIPS, pages, strict=True):
            self.tabs.setTabToolTip(self.tabs.addTab(page, title), tip)
        top, bottom = QWidget(), QWidget()
        for part, inside in ((top, (self.header, self.view)), (bottom, (line(), self.run))):
            column = QVBoxLayout(part)
            column.setContentsMargins(8, 6, 8, 6)
            column.setSpacing(6)
            for widget in inside:
                column.addWidget(widget)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.resume)
        outer.addWidget(self.message)
        outer.addWidget(top)
        outer.addWidget(self.tabs, 1)
        outer.addWidget(bottom)

    def follow(self, session: Session) -> None:
        """Enable what can be done now, and say what goes on."""
        self.header.setEnabledParts(can_open=session.can_open)
        self.header.setBusy(session.busy)
        self.genes.setEnabledParts(can_choose=session.can_change)
        self.sampling.setEnabled(not session.running)
        self.region.setEnabledParts(can_change=session.can_change)
        self.several.setGenes(session.genes)
        self.several.setEnabledParts(can_change=session.can_change)
        self.training.setEnabledParts(settings=not session.running)
        self.training.setLastRun(session.model is not None)
        self.training.setModelEnabled(save=session.can_export and not session.running, load=session.can_change)
        self.run.setGenes(len(session.genes))
        self.run.setTrains(session.settings.training.steps != 0)
        self.run.setEnabledParts(
            train=session.can_train, pause=session.can_pause, stop=session.can_stop,
            paused=session.state is State.PAUSED,
        )  # fmt: skip
        if session.state is State.STOPPING:
            self.run.setBusy("Stopping ...")
        self.result.setExportEnabled(session.can_export)
        self.message.setMessage(session.message)

    def setSlide(self, slide: Slide, genes: Mapping[str, int]) -> None:
        """Show what a slide is, and its genes with their counts."""
        self.header.setSlide(slide.name, f"{slide.summary()}\n{slide.path}")
        self.card.setFacts(slide_facts(slide))
        self.card.setSizeQuestion(question_of(slide))
        self.genes.setGenes(genes)

    def clear_run(self) -> None:
        """Show nothing more of an earlier run."""
        self.losses.clear()
        self.live.clear()
        self.run.setBusy("")

    def setNote(self, text: str) -> None:
        """Say something of the slide's optional layers; "" for nothing."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def show_page(self, name: str) -> None:
        """Turn to one of :data:`PAGES`."""
        self.tabs.setCurrentIndex(PAGES.index(name))


def _page(*parts: QWidget, stretch: QWidget | None = None) -> QScrollArea:
    """Widgets one below the other that scroll when they are higher than the dock."""
    inner = QWidget()
    column = QVBoxLayout(inner)
    column.setContentsMargins(8, 8, 8, 8)
    column.setSpacing(7)
    for part in parts:
        column.addWidget(part, 100 if part is stretch else 0)
    column.addStretch(1)  # all there is while the part that stretches is hidden
    scroll = QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    scroll.setWidget(inner)
    return scroll
