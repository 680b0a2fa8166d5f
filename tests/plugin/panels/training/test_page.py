from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_s2sst.engine.config import IN_MEMORY, PRESETS, RunConfig
from napari_s2sst.engine.errors import ConfigError
from napari_s2sst.plugin.panels.training.page import CHOOSE_FILE, TrainingPanel
from napari_s2sst.plugin.panels.training.settings_form import with_settings


@pytest.fixture
def panel(qtbot):
    panel = TrainingPanel()
    qtbot.addWidget(panel)
    panel.told = []
    panel.valueChanged.connect(panel.told.append)
    panel.resize(364, 400)
    panel.show()
    return panel


def choose(box, data) -> None:
    """As a user does, which tells."""
    box.setCurrentIndex(box.findData(data))
    box.activated.emit(box.currentIndex())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("stride", [2, 4])
def test_a_config_that_is_shown_is_the_value(panel, preset, stride):
    config = RunConfig.preset(preset, stride=stride, seed=7, device="cpu")
    panel.setValue(config)
    assert panel.value() == config
    assert panel.told == []


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 20, "batch": 2, "image_batch": 1, "symmetries": 1},
        {"seconds": 77.0},
        {"seconds": None, "epochs": 3000},
        {"seconds": None, "epochs": 10},
        {"channels": 32, "quantiles": (0.1, 0.5, 0.9), "stride": 3, "patch_bins": 120},
        {"start_from": "random", "normalisation": "none"},
        {"start_from": Path("models") / "first.safetensors"},
    ],
)
def test_a_config_with_changes_is_the_value_too(panel, settings):
    stride = settings.pop("stride", None)
    config = with_settings(RunConfig.preset("fast", stride=stride), settings)
    panel.setValue(config)
    assert panel.value() == config


def test_an_unknown_preset_is_refused_and_nothing_changes(panel):
    before = panel.value()
    with pytest.raises(ConfigError, match="no preset"):
        panel.setValue(RunConfig(preset_name="best", seed=5))
    assert panel.value() == before


def test_a_preset_brings_its_own_time_and_length(panel):
    panel.setValue(RunConfig.preset("fast", steps=50))
    choose(panel.preset_box, "balanced")
    assert panel.value() == RunConfig.preset("balanced")
    assert panel.told[-1] == panel.value()
    choose(panel.preset_box, "instant")
    assert not panel.trains
    assert not panel.time_box.isEnabled()


def test_other_changes_stay_when_a_preset_is_chosen(panel):
    panel.setValue(RunConfig.preset("fast", learning_rate=1e-3))
    choose(panel.preset_box, "balanced")
    assert panel.value() == RunConfig.preset("balanced", learning_rate=1e-3)
    assert panel.fold.text() == "Advanced · 1 changed"


def test_an_advanced_change_is_part_of_the_value_and_told(panel):
    panel.form.rows["restore_measured"].editor._widget.native.click()
    assert panel.told == [RunConfig.preset("fast", restore_measured=False)]


def test_a_number_of_steps_wins_over_the_time(panel):
    panel.setValue(RunConfig.preset("fast", steps=50))
    assert not panel.time_box.isEnabled()
    panel.setValue(RunConfig.preset("fast"))
    assert panel.time_box.isEnabled()


def test_no_limit_is_the_papers_number_of_epochs(panel):
    choose(panel.time_box, None)
    training = panel.value().training
    assert (training.seconds, training.steps, training.epochs) == (None, None, RunConfig().training.epochs)
    panel.setValue(panel.value())
    assert panel.form.value() == {}


@pytest.mark.parametrize(
    ("preset", "start", "text"),
    [("fast", "shipped", "weights that come with the program"), ("paper", "random", "random weights")],
)
def test_each_preset_starts_as_it_should(panel, preset, start, text):
    choose(panel.preset_box, preset)
    assert panel.start_from == "preset"
    assert panel.start_box.currentText() == text
    assert panel.value().training.start_from == start


def test_random_weights_can_be_chosen(panel):
    choose(panel.start_box, "random")
    assert panel.start_from == "random"
    assert panel.told[-1].training.start_from == "random"
    choose(panel.preset_box, "paper")
    assert panel.start_from == "preset"  # which are random ones here
    assert panel.value() == RunConfig.preset("paper")


def test_the_last_run_can_be_chosen_once_there_is_one(panel):
    item = panel.start_box.model().item(panel.start_box.findData("last"))
    assert not item.isEnabled()
    panel.setStartFrom("last")
    assert panel.start_from == "preset"
    panel.setLastRun(True)
    assert panel.told == []
    choose(panel.start_box, "last")
    assert panel.start_from == "last"
    assert panel.told[-1] == RunConfig.preset("fast")  # the weights are in memory, where no config can name them
    choose(panel.preset_box, "balanced")
    assert panel.start_from == "last"
    panel.setLastRun(False)
    assert panel.start_from == "preset"


def test_a_run_that_went_on_from_memory_is_shown_as_such_while_its_start_is_there(panel):
    config = RunConfig.preset("fast", start_from=IN_MEMORY)
    panel.setValue(config)
    assert panel.start_from == "preset"
    panel.setLastRun(True)
    panel.setValue(config)
    assert panel.start_from == "last"
    assert panel.value().training.start_from == "shipped"


def ask_for_file(panel) -> QFileDialog:
    """Choose the box's last entry, which opens a file dialog."""
    QApplication.setAttribute(Qt.ApplicationAttribute.AA_DontUseNativeDialogs)
    panel.start_box.setCurrentIndex(panel.start_box.findText(CHOOSE_FILE))
    panel.start_box.activated.emit(panel.start_box.currentIndex())
    return panel.findChild(QFileDialog)


def test_a_model_file_is_chosen_in_a_file_dialog(qtbot, panel, tmp_path):
    path = tmp_path / "LTF.safetensors"
    path.write_bytes(b"weights")
    dialog = ask_for_file(panel)
    assert panel.start_from == "preset"
    dialog.selectFile(str(path))
    dialog.accept()
    assert panel.start_from == path
    assert panel.start_box.currentText() == "LTF.safetensors"
    assert panel.told[-1].training.start_from == path
    choose(panel.preset_box, "balanced")
    assert panel.start_from == path


def test_a_file_dialog_that_is_cancelled_changes_nothing(panel):
    panel.setStartFrom("random")
    ask_for_file(panel).reject()
    assert panel.start_from == "random"
    assert panel.told == []


def test_devices_are_listed_with_their_labels_and_the_chosen_one_stays(panel):
    panel.setDevices([("cuda:0", "NVIDIA H200, 139 GB, 120 GB free"), ("cpu", "CPU, 2 cores, 17 GB free")])
    assert panel.device_box.itemText(0) == "Auto (NVIDIA H200, 120 GB free)"
    choose(panel.device_box, "cpu")
    assert panel.value().device == "cpu"
    panel.setDevices([("cpu", "CPU, 2 cores, 9 GB free")])
    assert panel.device_box.currentText() == "CPU, 2 cores, 9 GB free"
    panel.setDevices([])
    assert panel.value().device == "auto"


def test_nothing_can_be_changed_during_a_run(panel):
    panel.setEnabledParts(settings=False)
    boxes = (panel.preset_box, panel.time_box, panel.device_box, panel.seed_box, panel.start_box, panel.form)
    assert not any(box.isEnabled() for box in boxes)
    panel.setEnabledParts(settings=True)
    assert all(box.isEnabled() for box in boxes)


def test_models_are_saved_and_loaded_on_request(qtbot, panel):
    panel.setModelEnabled(save=True, load=True)
    with qtbot.waitSignal(panel.saveModelRequested, timeout=300_000):
        qtbot.mouseClick(panel.save_button, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(panel.loadModelRequested, timeout=300_000):
        qtbot.mouseClick(panel.load_button, Qt.MouseButton.LeftButton)
    panel.setModelEnabled(save=False, load=False)
    assert not panel.save_button.isEnabled()
    assert not panel.load_button.isEnabled()


def test_the_panel_is_no_wider_than_the_dock(panel):
    panel.setDevices([("cuda:0", "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition, 96 GB, 95 GB free")])
    panel.setStartFrom(Path("a_very_long_name_of_a_model_of_many_genes_and_slides.safetensors"))
    panel.fold.setOpen(True)
    for fold in panel.form.folds.values():
        fold.setOpen(True)
    QApplication.processEvents()
    assert panel.minimumSizeHint().width() <= 364


def test_every_control_has_a_tooltip(panel):
    boxes = (panel.preset_box, panel.time_box, panel.device_box, panel.seed_box, panel.start_box, panel.load_button)
    assert all(box.toolTip() for box in (*boxes, panel.save_button, panel.fold))
