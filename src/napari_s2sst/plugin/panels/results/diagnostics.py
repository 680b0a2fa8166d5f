"""Draw how the errors on hidden bins are spread, and whether the predicted uncertainty fits them, with a sentence each."""

from __future__ import annotations

import math

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from ....engine.scores.diagnostics import COVERAGE, Diagnostics, ErrorHistogram, Reliability

OURS_ON_DARK, OURS_ON_LIGHT = "#56b4e9", "#0072b2"
CLASSICAL_COLOUR, EVEN_COLOUR = "#e69f00", "#009e73"
"""Okabe and Ito's set: told apart with any colour vision, on black and on white."""

ERRORS, UNCERTAINTY = "Errors", "Uncertainty"
TIPS = {
    ERRORS: "Imputed minus counted value of every hidden bin, in the normalised space: the narrower about 0, the better",
    UNCERTAINTY: "Hidden bins in ten groups, from the surest to the least sure: the width that was predicted for them\n"
    "against the width that was needed. On the dashed line both agree; below it the map is surer than need be.",
}
CLOSE = 0.03
"""A coverage this near to 90 % is called right."""


class DiagnosticsPlot(QWidget):
    """A picture of a gene's diagnostics; hidden while there are none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown: Diagnostics | None = None
        self._foreground, self._ours = "#ffffff", OURS_ON_DARK
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        row = QHBoxLayout()
        row.setSpacing(1)
        for name in (ERRORS, UNCERTAINTY):
            button = QPushButton(name)
            button.setObjectName("s2sst_view")
            button.setCheckable(True)
            button.setToolTip(TIPS[name])
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.clicked.connect(self._draw)
            self._group.addButton(button)
            self.buttons[name] = button
            row.addWidget(button)
        self.buttons[ERRORS].setChecked(True)
        self._legend = QLabel()
        self._legend.setTextFormat(Qt.TextFormat.RichText)
        self._legend.setWordWrap(True)
        self._plot = pg.PlotWidget(background=None)
        self._plot.setCacheMode(pg.GraphicsView.CacheModeFlag.CacheNone)  # or the last theme's background stays
        self._plot.setFixedHeight(165)
        self._plot.setMenuEnabled(False)
        self._plot.hideButtons()
        self._plot.setMouseEnabled(x=False, y=False)
        item = self._plot.getPlotItem()
        for side in ("left", "bottom"):
            item.getAxis(side).enableAutoSIPrefix(False)
        item.getAxis("left").setWidth(46)
        item.getAxis("bottom").setHeight(36)
        item.layout.setContentsMargins(0, 6, 8, 6)  # pyqtgraph lets the axis's name stick out by 5 px
        self.sentence = QLabel()
        self.sentence.setWordWrap(True)
        self.sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(row)
        layout.addWidget(self._legend)
        layout.addWidget(self._plot)
        layout.addWidget(self.sentence)
        self.clear()

    def setTheme(self, foreground: str) -> None:
        """Colour of axes and text; the background is the window's."""
        self._foreground = foreground
        self._ours = OURS_ON_DARK if pg.mkColor(foreground).lightness() > 127 else OURS_ON_LIGHT
        for side in ("left", "bottom"):
            axis = self._plot.getPlotItem().getAxis(side)
            axis.setPen(pg.mkPen(foreground, width=1))
            axis.setTextPen(foreground)
        self._draw()

    def clear(self) -> None:
        self._shown = None
        self._plot.getPlotItem().clear()
        self.sentence.setText("")
        self.hide()

    def setDiagnostics(self, diagnostics: Diagnostics | None) -> None:
        """Show what :func:`~napari_s2sst.engine.scores.diagnostics.diagnose` gives; None where nobody knows the truth."""
        if diagnostics is None:
            self.clear()
            return
        self._shown = diagnostics
        self.buttons[UNCERTAINTY].setEnabled(diagnostics.reliability is not None)
        if diagnostics.reliability is None:
            self.buttons[ERRORS].setChecked(True)
        self._draw()
        self.show()

    def _draw(self) -> None:
        if self._shown is None:
            return
        self._plot.getPlotItem().clear()
        is_errors = self.buttons[ERRORS].isChecked() or self._shown.reliability is None
        self._plot.setToolTip(TIPS[ERRORS if is_errors else UNCERTAINTY])
        if is_errors:
            self._draw_errors(self._shown.histogram)
            self.sentence.setText(error_sentence(self._shown.histogram))
        else:
            self._draw_reliability(self._shown.reliability)
            self.sentence.setText(reliability_sentence(self._shown.reliability))

    def _draw_errors(self, errors: ErrorHistogram) -> None:
        item = self._plot.getPlotItem()
        self._label("imputed - counted", "% of bins")
        fill = pg.mkColor(self._ours)
        fill.setAlpha(120)
        # A curve in the step mode fills its area, which bars at half a pixel's width don't do evenly.
        ours = 100 * errors.counts / max(1, errors.counts.sum())
        item.plot(errors.edges, ours, stepMode="center", fillLevel=0, brush=fill, pen=pg.mkPen(self._ours, width=2))
        top = ours.max()
        legend = _entry(self._ours, f"CDCIN, mean {errors.mae:.3f}")
        if errors.classical is not None:
            other = 100 * errors.classical / max(1, errors.classical.sum())
            item.plot(errors.edges, other, stepMode="center", pen=pg.mkPen(CLASSICAL_COLOUR, width=2))
            legend += _entry(CLASSICAL_COLOUR, f"{errors.classical_name}, mean {errors.classical_mae:.3f}")
            top = max(top, other.max())
        item.addItem(pg.InfiniteLine(0, pen=pg.mkPen(self._foreground, width=1, style=Qt.PenStyle.DotLine)))
        item.setXRange(errors.edges[0], errors.edges[-1], padding=0.02)
        item.setYRange(0, top, padding=0.05)
        self._legend.setText(legend)

    def _draw_reliability(self, reliability: Reliability) -> None:
        item = self._plot.getPlotItem()
        self._label("predicted half width", "needed")
        top = float(max(reliability.predicted.max(), reliability.observed.max())) or 1.0
        item.plot([0, top], [0, top], pen=pg.mkPen(EVEN_COLOUR, width=2, style=Qt.PenStyle.DashLine))
        item.plot(
            reliability.predicted, reliability.observed, pen=pg.mkPen(self._ours, width=2), symbol="o", symbolSize=7,
            symbolBrush=self._ours, symbolPen=None, antialias=True,
        )  # fmt: skip
        item.setXRange(0, top, padding=0.04)
        item.setYRange(0, top, padding=0.06)
        self._legend.setText(_entry(self._ours, "groups of hidden bins") + _entry(EVEN_COLOUR, "exactly right", "╌"))

    def _label(self, bottom: str, left: str) -> None:
        self._plot.getPlotItem().setLabel("bottom", bottom, color=self._foreground)
        self._plot.getPlotItem().setLabel("left", left, color=self._foreground)


def error_sentence(errors: ErrorHistogram) -> str:
    """Say in words what the histogram shows."""
    inner = np.abs(errors.edges[:-1] + np.diff(errors.edges) / 2) <= errors.mae
    share = errors.counts[inner].sum() / max(1, errors.counts.sum())
    side = "neither too high nor too low on the whole"
    if abs(errors.bias) > 0.1 * errors.mae:
        side = f"too {'high' if errors.bias > 0 else 'low'} by {abs(errors.bias):.3f} on the whole"
    text = f"{share:.0%} of the hidden bins are wrong by less than {errors.mae:.2f}; the map is {side}."
    if errors.classical is not None and not math.isnan(errors.classical_mae) and errors.classical_mae > 0:
        better = 1 - errors.mae / errors.classical_mae
        how = "smaller" if better >= 0 else "larger"
        text += f" Its mean error is {abs(better):.0%} {how} than that of {errors.classical_name}."
    return text


def reliability_sentence(reliability: Reliability) -> str:
    """Say in words what the groups show."""
    text = f"{reliability.overall:.0%} of the hidden bins lie inside their 90 % interval"
    if abs(reliability.overall - COVERAGE) <= CLOSE:
        text += ", as it should be."
    elif reliability.overall > COVERAGE:
        text += ": it is wider than it need be."
    else:
        text += ": it is too narrow, so trust the map less than it says."
    ranks = np.argsort(np.argsort(reliability.observed))
    if len(ranks) > 2:
        agree = float(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1])
        text += (
            " Where the map says that it is unsure, its errors are indeed larger."
            if agree > 0.8
            else " The bins that it calls unsure are not clearly the worse ones."
        )
    return text


def _entry(colour: str, text: str, mark: str = "━") -> str:
    return f'<span style="color:{colour}">{mark}</span>&nbsp;{text.replace(" ", "&nbsp;")} &nbsp; '
