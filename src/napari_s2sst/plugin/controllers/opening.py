"""Open slides: from the dialog, a sample, or what was dropped on the window."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog

from ...engine.errors import BundleError
from ...engine.slides.questions import SizeQuestion, question_of, question_to
from ..panels.slide.size_dialog import SizeDialog
from ..threads import tasks
from ..threads.background import Background
from ..viewer.layers import slide_of
from ..widgets.docked import single_shot
from .controller import Controller, Workspace


def read_slide(path: Path, known: bool, asks: bool) -> tasks.OpenedSlide | SizeQuestion:
    """Read a slide, or find out what must be known before it can be shown; with ``asks`` False it is shown as well as it can be.

    Raises BundleError.
    """
    try:
        opened = tasks.load_slide(path, known=known)
    except BundleError:
        if asks and (question := question_to(path)) is not None:
            return question
        raise
    question = question_of(opened.slide) if asks else None
    return question if question is not None and question.kind == "pixel" else opened


class Opening(Controller):
    """One slide at a time; a newer one makes the one under way worthless."""

    leaving = Signal()
    """Another slide was read and is about to be shown; what belongs to the one before should end."""
    opened = Signal(object)
    """A tasks.OpenedSlide; its layers are in the viewer."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._noticed: list[Path] = []
        self._background = Background(self)
        self._background.failed.connect(self.failed)
        self._background.idle.connect(self.idle)
        self._notice = single_shot(self, 0, self._notice_layers)
        self.dialog: SizeDialog | None = None
        """While it asks how large a pixel or bin is."""
        header = self.panels.header
        header.openRequested.connect(self.ask_for_folder)
        header.openFileRequested.connect(self.ask_for_file)
        header.sampleRequested.connect(self.open_sample)
        self.panels.card.sizeRequested.connect(self.ask_for_size)

    @property
    def busy(self) -> bool:
        return self._background.busy

    def open(self, path: str | Path, size_um: float | None = None) -> None:
        """Open a Xenium folder or a table of counts; ``size_um``: of its pixels or bins, where no file tells."""
        path = Path(path)
        if size_um is not None:
            self._answered(path, size_um)
            return
        self.session.message = ""
        self.session.busy = f"Opening {path.name} ..."
        known = path in self.display.slides()
        self._background.start(lambda: read_slide(path, known, True), self._read)

    def ask_for_size(self) -> None:
        """Ask how large the pixels or bins of the open slide are, where that was assumed or is not known."""
        question = None if self.session.slide is None else question_of(self.session.slide)
        if question is not None:
            self._ask(replace(question, without=""))  # that is how it is open

    def open_sample(self) -> None:
        """Open the simulated slide; writing it takes some seconds the first time."""
        self.session.message = ""
        self.session.busy = "Opening the simulated slide ..."
        known = self.display.slides()
        self._background.start(lambda: tasks.open_sample(known), self._opened)

    def ask_for_folder(self) -> None:
        """Ask for a folder, then open it."""
        path = QFileDialog.getExistingDirectory(self.window, "Open a Xenium output folder")
        if path:
            self.open(path)

    def ask_for_file(self) -> None:
        """Ask for a table of counts, then open it."""
        kinds = "Tables of counts (*.h5ad *.npz)"
        path, _ = QFileDialog.getOpenFileName(self.window, "Open a table of counts", "", kinds)
        if path:
            self.open(path)

    def notice_soon(self, *_: Any) -> None:
        """Layers came or went: perhaps a slide was dropped on the window."""
        self._notice.start()

    def abandon(self) -> None:
        if self.dialog is not None:
            self.dialog.reject()
        self._notice.stop()
        self._background.abandon()

    def _notice_layers(self) -> None:
        if self.busy:
            return
        before, self._noticed = self._noticed, self.display.slides()
        new = [path for path in self._noticed if path not in before]
        if new:
            self.open(new[-1])

    def _read(self, answer: tasks.OpenedSlide | SizeQuestion) -> None:
        if isinstance(answer, SizeQuestion):
            self._ask(answer)
        else:
            self._opened(answer)

    def _ask(self, question: SizeQuestion) -> None:
        if self.dialog is not None:
            self.dialog.reject()
        self.dialog = SizeDialog(question, self.window)
        self.dialog.answered.connect(lambda size_um: self._answered(question.path, size_um))
        self.dialog.finished.connect(self._asked)
        self.dialog.open()

    def _asked(self, _: int) -> None:
        self.dialog = None

    def _answered(self, path: Path, size_um: float | None) -> None:
        """Open it again; None: without what the size is for."""
        self.session.message = ""
        self.session.busy = f"Opening {path.name} ..."
        if size_um is None:
            known = path in self.display.slides()
            self._background.start(lambda: read_slide(path, known, False), self._read)
        else:
            self._background.start(lambda: tasks.load_slide(path, size_um), self._opened_anew)

    def _opened_anew(self, opened: tasks.OpenedSlide) -> None:
        """Put aside what is in the viewer of it, which lies at another scale."""
        layers = self.display.viewer.layers
        for layer in [layer for layer in layers if slide_of(layer) == opened.slide.path]:
            layers.remove(layer)
        self._opened(opened)

    def _opened(self, opened: tasks.OpenedSlide) -> None:
        self.leaving.emit()
        self.session.open(opened.slide)
        path = opened.slide.path
        self._noticed.append(path)
        self.display.show_slide(path, opened.layers)
        self.opened.emit(opened)
        self.notice_soon()  # what was dropped meanwhile
