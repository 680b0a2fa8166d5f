"""Ask how large a pixel or a bin is, in um, where no file says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import shapely
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ....engine.sampling.regions import Picture, Region
from ....engine.slides.questions import SizeQuestion

# ---- Ask whether a file of regions counts in pixels of the slide's picture or in um.

PIXEL_WIDTH_PX = 420


class PixelQuestion(QDialog):
    """Open it with ``open()``; cancelled, it tells nothing."""

    answered = Signal(bool)
    """True: in pixels."""

    def __init__(self, path: Path, regions: Sequence[Region], picture: Picture, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Regions in pixels?")
        self.setFixedWidth(PIXEL_WIDTH_PX)
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


WIDTH_PX = 400
RANGE_UM = {"pixel": (0.001, 100.0), "bin": (0.1, 10_000.0), "unit": (0.000001, 10_000.0)}
DECIMALS = 6


class _SizeBox(QDoubleSpinBox):
    def textFromValue(self, value: float) -> str:
        """Without the zeros at its end."""
        return super().textFromValue(value).rstrip("0").rstrip(self.locale().decimalPoint())


class SizeDialog(QDialog):
    """``value()`` is the size in um. Open it with ``open()``; cancelled, it tells nothing."""

    answered = Signal(object)
    """The size in um, or None to go on without it."""

    def __init__(self, question: SizeQuestion, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(question.title)
        self.setFixedWidth(WIDTH_PX)
        self.question = question
        why = QLabel(question.why)
        why.setTextFormat(Qt.TextFormat.PlainText)
        why.setWordWrap(True)
        self.size_box = _SizeBox()
        self.size_box.setDecimals(DECIMALS)
        self.size_box.setRange(*RANGE_UM[question.kind])
        self.size_box.setStepType(QDoubleSpinBox.StepType.AdaptiveDecimalStepType)
        self.size_box.setSuffix(" µm")
        self.size_box.setToolTip(f"The side of one {question.kind} in micrometres; {question.usual_um:g} is usual")
        self.size_box.setValue(question.usual_um)
        self.size_box.selectAll()
        label = QLabel(f"&{question.title}")
        label.setBuddy(self.size_box)
        row = QHBoxLayout()
        row.addWidget(label)
        row.addWidget(self.size_box, 1)
        self.open_button = QPushButton("&Open")
        self.open_button.setToolTip("Open the slide with this size")
        self.open_button.setDefault(True)
        self.open_button.clicked.connect(lambda: self._answer(self.value()))
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Leave all as it is (Esc)")
        self.cancel_button.clicked.connect(self.reject)
        self.without_button = QPushButton(question.without)
        self.without_button.setToolTip("Open the slide without what the size is needed for")
        self.without_button.setVisible(bool(question.without))
        self.without_button.clicked.connect(lambda: self._answer(None))
        buttons = QHBoxLayout()
        buttons.addStretch()
        for button in (self.open_button, self.without_button, self.cancel_button):
            button.setAutoDefault(False)
            buttons.addWidget(button)
        self.open_button.setDefault(True)
        layout = QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(why)
        layout.addLayout(row)
        layout.addLayout(buttons)

    def value(self) -> float:
        return self.size_box.value()

    def _answer(self, size_um: float | None) -> None:
        self.accept()
        self.answered.emit(size_um)
