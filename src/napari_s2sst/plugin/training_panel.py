"""Choose how to train, start it, pause it, stop it, and see how far it is."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt import QCollapsible
from superqt.utils import signals_blocked

from ..engine.config import PRESETS, RunConfig, TrainingConfig
from ..engine.events import Stepped
from .theme import LABEL_PX

PRESET_HELP = {
    "instant": "no training: the weights that come with the program, in a second",
    "fast": "refines those weights on this slide for two minutes",
    "balanced": "the same for ten minutes",
    "paper": "the published network and training; hours on a GPU",
}
TIMES_S = (30, 60, 120, 300, 600, 1800, 3600, 4 * 3600)
PROGRESS_STEPS = 1000


class TrainingPanel(QWidget):
    """``value()`` is a RunConfig, without bins and stride, which are chosen elsewhere."""

    valueChanged = Signal(object)
    trainRequested = Signal()
    pauseToggled = Signal()
    stopRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.preset_box = QComboBox()
        for name in PRESETS:
            self.preset_box.addItem(name.capitalize(), name)
        self.preset_box.setCurrentIndex(self.preset_box.findData("fast"))
        self.preset_box.setToolTip("\n".join(f"{name.capitalize()}: {PRESET_HELP.get(name, '')}" for name in PRESETS))
        self.time_box = QComboBox()
        self.time_box.setToolTip("How long to train. Stop ends it earlier and keeps what was learnt.")
        for seconds in TIMES_S:
            self.time_box.addItem(clock(seconds), float(seconds))
        self.time_box.addItem("no limit", None)
        self.device_box = QComboBox()
        self.device_box.setToolTip("Which processor computes. Auto takes the best one here.")
        self.device_box.addItem("Auto", "auto")
        self.seed_box = QSpinBox()
        self.seed_box.setRange(0, 2**31 - 1)
        self.seed_box.setToolTip("Start of all random numbers. On the CPU, the same seed and steps repeat a run.")
        self.steps_box = QSpinBox()
        self.steps_box.setRange(0, 10_000_000)
        self.steps_box.setSpecialValueText("by time")
        self.steps_box.setToolTip("An exact number of training steps instead of a time, so that a run can be repeated.")
        self.normalisation_box = QComboBox()
        for kind, text in (("log1p", "log"), ("median-log1p", "median, log"), ("none", "none")):
            self.normalisation_box.addItem(text, kind)
        self.normalisation_box.setToolTip(
            "What is done to counts first: their logarithm (log of 1 + counts);\n"
            "the paper's scaling of every bin to the median total, then the logarithm; or nothing."
        )
        for box in (self.preset_box, self.time_box, self.device_box, self.normalisation_box):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setMinimumContentsLength(5)
            box.setMinimumWidth(80)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

        self.train_button = QPushButton("Train")
        self.train_button.setObjectName("s2sst_train")
        self.train_button.setToolTip("Train on the measured bins of this slide, then impute the others.")
        self.pause_button = QPushButton("Pause")
        self.pause_button.setToolTip("Rest and go on later; nothing is lost.")
        self.stop_button = QPushButton("Stop")
        self.stop_button.setToolTip("End training now and use what was learnt so far.")
        self.bar = QProgressBar()
        self.bar.setRange(0, PROGRESS_STEPS)
        self.bar.setTextVisible(False)
        self.bar.setMaximumHeight(10)
        self.bar.setToolTip("Share of the training that is done")
        self.line = QLabel("")
        self.line.setObjectName("s2sst_quiet")

        self._lay_out()
        self.setValue(RunConfig.preset("fast"))
        self.preset_box.currentIndexChanged.connect(self._preset_chosen)
        for box in (self.time_box, self.device_box, self.normalisation_box):
            box.currentIndexChanged.connect(self._changed)
        for box in (self.seed_box, self.steps_box):
            box.setKeyboardTracking(False)
            box.valueChanged.connect(self._changed)
        self.train_button.clicked.connect(self.trainRequested)
        self.pause_button.clicked.connect(self.pauseToggled)
        self.stop_button.clicked.connect(self.stopRequested)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnMinimumWidth(0, LABEL_PX)
        grid.addWidget(QLabel("Preset"), 0, 0)
        grid.addWidget(self.preset_box, 0, 1)
        grid.addWidget(QLabel("Time"), 0, 2)
        grid.addWidget(self.time_box, 0, 3)
        grid.addWidget(QLabel("Device"), 1, 0)
        grid.addWidget(self.device_box, 1, 1, 1, 3)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        more = QWidget()
        inner = QGridLayout(more)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setColumnMinimumWidth(0, LABEL_PX)
        for row, (text, box) in enumerate(
            (("Seed", self.seed_box), ("Steps", self.steps_box), ("Counts", self.normalisation_box))
        ):
            inner.addWidget(QLabel(text), row, 0)
            inner.addWidget(box, row, 1)
        inner.setColumnStretch(1, 1)
        self.fold = QCollapsible("Advanced")
        self.fold.setDuration(0)
        self.fold.setCollapsedIcon("▸")
        self.fold.setExpandedIcon("▾")
        self.fold.layout().setContentsMargins(0, 0, 0, 0)
        self.fold.addWidget(more)
        self.fold.setToolTip("Settings that few need")
        buttons = QHBoxLayout()
        buttons.addWidget(self.train_button, 2)
        buttons.addWidget(self.pause_button, 1)
        buttons.addWidget(self.stop_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addWidget(self.fold)
        layout.addLayout(buttons)
        layout.addWidget(self.bar)
        layout.addWidget(self.line)

    def value(self) -> RunConfig:
        """Raises ConfigError on nonsense, which these boxes can't hold."""
        seconds, steps = self.time_box.currentData(), self.steps_box.value() or None
        config = RunConfig.preset(
            self.preset_box.currentData(), device=self.device_box.currentData(), seed=self.seed_box.value(),
            steps=steps, normalisation=self.normalisation_box.currentData(),
        )  # fmt: skip
        training = config.training.model_dump() | {"seconds": seconds}
        if seconds is None and config.training.steps is None and config.training.epochs is None:
            training["epochs"] = RunConfig().training.epochs
        return config.model_copy(update={"training": TrainingConfig(**training)})

    def setValue(self, config: RunConfig) -> None:
        boxes = (self.preset_box, self.device_box, self.normalisation_box)
        values = (config.preset_name, config.device, config.grid.normalisation)
        for box, value in zip(boxes, values, strict=True):
            with signals_blocked(box):
                if box.findData(value) < 0:
                    box.addItem(str(value), value)
                box.setCurrentIndex(box.findData(value))
        with signals_blocked(self.seed_box), signals_blocked(self.steps_box):
            self.seed_box.setValue(config.seed)
            self.steps_box.setValue(config.training.steps or 0)
        self._set_time(config.training.seconds)

    def setDevices(self, devices: Sequence[tuple[str, str]]) -> None:
        """(name, label) of what is here, as the engine finds it; the chosen one stays."""
        chosen = self.device_box.currentData()
        with signals_blocked(self.device_box):
            self.device_box.clear()
            self.device_box.addItem(f"Auto ({devices[0][1]})" if devices else "Auto", "auto")
            for name, label in devices:
                self.device_box.addItem(label, name)
            self.device_box.setCurrentIndex(max(self.device_box.findData(chosen), 0))

    def setEnabledParts(self, *, settings: bool, train: bool, pause: bool, stop: bool, paused: bool) -> None:
        for box in (
            self.preset_box, self.time_box, self.device_box, self.seed_box, self.steps_box, self.normalisation_box,
        ):  # fmt: skip
            box.setEnabled(settings)
        self._follow_preset()
        self.train_button.setEnabled(train)
        self.pause_button.setEnabled(pause)
        self.pause_button.setText("Go on" if paused else "Pause")
        self.stop_button.setEnabled(stop)

    def setProgress(self, progress: Stepped | None) -> None:
        if progress is None:
            self.bar.setValue(0)
            return
        self.bar.setValue(round(PROGRESS_STEPS * progress.step / progress.steps) if progress.steps else 0)
        self.line.setText(progress_text(progress))

    def setBusy(self, text: str) -> None:
        """A step of unknown length: a moving bar and what goes on; "" ends it."""
        self.bar.setRange(0, 0 if text else PROGRESS_STEPS)
        if not text:
            self.bar.setValue(0)
        self.line.setText(text)

    def setDone(self, text: str) -> None:
        self.bar.setRange(0, PROGRESS_STEPS)
        self.bar.setValue(PROGRESS_STEPS)
        self.line.setText(text)

    def _set_time(self, seconds: float | None) -> None:
        with signals_blocked(self.time_box):
            if self.time_box.findData(seconds) < 0:
                self.time_box.insertItem(0, clock(seconds), seconds)
            self.time_box.setCurrentIndex(self.time_box.findData(seconds))

    def _preset_chosen(self) -> None:
        """A preset brings its own time."""
        self._set_time(RunConfig.preset(self.preset_box.currentData()).training.seconds)
        self._changed()

    def _follow_preset(self) -> None:
        """What trains nothing needs no time."""
        trains, able = self.preset_box.currentData() != "instant", self.preset_box.isEnabled()
        self.steps_box.setEnabled(trains and able)
        self.time_box.setEnabled(trains and able and self.steps_box.value() == 0)
        self.train_button.setText("Train" if trains else "Impute")

    def _changed(self) -> None:
        self._follow_preset()
        self.valueChanged.emit(self.value())


def clock(seconds: float) -> str:
    """``0:47``, ``2:00``, ``1:00:00``."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def progress_text(progress: Stepped) -> str:
    """``61 %, 0:47 left, 12 steps/s``, as far as it is known."""
    parts = [f"{100 * progress.step / progress.steps:.0f} %" if progress.steps else f"step {progress.step:,}"]
    if progress.seconds_left is not None:
        parts.append(f"{clock(progress.seconds_left)} left")
    speed = progress.steps_per_second
    parts.append(f"{speed:.0f} steps/s" if speed >= 10 else f"{speed:.1f} steps/s")
    return " · ".join(parts)
