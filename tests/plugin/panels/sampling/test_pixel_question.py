"""Regions of QuPath, counted in pixels, in a real window."""

import json

import pytest
from qtpy.QtCore import Qt
from shapely.geometry import box

from napari_s2sst.engine.sampling.regions import Region, read_regions, write_regions

IN_UM = Region("duct", box(100, 200, 1900, 1400))


@pytest.fixture
def of_qupath(opened, tmp_path):
    """IN_UM in pixels of the slide's picture, in a file that does not say so."""
    path = tmp_path / "qupath.geojson"
    write_regions(path, [IN_UM], pixel_size_um=opened.session.slide.pixel_size_um)
    content = json.loads(path.read_text())
    del content["s2sst_unit_um"]
    path.write_text(json.dumps(content))
    assert read_regions(path)[0].polygon.bounds[2] > opened.session.slide.extent_um[3]
    return path


def bounds(opened):
    return [tuple(round(each) for each in region.polygon.bounds) for region in opened.regions.value()]


def test_regions_beyond_the_slide_are_asked_about_and_read_as_pixels(opened, of_qupath):
    opened.panels.region.importRequested.emit(of_qupath)
    question = opened.regions.question
    assert question.isVisible()
    assert "pixels" in question.text
    assert not opened.regions.value()
    question.pixels_button.click()
    assert bounds(opened) == [(100, 200, 1900, 1400)]
    assert opened.regions.question is None


def test_the_user_may_insist_on_um_or_cancel(opened, of_qupath, qtbot):
    opened.regions.read(of_qupath)
    qtbot.keyClick(opened.regions.question, Qt.Key.Key_Escape)
    assert not opened.regions.value()
    opened.regions.read(of_qupath)
    opened.regions.question.um_button.click()
    assert bounds(opened)[0][2] > opened.session.slide.extent_um[3]


def test_regions_on_the_slide_are_not_asked_about(opened, tmp_path):
    opened.regions.read(write_regions(tmp_path / "um.geojson", [IN_UM]))
    assert opened.regions.question is None
    assert bounds(opened) == [(100, 200, 1900, 1400)]


def test_pixels_that_were_chosen_are_taken_without_a_question(opened, of_qupath):
    opened.panels.region.pixelImportRequested.emit(of_qupath)
    assert opened.regions.question is None
    assert bounds(opened) == [(100, 200, 1900, 1400)]


def test_regions_are_exported_in_pixels_where_that_is_chosen(opened, tmp_path):
    opened.regions.drawn.add([IN_UM])
    opened.panels.region.pixelExportRequested.emit(tmp_path / "px.geojson")
    opened.panels.region.exportRequested.emit(tmp_path / "um.geojson")
    size = opened.session.slide.pixel_size_um

    def corner(name: str) -> float:
        feature = json.loads((tmp_path / name).read_text())["features"][0]
        return max(x for x, _ in feature["geometry"]["coordinates"][0])

    assert corner("um.geojson") == pytest.approx(1900)
    assert corner("px.geojson") == pytest.approx(1900 / size)
    assert read_regions(tmp_path / "px.geojson")[0].polygon.bounds == pytest.approx(IN_UM.polygon.bounds)


def test_closing_the_dock_closes_the_question(opened, of_qupath):
    opened.regions.read(of_qupath)
    question = opened.regions.question
    opened.viewer.window.remove_dock_widget("all")
    assert not question.isVisible()


def test_every_button_has_a_tooltip(opened, of_qupath):
    opened.regions.read(of_qupath)
    question = opened.regions.question
    assert all(each.toolTip() for each in (question.pixels_button, question.um_button, question.cancel_button))
