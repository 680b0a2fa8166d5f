"""Show a result: which one, its scores beside those of the classical methods, its errors, regions, comparing, export."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget
from superqt.utils import signals_blocked

from ....engine.scores.diagnostics import Diagnostics
from ...widgets.theme import heading, line
from .compare import CompareBar
from .diagnostics import DiagnosticsPlot
from .score_table import Cell, ScoreTable

COLUMNS = (
    ("MAE", "mae_unmeasured", min, "Mean absolute error in the normalised space; lower is better."),
    ("PCC", "pcc_unmeasured", max, "Pearson correlation with what was counted; higher is better."),
    ("SSIM", "ssim_unmeasured", max, "Structural similarity, whether the pattern looks right; higher is better."),
)
REGION_COLUMNS = (
    ("mm²", "area_mm2", "Area of the region"),
    ("measured", "measured_mean", "Mean of the measured bins, in the normalised space: what to compare regions by"),
    (
        "imputed",
        "imputed_mean",
        "Mean of all bins of the imputed map, in the normalised space.\nIt leans low for rare genes: compare "
        "regions by what was measured.",
    ),
    ("MAE", "mae", "Mean absolute error on the region's hidden bins"),
)
NO_TRUTH = "No scores: in Fill in nobody measured the finer grid, so there is nothing to compare with."
COMING = "<b>{}</b>: comparing with the classical methods ..."
NO_RESULT = "No result yet. Choose a gene and press Train."


class ResultPanel(QWidget):
    """A picture of a session's results. ``compare`` is a CompareBar, ``diagnostics`` a DiagnosticsPlot."""

    exportRequested = Signal()
    resultChosen = Signal(int)
    """Its place in the list, 0 is the newest."""
    removeRequested = Signal()
    """Of the one that is shown."""
    undoRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.result_box = QComboBox()
        self.result_box.setToolTip("Results of this window, the newest first; choosing one shows its maps and scores")
        self.result_box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.result_box.setMinimumContentsLength(16)
        self.result_box.currentIndexChanged.connect(self._chosen)
        self.result_box.setAccessibleName("Result")
        self.remove_button = QToolButton()
        self.remove_button.setText("Remove")
        self.remove_button.setToolTip(
            "Take this result and its layers out of the window, for memory or for order; files that were written stay."
        )
        self.remove_button.clicked.connect(self.removeRequested)
        self._removed = QLabel()
        self._removed.setObjectName("s2sst_quiet")
        self._removed.setWordWrap(True)
        self.undo_button = QToolButton()
        self.undo_button.setText("Undo")
        self.undo_button.setToolTip("Put the removed result back")
        self.undo_button.clicked.connect(self.undoRequested)
        self._none = QLabel(NO_RESULT)
        self._none.setObjectName("s2sst_quiet")
        self._none.setWordWrap(True)
        self._title = QLabel()
        self._title.setWordWrap(True)
        self.table = ScoreTable("Method", [(name, tip) for name, _, _, tip in COLUMNS])
        self.table.horizontalHeaderItem(0).setToolTip("CDCIN is the trained network; the others need no training.")
        self.table.setToolTip("The best value of each column is bold.")
        self.diagnostics = DiagnosticsPlot()
        self._regions_title = heading("Regions")
        self.region_table = ScoreTable("Region", [(name, tip) for name, _, tip in REGION_COLUMNS])
        self._compare_title = heading("Compare")
        self.compare = CompareBar()
        self.export_button = QPushButton("&Export...")
        self.export_button.setToolTip(
            "Write maps, tables, figures, the model, and a script that repeats the run, into a folder"
        )
        self.export_button.clicked.connect(self.exportRequested)
        self.line = QLabel("")
        self.line.setObjectName("s2sst_quiet")
        self.line.setWordWrap(True)
        self.line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        choice, undo = QHBoxLayout(), QHBoxLayout()
        choice.addWidget(self.result_box, 1)
        choice.addWidget(self.remove_button)
        undo.addWidget(self._removed, 1)
        undo.addWidget(self.undo_button)
        row = QHBoxLayout()
        row.addWidget(self.export_button)
        row.addWidget(self.line, 1)
        self._lines = [line(), line()]
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(choice)
        layout.addLayout(undo)
        for widget in (
            self._none, self._title, self.table, self.diagnostics, self._regions_title,
            self.region_table, self._lines[0], self._compare_title, self.compare, self._lines[1],
        ):  # fmt: skip
            layout.addWidget(widget)
        layout.addLayout(row)
        self.setResults((), -1)
        self.setRemoved("")
        self.clear()

    def setResults(self, names: Sequence[str], current: int) -> None:
        """``LTF · fast · 0:34``, the newest first, and which one is shown; -1 for none."""
        with signals_blocked(self.result_box):
            self.result_box.clear()
            self.result_box.addItems(names)
            self.result_box.setCurrentIndex(current)
        self.result_box.setVisible(bool(names))
        self.remove_button.setVisible(bool(names))
        self._none.setVisible(not names)

    def setRemovable(self, on: bool) -> None:
        """Set whether the shown result may be taken away now."""
        self.remove_button.setEnabled(on)

    def setRemoved(self, name: str) -> None:
        """Say what was removed last and can come back; "" for nothing."""
        self._removed.setText(name and f"{name} was removed.")
        for widget in (self._removed, self.undo_button):
            widget.setVisible(bool(name))

    def clear(self) -> None:
        """Show nothing of a result; the list of results stays."""
        self._title.setText("")
        self._title.hide()
        self.table.hide()
        self.diagnostics.clear()
        self.setRegions(())
        self.line.setText("")

    def setScores(self, gene: str, scores: Mapping[str, Any], *, waits: bool = False) -> None:
        """Method -> Scores, ours first; an empty one says why there are none, or with ``waits`` that they will come."""
        self._title.show()
        self.table.setVisible(bool(scores))
        self.line.setText("")
        if not scores:
            self._title.setText(COMING.format(gene) if waits else NO_TRUTH)
            self.diagnostics.clear()
            return
        bins = next(iter(scores.values())).bins
        self._title.setText(f"<b>{gene}</b>: scores on {bins:,} unmeasured bins")
        best = [_best(scores, field, choose) for _, field, choose, _ in COLUMNS]
        rows = []
        for number, (method, values) in enumerate(scores.items()):
            texts = [_figure(getattr(values, field)) for _, field, *_ in COLUMNS]
            cells = [Cell(text, bold=text == top) for text, top in zip(texts, best, strict=True)]
            rows.append([Cell(method, bold=number == 0), *cells])
        self.table.setRows(rows)

    def setDiagnostics(self, diagnostics: Diagnostics | None) -> None:
        """Show what the engine's ``diagnose`` gives; None where nobody knows the truth."""
        self.diagnostics.setDiagnostics(diagnostics)

    def setRegions(self, rows: Sequence[Any]) -> None:
        """One row a region, with the attributes name, area_mm2, measured_mean, imputed_mean and mae (NaN for unknown)."""
        self._regions_title.setVisible(bool(rows))
        self.region_table.setVisible(bool(rows))
        self.region_table.setRows(
            [
                [Cell(row.name), *(Cell(_figure(getattr(row, field), 2)) for _, field, _ in REGION_COLUMNS)]
                for row in rows
            ]
        )

    def setTheme(self, foreground: str) -> None:
        """Colour of the plots' axes and text."""
        self.diagnostics.setTheme(foreground)

    def setExportEnabled(self, on: bool) -> None:
        self.export_button.setEnabled(on)

    def setExported(self, text: str) -> None:
        self.line.setText(text)

    def _chosen(self, index: int) -> None:
        if index >= 0:
            self.resultChosen.emit(index)


def _figure(value: float | None, digits: int = 3) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _best(scores: Mapping[str, Any], field: str, choose: Any) -> str | None:
    """The best figure as it is printed, so that equal figures are all bold."""
    values = [getattr(score, field) for score in scores.values()]
    best = choose((value for value in values if not math.isnan(value)), default=None)
    return None if best is None else _figure(best)
