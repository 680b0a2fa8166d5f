"""A small table that is as tall as its rows: a name at the left, figures at the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QSizePolicy, QTableWidget, QTableWidgetItem, QWidget

if TYPE_CHECKING:
    from ....engine.scores.metrics import Scores

ROW_PX = 22


@dataclass(frozen=True)
class Cell:
    text: str
    bold: bool = False


class ScoreTable(QTableWidget):
    """``columns`` are (heading, tooltip) of the figures."""

    def __init__(self, name: str, columns: Sequence[tuple[str, str]], parent: QWidget | None = None) -> None:
        super().__init__(0, 1 + len(columns), parent)
        self.setHorizontalHeaderLabels([name, *(heading for heading, _ in columns)])
        for column, (_, tip) in enumerate(columns, start=1):
            self.horizontalHeaderItem(column).setToolTip(tip)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(ROW_PX)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setShowGrid(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def setRows(self, rows: Sequence[Sequence[Cell]]) -> None:
        """The name's cell first; a long name is cut, and whole in its tooltip."""
        self.setRowCount(len(rows))
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                item = QTableWidgetItem(cell.text)
                side = Qt.AlignmentFlag.AlignRight if column else Qt.AlignmentFlag.AlignLeft
                item.setTextAlignment(side | Qt.AlignmentFlag.AlignVCenter)
                if not column:
                    item.setToolTip(cell.text)
                font = item.font()
                font.setBold(cell.bold)
                item.setFont(font)
                self.setItem(row, column, item)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + ROW_PX * len(rows) + 4)


# ---- Show how good the preview is while the network learns: one line, with what it was at first.


class LiveScoresLine(QLabel):
    """Hidden while there is nothing to tell."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("s2sst_quiet")
        self.setToolTip(
            "The preview compared with what was counted in the hidden bins: mean absolute error, Pearson correlation and\n"
            "structural similarity. The network never sees those bins; they choose nothing."
        )
        self.setWordWrap(True)
        self.clear()

    def clear(self) -> None:
        self.setText("")
        self.hide()

    def setScores(self, step: int, scores: Scores) -> None:
        """Of the preview at this step, on unmeasured bins."""
        self.setText(
            f"Preview at step {step:,}: MAE {scores.mae_unmeasured:.4f} · PCC {scores.pcc_unmeasured:.4f}"
            f" · SSIM {scores.ssim_unmeasured:.4f}"
        )
        self.show()
