"""Open slides: from the dialog, a sample, or what was dropped on the window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from . import tasks
from .background import Background
from .display import Display
from .docked import single_shot
from .session import Session


class Opening(QObject):
    """One slide at a time; a newer one makes the one under way worthless."""

    leaving = Signal()
    """Another slide was read and is about to be shown; what belongs to the one before should end."""
    opened = Signal(object)
    """A tasks.OpenedSlide; its layers are in the viewer."""
    failed = Signal(str)
    idle = Signal()

    def __init__(self, session: Session, display: Display, parent: QWidget) -> None:
        super().__init__(parent)
        self.session, self.display, self._window = session, display, parent
        self._seen: list[Path] = []
        self._background = Background(self)
        self._background.failed.connect(self.failed)
        self._background.idle.connect(self.idle)
        self._notice = single_shot(self, 0, self._notice_layers)

    @property
    def busy(self) -> bool:
        return self._background.busy

    @property
    def noticing(self) -> bool:
        """Layers came or went that were not looked at yet."""
        return self._notice.isActive()

    def open(self, path: str | Path) -> None:
        """A Xenium folder or a table of counts."""
        path = Path(path)
        self.session.message = ""
        self.session.busy = f"Opening {path.name} ..."
        known = path in self.display.slides()
        self._background.start(lambda: tasks.open_slide(path, known), self._opened)

    def open_sample(self) -> None:
        """The simulated slide; writing it takes some seconds the first time."""
        self.session.message = ""
        self.session.busy = "Opening the simulated slide ..."
        known = self.display.slides()
        self._background.start(lambda: tasks.open_sample(known), self._opened)

    def ask_for_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self._window, "Open a Xenium output folder")
        if path:
            self.open(path)

    def ask_for_file(self) -> None:
        kinds = "Tables of counts (*.h5ad *.npz)"
        path, _ = QFileDialog.getOpenFileName(self._window, "Open a table of counts", "", kinds)
        if path:
            self.open(path)

    def notice_soon(self, *_: Any) -> None:
        """Layers came or went: perhaps a slide was dropped on the window."""
        self._notice.start()

    def abandon(self) -> None:
        self._notice.stop()
        self._background.abandon()

    def _notice_layers(self) -> None:
        if self.busy:
            return
        before, self._seen = self._seen, self.display.slides()
        new = [path for path in self._seen if path not in before]
        if new:
            self.open(new[-1])

    def _opened(self, slide: tasks.OpenedSlide) -> None:
        self.leaving.emit()
        self.session.open(slide.bundle)
        path = Path(slide.bundle.path)
        self._seen.append(path)
        self.display.show_slide(path, slide.layers)
        self.opened.emit(slide)
        self.notice_soon()  # what was dropped meanwhile
