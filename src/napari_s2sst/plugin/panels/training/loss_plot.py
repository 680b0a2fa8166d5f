"""Draw how the error falls: on bins that training sees, on held-out ones, and the best classical method as a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from math import log10
from typing import Any

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import QPointF, Qt, Signal
from qtpy.QtGui import QImage
from qtpy.QtWidgets import (
    QApplication,
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from ....engine.errors import S2SSTError
from ...session import LossPoint
from ...widgets.zoom_plot import ZoomPlot
from .loss_files import CLASSICAL_COLOUR, HELD_OUT_COLOUR, TRAINING_COLOUR, Curves, picture, write_curves, write_picture

CURVE = {"antialias": True, "autoDownsample": True, "downsampleMethod": "peak", "autoDownsampleFactor": 0.5}
"""The lowest and highest of every two pixels, which is what can be seen of more points than that."""


class LossPlot(QWidget):
    """A picture of a session's losses; hidden while there are none."""

    failed = Signal(str)
    """A file could not be written: one sentence."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curves = Curves()
        self._plot = ZoomPlot(background=None)
        item = self._item = self._plot.getPlotItem()
        self._training, self._held_out = (
            item.plot(pen=pg.mkPen(colour, width=2), **CURVE) for colour in (TRAINING_COLOUR, HELD_OUT_COLOUR)
        )
        for curve in (self._training, self._held_out):
            curve.curve.setSegmentedLineMode("on")  # a jagged path as a whole takes Qt four times as long
        pen = pg.mkPen(CLASSICAL_COLOUR, width=2, style=Qt.PenStyle.DashLine)
        self._classical = pg.InfiniteLine(angle=0, pen=pen)
        self._hair = pg.InfiniteLine(angle=90, pen=pg.mkPen("#808080", width=1))
        for line in (self._classical, self._hair):
            line.hide()
            item.addItem(line, ignoreBounds=line is self._hair)

        self._legend = QLabel()
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        self._legend.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._here = QElidingLabel("")
        self._here.setObjectName("s2sst_quiet")
        self._here.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.log_box = QCheckBox("log")
        self.log_box.setToolTip("Draw the error on a logarithmic axis.")
        self.log_box.toggled.connect(self._set_log)
        self.reset_button = QPushButton("Reset view")
        self.reset_button.setToolTip("Show the whole curves again, and follow them. (Home)")
        self.reset_button.clicked.connect(self.reset_view)
        self.save_button = QToolButton()
        self.save_button.setText("Save ▾")
        self.save_button.setToolTip("Keep the curves as numbers or as a picture.")
        self.save_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.save_button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        menu = QMenu(self.save_button)
        menu.addAction("Curves as CSV...", self._ask_for_curves)
        menu.addAction("Plot as PNG...", self._ask_for_picture)
        menu.addAction("Copy the plot", self.copy)
        self.save_button.setMenu(menu)
        self._lay_out()
        self._plot.sigRangeChangedManually.connect(self.reset_button.show)
        self._plot.resetRequested.connect(self.reset_view)
        self._plot.scene().sigMouseMoved.connect(self._hover)
        self._plot.left.connect(self._leave)
        self.setTheme("#ffffff")
        self.clear()

    def _lay_out(self) -> None:
        below = QHBoxLayout()
        below.setContentsMargins(0, 0, 0, 0)
        below.addWidget(self._here, 1)
        for widget in (self.reset_button, self.log_box, self.save_button):
            below.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._legend)
        layout.addWidget(self._plot, 1)
        layout.addLayout(below)

    def setTheme(self, foreground: str) -> None:
        """Colour of axes and text; the background is the window's."""
        self._plot.setForeground(foreground)

    def clear(self) -> None:
        self.curves = Curves()
        self._draw()
        self.reset_view()
        self._leave()
        self.hide()

    def setClassical(self, classical: Mapping[str, float]) -> None:
        """Method -> MAE on the held-out bins; the best becomes a horizontal line."""
        name = min(classical, key=classical.get, default="")
        self.curves = self.curves.with_classical(name, float(classical[name]) if classical else None)
        self._draw()

    def setLosses(self, points: Sequence[LossPoint]) -> None:
        """Errors on trained and on held-out bins."""
        self.curves = self.curves.with_errors(
            np.array([point.step for point in points], float),
            np.array([point.training_mae for point in points], float),
            np.array([point.held_out_mae for point in points], float),
        )
        self._draw()
        self.show()

    def setLossCurve(self, curve: Sequence[tuple[int, float]]) -> None:
        """The total loss instead, for a run that holds nothing out."""
        steps, losses = np.array(curve, float).reshape(-1, 2).T
        self.curves = self.curves.with_loss(steps, losses)
        self._draw()
        self.show()

    def reset_view(self) -> None:
        """All of the curves; the view follows them again."""
        self._item.enableAutoRange()
        self.reset_button.hide()

    def write_curves(self, path: str) -> None:
        """The numbers, as CSV. What can't be written is told by :attr:`failed`."""
        self._try(lambda: write_curves(path, self.curves))

    def write_picture(self, path: str) -> None:
        """Write what is seen, on white, as PNG. What can't be written is told by :attr:`failed`."""
        self._try(lambda: write_picture(path, self.curves, **self._view()))

    def copy(self) -> None:
        """Copy what is seen, on white, to the clipboard."""
        QApplication.clipboard().setImage(QImage.fromData(picture(self.curves, **self._view())))

    def _view(self) -> dict[str, Any]:
        """View of the curves: whether logarithmic, and the steps and errors that are seen."""
        log = self.log_box.isChecked()
        if self.reset_button.isHidden():
            return {"log": log}
        steps, errors = self._item.viewRange()
        return {"log": log, "steps": tuple(steps), "errors": tuple(10**end if log else end for end in errors)}

    def _try(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except S2SSTError as error:
            self.failed.emit(str(error))

    def _ask_for_curves(self) -> None:
        path = QFileDialog.getSaveFileName(self, "Write the curves", "losses.csv", "Tables (*.csv)")[0]
        if path:
            self.write_curves(path)

    def _ask_for_picture(self) -> None:
        path = QFileDialog.getSaveFileName(self, "Write the plot", "losses.png", "Pictures (*.png)")[0]
        if path:
            self.write_picture(path)

    def _draw(self) -> None:
        curves = self.curves
        self._training.setData(curves.steps, curves.loss if curves.loss is not None else curves.training)
        self._held_out.setData(curves.steps if curves.held_out.size else [], curves.held_out)
        self._place_classical()
        self._name_curves()

    def _set_log(self, on: bool) -> None:
        self._item.setLogMode(y=on)
        self._place_classical()
        self.reset_view()

    def _place_classical(self) -> None:
        """An InfiniteLine does not follow the axis's log mode by itself."""
        best = self.curves.classical
        self._classical.setVisible(best is not None and self.curves.loss is None)
        if best is not None and (best > 0 or not self.log_box.isChecked()):
            self._classical.setValue(log10(best) if self.log_box.isChecked() else best)

    def _name_curves(self, point: int | None = None) -> None:
        """The legend; with the values at one of the points."""
        values = [] if point is None else [f"&nbsp;{curve[point]:.3g}" for curve in self.curves.columns().values()]
        entries = [(name, colour, "━") for name, colour in self._drawn()]
        if self._classical.isVisible():
            entries.append((self.curves.classical_name, CLASSICAL_COLOUR, "╌"))
        self._legend.setText(
            "&nbsp; ".join(
                f'<span style="color:{colour}">{mark}</span>&nbsp;{name.replace(" ", "&nbsp;")}{value}'
                for (name, colour, mark), value in zip_longest(entries, values, fillvalue="")
            )
        )

    def _drawn(self) -> list[tuple[str, str]]:
        return list(zip(self.curves.columns(), (TRAINING_COLOUR, HELD_OUT_COLOUR), strict=False))

    def _hover(self, place: QPointF) -> None:
        """The values at the step nearest to the mouse."""
        box = self._item.getViewBox()
        if not self.curves.steps.size or not box.sceneBoundingRect().contains(place):
            self._leave()
            return
        nearest = int(np.abs(self.curves.steps - box.mapSceneToView(place).x()).argmin())
        self._hair.setValue(self.curves.steps[nearest])
        self._hair.show()
        self._here.setText(f"step {self.curves.steps[nearest]:,.0f}")
        self._name_curves(nearest)

    def _leave(self) -> None:
        self._hair.hide()
        self._here.setText("")
        self._name_curves()
