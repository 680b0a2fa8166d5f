"""Turn a model of genes into a table on the screen that tells what the user did with its selection, and how."""

from __future__ import annotations

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, QRect, Qt, Signal
from qtpy.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from .gene_model import BAR_ROLE, DOWN, TITLES, Column, GeneModel

ROW_PX = 20
ROWS_SEEN = 8
"""The least that the table shows."""
BAR = QColor(86, 180, 233, 105)
"""Sky blue of the palette of Okabe and Ito (2008); it lets a light and a dark theme shine through."""
STYLE = """
    QTableView { alternate-background-color: rgba(128, 128, 128, 28); }
    QHeaderView::up-arrow, QHeaderView::down-arrow { image: none; width: 0px; height: 0px; }
"""
"""Stripes that suit every theme; the model has an arrow of its own for the sorted column."""
ARROWING_MS = 120
"""A gene is counted when the user has stopped walking through the list."""

Flag = QItemSelectionModel.SelectionFlag


class BarDelegate(QStyledItemDelegate):
    """A number over a faint bar as long as it is large."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        length = index.data(BAR_ROLE)
        if length is None:
            super().paint(painter, option, index)
            return
        drawn = QStyleOptionViewItem(option)
        self.initStyleOption(drawn, index)
        style = option.widget.style() if option.widget is not None else QApplication.style()
        text, drawn.text = drawn.text, ""
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, drawn, painter, option.widget)
        room = drawn.rect.adjusted(2, 2, -2, -2)
        painter.fillRect(QRect(room.topLeft(), room.bottomLeft()).adjusted(0, 0, round(length * room.width()), 0), BAR)
        # Once more for the text alone: neither selected nor under the mouse, it has no background.
        drawn.text = text
        if drawn.state & QStyle.StateFlag.State_Selected:
            colour = drawn.palette.color(QPalette.ColorRole.HighlightedText)
            drawn.palette.setColor(QPalette.ColorRole.Text, colour)
        drawn.state &= ~(
            QStyle.StateFlag.State_Selected | QStyle.StateFlag.State_MouseOver | QStyle.StateFlag.State_HasFocus
        )
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, drawn, painter, option.widget)


class Choice(QItemSelectionModel):
    """Tells every command of the user, and whether it began anew: Qt's own signal tells neither."""

    commanded = Signal(bool)
    """True: what was selected before, shown or not, no longer is."""

    def select(self, what: QItemSelection | QModelIndex, command: QItemSelectionModel.SelectionFlag) -> None:
        super().select(what, command)
        if command != Flag.NoUpdate:
            self.commanded.emit(bool(command & Flag.Clear))


class GeneView(QTableView):
    """The table. ``settle_ms`` tells how long to wait until what the user does now is done."""

    typed = Signal(str)
    """Letters typed into the table, for the search line."""

    def __init__(self, model: GeneModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.settle_ms = 0
        self.setModel(model)
        self.choice = Choice(model, self)
        self.setSelectionModel(self.choice)
        self.setItemDelegateForColumn(Column.MORAN, BarDelegate(self))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setAlternatingRowColors(True)
        self.setStyleSheet(STYLE)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerItem)
        rows = self.verticalHeader()
        rows.hide()
        rows.setMinimumSectionSize(ROW_PX)
        rows.setDefaultSectionSize(ROW_PX)
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setMinimumSectionSize(40)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        header.setSectionResizeMode(Column.GENE, QHeaderView.ResizeMode.Stretch)
        header.setSortIndicator(Column.TRANSCRIPTS, Qt.SortOrder.DescendingOrder)
        self.setSortingEnabled(True)
        letters = self.fontMetrics()
        for column in (Column.TRANSCRIPTS, Column.BINS, Column.MORAN):
            self.setColumnWidth(column, letters.horizontalAdvance(f"{DOWN} {TITLES[column]}") + 12)
        self.setMinimumHeight(header.sizeHint().height() + ROWS_SEEN * ROW_PX + 2 * self.frameWidth() + 2)

    def toggle_sort(self, column: int) -> None:
        """Sort as a click on the column's head does."""
        header = self.horizontalHeader()
        falling = Qt.SortOrder.DescendingOrder
        if header.sortIndicatorSection() == column:
            order = Qt.SortOrder.AscendingOrder if header.sortIndicatorOrder() == falling else falling
        else:
            order = Qt.SortOrder.AscendingOrder if column == Column.GENE else falling
        self.sortByColumn(column, order)

    def select_rows(self, rows: list[int], current: int) -> None:
        """Select exactly these, in rising order; ``current`` -1 for none."""
        model, selection = self.model(), QItemSelection()
        last = model.columnCount() - 1
        for first, end in _stretches(rows):
            selection.select(model.index(first, 0), model.index(end, last))
        self.choice.select(selection, Flag.ClearAndSelect)
        self.choice.setCurrentIndex(model.index(current, 0) if current >= 0 else QModelIndex(), Flag.NoUpdate)

    def keyboardSearch(self, text: str) -> None:
        self.typed.emit(text)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        self.settle_ms = ARROWING_MS
        super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.settle_ms = 0
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.settle_ms = ARROWING_MS
        super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.settle_ms = 0
        super().mouseReleaseEvent(event)


def _stretches(rows: list[int]) -> list[tuple[int, int]]:
    """Rising numbers -> (first, last) of each stretch without a gap."""
    stretches: list[tuple[int, int]] = []
    for row in rows:
        if stretches and stretches[-1][1] == row - 1:
            stretches[-1] = (stretches[-1][0], row)
        else:
            stretches.append((row, row))
    return stretches
