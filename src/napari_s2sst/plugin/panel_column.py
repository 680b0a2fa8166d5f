"""The panels, one below the other in a scroll area, drawn from a session; the problem stays above them in sight."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from .loss_plot import LossPlot
from .message_bar import MessageBar
from .region_panel import RegionPanel
from .result_panel import ResultPanel
from .sampling_panel import SamplingPanel
from .session import Session, State
from .slide_panel import SlidePanel
from .training_panel import TrainingPanel


class PanelColumn(QWidget):
    """Holds the panels as attributes; :meth:`follow` makes them fit a session."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.message = MessageBar()
        self.slide = SlidePanel()
        self.sampling = SamplingPanel()
        self.region = RegionPanel()
        self.training = TrainingPanel()
        self.losses = LossPlot()
        self.result = ResultPanel()
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(8, 6, 8, 8)
        column.setSpacing(7)
        for part in (
            self.slide, _line(), self.sampling, self.region, _line(), self.training, self.losses, self.result,
        ):  # fmt: skip
            column.addWidget(part)
        column.addStretch(1)
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._scroll.setWidget(inner)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.message)
        outer.addWidget(self._scroll, 1)

    def follow(self, session: Session) -> None:
        """Enable what can be done now, and say what goes on."""
        self.slide.setEnabledParts(can_open=session.can_open, can_choose=session.can_change)
        self.slide.setBusy(session.busy)
        self.sampling.setEnabled(not session.running)
        self.region.setEnabledParts(can_change=session.can_change)
        self.training.setEnabledParts(
            settings=not session.running, train=session.can_train, pause=session.can_pause, stop=session.can_stop,
            paused=session.state is State.PAUSED,
        )  # fmt: skip
        if session.state is State.STOPPING:
            self.training.setBusy("Stopping ...")
        self.result.setExportEnabled(session.can_export)
        self.message.setMessage(session.message)

    def clear_run(self) -> None:
        """Nothing of an earlier run is shown."""
        self.losses.clear()
        self.result.clear()
        self.training.setBusy("")

    def reveal_result(self) -> None:
        """Scroll down to the scores."""
        self._scroll.widget().layout().activate()
        self._scroll.ensureWidgetVisible(self.result, 0, 8)


def _line() -> QFrame:
    line = QFrame()
    line.setObjectName("s2sst_line")
    line.setFixedHeight(1)
    return line
