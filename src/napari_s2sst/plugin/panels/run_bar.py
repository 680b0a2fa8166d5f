"""The footer that never scrolls: train, pause, stop, and how far it is."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ...engine.events import Stepped
from ..widgets.clock import progress_text

PROGRESS_STEPS = 1000
BAR_PX, QUEUE_BAR_PX = 6, 3
BAR_STYLE = """
    QProgressBar { border: none; background: rgba(128, 128, 128, 70); }
    QProgressBar::chunk { background: #3d8fd1; }
"""
TRAIN_KEYS = "Ctrl+Return"


class RunBar(QWidget):
    """Draws one run, and the row of genes it belongs to when there are several."""

    trainRequested = Signal()
    pauseToggled = Signal()
    stopRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._genes, self._trains = 1, True
        self._queue: tuple[int, int, str] = (0, 0, "")
        self._share = 0.0
        self.train_button = QPushButton("Train")
        self.train_button.setObjectName("s2sst_train")
        self.pause_button = QPushButton("Pause")
        self.pause_button.setToolTip("Rest and go on later; nothing is lost.")
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("End training now and use what was learnt so far.")
        self.bar = _bar(BAR_PX, "Share of this training that is done")
        self.line = _quiet_line()
        self.queue_bar = _bar(QUEUE_BAR_PX, "Share of all genes that is done")
        self.queue_line = _quiet_line()

        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        buttons.addWidget(self.train_button, 2)
        buttons.addWidget(self.pause_button, 1)
        buttons.addWidget(self.stop_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(buttons)
        for widget in (self.bar, self.line, self.queue_bar, self.queue_line):
            layout.addWidget(widget)
        self.train_button.clicked.connect(self.trainRequested)
        self.pause_button.clicked.connect(self.pauseToggled)
        self.stop_button.clicked.connect(self.stopRequested)
        self._name_train_button()
        self.setQueue(0, 0, "")

    def setGenes(self, count: int) -> None:
        """Say how many genes Train would train on."""
        self._genes = count
        self._name_train_button()

    def setTrains(self, trains: bool) -> None:
        """Set whether the settings train at all, or only impute with weights that are there."""
        self._trains = trains
        self._name_train_button()

    def setEnabledParts(self, *, train: bool, pause: bool, stop: bool, paused: bool) -> None:
        self.train_button.setEnabled(train)
        self.pause_button.setEnabled(pause)
        self.pause_button.setText("Go on" if paused else "Pause")
        self.stop_button.setEnabled(stop)

    def setProgress(self, progress: Stepped | None) -> None:
        if progress is None:
            self._fill(0.0)
            return
        self._fill(progress.step / progress.steps if progress.steps else 0.0)
        self.line.setText(progress_text(progress))

    def setBusy(self, text: str) -> None:
        """A step of unknown length: a moving bar and what goes on; "" ends it."""
        self.bar.setRange(0, 0 if text else PROGRESS_STEPS)
        if not text:
            self._fill(0.0)
        self.line.setText(text)

    def setDone(self, text: str) -> None:
        self._fill(1.0)
        self.line.setText(text)

    def setQueue(self, done: int, total: int, gene: str) -> None:
        """Show that so many of the genes are done and which one is under way; nothing where there is a single one."""
        self._queue = (done, total, gene)
        several = total > 1
        self.queue_bar.setVisible(several)
        self.queue_line.setVisible(several)
        if done < total:
            self.queue_line.setText(f"gene {done + 1:,} of {total:,}" + (f": {gene}" if gene else ""))
        else:
            self.queue_line.setText(f"all {total:,} genes are done")
        self._fill_queue()

    def _fill(self, share: float) -> None:
        self.bar.setRange(0, PROGRESS_STEPS)
        self.bar.setValue(round(PROGRESS_STEPS * share))
        self._share = share
        self._fill_queue()

    def _fill_queue(self) -> None:
        done, total, _ = self._queue
        part = self._share if done < total else 0.0
        self.queue_bar.setValue(round(PROGRESS_STEPS * (done + part) / total) if total else 0)

    def _name_train_button(self) -> None:
        word = "Train" if self._trains else "Impute"
        several = self._genes > 1
        self.train_button.setText(f"{word} {self._genes:,} genes" if several else word)
        self.train_button.setShortcut(TRAIN_KEYS)  # every setText takes it away
        genes = f"the {self._genes:,} chosen genes" if several else "the chosen gene"
        if self._trains:
            tip = f"Train on the measured bins of {genes}, then impute the others. ({TRAIN_KEYS})"
        else:
            tip = f"Impute {genes} with the weights that are there; nothing is trained. ({TRAIN_KEYS})"
        self.train_button.setToolTip(tip)


def _bar(height_px: int, tip: str) -> QProgressBar:
    bar = QProgressBar()
    bar.setRange(0, PROGRESS_STEPS)
    bar.setTextVisible(False)
    bar.setFixedHeight(height_px)
    bar.setStyleSheet(BAR_STYLE)
    bar.setToolTip(tip)
    bar.setAccessibleName(tip)
    return bar


def _quiet_line() -> QElidingLabel:
    """A long gene name or stage must not widen the dock."""
    line = QElidingLabel("")
    line.setObjectName("s2sst_quiet")
    line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return line
