"""Show one problem, a sentence, until it is dismissed or solved."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget


class MessageBar(QFrame):
    """Hidden while there is nothing to say."""

    dismissed = Signal()
    reportRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("s2sst_message")
        self._text = QLabel()
        self._text.setObjectName("s2sst_message_text")
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._text.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        close = QToolButton()
        close.setObjectName("s2sst_message_close")
        close.setText("×")
        close.setAutoRaise(True)
        close.setToolTip("Hide this message")
        close.clicked.connect(self.dismissed)
        self.report_button = QToolButton()
        self.report_button.setObjectName("s2sst_message_report")
        self.report_button.setText("Save report...")
        self.report_button.setAutoRaise(True)
        self.report_button.setToolTip(
            "Write versions, settings and the log into one file to attach to a question or an error report.\n"
            "It holds no data of the slide. Help > napari-s2sst: save report... does the same."
        )
        self.report_button.clicked.connect(lambda _=False: self.reportRequested.emit())
        row = QHBoxLayout()
        row.addWidget(self._text, 1)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 4, 6)
        column.setSpacing(2)
        column.addLayout(row)
        column.addWidget(self.report_button, 0, Qt.AlignmentFlag.AlignLeft)
        self.setMessage("")

    def message(self) -> str:
        return self._text.text()

    def setMessage(self, text: str) -> None:
        self._text.setText(text)
        self.setVisible(bool(text))
