from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QCheckBox, QComboBox, QLineEdit

from napari_s2sst.engine.config import PRESETS, RunConfig
from napari_s2sst.plugin.panels.training.settings_form import ELSEWHERE, PARTS, SettingsForm, with_settings

FOUND = {part: RunConfig.model_fields[part].annotation.model_fields for part in PARTS}
SHOWN = [(part, name) for part, fields in FOUND.items() for name in fields if name not in ELSEWHERE]

OTHER = {
    "min_qv": 10.0, "normalisation": "none", "phase": (1, 0), "steps": 7, "epochs": 5, "patch_bins": 48, "batch": 4,
    "image_batch": 0, "images": Path("pictures"), "image_style": "plain", "learning_rate": 2.5e-5, "schedule": "constant",
    "warmup_steps": 3, "betas": (0.8, 0.99), "slide_weight": 2.5, "sparse_to_dense": True, "hiding": "lattice",
    "hidden_share": 0.35, "relative_loss": False, "held_out": 0.1, "patience": 3, "average": 0.9985, "precision": "float32",
    "compiled": True, "tile_bins": 128, "overlap": "uniform", "symmetries": 4, "map_share": 0.25,
    "classical": ("kriging", "bilinear"), "classical_share": 0.4, "classical_alone": 0.6, "image": False, "panel": False,
    "restore_measured": False, "cascades": 3, "blocks": 2, "channels": 32,
    "growth": 16, "convolutions": 2, "heads": 2, "window": 4, "attention": True, "data_consistency": False, "layout": "dense",
    "start": "replicate", "smoothings": (1.5,), "scaled": False, "quantiles": (0.1, 0.5, 0.9),
}  # fmt: skip
"""Of every setting a value that the preset fast doesn't have."""


@pytest.fixture
def form(qtbot):
    """As it opens, at the width it has in the dock; every change is kept in ``told``."""
    form = SettingsForm()
    qtbot.addWidget(form)
    form.told = []
    form.valueChanged.connect(form.told.append)
    form.resize(364, 1300)
    form.show()
    return form


def write(qtbot, form, name: str, text: str) -> None:
    """As a user does: into the field of a setting, and Return."""
    row = form.rows[name]
    line = next(line for line in row.editor.findChildren(QLineEdit))
    line.selectAll()
    qtbot.keyClicks(line, text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def test_every_setting_has_a_row_except_those_that_stand_elsewhere(form):
    assert [(row.part, name) for name, row in form.rows.items()] == SHOWN
    assert set(OTHER) == set(form.rows)


@pytest.mark.parametrize(("part", "name"), SHOWN)
def test_a_row_has_the_settings_name_in_words_and_its_docstring_as_help(form, part, name):
    row = form.rows[name]
    assert row.label.text().lower() == name.replace("_", " ")
    assert " ".join(row.editor.toolTip().split()) == " ".join(FOUND[part][name].description.split())


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("stride", [2, 3])
def test_a_preset_is_shown_as_it_is_and_changes_nothing(form, preset, stride):
    config = RunConfig.preset(preset, stride=stride)
    form.setValue(config)
    assert form.value() == {}
    for name, row in form.rows.items():
        assert row.editor.value() == getattr(getattr(config, row.part), name)


@pytest.mark.parametrize(("part", "name"), SHOWN)
def test_every_setting_can_be_shown_and_is_the_only_change(form, part, name):
    config = with_settings(RunConfig.preset("fast"), {name: OTHER[name]})
    form.setValue(config)
    assert form.value() == {name: OTHER[name]}
    assert form.rows[name].editor.value() == OTHER[name]
    assert form.rows[name].label.font().bold()
    assert sum(row.label.font().bold() for row in form.rows.values()) == 1
    assert form.folds[part].text() == f"{PARTS[part]} · 1 changed"


@pytest.mark.parametrize(("part", "name"), SHOWN)
def test_every_setting_can_be_taken_back(qtbot, form, part, name):
    form.setValue(with_settings(RunConfig.preset("fast"), {name: OTHER[name]}))
    form.folds[part].setOpen(True)
    qtbot.waitUntil(lambda: not form.rows[name].reset_button.visibleRegion().isEmpty(), timeout=300_000)
    qtbot.mouseClick(form.rows[name].reset_button, Qt.MouseButton.LeftButton)
    assert form.value() == {}
    assert form.told == [{}]
    assert not form.rows[name].label.font().bold()


def test_a_number_that_is_typed_is_told_once(qtbot, form):
    write(qtbot, form, "learning_rate", "2e-4")
    assert form.told == [{"learning_rate": 2e-4}]
    write(qtbot, form, "batch", "12")
    assert form.told[1:] == [{"learning_rate": 2e-4, "batch": 12}]


def test_a_tick_a_choice_and_a_line_of_numbers_are_told(qtbot, form):
    form.rows["attention"].editor.findChild(QCheckBox).click()
    box = form.rows["layout"].editor.findChild(QComboBox)
    box.setCurrentIndex(box.findText("dense"))
    write(qtbot, form, "smoothings", "1; 2.5")
    assert form.value() == {"attention": True, "layout": "dense", "smoothings": (1.0, 2.5)}


def test_a_decimal_number_steps_by_a_part_of_itself(form):
    box = form.rows["learning_rate"].editor.findChild(QAbstractSpinBox)
    box.stepBy(1)
    assert form.value() == {"learning_rate": pytest.approx(5.1e-4)}
    share = form.rows["average"].editor.findChild(QAbstractSpinBox)
    share.setValue(0)
    share.stepBy(1)
    assert form.value()["average"] == pytest.approx(0.01)


def test_methods_that_are_ticked_again_keep_their_order(form):
    form.setValue(with_settings(RunConfig.preset("fast"), {"classical": ("thin plate", "kriging", "Gaussian")}))
    boxes = {box.text(): box for box in form.rows["classical"].editor.findChildren(QCheckBox)}
    boxes["kriging"].click()
    assert form.value() == {"classical": ("thin plate", "Gaussian")}
    boxes["kriging"].click()
    assert form.value() == {"classical": ("thin plate", "kriging", "Gaussian")}


def test_none_stands_below_the_lowest_number(qtbot, form):
    form.setValue(RunConfig.preset("instant"))
    box = form.rows["steps"].editor.findChild(QAbstractSpinBox)
    assert box.text() == "0"
    box.stepBy(-1)
    assert box.text() == "none"
    assert form.value() == {"steps": None}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("quantiles", "0.5, 1.5", "less than or equal to 1"),
        ("channels", "33", "multiple of 8"),
        ("learning_rate", "0", "greater than 0"),
        ("betas", "0.9", "2 numbers"),
        ("phase", "a b", "whole numbers"),
        ("phase", "0.5, 1", "whole numbers"),
    ],
)
def test_nonsense_is_said_and_the_last_good_value_stays_in_force(qtbot, form, name, text, words):
    write(qtbot, form, "batch", "12")
    write(qtbot, form, name, text)
    assert words in form.problem.text()
    assert form.problem.isVisible()
    assert form.value() == {"batch": 12}
    assert form.told == [{"batch": 12}]


def test_a_sentence_about_nonsense_goes_when_it_is_mended(qtbot, form):
    write(qtbot, form, "quantiles", "0.5, 1.5")
    write(qtbot, form, "quantiles", "0.25, 0.5")
    assert not form.problem.isVisible()
    assert form.value() == {"quantiles": (0.25, 0.5)}


def test_reset_all_takes_back_changes_and_nonsense(qtbot, form):
    form.setValue(RunConfig.preset("fast", batch=3, channels=32))
    write(qtbot, form, "quantiles", "0.5, 1.5")
    qtbot.mouseClick(form.reset_button, Qt.MouseButton.LeftButton)
    assert form.value() == {}
    assert form.told == [{}]
    assert not form.problem.isVisible()
    assert form.rows["quantiles"].editor.value() == (0.05, 0.5, 0.95)
    assert not form.reset_button.isEnabled()


def test_a_search_shows_only_what_has_the_word_in_name_or_explanation(qtbot, form):
    qtbot.keyClicks(form.search, "kriging")
    visible = {name for name, row in form.rows.items() if row.isVisible()}
    assert visible == {"classical_share", "classical_alone"}
    form.search.setText("zzz")
    assert not any(row.isVisible() for row in form.rows.values())
    form.search.clear()
    assert all(fold.isVisible() for fold in form.folds.values())


def test_the_wheel_turns_no_setting_that_it_only_passes_over(form):
    form.folds["training"].setOpen(True)
    box = form.rows["batch"].editor.findChild(QAbstractSpinBox)
    form.search.setFocus()
    wheel = QWheelEvent(
        QPointF(5, 5), QPointF(box.mapToGlobal(QPoint(5, 5))), QPoint(0, 0), QPoint(0, 120), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(box, wheel)
    assert form.value() == {}


def test_no_row_is_wider_than_the_dock_even_in_bold(form):
    form.setValue(with_settings(RunConfig.preset("fast"), OTHER))
    for fold in form.folds.values():
        fold.setOpen(True)
    QApplication.processEvents()
    assert form.width() == 364
    assert form.minimumSizeHint().width() <= 364
    for row in form.rows.values():
        assert row.label.sizeHint().width() <= row.label.width(), row.name


def test_every_editor_is_reached_with_the_keyboard(form):
    for row in form.rows.values():
        target = row.editor.focusProxy()
        inside = [target, *target.findChildren(QLineEdit)]
        assert any(part.focusPolicy() & Qt.FocusPolicy.TabFocus for part in inside), row.name
