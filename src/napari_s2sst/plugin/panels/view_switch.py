"""Choose which map of the shown gene is looked at: a row of buttons, one of them down."""

from __future__ import annotations

from collections.abc import Collection

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QSizePolicy, QWidget

from ..viewer.layers import COUNTS, IMPUTED

VIEWS = (
    (COUNTS, "Counts", "What was counted, in transcripts per bin"),
    ("sparse input", "Input", "The measured bins alone, which is all that imputing is given"),
    (IMPUTED, "Imputed", "The imputed map"),
    ("uncertainty", "Uncertainty", "Half width of the 90 % interval of every imputed bin"),
    ("error", "Error", "Imputed minus counted: red too high, blue too low. Only in Check, where the truth is known."),
)
"""(kind of layer, text, tooltip)."""


class ViewSwitch(QWidget):
    """``value()`` is a kind of layer."""

    valueChanged = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(1)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QPushButton] = {}
        for number, (kind, text, tip) in enumerate(VIEWS, start=1):
            button = QPushButton(text)
            button.setObjectName("s2sst_view")
            button.setCheckable(True)
            button.setShortcut(f"Alt+{number}")
            button.setToolTip(f"{tip} (Alt+{number})")
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            self._group.addButton(button)
            self.buttons[kind] = button
            row.addWidget(button)
            button.clicked.connect(lambda _=False, kind=kind: self.valueChanged.emit(kind))
        self.setChoices((), IMPUTED)

    def value(self) -> str:
        return next((kind for kind, button in self.buttons.items() if button.isChecked()), "")

    def setChoices(self, kinds: Collection[str], current: str) -> None:
        """Enable what there is to look at, and mark what is looked at."""
        for kind, button in self.buttons.items():
            button.setEnabled(kind in kinds)
        self._group.setExclusive(False)
        for kind, button in self.buttons.items():
            button.setChecked(kind == current and kind in kinds)
        self._group.setExclusive(True)
