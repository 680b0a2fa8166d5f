"""Ask how large a pixel, a bin or a unit of a slide is, in um, where no file says."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QDoubleSpinBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from ....engine.slides.questions import SizeQuestion

WIDTH_PX = 400
RANGE_UM = {"pixel": (0.001, 100.0), "bin": (0.1, 10_000.0), "unit": (0.000001, 10_000.0)}
DECIMALS = 6


class _SizeBox(QDoubleSpinBox):
    def textFromValue(self, value: float) -> str:
        """Text of a value without the zeros at its end."""
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
