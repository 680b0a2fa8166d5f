"""Show what a model is and what differs on this slide, and ask what to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QFormLayout, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

WIDTH_PX = 440

Intent = Literal["impute", "train", "cancel"]


class ModelCard(QDialog):
    """``facts`` are (name, text), ``differences`` sentences, as ``engine.model_card`` makes them.

    ``fits`` False: the model can't be used here, and only Cancel is left. Open it with ``open()``; ``chosen`` tells the answer
    once, and Escape is "cancel".
    """

    chosen = Signal(str)

    def __init__(
        self,
        title: str,
        facts: Sequence[tuple[str, str]],
        differences: Sequence[str] = (),
        *,
        fits: bool = True,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(f"Model {title}")
        self.setFixedWidth(WIDTH_PX)
        self.intent: Intent = "cancel"
        self.facts = dict(facts)
        self.differences = tuple(differences)
        heading = QLabel(title)
        heading.setTextFormat(Qt.TextFormat.PlainText)
        heading.setStyleSheet("font-weight: 600;")
        heading.setWordWrap(True)
        table = QFormLayout()
        table.setLabelAlignment(Qt.AlignmentFlag.AlignLeft)
        table.setVerticalSpacing(1)
        for name, text in facts:
            value = QLabel(text)
            value.setTextFormat(Qt.TextFormat.PlainText)
            value.setWordWrap(True)
            value.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            table.addRow(name, value)
        layout = QVBoxLayout(self)
        layout.addWidget(heading)
        layout.addLayout(table)
        line = QFrame()
        line.setFrameShape(QFrame.Shape.HLine)
        layout.addWidget(line)
        listed = "".join(f"<p style='margin: 3px 0px'>• {escape(sentence)}</p>" for sentence in differences)
        self._differences = QLabel(
            f"<b>What differs on this slide</b>{listed}" if listed else "Nothing differs on this slide."
        )
        self._differences.setTextFormat(Qt.TextFormat.RichText)
        self._differences.setWordWrap(True)
        layout.addWidget(self._differences)
        self.impute_button = QPushButton("Impute with it")
        self.impute_button.setToolTip("Impute the chosen genes with these weights as they are, in seconds.")
        self.train_button = QPushButton("Train on from it")
        self.train_button.setToolTip("Take its weights as the first ones and its settings into the panel.")
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Leave all as it is. (Esc)")
        buttons = QHBoxLayout()
        for button, intent in (
            (self.impute_button, "impute"),
            (self.train_button, "train"),
            (self.cancel_button, "cancel"),
        ):
            button.setAutoDefault(False)
            button.clicked.connect(lambda _checked=False, intent=intent: self._choose(intent))
            button.setEnabled(fits or intent == "cancel")
            buttons.addWidget(button)
        (self.impute_button if fits else self.cancel_button).setDefault(True)
        layout.addLayout(buttons)
        self.resize(WIDTH_PX, layout.totalHeightForWidth(WIDTH_PX))
        self.finished.connect(lambda _result: self.chosen.emit(self.intent))

    def _choose(self, intent: Intent) -> None:
        self.intent = intent
        (self.reject if intent == "cancel" else self.accept)()
