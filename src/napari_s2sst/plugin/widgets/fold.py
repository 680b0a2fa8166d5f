"""A part of a panel that is folded away, with an arrow in the colour of its text."""

from __future__ import annotations

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QWidget
from superqt import QCollapsible


class Fold(QCollapsible):
    """superqt's, without sliding; its arrow is a picture, drawn again when napari's theme changes."""

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
