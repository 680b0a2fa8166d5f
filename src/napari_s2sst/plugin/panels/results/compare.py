"""Choose how two layers are compared: a row of modes, the two layers, and a slider for the divider or the speed."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ...viewer.comparison import BLINK_MS, CompareChoice, CompareMode
from ...widgets.theme import LABEL_PX

MODES = (
    (CompareMode.OFF, "Off", "No comparing: everything as it was"),
    (CompareMode.SIDE_BY_SIDE, "Side by side", "Both maps beside each other; they move and zoom together"),
    (
        CompareMode.SWIPE,
        "Swipe",
        "One map left and one right of a line; drag it, or press the left and right arrow keys",
    ),
    (CompareMode.BLINK, "Blink", "One map and the other in turn, at the same place"),
)
SLOWEST_MS, FASTEST_MS = 1500, 150
STEPS = 100
"""Of the slider."""


class CompareBar(QWidget):
    """``value()`` is a :class:`CompareChoice`; the bar only asks, a :class:`Comparison` does."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._group = QButtonGroup(self)
        self.buttons: dict[CompareMode, QPushButton] = {}
        modes = QHBoxLayout()
        modes.setSpacing(1)
        for mode, text, tip in MODES:
            button = QPushButton(text)
            button.setObjectName("s2sst_view")
            button.setCheckable(True)
            button.setToolTip(tip)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.clicked.connect(self._mode_clicked)
            self._group.addButton(button)
            self.buttons[mode] = button
            modes.addWidget(button, len(text) + 4)  # as wide as its text needs, also when bold
        self.buttons[CompareMode.OFF].setChecked(True)
        self.first_box, self.second_box = _Names(), _Names()
        self.first_box.setToolTip("The map on the left, or the first one")
        self.second_box.setToolTip("The map on the right, or the second one")
        for box in (self.first_box, self.second_box):
            box.currentIndexChanged.connect(self._tell)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.valueChanged.connect(self._slid)
        self._slider_label = QLabel()
        self._position, self._interval_ms = 0.5, BLINK_MS
        rows = QGridLayout()
        rows.setColumnMinimumWidth(0, LABEL_PX)
        rows.setColumnStretch(1, 1)
        rows.setHorizontalSpacing(6)
        rows.setVerticalSpacing(4)
        for row, (label, widget) in enumerate(
            ((QLabel("First"), self.first_box), (QLabel("Second"), self.second_box), (self._slider_label, self.slider))
        ):
            rows.addWidget(label, row, 0)
            rows.addWidget(widget, row, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(modes)
        layout.addLayout(rows)
        self.setChoices(())
        self._show_slider()

    def value(self) -> CompareChoice:
        mode = next(mode for mode, button in self.buttons.items() if button.isChecked())
        first, second = self.first_box.currentText(), self.second_box.currentText()
        return CompareChoice(
            mode=mode, first=first, second=second, position=self._position, interval_ms=self._interval_ms
        )

    def setValue(self, choice: CompareChoice) -> None:
        for box, name in ((self.first_box, choice.first), (self.second_box, choice.second)):
            with signals_blocked(box):
                box.setCurrentIndex(box.findText(name))
        self.buttons[choice.mode].setChecked(True)
        self._position, self._interval_ms = choice.position, choice.interval_ms
        self._show_slider()

    def setOff(self) -> None:
        """The comparison has ended by itself."""
        self.buttons[CompareMode.OFF].setChecked(True)
        self._show_slider()

    def setPosition(self, position: float) -> None:
        """The divider was dragged."""
        self._position = position
        self._show_slider()

    def setChoices(self, names: Sequence[str], first: str = "", second: str = "") -> None:
        """Layers to choose from. What was chosen before stays if it is there, unless ``first`` and ``second`` say else."""
        for box, wanted, number in ((self.first_box, first, 0), (self.second_box, second, 1)):
            chosen = wanted or box.currentText()
            with signals_blocked(box):
                box.clear()
                box.addItems(names)
                index = box.findText(chosen)
                box.setCurrentIndex(index if index >= 0 else min(number, len(names) - 1))
        enough = len(names) > 1
        for mode, button in self.buttons.items():
            button.setEnabled(enough or mode is CompareMode.OFF)
        self.first_box.setEnabled(enough)
        self.second_box.setEnabled(enough)

    def _mode_clicked(self) -> None:
        self._show_slider()
        self._tell()

    def _show_slider(self) -> None:
        mode = self.value().mode
        is_swipe = mode is CompareMode.SWIPE
        for widget in (self._slider_label, self.slider):
            widget.setVisible(mode in (CompareMode.SWIPE, CompareMode.BLINK))
        self._slider_label.setText("Line" if is_swipe else "Speed")
        self.slider.setToolTip(
            "Where the line stands" if is_swipe else "How fast the maps take turns: slow at the left, fast at the right"
        )
        share = self._position if is_swipe else (SLOWEST_MS - self._interval_ms) / (SLOWEST_MS - FASTEST_MS)
        with signals_blocked(self.slider):
            self.slider.setValue(round(STEPS * share))

    def _slid(self, value: int) -> None:
        if self.value().mode is CompareMode.SWIPE:
            self._position = value / STEPS
        else:
            self._interval_ms = round(SLOWEST_MS - value / STEPS * (SLOWEST_MS - FASTEST_MS))
        self._tell()

    def _tell(self) -> None:
        self.valueChanged.emit(self.value())


class _Names(QComboBox):
    """Names of layers, however long."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(10)

    def minimumSizeHint(self) -> QSize:
        return QSize(80, super().minimumSizeHint().height())
