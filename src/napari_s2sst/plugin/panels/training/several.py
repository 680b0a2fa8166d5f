"""Choose what is done with several chosen genes: a training each, or one network for all."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QButtonGroup, QGridLayout, QLabel, QRadioButton, QWidget
from superqt.utils import signals_blocked

from ...session import Several
from ...widgets.theme import LABEL_PX


class SeveralPanel(QWidget):
    """``value()`` is a Several; hidden unless more than one gene is chosen."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = QLabel("")
        self._label.setObjectName("s2sst_quiet")
        self._label.setWordWrap(True)
        self.in_turn_button = QRadioButton("one after the other")
        self.in_turn_button.setToolTip(
            "A training of its own for each gene: takes the time as often as there are genes."
        )
        self.together_button = QRadioButton("together")
        self.together_button.setToolTip(
            "One network for all genes in one training: for many genes or the whole panel, which share what tissue looks like."
        )
        group = QButtonGroup(self)
        group.addButton(self.in_turn_button)
        group.addButton(self.together_button)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnMinimumWidth(0, LABEL_PX)
        grid.addWidget(QLabel("Train"), 0, 0)
        grid.addWidget(self.in_turn_button, 0, 1)
        grid.addWidget(self.together_button, 0, 2)
        grid.setColumnStretch(2, 1)
        grid.addWidget(self._label, 1, 1, 1, 2)
        self.setValue(Several.IN_TURN)
        self.setGenes(())
        self.together_button.toggled.connect(lambda: self.valueChanged.emit(self.value()))

    def value(self) -> Several:
        return Several.TOGETHER if self.together_button.isChecked() else Several.IN_TURN

    def setValue(self, several: Several) -> None:
        with signals_blocked(self.in_turn_button), signals_blocked(self.together_button):
            (self.together_button if several is Several.TOGETHER else self.in_turn_button).setChecked(True)

    def setGenes(self, genes: tuple[str, ...]) -> None:
        """The chosen ones."""
        self.setVisible(len(genes) > 1)
        named = ", ".join(genes) if len(genes) <= 4 else f"{', '.join(genes[:3])} and {len(genes) - 3} more"
        self._label.setText(f"{len(genes)} genes: {named}")

    def setEnabledParts(self, *, can_change: bool) -> None:
        self.in_turn_button.setEnabled(can_change)
        self.together_button.setEnabled(can_change)
