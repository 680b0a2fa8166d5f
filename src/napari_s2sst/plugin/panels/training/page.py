"""Choose how to train and from which weights; the rest of the settings is folded away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ....engine.config import IN_MEMORY, PRESETS, RunConfig
from ...widgets.clock import clock
from ...widgets.combo_rows import enable_row
from ...widgets.fold import Fold
from ...widgets.theme import LABEL_PX
from .place import PlaceBox
from .settings_form import SettingsForm, with_settings

PRESET_HELP = {
    "instant": "no training: the weights that come with the program, in a second",
    "fast": "refines those weights on this slide for two minutes",
    "balanced": "the same for ten minutes",
    "paper": "the published network and training; hours on a GPU",
}
TIMES_S = (30, 60, 120, 300, 600, 1800, 3600, 4 * 3600)
MODEL_FILES = "Models (*.safetensors);;All files (*)"
CHOOSE_FILE = "a model file..."
LENGTH = ("steps", "epochs")
"""How long a preset trains; another preset brings its own, as it brings its own time."""

StartFrom = Literal["preset", "random", "last"] | Path


class TrainingPanel(QWidget):
    """``value()`` is a RunConfig; its bins and stride are chosen elsewhere."""

    valueChanged = Signal(object)
    saveModelRequested = Signal()
    loadModelRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._able, self._last_run = True, False
        self.preset_box = QComboBox()
        for name in PRESETS:
            self.preset_box.addItem(name.capitalize(), name)
        self.preset_box.setToolTip("\n".join(f"{name.capitalize()}: {PRESET_HELP.get(name, '')}" for name in PRESETS))
        self.time_box = QComboBox()
        self.time_box.setToolTip(
            "How long to train. Stop ends it earlier and keeps what was learnt.\n"
            "Where a number of steps is set under Advanced, that counts."
        )
        for seconds in TIMES_S:
            self.time_box.addItem(clock(seconds), float(seconds))
        self.time_box.addItem("no limit", None)
        self.device_box = QComboBox()
        self.device_box.setToolTip(
            "Which processor computes, and its free memory. Auto takes the best one here.\n"
            "On a cluster, each worker trains on its own best; this one computes what follows."
        )
        self.device_box.addItem("Auto", "auto")
        self.place_box = PlaceBox()
        self.seed_box = QSpinBox()
        self.seed_box.setRange(0, 2**31 - 1)
        self.seed_box.setKeyboardTracking(False)
        self.seed_box.setToolTip("Start of all random numbers. On the CPU, the same seed and steps repeat a run.")
        self.start_box = QComboBox()
        self.start_box.setToolTip(
            "The first weights. Going on from the last run or from a model file, keep its seed:\n"
            "the same bins are held out then, and the held-out error stays honest."
        )
        for box in (self.preset_box, self.time_box, self.device_box, self.place_box, self.start_box):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            box.setMinimumContentsLength(5)
            box.setMinimumWidth(80)
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.load_button = QPushButton("Load model...")
        self.load_button.setToolTip(
            "Read a model from a file, see what it is, then impute with it or train on from it."
        )
        self.save_button = QPushButton("Save model...")
        self.save_button.setToolTip("Write the weights of the result, with all settings, into a file.")
        self.form = SettingsForm()
        self.fold = Fold("Advanced")
        self.fold.setToolTip("Settings that few need; each explains itself when the mouse rests on it")
        self.fold.addWidget(self.form)
        self._lay_out()
        self.setModelEnabled(save=False, load=True)
        self.setValue(RunConfig.preset("fast"))
        self.preset_box.currentIndexChanged.connect(self._preset_chosen)
        for box in (self.time_box, self.device_box):
            box.currentIndexChanged.connect(self._changed)
        self.seed_box.valueChanged.connect(self._changed)
        self.start_box.activated.connect(self._start_chosen)
        self.form.valueChanged.connect(self._changed)
        self.load_button.clicked.connect(self.loadModelRequested)
        self.save_button.clicked.connect(self.saveModelRequested)

    def _lay_out(self) -> None:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnMinimumWidth(0, LABEL_PX)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        places = {
            "Preset": (self.preset_box, 0, 0, 1), "Time": (self.time_box, 0, 2, 1), "Device": (self.device_box, 1, 0, 3),
            "Run on": (self.place_box, 2, 0, 3), "Start": (self.start_box, 3, 0, 3), "Seed": (self.seed_box, 4, 0, 1),
        }  # fmt: skip
        for text, (box, row, column, width) in places.items():
            label = QLabel(text)
            label.setBuddy(box)
            label.setToolTip(box.toolTip())
            box.setAccessibleName(text)
            grid.addWidget(label, row, column)
            grid.addWidget(box, row, column + 1, 1, width)
        models = QHBoxLayout()
        models.addWidget(self.load_button)
        models.addWidget(self.save_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(grid)
        layout.addLayout(models)
        layout.addWidget(self.fold)

    @property
    def start_from(self) -> StartFrom:
        """The first weights: the preset's own, random ones, those of this window's last run, or those of a model file."""
        return self.start_box.currentData() or "preset"

    @property
    def trains(self) -> bool:
        """Whether a run with these settings trains at all."""
        return self.value().training.steps != 0

    def value(self) -> RunConfig:
        """Settings as chosen, at the bins and the stride that the last :meth:`setValue` came with.

        With ``start_from`` "last" the weights are in memory, where no config can name them: it has the preset's own start.
        """
        config = with_settings(self._preset(), self.form.value())
        seconds, training = self.time_box.currentData(), {}
        training["seconds"] = seconds
        if seconds is None and config.training.steps is None and config.training.epochs is None:
            training["epochs"] = RunConfig().training.epochs
        if self.start_from == "random" or isinstance(self.start_from, Path):
            training["start_from"] = self.start_from
        return with_settings(config, training).changed(device=self.device_box.currentData(), seed=self.seed_box.value())

    def setValue(self, config: RunConfig) -> None:
        """Show a config. Raises ConfigError when its preset is unknown."""
        preset = RunConfig.preset(config.preset_name, stride=config.sampling.stride)
        self._bin_um, self._stride = config.grid.bin_um, config.sampling.stride
        for box, value in ((self.preset_box, config.preset_name), (self.device_box, config.device)):
            with signals_blocked(box):
                if box.findData(value) < 0:
                    box.addItem(str(value), value)
                box.setCurrentIndex(box.findData(value))
        with signals_blocked(self.seed_box):
            self.seed_box.setValue(config.seed)
        self._set_time(config.training.seconds)
        if config.training.seconds is None and config.training.epochs == RunConfig().training.epochs:
            config = with_settings(config, {"epochs": preset.training.epochs})  # stands for "no limit"
        self.form.setValue(config)
        self._set_start(self._start_of(config, preset))
        self._follow()

    def setDevices(self, devices: Sequence[tuple[str, str]]) -> None:
        """(name, label) of what is here, as the engine finds it; the chosen one stays."""
        chosen = self.device_box.currentData()
        with signals_blocked(self.device_box):
            self.device_box.clear()
            self.device_box.addItem(f"Auto ({_short(devices[0][1])})" if devices else "Auto", "auto")
            for name, label in devices:
                self.device_box.addItem(label, name)
            for row in range(self.device_box.count()):
                self.device_box.setItemData(row, self.device_box.itemText(row), Qt.ItemDataRole.ToolTipRole)
            self.device_box.setCurrentIndex(max(self.device_box.findData(chosen), 0))

    def setEnabledParts(self, *, settings: bool) -> None:
        self._able = settings
        for box in (self.preset_box, self.device_box, self.place_box, self.seed_box, self.start_box, self.form):
            box.setEnabled(settings)
        self._follow()

    def setModelEnabled(self, *, save: bool, load: bool) -> None:
        self.save_button.setEnabled(save)
        self.load_button.setEnabled(load)

    def setLastRun(self, there: bool) -> None:
        """Set whether this window has trained a model that can be gone on from."""
        if there == self._last_run:
            return
        self._last_run = there
        chosen = self.start_from
        self._set_start(chosen)
        if self.start_from != chosen:
            self._changed()

    def setStartFrom(self, start: StartFrom) -> None:
        """Choose first weights; what can't be chosen now (no last run, random where the preset is so by itself) becomes the
        preset's own."""
        self._set_start(start)
        self._follow()

    def _preset(self) -> RunConfig:
        return RunConfig.preset(self.preset_box.currentData(), bin_um=self._bin_um, stride=self._stride)

    def _start_of(self, config: RunConfig, preset: RunConfig) -> StartFrom:
        source = config.training.start_from
        if source == preset.training.start_from:
            return "preset"
        if isinstance(source, Path):
            return source
        return {"random": "random", IN_MEMORY: "last"}.get(source, "preset")

    def _set_start(self, start: StartFrom) -> None:
        """Fill the box with what this preset can start from, and choose one; tells nobody."""
        own_random = self._preset().training.start_from == "random"
        with signals_blocked(self.start_box):
            self.start_box.clear()
            self.start_box.addItem("random weights" if own_random else "weights that come with the program", "preset")
            if not own_random:
                self.start_box.addItem("random weights", "random")
            self.start_box.addItem("the last run of this window", "last")
            enable_row(self.start_box, self.start_box.count() - 1, on=self._last_run)
            if isinstance(start, Path):
                self.start_box.addItem(start.name, start)
                self.start_box.setItemData(self.start_box.count() - 1, str(start), Qt.ItemDataRole.ToolTipRole)
            self.start_box.addItem(CHOOSE_FILE, None)
            place = next((row for row in range(self.start_box.count()) if self.start_box.itemData(row) == start), 0)
            self.start_box.setCurrentIndex(0 if start == "last" and not self._last_run else place)
        self._start = self.start_from

    def _start_chosen(self) -> None:
        if self.start_box.currentText() == CHOOSE_FILE:
            self._set_start(self._start)
            self._ask_for_file()
            return
        self._start = self.start_from
        self._changed()

    def _ask_for_file(self) -> None:
        """Ask for a model file without waiting: a training that runs goes on being drawn."""
        dialog = QFileDialog(self, "Start from the weights in a model file", "", MODEL_FILES)
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self._file_chosen)
        dialog.open()

    def _file_chosen(self, path: str) -> None:
        self._set_start(Path(path))
        self._changed()

    def _set_time(self, seconds: float | None) -> None:
        with signals_blocked(self.time_box):
            if self.time_box.findData(seconds) < 0:
                self.time_box.insertItem(0, clock(seconds), seconds)
            self.time_box.setCurrentIndex(self.time_box.findData(seconds))

    def _preset_chosen(self) -> None:
        """A preset brings its own length; other changes of the user's stay, in bold."""
        kept = {name: value for name, value in self.form.value().items() if name not in LENGTH}
        preset = self._preset()
        self._set_time(preset.training.seconds)
        self.form.setValue(with_settings(preset, kept))
        self._set_start(self._start)
        self._changed()

    def _follow(self) -> None:
        """Follow the form: what has a number of steps needs no time, and the fold says how much is changed in it."""
        count = len(self.form.value())
        self.fold.setText("Advanced" + (f" · {count} changed" if count else ""))
        steps = with_settings(self._preset(), self.form.value()).training.steps
        self.time_box.setEnabled(self._able and steps is None)

    def _changed(self) -> None:
        self._follow()
        self.valueChanged.emit(self.value())


def _short(label: str) -> str:
    """``NVIDIA H200, 139 GB, 120 GB free`` -> ``NVIDIA H200, 120 GB free``."""
    name, *rest = label.split(", ")
    return ", ".join([name, *rest[-1:]])
