"""A part of a panel that is folded away, with an arrow in the colour of its text."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import QComboBox, QWidget
from superqt import QCollapsible

# ---- Grey out single rows of a combo box.

_FLAGS = int(Qt.ItemDataRole.UserRole) - 1
"""The role under which Qt's own model keeps a row's flags."""
_CHOOSABLE = 1 | 32
"""Qt's ItemIsSelectable and ItemIsEnabled."""


def enable_row(box: QComboBox, row: int, *, on: bool) -> None:
    """Whether a row can be chosen.

    Without ``box.model().item(row)``: PySide6 keeps that object after ``clear()`` has deleted it, and takes the event that
    later lies at its place for it.
    """
    box.setItemData(row, _CHOOSABLE if on else 0, _FLAGS)


class Fold(QCollapsible):
    """superqt's, at once instead of sliding; its arrow is a picture, drawn again when napari's theme changes."""

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent, expandedIcon="▾", collapsedIcon="▸")
        self.setDuration(0)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(0)
        self.content().layout().setContentsMargins(0, 0, 0, 0)
        self._drawn_in = ""

    def setOpen(self, is_open: bool) -> None:
        (self.expand if is_open else self.collapse)(animate=False)

    def showEvent(self, event: QEvent) -> None:
        super().showEvent(event)
        self._draw_arrows()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._draw_arrows()

    def _draw_arrows(self) -> None:
        button = self.toggleButton()
        button.ensurePolished()
        colour = button.palette().color(button.foregroundRole()).name()
        if colour != self._drawn_in:
            self._drawn_in = colour
            self.setCollapsedIcon("▸")
            self.setExpandedIcon("▾")
