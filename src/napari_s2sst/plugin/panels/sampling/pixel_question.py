"""Ask whether a file of regions counts in pixels of the slide's picture or in um."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import shapely
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ....engine.sampling.regions import Picture, Region

WIDTH_PX = 420


class PixelQuestion(QDialog):
    """Open it with ``open()``; cancelled, it tells nothing."""

    answered = Signal(bool)
    """True: in pixels."""

    def __init__(self, path: Path, regions: Sequence[Region], picture: Picture, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Regions in pixels?")
        self.setFixedWidth(WIDTH_PX)
        _, _, x1, y1 = shapely.total_bounds([region.polygon for region in regions])
        height_um, width_um = picture.end_um
        rows, columns = picture.shape_px
        self.text = (
            f"The regions of {path.name} reach {x1:,.0f} x {y1:,.0f}. That is beyond the slide, which is "
            f"{width_um:,.0f} x {height_um:,.0f} µm, and fits its picture of {columns:,} x {rows:,} pixels. "
            f"QuPath counts in pixels; of this picture, one is {picture.pixel_size_um:g} µm."
        )
        label = QLabel(self.text)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setWordWrap(True)
        self.pixels_button = QPushButton("Read as &pixels")
        self.pixels_button.setToolTip(f"Multiply all coordinates by {picture.pixel_size_um:g} µm")
        self.um_button = QPushButton("Take as µ&m")
        self.um_button.setToolTip(
            "Take the coordinates as they are; the regions then lie off the slide, in part or whole"
        )
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Add no region (Esc)")
        self.pixels_button.clicked.connect(lambda: self._answer(True))
        self.um_button.clicked.connect(lambda: self._answer(False))
        self.cancel_button.clicked.connect(self.reject)
        buttons = QHBoxLayout()
        buttons.addStretch()
        for button in (self.pixels_button, self.um_button, self.cancel_button):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        self.pixels_button.setDefault(True)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(label)
        layout.addLayout(buttons)

    def _answer(self, in_pixels: bool) -> None:
        self.accept()
        self.answered.emit(in_pixels)
