"""Show what a slide is in a few quiet rows, and offer its optional layers in a menu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ....engine.slides.questions import SizeQuestion

LABEL_COLUMN_PX = 72


@dataclass(frozen=True, kw_only=True)
class Choice:
    """An optional layer, as a menu offers it."""

    key: str
    label: str
    tooltip: str
    """What it shows, or why there is none."""
    available: bool
    shown: bool


class SlideCard(QWidget):
    """Facts above, "Add layer" below. It only draws and asks: a layer's tick follows :meth:`setChoices`."""

    layerToggled = Signal(str, bool)
    """The key of a choice, and whether it is to be shown."""
    sizeRequested = Signal()
    """The user knows how large a pixel or bin is."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._actions: dict[str, QAction] = {}
        self._rows = QGridLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setVerticalSpacing(1)
        self._rows.setHorizontalSpacing(6)
        self._rows.setColumnMinimumWidth(0, LABEL_COLUMN_PX)
        self._rows.setColumnStretch(1, 1)
        self._menu = QMenu(self)
        self._menu.setToolTipsVisible(True)
        # Not a tool button: napari draws those without a frame, and the arrow over the text.
        self.layer_button = QPushButton("Add &layer")
        self.layer_button.setToolTip(
            "Show more of this slide: all transcripts, cell and nucleus outlines, single transcripts, the H&E picture."
        )
        self.layer_button.setMenu(self._menu)
        below = QHBoxLayout()
        below.addWidget(self.layer_button)
        self.size_button = QPushButton()
        self.size_button.setToolTip("Say how large a bin or a pixel of this slide is")
        self.size_button.clicked.connect(self.sizeRequested)
        below.addWidget(self.size_button)
        below.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self._rows)
        layout.addLayout(below)
        self.setChoices(())
        self.setSizeQuestion(None)

    def facts(self) -> list[tuple[str, str]]:
        """The rows as they are shown, not elided."""
        cells = [self._rows.itemAtPosition(row, column) for row in range(self._rows.rowCount()) for column in (0, 1)]
        texts = [cell.widget().text() for cell in cells if cell is not None]
        return list(zip(texts[::2], texts[1::2], strict=True))

    def setFacts(self, rows: Sequence[tuple[str, str]]) -> None:
        """(label, value) rows, such as engine's ``slide_facts`` gives; none clears the card."""
        while (item := self._rows.takeAt(0)) is not None:
            item.widget().deleteLater()
            item.widget().setParent(None)
        for number, (label, value) in enumerate(rows):
            name = QLabel(label)
            name.setObjectName("s2sst_quiet")
            text = QElidingLabel(value)
            text.setToolTip(f"{label}: {value}")
            text.setTextFormat(Qt.TextFormat.PlainText)
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            self._rows.addWidget(name, number, 0)
            self._rows.addWidget(text, number, 1)

    def setChoices(self, choices: Sequence[Choice]) -> None:
        """The optional layers: ticked when shown, grey with the reason as tooltip when there is none."""
        if [choice.key for choice in choices] != list(self._actions):
            self._menu.clear()
            self._actions = {choice.key: self._action(choice.key) for choice in choices}
        for choice in choices:
            action = self._actions[choice.key]
            action.setText(choice.label.replace("&", "&&"))  # not a mnemonic
            action.setToolTip(choice.tooltip)
            action.setEnabled(choice.available)
            action.setChecked(choice.shown)
        self.layer_button.setEnabled(bool(choices))

    def setSizeQuestion(self, question: SizeQuestion | None) -> None:
        """Offer to say what is not known of the slide's size; None: all is known."""
        self.size_button.setVisible(question is not None)
        if question is not None:
            self.size_button.setText(f"{question.title}...")
            self.size_button.setToolTip(f"{question.why}\nSay it, and the slide is opened again.")

    def action(self, key: str) -> QAction:
        """The menu's entry of a choice."""
        return self._actions[key]

    def _action(self, key: str) -> QAction:
        action = self._menu.addAction("")
        action.setCheckable(True)
        # `triggered` comes from the user alone, and not from setChecked.
        action.triggered.connect(lambda on: self.layerToggled.emit(key, on))
        return action
