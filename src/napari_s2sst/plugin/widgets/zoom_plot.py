"""A plot of errors over steps that is moved by dragging and zoomed by wheel or keys, on a page that scrolls."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import QEvent, QSize, Qt, Signal
from qtpy.QtGui import QKeyEvent, QWheelEvent
from qtpy.QtWidgets import QSizePolicy

MIN_HEIGHT_PX, HEIGHT_PX = 150, 180
ZOOM = 0.8
"""Of the range that is seen, for one press of a key."""


class ZoomPlot(pg.PlotWidget):
    """Dragging moves, dragging with the right button stretches. The wheel zooms once the plot was clicked, or with Ctrl:
    otherwise it scrolls the page that the plot is on."""

    resetRequested = Signal()
    left = Signal()
    sigRangeChangedManually = Signal(object)

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        item = self.getPlotItem()
        self.setMinimumHeight(MIN_HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMenuEnabled(False)
        self.hideButtons()
        self.setAccessibleName("Error over training steps")
        self.setToolTip(
            "Mean absolute error of the network while it learns.\n"
            "Held out: measured bins that are kept away from training. Where that curve falls below the dashed line,\n"
            "the network is better than the best classical method.\n"
            "Drag to move; click, then turn the wheel (or press + and -) to zoom; Ctrl and the wheel zoom at once."
        )
        for side in ("left", "bottom"):
            item.getAxis(side).enableAutoSIPrefix(False)
        item.getAxis("left").setWidth(44)
        item.getAxis("bottom").setHeight(36)
        item.layout.setContentsMargins(0, 6, 8, 6)  # pyqtgraph lets the axis's name stick out by 5 px
        item.getViewBox().sigRangeChangedManually.connect(self.sigRangeChangedManually)

    def setForeground(self, colour: str) -> None:
        item = self.getPlotItem()
        for side in ("left", "bottom"):
            item.getAxis(side).setPen(pg.mkPen(colour, width=1))
            item.getAxis(side).setTextPen(colour)
        item.setLabel("bottom", "step", color=colour)
        self.foreground = colour

    def sizeHint(self) -> QSize:
        hint = super().sizeHint()
        hint.setHeight(HEIGHT_PX)
        hint.setWidth(200)
        return hint

    def wheelEvent(self, event: QWheelEvent) -> None:
        if self.hasFocus() or event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            super().wheelEvent(event)
        else:
            event.ignore()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        scale = {"+": ZOOM, "=": ZOOM, "-": 1 / ZOOM}.get(event.text())
        if event.key() == Qt.Key.Key_Home:
            self.resetRequested.emit()
        elif scale is not None:
            self.getViewBox().scaleBy((scale, scale))
            self.sigRangeChangedManually.emit([True, True])
        else:
            super().keyPressEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.left.emit()
