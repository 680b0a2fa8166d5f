"""Asking how large a pixel or a bin is: in a dialog of its own, and when a slide is opened that does not say."""

import json
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from qtpy.QtCore import Qt
from support.window_state import names

from napari_s2sst.engine.export.choice import ExportChoice
from napari_s2sst.engine.slides.questions import SizeQuestion, question_of, question_to
from napari_s2sst.plugin.panels.slide.size_dialog import SizeDialog

QUESTION = SizeQuestion(
    path="slide",
    kind="pixel",
    title="Size of a pixel",
    why="Nobody knows.",
    usual_um=0.2125,
    without="Without &picture",
)


@pytest.fixture
def dialog(qtbot):
    made = SizeDialog(QUESTION)
    qtbot.addWidget(made)
    made.open()
    return made


@pytest.fixture
def silent_slide(sample_slide, tmp_path):
    """The sample slide, but nothing says how large a pixel is."""
    import tifffile

    folder = tmp_path / "silent"
    shutil.copytree(sample_slide, folder, ignore=shutil.ignore_patterns("morphology*"))
    manifest = json.loads((folder / "experiment.xenium").read_text())
    del manifest["pixel_size"]
    (folder / "experiment.xenium").write_text(json.dumps(manifest))
    pixels = np.random.default_rng(0).integers(0, 3000, (500, 400), dtype=np.uint16)
    tifffile.imwrite(folder / "morphology.ome.tif", pixels, ome=True, tile=(128, 128), metadata={"axes": "YX"})
    return folder


@pytest.fixture
def spots(tmp_path):
    """Spots on a lattice; nothing tells how far apart."""
    row, column = (each.ravel() for each in np.mgrid[:24, :30])
    counts = np.random.default_rng(0).poisson(4, (len(row), 2)).astype(np.float32)
    path = tmp_path / "spots.h5ad"
    obs = pd.DataFrame(
        {"array_row": row, "array_col": column}, index=[f"{r:03}x{c:03}" for r, c in zip(row, column, strict=True)]
    )
    anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=["VIM", "EPCAM"])).write_h5ad(path)
    return path


def opening(dock, qtbot, path):
    """The dialog that asks after this was opened."""
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(path)
    qtbot.waitUntil(lambda: dock.opening.dialog is not None, timeout=300_000)
    return dock.opening.dialog


def test_the_usual_size_comes_first_and_enter_takes_it(dialog, qtbot):
    assert dialog.value() == 0.2125
    assert dialog.size_box.text() == "0.2125 µm"
    with qtbot.waitSignal(dialog.answered) as told:
        qtbot.keyClick(dialog.size_box, Qt.Key.Key_Return)
    assert told.args == [0.2125]
    assert not dialog.isVisible()


def test_a_number_that_is_typed_is_the_answer(dialog, qtbot):
    dialog.size_box.selectAll()
    qtbot.keyClicks(dialog.size_box, "0.34")
    with qtbot.waitSignal(dialog.answered) as told:
        dialog.open_button.click()
    assert told.args == [0.34]


def test_a_size_can_not_be_0(dialog):
    dialog.size_box.setValue(0)
    assert dialog.value() > 0


def test_cancel_and_escape_tell_nothing(dialog, qtbot):
    with qtbot.assertNotEmitted(dialog.answered):
        qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_without_is_offered_where_it_makes_sense(dialog, qtbot):
    assert dialog.without_button.isVisible()
    with qtbot.waitSignal(dialog.answered) as told:
        dialog.without_button.click()
    assert told.args == [None]
    other = SizeDialog(
        SizeQuestion(path="cube.npz", kind="bin", title="Size of a bin", why="Nobody knows.", usual_um=20.0)
    )
    qtbot.addWidget(other)
    assert other.without_button.isHidden()


def test_every_control_has_a_tooltip(dialog):
    assert all(
        each.toolTip() for each in (dialog.size_box, dialog.open_button, dialog.cancel_button, dialog.without_button)
    )


def test_a_slide_whose_pixels_nobody_knows_is_opened_with_the_size_that_is_given(dock, qtbot, silent_slide):
    asked = opening(dock, qtbot, silent_slide)
    assert "0.2125" in asked.question.why
    assert dock.session.slide is None
    asked.size_box.setValue(2.5)
    asked.open_button.click()
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    assert dock.session.slide.pixel_size_um == 2.5
    picture = dock.viewer.layers[names(dock)[0]]
    assert tuple(picture.scale) == (2.5, 2.5)
    assert ("Pixel", "2.5 um (as given)") in dock.panels.card.facts()
    assert dock.panels.card.size_button.isHidden()


def test_cancelling_leaves_what_was_open(opened, qtbot, silent_slide):
    before = opened.session.slide
    opening(opened, qtbot, silent_slide).cancel_button.click()
    qtbot.wait(100)
    assert opened.session.slide is before
    assert opened.opening.dialog is None
    assert opened.session.can_train
    assert opened.session.busy == ""


def test_without_the_picture_transcripts_are_shown_and_the_size_can_be_told_later(dock, qtbot, silent_slide):
    opening(dock, qtbot, silent_slide).without_button.click()
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    assert names(dock)[0] == "all transcripts"
    assert dict(dock.panels.card.facts())["Pixel"] == "size unknown, so no picture is shown"
    assert not dock.panels.card.size_button.isHidden()
    dock.panels.card.size_button.click()
    dock.opening.dialog.size_box.setValue(2.5)
    dock.opening.dialog.open_button.click()
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy and not dock.opening.busy, timeout=300_000)
    assert "all transcripts" not in names(dock)
    assert dock.session.slide.pixel_size_um == 2.5


def test_a_slide_of_unknown_pixels_that_is_dropped_is_asked_about_too(dock, qtbot, silent_slide):
    dock.panels.sampling.instant_box.setChecked(False)
    dock.viewer.open(str(silent_slide), plugin="napari-s2sst")
    qtbot.waitUntil(lambda: dock.opening.dialog is not None, timeout=300_000)
    dock.opening.dialog.size_box.setValue(2.5)
    dock.opening.dialog.open_button.click()
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    assert "all transcripts" not in names(dock)
    assert dock.session.slide.pixel_size_um == 2.5


def test_a_cube_without_its_bin_size_is_asked_about(dock, qtbot, cube_without_bin):
    assert question_to(cube_without_bin).kind == "bin"
    asked = opening(dock, qtbot, cube_without_bin)
    asked.size_box.setValue(12.5)
    asked.open_button.click()
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    assert dock.session.gene_map.bin_um == 12.5
    assert dock.session.sampling.bin_um == 12.5


def test_spots_at_an_assumed_distance_open_and_the_card_says_so_and_offers_to_tell_it(dock, qtbot, spots):
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(spots)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    card = dock.panels.card
    assert dict(card.facts())["Bins"] == "100 um (assumed), 30 x 24"
    assert card.size_button.text() == "Size of a bin..."
    card.size_button.click()
    asked = dock.opening.dialog
    assert asked.value() == 100.0
    assert asked.without_button.isHidden()
    asked.size_box.setValue(55.0)
    asked.open_button.click()
    qtbot.waitUntil(
        lambda: dock.session.gene_map is not None and dock.session.gene_map.bin_um == 55.0 and dock.session.can_train,
        timeout=30_000,
    )
    assert dict(card.facts())["Bins"] == "55 um (as given), 30 x 24"
    assert card.size_button.isHidden()
    assert question_of(dock.session.slide) is None


def test_closing_the_dock_closes_its_question(dock, qtbot, silent_slide):
    asked = opening(dock, qtbot, silent_slide)
    dock.viewer.window.remove_dock_widget("all")
    assert not asked.isVisible()


def test_a_file_that_tells_its_size_raises_no_question(cube, sample_slide):
    from napari_s2sst.engine.slides.count_cube import open_count_cube
    from napari_s2sst.engine.slides.xenium import open_xenium

    assert question_to(cube) is None
    assert question_of(open_count_cube(cube)) is None
    assert question_of(open_xenium(sample_slide)) is None


def test_the_script_of_a_run_says_the_size_that_was_given_again(dock, qtbot, cube_without_bin, tmp_path):
    dock.open_slide(cube_without_bin)
    qtbot.waitUntil(lambda: dock.opening.dialog is not None, timeout=300_000)
    dock.opening.dialog.size_box.setValue(12.5)
    dock.opening.dialog.open_button.click()
    qtbot.waitUntil(lambda: dock.session.shown is not None and bool(dock.session.shown.scores), timeout=300_000)
    dock.results.export(tmp_path / "out", ExportChoice(script=True, figure=False, ome_tiff=False))
    qtbot.waitUntil(lambda: (tmp_path / "out" / "repeat.sh").exists() and not dock.session.busy, timeout=300_000)
    assert "--size-um 12.5" in (tmp_path / "out" / "repeat.sh").read_text()
