"""The dock as a whole: how it ends, how it looks, and the whole way on a real slide."""

import shutil

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractItemView, QAbstractSpinBox, QComboBox, QLineEdit, QScrollArea
from support.window_state import names

from napari_s2sst.plugin.window import WIDTH_PX


def test_closing_the_dock_while_training_stops_the_worker(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=300_000)
    worker = opened.run_queue._worker
    opened.viewer.window.remove_dock_widget(opened)
    qtbot.waitUntil(lambda: not worker.is_running, timeout=300_000)
    assert not opened.run_queue.active
    opened.viewer.add_image(np.zeros((4, 4)))  # nobody listens any more


def test_closing_the_window_while_training_stops_the_worker(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=300_000)
    worker, dock = opened.run_queue._worker, opened
    opened.viewer.close()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=300_000)
    assert dock.session.result is None


def test_opening_another_slide_while_training_ends_the_run(opened, qtbot, train, sample_slide, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sample_slide, other)
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=300_000)
    worker = opened.run_queue._worker
    opened.open_slide(other)
    qtbot.waitUntil(lambda: opened.session.slide.path == other and opened.session.can_train, timeout=300_000)
    qtbot.waitUntil(lambda: not worker.is_running, timeout=300_000)
    assert not any("preview" in name for name in names(opened))
    assert opened.session.result is None


def test_export_writes_the_files(trained, qtbot, tmp_path):
    trained.results.export(tmp_path / "out")
    qtbot.waitUntil(lambda: trained.session.can_export, timeout=300_000)
    assert trained.session.message == ""
    gene = trained.session.gene
    wanted = {"imputed.h5ad", f"{gene}.ome.tif", f"{gene}.png", "scores.csv", "losses.csv", "run.json"}
    assert wanted | {"model.safetensors"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_folder_that_can_not_be_written_leaves_a_message(trained, qtbot, tmp_path):
    (tmp_path / "file").write_text("")
    trained.results.export(tmp_path / "file")
    qtbot.waitUntil(lambda: bool(trained.session.message), timeout=300_000)
    assert str(tmp_path / "file") in trained.panels.message.message()
    assert trained.session.can_export


def test_every_control_has_a_tooltip(dock):
    for kind in (QAbstractButton, QComboBox, QAbstractSpinBox):
        for control in dock.findChildren(kind):
            if control.metaObject().className() == "QTableCornerButton" or control.objectName().startswith("Scroll"):
                continue  # Qt's own, never shown here
            own = control if control.objectName() != "qt_spinbox_lineedit" else control.parentWidget()
            parents = []
            while own is not None and own is not dock:
                parents.append(own.toolTip())
                own = own.parentWidget()
            assert any(parents), (control, control.objectName(), control.parentWidget())


def test_every_control_is_reachable_by_the_keyboard(opened):
    for kind in (QAbstractButton, QComboBox, QAbstractSpinBox, QLineEdit, QAbstractItemView):
        for control in opened.findChildren(kind):
            own = control.metaObject().className() in ("QTableCornerButton", "QHeaderView")  # Ctrl+1 to 4 sort
            own = own or control.objectName().startswith("Scroll")
            inner = isinstance(control.parentWidget(), QAbstractSpinBox | QComboBox) or isinstance(
                control.parentWidget().parentWidget(), QComboBox
            )
            if own or inner or not control.isVisible():
                continue
            assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, (control, control.toolTip())


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_dock_fits_its_width_in_both_themes(trained, qtbot, theme):
    trained.viewer.theme = theme
    qtbot.wait(50)
    assert trained.width() <= WIDTH_PX
    for index in range(trained.panels.tabs.count()):
        trained.panels.tabs.setCurrentIndex(index)
        page: QScrollArea = trained.panels.tabs.widget(index)
        assert page.widget().minimumSizeHint().width() <= page.viewport().width(), trained.panels.tabs.tabText(index)


def test_two_windows_train_side_by_side(opened, make_napari_viewer, qtbot, train, sample_slide):
    other = make_napari_viewer(show=True).window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    other.panels.sampling.instant_box.setChecked(False)
    other.open_slide(sample_slide)
    qtbot.waitUntil(lambda: other.session.can_train, timeout=300_000)
    for dock in (opened, other):
        train(dock, 2)
    qtbot.waitUntil(lambda: all(dock.session.result is not None for dock in (opened, other)), timeout=300_000)
    assert opened.session.result is not other.session.result
    assert not any(layer in list(other.viewer.layers) for layer in opened.viewer.layers)


def test_the_bone_marrow_slide_goes_from_folder_to_files(dock, qtbot, shared_data, tmp_path):
    dock.open_slide(shared_data("xenium_bone_marrow"))
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    dock.choose_gene("LTF")
    qtbot.waitUntil(lambda: dock.session.gene_map.gene == "LTF", timeout=300_000)
    dock.panels.run.train_button.click()
    qtbot.waitUntil(lambda: dock.session.can_stop and len(dock.session.loss_curve) > 2, timeout=300_000)
    dock.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: dock.session.result is not None or bool(dock.session.message), timeout=300_000)
    assert dock.session.message == ""
    scores = dock.session.result.scores["LTF"]
    assert scores["CDCIN"].mae_unmeasured < scores["nearest"].mae_unmeasured
    dock.results.export(tmp_path)
    qtbot.waitUntil(lambda: (tmp_path / "run.json").exists(), timeout=300_000)
    assert {"imputed.h5ad", "LTF.ome.tif", "LTF.png", "scores.csv"} <= {path.name for path in tmp_path.iterdir()}
