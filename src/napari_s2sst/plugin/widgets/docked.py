"""A dock widget that learns when it is over: napari closes docks and windows without closing what is in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget


class DockedWidget(QWidget):
    """Calls :meth:`shut_down` once, when it is closed, taken out of its dock, or its main window goes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._docked = False
        self._main: QMainWindow | None = None
        self.over = False

    def shut_down(self) -> None:
        """Stop everything and let go of the viewer; for the subclass to fill."""

    def event(self, event: QEvent) -> bool:
        """napari takes a closed dock's widget out of its parent, and does not close it."""
        if event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked:
                self._end()
        return super().event(event)

    def showEvent(self, event: QEvent) -> None:
        main = self.parentWidget()  # not window(): a dock that floats is a window of its own
        while main is not None and not isinstance(main, QMainWindow):
            main = main.parentWidget()
        if main is not None and main is not self._main:
            if self._main is not None:
                self._main.removeEventFilter(self)
            self._main = main
            main.installEventFilter(self)
        super().showEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """A main window that was asked to close may refuse, so not its Close counts but that it went; minimising is
        spontaneous."""
        if event.type() == QEvent.Type.Hide and not event.spontaneous() and watched is self._main:
            self._end()
        return super().eventFilter(watched, event)

    def closeEvent(self, event: QEvent) -> None:
        self._end()
        super().closeEvent(event)

    def _end(self) -> None:
        if not self.over:
            self.over = True
            if self._main is not None:
                self._main.removeEventFilter(self)
                self._main = None
            self.shut_down()


def unwrapped(viewer: Any) -> Any:
    """The viewer itself. napari hands a plugin a proxy, whose layers are proxies too and so never *are* the layers that
    events tell of."""
    return getattr(viewer, "__wrapped__", viewer)


def single_shot(parent: QObject, interval_ms: int, slot: Callable[[], None]) -> QTimer:
    """A timer that calls once, this long after its last start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(interval_ms)
    timer.timeout.connect(slot)
    return timer
