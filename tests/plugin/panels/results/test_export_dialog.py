"""The export dialog says what will be written, replaced and how much, and gives exactly what is ticked."""

from dataclasses import replace
from importlib.util import find_spec

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QComboBox, QDialog, QLineEdit

from napari_s2sst.engine.export.choice import ExportChoice, ExportItem
from napari_s2sst.plugin.panels.results.export_dialog import KINDS, ExportDialog

LTF = ExportItem(name="LTF · fast · 0:34", genes=("LTF",), bins=90_000, tissue_bins=40_000, has_regions=True)
AGAIN = replace(LTF, name="LTF · instant", has_regions=False, has_script=False)


@pytest.fixture
def dialog(qtbot, tmp_path):
    dialog = ExportDialog(LTF, [LTF, AGAIN])
    qtbot.addWidget(dialog)
    dialog.folder_edit.setText(str(tmp_path))
    dialog.show()
    return dialog


def test_the_value_is_what_is_ticked(dialog, tmp_path):
    for name, box in dialog.boxes.items():
        box.setChecked(name in ("csv", "comparison"))
    dialog.format_box.setCurrentText("SVG")
    nothing = dict.fromkeys((name for name, *_ in KINDS), False)
    assert dialog.value() == ExportChoice(
        folder=tmp_path, **nothing | {"csv": True, "comparison": True}, figure_format="svg", every_result=False
    )
    dialog.every_button.click()
    assert dialog.value().every_result


def test_files_that_would_be_replaced_are_named(dialog, tmp_path):
    assert not dialog.replaced_line.isVisible()
    (tmp_path / "LTF.ome.tif").write_text("older")
    (tmp_path / "imputed.h5ad").write_text("older")
    (tmp_path / "notes.txt").write_text("mine")
    dialog.boxes["csv"].setChecked(True)
    assert dialog.replaced() == ["imputed.h5ad", "LTF.ome.tif"]
    assert "Replaces 2 files" in dialog.replaced_line.text()
    dialog.boxes["h5ad"].setChecked(False)
    assert dialog.replaced() == ["LTF.ome.tif"]


def test_all_results_of_a_gene_replace_other_names(dialog, tmp_path):
    (tmp_path / "LTF-run2.ome.tif").write_text("older")
    assert dialog.replaced() == []
    dialog.every_button.click()
    assert dialog.replaced() == ["LTF-run2.ome.tif"]


def test_the_room_on_the_disk_is_told_and_too_little_of_it_forbids(dialog):
    assert "are free" in dialog.room_line.text()
    assert dialog.export_button.isEnabled()
    huge = ExportDialog(replace(LTF, bins=10**15), [LTF])
    huge.folder_edit.setText(dialog.folder_edit.text())
    assert "only" in huge.room_line.text()
    assert not huge.export_button.isEnabled()


def test_nothing_ticked_no_folder_and_a_file_for_a_folder_cannot_be_exported(dialog, tmp_path):
    dialog.folder_edit.setText("")
    assert not dialog.export_button.isEnabled()
    (tmp_path / "file").write_text("")
    dialog.folder_edit.setText(str(tmp_path / "file"))
    assert "This is a file" in dialog.room_line.text()
    assert not dialog.export_button.isEnabled()
    dialog.folder_edit.setText(str(tmp_path / "new"))
    assert dialog.export_button.isEnabled()
    for box in dialog.boxes.values():
        box.setChecked(False)
    assert not dialog.export_button.isEnabled()


def test_regions_and_script_are_offered_only_where_there_are_any(qtbot, dialog):
    assert dialog.value().regions
    assert dialog.value().script
    other = ExportDialog(AGAIN, [LTF, AGAIN])
    qtbot.addWidget(other)
    assert not other.value().regions
    assert not other.value().script
    other.every_button.click()
    assert other.value().regions
    assert other.value().script


def test_the_last_folder_comes_back_only_after_an_export(qtbot, dialog, tmp_path):
    dialog.folder_edit.setText(str(tmp_path / "kept"))
    qtbot.mouseClick(dialog.export_button, Qt.MouseButton.LeftButton)
    assert dialog.result() == QDialog.DialogCode.Accepted
    again = ExportDialog(LTF, [LTF])
    qtbot.addWidget(again)
    assert again.folder_edit.text() == str(tmp_path / "kept")
    again.folder_edit.setText(str(tmp_path / "other"))
    again.reject()
    assert ExportDialog(LTF, [LTF]).folder_edit.text() == str(tmp_path / "kept")


def test_enter_exports_and_escape_does_not(qtbot, dialog):
    qtbot.keyClick(dialog.folder_edit, Qt.Key.Key_Return)
    assert dialog.result() == QDialog.DialogCode.Accepted
    other = ExportDialog(LTF, [LTF])
    qtbot.addWidget(other)
    other.show()
    qtbot.keyClick(other, Qt.Key.Key_Escape)
    assert other.result() == QDialog.DialogCode.Rejected


def test_a_single_result_leaves_no_choice_of_results(qtbot):
    dialog = ExportDialog(LTF, [LTF])
    qtbot.addWidget(dialog)
    assert not dialog.every_button.isEnabled()


def test_every_control_has_a_tooltip(dialog):
    for kind in (QAbstractButton, QComboBox, QLineEdit):
        for each in dialog.findChildren(kind):
            if each is not dialog.export_button and each.text() if hasattr(each, "text") else True:
                assert each.toolTip() or "Cancel" in each.text(), each


@pytest.mark.skipif(find_spec("spatialdata") is not None, reason="the package is installed here")
def test_without_its_package_a_store_can_t_be_chosen_and_the_tooltip_says_how(dialog):
    assert not dialog.store.box.isEnabled()
    assert 'pip install "napari-s2sst[spatialdata]"' in dialog.store.box.toolTip()
    dialog.store.box.click()
    assert dialog.value().store is None
    assert dialog.export_button.isEnabled()
