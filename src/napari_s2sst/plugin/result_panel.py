"""Show a run's scores beside those of the classical methods, and ask for the export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

COLUMNS = (
    ("MAE", "mae_unmeasured", min, "Mean absolute error in the normalised space; lower is better."),
    ("PCC", "pcc_unmeasured", max, "Pearson correlation with what was counted; higher is better."),
    ("SSIM", "ssim_unmeasured", max, "Structural similarity, whether the pattern looks right; higher is better."),
)
NO_TRUTH = "No scores: in Fill in nobody measured the finer grid, so there is nothing to compare with."


class ResultPanel(QWidget):
    """A picture of a session's result."""

    exportRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = QLabel()
        self._title.setWordWrap(True)
        self.table = QTableWidget(0, 1 + len(COLUMNS))
        self.table.setHorizontalHeaderLabels(["Method", *(name for name, *_ in COLUMNS)])
        for column, (*_, tip) in enumerate(COLUMNS, start=1):
            self.table.horizontalHeaderItem(column).setToolTip(tip)
        self.table.horizontalHeaderItem(0).setToolTip("CDCIN is the trained network; the others need no training.")
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(22)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.table.setShowGrid(False)
        self.table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.table.setToolTip("The best value of each column is bold.")
        self.export_button = QPushButton("Export...")
        self.export_button.setToolTip(
            "Write the maps into a folder: OME-TIFF and h5ad, with the scores, a figure,\n"
            "the model, and run.json, which says how to repeat the run."
        )
        self.export_button.clicked.connect(self.exportRequested)
        self.line = QLabel("")
        self.line.setObjectName("s2sst_quiet")
        self.line.setWordWrap(True)
        self.line.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        row = QHBoxLayout()
        row.addWidget(self.export_button)
        row.addWidget(self.line, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._title)
        layout.addWidget(self.table)
        layout.addLayout(row)
        self.clear()

    def clear(self) -> None:
        self._title.setText("")
        self._title.hide()
        self.table.hide()
        self.line.setText("")

    def setScores(self, gene: str, scores: Mapping[str, Any]) -> None:
        """Method -> Scores, ours first; an empty one says why there are none."""
        self._title.show()
        self.table.setVisible(bool(scores))
        self.line.setText("")
        if not scores:
            self._title.setText(NO_TRUTH)
            return
        bins = next(iter(scores.values())).bins
        self._title.setText(f"<b>{gene}</b>: scores on {bins:,} unmeasured bins")
        best = {field: _best(scores, field, choose) for _, field, choose, _ in COLUMNS}
        self.table.setRowCount(len(scores))
        for row, (method, values) in enumerate(scores.items()):
            self._put(row, 0, method, bold=row == 0, left=True)
            for column, (_, field, *_) in enumerate(COLUMNS, start=1):
                value = getattr(values, field)
                text = "-" if math.isnan(value) else f"{value:.3f}"
                self._put(row, column, text, bold=best[field] is not None and text == f"{best[field]:.3f}")
        height = self.table.horizontalHeader().sizeHint().height() + 22 * len(scores) + 4
        self.table.setFixedHeight(height)

    def setExportEnabled(self, on: bool) -> None:
        self.export_button.setEnabled(on)

    def setExported(self, text: str) -> None:
        self.line.setText(text)

    def _put(self, row: int, column: int, text: str, *, bold: bool, left: bool = False) -> None:
        item = QTableWidgetItem(text)
        side = Qt.AlignmentFlag.AlignLeft if left else Qt.AlignmentFlag.AlignRight
        item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
        font = item.font()
        font.setBold(bold)
        item.setFont(font)
        self.table.setItem(row, column, item)


def _best(scores: Mapping[str, Any], field: str, choose: Any) -> float | None:
    values = [getattr(each, field) for each in scores.values()]
    return choose((value for value in values if not math.isnan(value)), default=None)
