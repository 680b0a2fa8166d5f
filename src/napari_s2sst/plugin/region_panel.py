"""Choose the part of the slide to work on: all of it, or the polygons of a shapes layer."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QWidget
from superqt.utils import signals_blocked

from .theme import LABEL_PX

WHOLE_SLIDE = ""


class RegionPanel(QWidget):
    """``value()`` is the name of a shapes layer, "" for the whole slide."""

    valueChanged = Signal(str)
    drawRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QComboBox()
        self.box.addItem("whole slide", WHOLE_SLIDE)
        self.box.setToolTip("Train and impute on the whole slide, or only inside the shapes of a layer.")
        self.box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.box.setMinimumContentsLength(8)
        self.box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.draw_button = QPushButton("Draw")
        self.draw_button.setToolTip("Add a layer to draw a region on: click around it, double-click to end.")
        label = QLabel("Region")
        label.setFixedWidth(LABEL_PX)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(label)
        layout.addWidget(self.box, 1)
        layout.addWidget(self.draw_button)
        self.box.currentIndexChanged.connect(lambda: self.valueChanged.emit(self.value()))
        self.draw_button.clicked.connect(self.drawRequested)

    def value(self) -> str:
        return self.box.currentData() or WHOLE_SLIDE

    def setValue(self, name: str) -> None:
        with signals_blocked(self.box):
            self.box.setCurrentIndex(max(self.box.findData(name), 0))

    def setChoices(self, names: Sequence[str]) -> None:
        """The shapes layers there are; a chosen one that is gone becomes the whole slide."""
        chosen = self.value()
        with signals_blocked(self.box):
            self.box.clear()
            self.box.addItem("whole slide", WHOLE_SLIDE)
            for name in names:
                self.box.addItem(name, name)
            self.box.setCurrentIndex(max(self.box.findData(chosen), 0))
        if self.value() != chosen:
            self.valueChanged.emit(self.value())

    def setEnabledParts(self, *, can_change: bool) -> None:
        self.box.setEnabled(can_change)
        self.draw_button.setEnabled(can_change)
