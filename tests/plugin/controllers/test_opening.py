"""Opening slides in a real window."""

import shutil

from support.window_state import buttons, names

from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.viewer.canvas import scale_bar_of


def test_an_empty_dock_offers_only_open(dock):
    assert buttons(dock) == {"open": True, "train": False, "pause": False, "stop": False, "export": False}


def test_opening_a_slide_shows_stains_counts_and_card(opened, sample_slide):
    bundle = open_xenium(sample_slide)
    gene = next(iter(bundle.genes))
    assert names(opened) == [*(image.name for image in bundle.images), f"{gene} - counts"]
    assert opened.panels.genes.value() == (gene,)
    assert scale_bar_of(opened.viewer).visible
    assert buttons(opened) == {"open": True, "train": True, "pause": False, "stop": False, "export": False}


def test_a_slide_dropped_on_the_window_is_found(viewer, dock, qtbot, sample_slide):
    viewer.open(str(sample_slide), plugin="napari-s2sst")
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=300_000)
    assert len([name for name in names(dock) if name == "DAPI"]) == 1


def test_a_slide_opened_before_the_dock_is_found(viewer, qtbot, sample_slide):
    viewer.open(str(sample_slide), plugin="napari-s2sst")
    dock = viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=300_000)


def test_a_folder_that_is_no_slide_leaves_a_message_and_the_open_slide(opened, qtbot, tmp_path):
    opened.open_slide(tmp_path)
    qtbot.waitUntil(lambda: bool(opened.session.message), timeout=300_000)
    assert "Choose the folder" in opened.panels.message.message()
    assert opened.panels.message.isVisible()
    assert opened.session.can_train
    qtbot.wait(300)
    assert opened.panels.message.isVisible()


def test_a_slide_without_transcripts_leaves_a_message(dock, qtbot, sample_slide, tmp_path):
    broken = tmp_path / "broken"
    shutil.copytree(sample_slide, broken, ignore=shutil.ignore_patterns("transcripts*"))
    dock.open_slide(broken)
    qtbot.waitUntil(lambda: bool(dock.session.message), timeout=300_000)
    assert "transcripts" in dock.panels.message.message()
    assert not dock.session.can_train
