"""Turn the genes of a slide into the rows of a table: those whose name has what was typed, in the order of one column.

The model sorts and filters by itself, on arrays: with 5,000 genes, a key or a click on a head takes 4 to 8 ms, painting
included. A QSortFilterProxyModel asks Python about every pair of rows and takes rows in and out one stretch at a time: sorting
took it 80 ms, and going back to all genes 110 ms.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

if TYPE_CHECKING:
    from ....engine.slides.structure import GeneStructure

BAR_ROLE = Qt.ItemDataRole.UserRole
"""Length of the bar in a cell, 0 to 1; None for no bar."""


DOWN, UP = "\u25be", "\u25b4"
"""Small triangles."""


class Column(IntEnum):
    GENE = 0
    TRANSCRIPTS = 1
    BINS = 2
    MORAN = 3


TITLES = {Column.GENE: "Gene", Column.TRANSCRIPTS: "Transcripts", Column.BINS: "Bins %", Column.MORAN: "Moran's I"}
TIPS = {
    Column.GENE: "Name of the gene.",
    Column.TRANSCRIPTS: "Transcripts of this gene on the whole slide.",
    Column.BINS: "How many of the tissue's bins hold at least one transcript of this gene, in per cent.",
    Column.MORAN: (
        "Does the gene form a pattern? Moran's I tells how alike neighbouring bins are: near 1, the gene fills whole regions,\n"
        "as a nest of tumour or a follicle; near 0, it is scattered at random, or too rare to tell; below 0, neighbours differ.\n"
        "From log(1 + counts) of bins that share an edge, inside the tissue; it depends on the size of the bins."
    ),
}


class GeneModel(QAbstractTableModel):
    """A row for each gene that matches. Sorting and filtering reset the model; who selects must select anew."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._sorted_by: tuple[int, Qt.SortOrder] = (Column.TRANSCRIPTS, Qt.SortOrder.DescendingOrder)
        self._wanted = ""
        self._fill({})

    # ---- what is in it

    def setGenes(self, genes: Mapping[str, int]) -> None:
        """Gene -> transcripts; whatever was known of others is forgotten, and what was typed too."""
        self.beginResetModel()
        self._wanted = ""
        self._fill(genes)
        self.endResetModel()

    def setStructure(self, structure: Mapping[str, GeneStructure]) -> None:
        """Take in what is known by now of some genes; others keep what they have, names not in the list are left out."""
        for gene, score in structure.items():
            number = self._number.get(gene)
            if number is not None:
                self._values[:, number] = score.transcripts, score.bins_share, score.morans_i
                self._known[number] = True
        order = self._ordered()
        if not np.array_equal(order, self._order):
            self._rearrange(order)
        elif len(self._shown):
            last = self.index(len(self._shown) - 1, Column.MORAN)
            self.dataChanged.emit(self.index(0, Column.TRANSCRIPTS), last)

    def setFilter(self, text: str) -> None:
        """Keep the genes whose name has this text in it, in upper or lower case."""
        text = text.strip().casefold()
        if text != self._wanted:
            self._wanted = text
            self._rearrange(self._order)

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by one column; what is not known comes last in both directions, equal values stay in the order of the list."""
        if column in list(Column):
            self._sorted_by = (column, order)
            self._rearrange(self._ordered())
            self.headerDataChanged.emit(Qt.Orientation.Horizontal, Column.GENE, Column.MORAN)

    # ---- rows and genes

    @property
    def genes(self) -> tuple[str, ...]:
        """All of them, shown or not, in the order in which they came."""
        return self._names

    def __contains__(self, gene: str) -> bool:
        return gene in self._number

    def gene_at(self, row: int) -> str:
        return self._names[self._shown[row]]

    def row_of(self, gene: str) -> int:
        """-1 when the gene does not match what was typed, or is not in the list."""
        number = self._number.get(gene)
        return -1 if number is None else int(self._row[number])

    def meant_by(self, text: str) -> str | None:
        """The gene of this name, in upper or lower case, else the first shown; None when nothing is shown."""
        if not len(self._shown):
            return None
        folded = text.strip().casefold()
        named = (number for number in self._shown.tolist() if self._folded[number] == folded)
        return self._names[next(named, self._shown[0])]

    # ---- as Qt asks

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self._shown)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(Column)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        number, column = self._shown[index.row()], index.column()
        if role == Qt.ItemDataRole.DisplayRole:
            return self._text(number, column)
        if role == Qt.ItemDataRole.TextAlignmentRole and column != Column.GENE:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ToolTipRole:
            return self._sentence(number)
        if role == BAR_ROLE and column == Column.MORAN and self._values[2, number] > 0:
            return min(1.0, float(self._values[2, number]))
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or section not in list(Column):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._title(section)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{TIPS[section]}\nClick to sort by it, or press Ctrl+{section + 1}."
        if role == Qt.ItemDataRole.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignLeft if section == Column.GENE else Qt.AlignmentFlag.AlignRight
            return side | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.InitialSortOrderRole:
            return 0 if section == Column.GENE else 1  # Qt reads a number here: names rise, numbers fall
        return None

    # ---- how

    def _fill(self, genes: Mapping[str, int]) -> None:
        self._names = tuple(genes)
        self._number = {name: number for number, name in enumerate(self._names)}
        self._folded = [name.casefold() for name in self._names]
        self._values = np.full((3, len(self._names)), np.nan)  # transcripts, share of bins, Moran's I  # fmt: skip
        self._values[0] = list(genes.values())
        self._known = np.zeros(len(self._names), bool)
        by_name = sorted(range(len(self._names)), key=lambda number: _natural(self._folded[number]))
        self._place = np.empty(len(self._names), np.intp)
        self._place[by_name] = np.arange(len(self._names))
        self._order = self._ordered()
        self._show()

    def _ordered(self) -> np.ndarray:
        """(genes,) their numbers in the order of the sorted column."""
        column, order = self._sorted_by
        keys = self._place if column == Column.GENE else self._values[column - 1]
        # NaN sorts last, whatever its sign.
        return np.argsort(-keys if order == Qt.SortOrder.DescendingOrder else keys, kind="stable")

    def _rearrange(self, order: np.ndarray) -> None:
        self.beginResetModel()
        self._order = order
        self._show()
        self.endResetModel()

    def _show(self) -> None:
        matching = np.array([self._wanted in name for name in self._folded], bool)
        self._shown = self._order[matching[self._order]]
        self._row = np.full(len(self._names), -1, np.intp)
        self._row[self._shown] = np.arange(len(self._shown))

    def _title(self, column: int) -> str:
        """Title of a column, with an arrow, as Qt's own lies over right-aligned text."""
        if column != self._sorted_by[0]:
            return TITLES[column]
        arrow = DOWN if self._sorted_by[1] == Qt.SortOrder.DescendingOrder else UP
        return f"{TITLES[column]} {arrow}" if column == Column.GENE else f"{arrow} {TITLES[column]}"

    def _text(self, number: int, column: int) -> str:
        """Empty while it is not known, a dash where there is no such value."""
        if column == Column.GENE:
            return self._names[number]
        value = self._values[column - 1, number]
        if column == Column.TRANSCRIPTS:
            return f"{value:,.0f}"
        if math.isnan(value):
            return "-" if self._known[number] else ""
        if column == Column.MORAN:
            return f"{value:.2f}"
        return "<0.1" if 0 < value < 0.0005 else f"{100 * value:.1f}"

    def _sentence(self, number: int) -> str:
        said = f"{self._names[number]}: {self._text(number, Column.TRANSCRIPTS)} transcripts"
        if not self._known[number]:
            return said
        moran = self._values[2, number]
        pattern = "no Moran's I, as all bins are equal" if math.isnan(moran) else f"Moran's I {moran:.3f}"
        return f"{said}, in {self._text(number, Column.BINS)} % of the tissue's bins, {pattern}"


def _natural(name: str) -> list[str | int]:
    """CD2 before CD10."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]
