"""Bars above the pages that say one thing until the user has decided: a problem, or a training that was interrupted."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QVBoxLayout, QWidget


class MessageBar(QFrame):
    """Show one problem, a sentence, until it is dismissed or solved; hidden while there is none."""

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


class ResumeBanner(QFrame):
    """Offer to go on with an interrupted training, or say why that can't be; hidden while there is nothing to offer."""

    resumeRequested = Signal()
    discardRequested = Signal()
    laterRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("s2sst_resume")
        self._text = QLabel()
        self._text.setObjectName("s2sst_resume_text")
        self._text.setWordWrap(True)
        self._text.setTextFormat(Qt.TextFormat.PlainText)
        self.resume_button = _button(
            "Res&ume", "Open the slide, set everything as it was, and train on from there (Alt+U)", self.resumeRequested
        )
        self.discard_button = _button(
            "&Discard", "Remove what is kept of this training, for good (Alt+D)", self.discardRequested
        )
        self.later_button = _button(
            "&Later",
            "Leave it for now. It is offered again when the window is opened anew (Alt+L)",
            self.laterRequested,
        )
        row = QHBoxLayout()
        row.setSpacing(6)
        for button in (self.resume_button, self.discard_button, self.later_button):
            row.addWidget(button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 8)
        column.setSpacing(6)
        column.addWidget(self._text)
        column.addLayout(row)
        self.setText("", can_resume=False)

    def text(self) -> str:
        return self._text.text()

    def setText(self, text: str, *, can_resume: bool) -> None:
        """Say what is offered, "" for nothing; without Resume, why it can't go on."""
        self._text.setText(text)
        self.resume_button.setVisible(can_resume)
        self.setVisible(bool(text))

    def setEnabledParts(self, *, resume: bool) -> None:
        """Enable Resume, except while another training, or the opening of a slide, is under way."""
        self.resume_button.setEnabled(resume)


def _button(text: str, tip: str, signal: Signal) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.clicked.connect(lambda _=False: signal.emit())
    return button
