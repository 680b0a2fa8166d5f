"""The dock in a real napari window, with real slides and real, short trainings."""

import shutil
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QComboBox, QWidget

from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.xenium import open_xenium
from napari_s2sst.plugin.layers import lattice_layer
from napari_s2sst.plugin.session import State
from napari_s2sst.plugin.window import WIDTH_PX

NAMES = ("sparse input", "error", "uncertainty", "imputed")


def names(dock) -> list[str]:
    return [layer.name for layer in dock.viewer.layers]


def buttons(dock) -> dict[str, bool]:
    panels = dock.panels
    return {
        "open": panels.slide.open_button.isEnabled(), "train": panels.training.train_button.isEnabled(),
        "pause": panels.training.pause_button.isEnabled(), "stop": panels.training.stop_button.isEnabled(),
        "export": panels.result.export_button.isEnabled(),
    }  # fmt: skip


@pytest.fixture
def square(opened, qtbot):
    """A chosen and counted region, 800 um wide."""
    layer = opened.display.add_region_layer()
    layer.add_polygons(np.array([[100, 100], [100, 900], [900, 900], [900, 100.0]]))
    qtbot.waitUntil(lambda: "region" in opened.display.region_names() and not opened._notice.isActive())
    whole = opened.session.gene_map.tissue.sum()
    opened.panels.region.box.setCurrentIndex(opened.panels.region.box.findData("region"))
    qtbot.waitUntil(lambda: opened.session.gene_map.tissue.sum() < whole and not opened.session.busy, timeout=20_000)
    return layer


# ---- opening


def test_an_empty_dock_offers_only_open(dock):
    assert buttons(dock) == {"open": True, "train": False, "pause": False, "stop": False, "export": False}


def test_opening_a_slide_shows_stains_counts_and_card(opened, sample_slide):
    bundle = open_xenium(sample_slide)
    gene = next(iter(bundle.genes))
    assert names(opened) == [*(image.name for image in bundle.images), f"{gene} - counts"]
    assert opened.panels.slide.value() == gene
    assert opened.viewer.scale_bar.visible
    assert buttons(opened) == {"open": True, "train": True, "pause": False, "stop": False, "export": False}


def test_a_slide_dropped_on_the_window_is_found(viewer, dock, qtbot, sample_slide):
    viewer.open(str(sample_slide), plugin="napari-s2sst")
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=60_000)
    assert len([name for name in names(dock) if name == "DAPI"]) == 1


def test_a_slide_opened_before_the_dock_is_found(viewer, qtbot, sample_slide):
    viewer.open(str(sample_slide), plugin="napari-s2sst")
    dock = viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=60_000)


def test_a_folder_that_is_no_slide_leaves_a_message_and_the_open_slide(opened, qtbot, tmp_path):
    opened.open_slide(tmp_path)
    qtbot.waitUntil(lambda: bool(opened.session.message), timeout=20_000)
    assert "Choose the folder" in opened.panels.message.message()
    assert opened.panels.message.isVisible()
    assert opened.session.can_train
    qtbot.wait(300)
    assert opened.panels.message.isVisible()


def test_a_slide_without_transcripts_leaves_a_message(dock, qtbot, sample_slide, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(sample_slide, broken, ignore=shutil.ignore_patterns("transcripts*"))
    dock.open_slide(broken)
    qtbot.waitUntil(lambda: bool(dock.session.message), timeout=20_000)
    assert "transcripts" in dock.panels.message.message()
    assert not dock.session.can_train


# ---- choosing


def test_another_gene_takes_the_place_of_the_first_ones_counts(opened, qtbot):
    first, second = list(opened.session.bundle.genes)[:2]
    box = opened.panels.slide.gene_box
    box.setCurrentIndex(box.findText(second))
    qtbot.waitUntil(lambda: f"{second} - counts" in names(opened), timeout=20_000)
    assert f"{first} - counts" not in names(opened)
    counts = opened.viewer.layers[f"{second} - counts"].data
    assert np.nansum(counts) == pytest.approx(opened.session.bundle.genes[second], rel=0.1)


def test_typing_a_gene_and_enter_chooses_it(opened, qtbot):
    third = list(opened.session.bundle.genes)[2]
    line = opened.panels.slide.gene_box.lineEdit()
    line.selectAll()
    qtbot.keyClicks(line, third.lower())
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: f"{third} - counts" in names(opened), timeout=20_000)


def test_an_unknown_gene_names_the_nearest_ones(opened, qtbot):
    known = opened.session.gene
    line = opened.panels.slide.gene_box.lineEdit()
    line.selectAll()
    qtbot.keyClicks(line, known + "Q")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(opened.session.message), timeout=20_000)
    assert known in opened.session.message
    assert opened.panels.slide.value() == known


def test_larger_bins_count_anew_in_place(opened, qtbot):
    before = opened.session.gene_map.shape
    opened.panels.sampling.bin_box.setValue(40)
    qtbot.waitUntil(lambda: opened.session.gene_map.bin_um == 40, timeout=20_000)
    assert opened.session.gene_map.shape[0] < before[0]
    assert tuple(opened.viewer.layers[-1].scale) == (40, 40)


def test_the_lattice_follows_the_stride(opened):
    opened.panels.sampling.lattice_box.setChecked(True)
    two = np.nansum(opened.viewer.layers["lattice (measured bins)"].data)
    opened.panels.sampling.stride_box.setValue(4)
    four = np.nansum(opened.viewer.layers["lattice (measured bins)"].data)
    assert 3 < two / four < 5
    opened.panels.sampling.lattice_box.setChecked(False)
    assert "lattice (measured bins)" not in names(opened)


def test_a_drawn_region_restricts_the_tissue(opened, qtbot):
    whole = opened.session.gene_map.tissue.sum()
    opened.panels.region.draw_button.click()
    layer = opened.viewer.layers["region"]
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    layer.add_polygons([[400, 400], [400, 900], [900, 900], [900, 400]])
    qtbot.waitUntil(lambda: opened.session.gene_map.tissue.sum() < whole, timeout=20_000)
    rows, columns = np.nonzero(opened.session.gene_map.tissue)
    y0, x0 = opened.session.gene_map.origin_um
    assert (y0 + (rows + 0.5) * 20).min() >= 400
    assert (x0 + (columns + 0.5) * 20).max() <= 900


def test_an_ellipse_is_a_region_and_not_its_box(opened):
    layer = opened.display.add_region_layer()
    layer.add(np.array([[100, 100], [100, 900], [500, 900], [500, 100.0]]), shape_type="ellipse")
    (region,) = opened.display.regions(layer.name)
    assert region.polygon.area == pytest.approx(np.pi * 200 * 400, rel=0.01)
    assert region.polygon.bounds == pytest.approx((100, 100, 900, 500), abs=2)


def test_a_renamed_region_is_not_taken_for_the_whole_slide(opened, square, qtbot):
    square.name = "tumour"
    opened.panels.sampling.bin_box.setValue(21)
    qtbot.waitUntil(lambda: "'region'" in opened.session.message, timeout=20_000)
    assert not opened.session.can_train


def test_a_region_without_tissue_can_not_be_trained_on(opened, qtbot):
    layer = opened.display.add_region_layer()
    layer.add_polygons(np.array([[-500, -500], [-500, -400], [-400, -400]]))
    qtbot.waitUntil(lambda: "region" in opened.display.region_names() and not opened._notice.isActive())
    opened.panels.region.box.setCurrentIndex(1)
    qtbot.waitUntil(lambda: "No tissue" in opened.session.message, timeout=20_000)
    assert not opened.session.can_train
    opened.panels.region.box.setCurrentIndex(0)
    qtbot.waitUntil(lambda: opened.session.can_train, timeout=20_000)


def test_a_region_deleted_while_training_is_gone_afterwards(opened, square, qtbot):
    inside = opened.session.gene_map.tissue.sum()
    opened.session.begin()
    opened.viewer.layers.remove(square)
    qtbot.waitUntil(lambda: opened.session.outdated, timeout=5_000)
    qtbot.wait(400)
    assert opened.session.gene_map.tissue.sum() == inside
    opened.session.end()
    assert not opened.session.can_train
    qtbot.waitUntil(lambda: opened.session.can_train, timeout=20_000)
    assert opened.session.gene_map.tissue.sum() > inside


def test_layers_that_are_gone_are_forgotten(opened):
    before = len(opened.display._own)
    for _ in range(5):
        opened.viewer.layers.remove(opened.display._add(lattice_layer(opened.session.gene_map, 2)))
    assert len(opened.display._own) <= before + 1


def test_a_layer_that_can_not_be_added_does_not_hold_up_the_next(opened):
    with pytest.raises(ValueError, match="broken"):
        opened.display._do(partial(int, "broken"))
    opened.display.show_lattice(None, 2)
    assert not opened.display.busy
    assert "lattice (measured bins)" not in names(opened)


# ---- training


def test_train_clicked_right_after_typing_bins_waits_for_their_counts(opened, qtbot):
    """The box tells its value only when the click on Train takes the focus away."""
    opened.panels.sampling.bin_box.setValue(40)
    opened.panels.training.train_button.click()
    assert not opened.runner.active
    qtbot.waitUntil(lambda: opened.session.can_train, timeout=20_000)
    assert opened.session.gene_map.bin_um == opened.session.config.grid.bin_um == 40


def test_training_adds_new_layers_and_scores(trained):
    gene = trained.session.gene
    assert names(trained)[-4:] == [f"{gene} - {kind}" for kind in NAMES]
    assert all(str(unit) == "micrometer" for layer in trained.viewer.layers for unit in layer.units)
    table = trained.panels.result.table
    methods = [table.item(row, 0).text() for row in range(table.rowCount())]
    assert methods[0] == "CDCIN"
    assert {"inverse distance", "bilinear", "Gaussian"} <= set(methods)
    assert buttons(trained) == {"open": True, "train": True, "pause": False, "stop": False, "export": True}


def test_the_sparse_input_shows_through_the_imputed_map_exactly(trained):
    gene = trained.session.gene
    sparse = trained.viewer.layers[f"{gene} - sparse input"].data
    imputed = trained.viewer.layers[f"{gene} - imputed"].data
    measured = np.isfinite(sparse)
    assert measured.any()
    assert np.array_equal(sparse[measured], imputed[measured])


def test_a_second_run_leaves_the_first_ones_layers(trained, qtbot, train):
    gene, first = trained.session.gene, trained.session.result
    before = trained.viewer.layers[f"{gene} - imputed"].data.copy()
    train(trained, 2, seed=1)
    qtbot.waitUntil(lambda: trained.session.result is not first and not trained.display.busy, timeout=120_000)
    assert {f"{gene} - {kind} 2" for kind in NAMES} <= set(names(trained))
    assert np.array_equal(trained.viewer.layers[f"{gene} - imputed"].data, before, equal_nan=True)


def test_only_what_is_possible_is_enabled_while_training(opened, qtbot, train):
    train(opened, 100_000)
    assert buttons(opened)["train"] is False
    assert buttons(opened)["stop"] is False  # nothing can be told before the first event
    qtbot.waitUntil(lambda: opened.session.state is State.TRAINING, timeout=60_000)
    assert buttons(opened) == {"open": True, "train": False, "pause": True, "stop": True, "export": False}
    assert not opened.panels.slide.gene_box.isEnabled()
    opened.panels.training.stop_button.click()
    assert buttons(opened)["stop"] is False
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=120_000)


def test_stop_keeps_the_weights(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=60_000)
    opened.panels.training.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=120_000)
    assert 1 <= opened.session.result.trained.steps < 100_000
    assert f"{opened.session.gene} - imputed" in names(opened)


def test_pause_rests_and_goes_on(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=60_000)
    opened.panels.training.pause_button.click()
    qtbot.waitUntil(lambda: opened.session.state is State.PAUSED, timeout=60_000)
    assert opened.panels.training.pause_button.text() == "Go on"
    qtbot.wait(200)  # what was under way arrives
    step = opened.session.progress.step
    qtbot.wait(500)
    assert opened.session.progress.step == step
    opened.panels.training.pause_button.click()
    qtbot.waitUntil(lambda: opened.session.progress.step > step, timeout=60_000)
    opened.runner.abandon()


def test_a_preview_is_shown_while_training_and_becomes_the_imputed_layer(opened, viewer, qtbot, train):
    train(opened, 100_000)
    gene = opened.session.gene
    qtbot.waitUntil(lambda: f"{gene} - preview" in names(opened), timeout=120_000)
    preview = viewer.layers[f"{gene} - preview"]
    opened.panels.training.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=120_000)
    assert viewer.layers[f"{gene} - imputed"] is preview


def test_a_preview_that_was_deleted_does_not_come_back(opened, qtbot, train):
    train(opened, 100_000)
    gene = opened.session.gene
    qtbot.waitUntil(lambda: f"{gene} - preview" in names(opened), timeout=120_000)
    del opened.viewer.layers[f"{gene} - preview"]
    del opened.viewer.layers[f"{gene} - counts"]
    step = opened.session.progress.step
    qtbot.waitUntil(lambda: opened.session.progress.step > step + 5, timeout=60_000)
    assert f"{gene} - preview" not in names(opened)
    opened.panels.training.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=120_000)
    assert f"{gene} - imputed" in names(opened)


def test_an_error_in_the_worker_stays_readable_in_the_dock(opened, qtbot, train):
    """Counts of nothing but zeros can't be trained on; the engine says so."""
    empty = opened.session.gene_map
    opened.session.gene_map = GeneMap(np.zeros(empty.shape), tissue=empty.tissue, gene=empty.gene)
    train(opened, 3)
    qtbot.waitUntil(lambda: bool(opened.session.message), timeout=60_000)
    assert "nothing to learn" in opened.panels.message.message()
    assert "Traceback" not in opened.panels.message.message()
    assert opened.panels.message.isVisible()
    assert opened.session.can_train


def test_a_lattice_that_does_not_fit_says_so_before_training(opened, train):
    opened.session.gene_map = GeneMap(np.ones((3, 3)), gene="LTF")
    opened.session.gene = "LTF"
    train(opened, 3)
    assert "stride" in opened.panels.message.message()
    assert not opened.session.running


# ---- the end


def test_closing_the_dock_while_training_stops_the_worker(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=60_000)
    worker = opened.runner._worker
    opened.viewer.window.remove_dock_widget(opened)
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
    assert not opened.runner.active
    opened.viewer.add_image(np.zeros((4, 4)))  # nobody listens any more


def test_closing_the_window_while_training_stops_the_worker(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=60_000)
    worker, dock = opened.runner._worker, opened
    opened.viewer.close()
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
    assert dock.session.result is None


def test_opening_another_slide_while_training_ends_the_run(opened, qtbot, train, sample_slide, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(sample_slide, other)
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=60_000)
    worker = opened.runner._worker
    opened.open_slide(other)
    qtbot.waitUntil(lambda: opened.session.bundle.path == other and opened.session.can_train, timeout=60_000)
    qtbot.waitUntil(lambda: not worker.is_running, timeout=60_000)
    assert not any("preview" in name for name in names(opened))
    assert opened.session.result is None


# ---- export and looks


def test_export_writes_the_files(trained, qtbot, tmp_path):
    trained.export(tmp_path / "out")
    qtbot.waitUntil(lambda: trained.session.can_export, timeout=60_000)
    assert trained.session.message == ""
    gene = trained.session.gene
    wanted = {"imputed.h5ad", f"{gene}.ome.tif", f"{gene}.png", "scores.csv", "losses.csv", "run.json"}
    assert wanted | {"model.safetensors"} <= {path.name for path in (tmp_path / "out").iterdir()}


def test_a_folder_that_can_not_be_written_leaves_a_message(trained, qtbot, tmp_path):
    (tmp_path / "file").write_text("")
    trained.export(tmp_path / "file")
    qtbot.waitUntil(lambda: bool(trained.session.message), timeout=60_000)
    assert str(tmp_path / "file") in trained.panels.message.message()
    assert trained.session.can_export


def test_every_control_has_a_tooltip(dock):
    for kind in (QAbstractButton, QComboBox, QAbstractSpinBox):
        for control in dock.findChildren(kind):
            own = control if control.objectName() != "qt_spinbox_lineedit" else control.parentWidget()
            parents = []
            while own is not None and own is not dock:
                parents.append(own.toolTip())
                own = own.parentWidget()
            assert any(parents), control


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_dock_fits_its_width_in_both_themes(trained, qtbot, theme):
    trained.viewer.theme = theme
    qtbot.wait(50)
    assert trained.width() <= WIDTH_PX
    inner: QWidget = trained.panels._scroll.widget()
    assert inner.width() <= trained.panels._scroll.viewport().width()
    assert inner.minimumSizeHint().width() <= trained.panels._scroll.viewport().width()


# ---- the whole way, on a real slide


def test_the_bone_marrow_slide_goes_from_folder_to_files(dock, qtbot, shared_data, tmp_path):
    dock.open_slide(shared_data("xenium_bone_marrow"))
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=60_000)
    dock.choose_gene("LTF")
    qtbot.waitUntil(lambda: dock.session.gene_map.gene == "LTF", timeout=20_000)
    dock.panels.training.train_button.click()
    qtbot.waitUntil(lambda: dock.session.can_stop and len(dock.session.loss_curve) > 2, timeout=120_000)
    dock.panels.training.stop_button.click()
    qtbot.waitUntil(lambda: dock.session.result is not None or bool(dock.session.message), timeout=180_000)
    assert dock.session.message == ""
    scores = dock.session.result.scores["LTF"]
    assert scores["CDCIN"].mae_unmeasured < scores["nearest"].mae_unmeasured
    dock.export(tmp_path)
    qtbot.waitUntil(lambda: (tmp_path / "run.json").exists(), timeout=60_000)
    assert {"imputed.h5ad", "LTF.ome.tif", "LTF.png", "scores.csv"} <= {path.name for path in tmp_path.iterdir()}
