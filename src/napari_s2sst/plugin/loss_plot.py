"""Draw how the error falls: on bins that training sees, on held-out ones, and the best classical method as a line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log10

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from .session import LossPoint

TRAINING_COLOUR = "#56b4e9"
HELD_OUT_COLOUR = "#e69f00"
CLASSICAL_COLOUR = "#009e73"
"""Okabe and Ito's set: told apart with any colour vision, on black and on white."""


class LossPlot(QWidget):
    """A picture of a session's losses; hidden while there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot = pg.PlotWidget(background=None)
        self._plot.setMinimumHeight(160)
        self._plot.setMaximumHeight(190)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.setMouseEnabled(x=False, y=False)
        self._plot.setToolTip(
            "Mean absolute error of the network while it learns.\n"
            "Held out: measured bins that are kept away from training. Where that curve falls below the dashed line,\n"
            "the network is better than the best classical method."
        )
        item = self._plot.getPlotItem()
        item.setLabel("bottom", "step")
        item.getAxis("left").enableAutoSIPrefix(False)
        item.getAxis("bottom").enableAutoSIPrefix(False)
        item.getAxis("left").setWidth(44)
        item.getAxis("bottom").setHeight(36)
        item.layout.setContentsMargins(0, 6, 8, 6)  # pyqtgraph lets the axis's name stick out by 5 px
        self._training = item.plot(pen=pg.mkPen(TRAINING_COLOUR, width=2), antialias=True)
        self._held_out = item.plot(pen=pg.mkPen(HELD_OUT_COLOUR, width=2), antialias=True)
        pen = pg.mkPen(CLASSICAL_COLOUR, width=2, style=Qt.PenStyle.DashLine)
        self._classical = pg.InfiniteLine(angle=0, pen=pen)
        self._classical.hide()
        item.addItem(self._classical)
        self._best: float | None = None

        self._legend = QLabel()
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        self._legend.setWordWrap(True)
        self.log_box = QCheckBox("log")
        self.log_box.setToolTip("Draw the error on a logarithmic axis.")
        self.log_box.toggled.connect(self._set_log)
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.addWidget(self._legend, 1)
        top.addWidget(self.log_box, 0, Qt.AlignmentFlag.AlignTop)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(top)
        layout.addWidget(self._plot)
        self.setTheme("#ffffff")
        self.clear()

    def setTheme(self, foreground: str) -> None:
        """Colour of axes and text; the background is the window's."""
        for side in ("left", "bottom"):
            axis = self._plot.getPlotItem().getAxis(side)
            axis.setPen(pg.mkPen(foreground, width=1))
            axis.setTextPen(foreground)
        self._plot.getPlotItem().setLabel("bottom", "step", color=foreground)

    def clear(self) -> None:
        self._training.setData([], [])
        self._held_out.setData([], [])
        self._classical.hide()
        self._best = None
        self._legend.setText("")
        self.hide()

    def setClassical(self, classical: Mapping[str, float]) -> None:
        """Method -> MAE on the held-out bins; the best becomes a horizontal line."""
        if not classical:
            self._best = None
            self._classical.hide()
            return
        name = min(classical, key=classical.get)
        self._best = float(classical[name])
        self._place_classical()
        self._classical.show()
        self._legend.setText(
            _entry(TRAINING_COLOUR, "training")
            + _entry(HELD_OUT_COLOUR, "held out")
            + _entry(CLASSICAL_COLOUR, name, "╌")
        )

    def setLosses(self, points: Sequence[LossPoint]) -> None:
        """Errors on trained and on held-out bins."""
        self.show()
        steps = [point.step for point in points]
        self._training.setData(steps, [point.training_mae for point in points])
        self._held_out.setData(steps, [point.held_out_mae for point in points])

    def setLossCurve(self, curve: Sequence[tuple[int, float]]) -> None:
        """The total loss instead, for a run that holds nothing out."""
        self.show()
        self._legend.setText(_entry(TRAINING_COLOUR, "training loss"))
        self._training.setData([step for step, _ in curve], [loss for _, loss in curve])

    def _set_log(self, on: bool) -> None:
        self._plot.getPlotItem().setLogMode(y=on)
        self._place_classical()

    def _place_classical(self) -> None:
        """An InfiniteLine does not follow the axis's log mode by itself."""
        if self._best is not None and self._best > 0:
            self._classical.setValue(log10(self._best) if self.log_box.isChecked() else self._best)


def _entry(colour: str, text: str, mark: str = "━") -> str:
    return f'<span style="color:{colour}">{mark}</span>&nbsp;{text} &nbsp; '
