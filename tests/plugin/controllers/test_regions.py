"""The panel of regions and their layer, in a real napari window."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from shapely.geometry import MultiPolygon, Polygon, box

from napari_s2sst.engine.sampling.regions import Region, read_regions, write_regions
from napari_s2sst.plugin.controllers.regions import Regions
from napari_s2sst.plugin.panels.sampling.regions import RegionPanel, with_ending

SQUARE = np.array([[100, 200], [100, 600], [500, 600], [500, 200.0]])
"""(y, x) corners: 400 um wide, 400 um high."""
DUCT = Region("duct", Polygon([(0, 0), (100, 0), (100, 60), (0, 60)], [[(20, 20), (60, 20), (60, 40), (20, 40)]]))
NESTS = Region("nests", MultiPolygon([box(200, 0, 220, 20), box(260, 60, 300, 80)]))


@pytest.fixture
def panel(workspace) -> RegionPanel:
    return workspace.panels.region


@pytest.fixture
def regions(viewer, workspace):
    viewer.add_image(np.zeros((50, 50)), scale=(20, 20), units=("um", "um"), axis_labels=("y", "x"))
    made = Regions(workspace)
    yield made
    made.forget()


def names(regions) -> list[str]:
    return [region.name for region in regions.value()]


def shape_names(regions) -> list[str]:
    regions.value()
    return list(regions.drawn.layer.features["name"])


def settled(qtbot, panel):
    return qtbot.waitSignal(panel.valueChanged, timeout=300_000)


# ---- the layer


def test_a_tool_makes_the_layer_in_um_selects_it_and_draws(regions, panel, viewer):
    panel.tools["add_polygon"].click()
    layer = viewer.layers["regions"]
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert layer.axis_labels == ("y", "x")
    assert viewer.layers.selection.active is layer
    assert layer.mode == "add_polygon"
    panel.tools["add_ellipse"].click()
    assert len(viewer.layers) == 2
    assert layer.mode == "add_ellipse"
    assert not panel.tools["add_polygon"].isChecked()


def test_a_tool_clicked_again_gives_the_mouse_back(regions, panel, viewer):
    panel.tools["add_polygon_lasso"].click()
    panel.tools["add_polygon_lasso"].click()
    assert viewer.layers["regions"].mode == "pan_zoom"
    assert not any(button.isChecked() for button in panel.tools.values())


def test_the_panel_shows_the_tool_that_was_chosen_in_napari(regions, panel):
    regions.drawn.draw("add_polygon")
    regions.drawn.layer.mode = "add_rectangle"
    assert [name for name, button in panel.tools.items() if button.isChecked()] == ["add_rectangle"]


def test_dragging_with_the_mouse_draws_a_named_rectangle(regions, panel, viewer, qtbot):
    panel.tools["add_rectangle"].click()
    viewer.reset_view()
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    with settled(qtbot, panel):
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=middle)
        for step in range(1, 6):
            qtbot.mouseMove(canvas, middle + QPoint(10 * step, 10 * step))
            qtbot.wait(20)
            assert panel.rows() == ()  # it is not ready yet
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(50, 50))
    (region,) = panel.value()
    assert region.name == "Region 1"
    side_um = 50 / viewer.scene.camera.zoom
    assert region.polygon.area == pytest.approx(side_um**2, rel=0.1)
    assert panel.list.topLevelItem(0).text(0) == "Region 1"


def test_following_an_outline_with_the_mouse_draws_it_freehand(regions, panel, viewer, qtbot):
    panel.tools["add_polygon_lasso"].click()
    viewer.reset_view()
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    angles = np.linspace(0, 2 * np.pi, 40)
    around = [middle + QPoint(round(80 * np.cos(angle)), round(80 * np.sin(angle))) for angle in angles]
    with settled(qtbot, panel):
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=around[0])
        for at in around[1:]:
            qtbot.mouseMove(canvas, at)
            qtbot.wait(5)
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=around[-1])
    (region,) = panel.value()
    assert region.polygon.area == pytest.approx(np.pi * (80 / viewer.scene.camera.zoom) ** 2, rel=0.15)


def test_clicking_corners_and_a_double_click_draw_a_polygon(regions, panel, viewer, qtbot):
    panel.tools["add_polygon"].click()
    viewer.reset_view()
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPoint(canvas.width() // 2, canvas.height() // 2)
    for shift in ((0, 0), (100, 0), (100, 100), (0, 100)):
        at = middle + QPoint(*shift)
        qtbot.mouseMove(canvas, at)
        qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at)
        qtbot.wait(20)
    with settled(qtbot, panel):
        qtbot.mouseDClick(canvas, Qt.MouseButton.LeftButton, pos=middle + QPoint(0, 100))
    (region,) = panel.value()
    assert region.polygon.area == pytest.approx((100 / viewer.scene.camera.zoom) ** 2, rel=0.15)


@pytest.mark.parametrize(
    ("kind", "area"), [("rectangle", 160_000), ("polygon", 160_000), ("ellipse", np.pi * 200**2)]
)  # fmt: skip
def test_every_kind_of_shape_has_its_own_area(regions, kind, area):
    regions.drawn.draw()
    regions.drawn.layer.add([SQUARE], shape_type=kind)
    (region,) = regions.value()
    assert region.polygon.area == pytest.approx(area, rel=1e-3)
    assert region.polygon.centroid.coords[0] == pytest.approx((400, 300))


def test_lines_are_no_regions(regions):
    regions.drawn.draw()
    regions.drawn.layer.add([SQUARE], shape_type="path")
    regions.drawn.layer.add([SQUARE[:2]], shape_type="line")
    assert regions.value() == ()
    assert regions.panel.rows() == ()


def test_an_outline_that_crosses_itself_is_mended(regions):
    regions.drawn.draw()
    regions.drawn.layer.add([SQUARE[[0, 2, 1, 3]]], shape_type="polygon")
    (region,) = regions.value()
    assert region.polygon.is_valid
    assert region.polygon.area == pytest.approx(80_000)


def test_a_layer_that_was_moved_moves_its_regions(regions, qtbot):
    regions.drawn.draw()
    regions.drawn.layer.add([SQUARE], shape_type="polygon")
    regions.value()
    with settled(qtbot, regions.panel):
        regions.drawn.layer.translate = (10, 1000)
    assert regions.panel.value()[0].polygon.bounds == (1200, 110, 1600, 510)


def test_new_shapes_are_numbered_and_a_free_number_is_used_again(regions):
    regions.drawn.draw()
    for _ in range(3):
        regions.drawn.layer.add([SQUARE], shape_type="polygon")
    assert names(regions) == ["Region 1", "Region 2", "Region 3"]
    regions.drawn.layer.remove([1])
    assert names(regions) == ["Region 1", "Region 3"]
    regions.drawn.layer.add([SQUARE], shape_type="polygon")
    assert names(regions) == ["Region 1", "Region 3", "Region 2"]


def test_a_copied_shape_gets_a_name_of_its_own(regions, qtbot):
    regions.drawn.add([Region("Tumour", box(0, 0, 100, 100))])
    regions.drawn.layer.selected_data = {0}
    regions.drawn.layer._copy_data()
    regions.drawn.layer._paste_data()
    qtbot.waitUntil(lambda: len(regions.panel.rows()) == 2, timeout=300_000)
    assert names(regions) == ["Tumour", "Tumour 2"]


def test_a_tool_stays_on_for_holes_until_it_is_let_go(regions, panel):
    regions.drawn.add([Region("A", box(0, 0, 1000, 1000))])
    panel.tools["hole"].click()
    for shift in (0, 500):
        regions.drawn.layer.add([SQUARE / 4 + shift], shape_type="rectangle")
        regions.value()
    assert list(regions.drawn.layer.features["kind"]) == ["region", "hole", "hole"]
    assert shape_names(regions) == ["A", "Hole 1", "Hole 2"]


def test_the_name_stands_at_the_shape(regions):
    regions.drawn.add([DUCT])
    assert next(iter(regions.drawn.layer.text.values)) == "duct"


# ---- holes and parts


def test_a_hole_is_cut_out_of_every_region_it_lies_in(regions, panel):
    regions.drawn.add(
        [Region("A", box(0, 0, 100, 100)), Region("B", box(50, 0, 150, 100)), Region("C", box(300, 0, 400, 100))]
    )
    panel.tools["hole"].click()
    assert regions.drawn.layer.mode == "add_polygon"
    regions.drawn.layer.add([np.array([[10, 40], [10, 60], [30, 60], [30, 40.0]])], shape_type="polygon")
    assert [region.polygon.area for region in regions.value()] == [9600, 9800, 10000]
    assert shape_names(regions)[-1] == "Hole 1"
    panel.tools["hole"].click()
    regions.drawn.layer.add([SQUARE + 1000], shape_type="polygon")
    assert names(regions) == ["A", "B", "C", "Region 1"]


def test_a_region_that_is_all_hole_counts_no_more(regions, panel):
    regions.drawn.add([Region("A", box(0, 0, 100, 100))])
    regions.drawn.draw(holes=True)
    regions.drawn.layer.add([SQUARE - 200], shape_type="rectangle")
    regions.drawn.layer.add([np.array([[-10, -10], [-10, 200], [200, 200], [200, -10.0]])], shape_type="polygon")
    assert regions.value() == ()
    assert panel.list.topLevelItem(0).text(1) == "nothing left"
    assert "Whole slide" in panel.status.text()


def test_holes_and_parts_survive_the_layer(regions):
    regions.drawn.add([DUCT, NESTS])
    back = regions.value()
    assert [region.name for region in back] == ["duct", "nests"]
    assert back[0].polygon.equals(DUCT.polygon)
    assert back[1].polygon.equals(NESTS.polygon)
    assert list(regions.drawn.layer.features["kind"]) == ["region", "hole", "region", "region"]


# ---- the panel


def test_without_regions_the_whole_slide_counts_and_the_panel_says_so(regions, panel):
    assert panel.value() == ()
    assert panel.status.text().startswith("Whole slide")
    assert not panel.list.isVisible()
    assert not panel.export_button.isEnabled()


def test_only_ticked_regions_count(regions, panel, qtbot):
    regions.drawn.add([DUCT, NESTS])
    with settled(qtbot, panel):
        panel.list.topLevelItem(0).setCheckState(0, Qt.CheckState.Unchecked)
    assert [region.name for region in panel.value()] == ["nests"]
    assert panel.status.text() == "1 of 2 regions, 0.0012 mm²"
    assert list(regions.drawn.layer.features["used"]) == [False, True, True, True]
    with settled(qtbot, panel):
        panel.list.topLevelItem(1).setCheckState(0, Qt.CheckState.Unchecked)
    assert panel.value() == ()
    assert panel.status.text() == "Whole slide: no region is ticked."


def test_a_name_is_changed_in_the_list_and_at_the_shape(regions, panel):
    regions.drawn.add([DUCT, NESTS])
    panel.list.topLevelItem(1).setText(0, "tumour nests")
    assert shape_names(regions) == ["duct", "Hole 1", "tumour nests", "tumour nests"]
    assert names(regions) == ["duct", "tumour nests"]


@pytest.mark.parametrize(("typed", "becomes"), [("duct", "duct 2"), ("  ", "Region 1"), (" a{b} ", "a{b}")])
def test_a_name_that_is_taken_or_empty_becomes_one_that_is_free(regions, panel, typed, becomes):
    regions.drawn.add([DUCT, NESTS])
    panel.list.topLevelItem(1).setText(0, typed)
    assert names(regions) == ["duct", becomes]
    assert panel.list.topLevelItem(1).text(0) == becomes


def test_a_name_changed_in_napari_shows_in_the_list(regions, panel, qtbot):
    regions.drawn.add([DUCT])
    table = regions.drawn.layer.features
    table["name"] = ["gland", "Hole 1"]
    with settled(qtbot, panel):
        regions.drawn.layer.features = table
    assert panel.list.topLevelItem(0).text(0) == "gland"


def test_deleting_takes_the_holes_along_and_undo_brings_all_back(regions, panel, qtbot):
    regions.drawn.add([DUCT, NESTS])
    panel.list.topLevelItem(0).setSelected(True)
    with settled(qtbot, panel):
        panel.delete_button.click()
    assert shape_names(regions) == ["nests", "nests"]
    assert panel.undo_button.isEnabled()
    with settled(qtbot, panel):
        panel.undo_button.click()
    assert names(regions) == ["nests", "duct"]
    assert regions.value()[1].polygon.equals(DUCT.polygon)
    assert not panel.undo_button.isEnabled()


def test_a_hole_in_another_region_stays_when_one_is_deleted(regions):
    regions.drawn.add([Region("A", box(0, 0, 100, 100)), Region("B", box(50, 0, 150, 100))])
    regions.drawn.draw(holes=True)
    regions.drawn.layer.add([np.array([[10, 40], [10, 60], [30, 60], [30, 40.0]])], shape_type="polygon")
    regions.value()
    regions.drawn.delete(["A"])
    assert regions.value()[0].polygon.area == 9800


def test_the_delete_key_deletes_the_chosen_region(regions, panel, qtbot):
    regions.drawn.add([DUCT])
    panel.list.topLevelItem(0).setSelected(True)
    qtbot.keyClick(panel.list, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: panel.value() == (), timeout=300_000)


def test_several_changes_in_a_row_are_told_once(regions, panel, qtbot):
    told = []
    panel.valueChanged.connect(lambda: told.append(1))
    regions.drawn.draw()
    with settled(qtbot, panel):
        for shift in range(5):
            regions.drawn.layer.add([SQUARE + 50 * shift], shape_type="polygon")
    qtbot.wait(600)
    assert len(told) == 1
    assert len(panel.value()) == 5


def test_what_makes_no_difference_is_not_told(regions, panel, qtbot):
    regions.drawn.add([DUCT])
    qtbot.wait(400)
    told = []
    panel.valueChanged.connect(lambda: told.append(1))
    regions.drawn.layer.visible = False
    regions.drawn.layer.selected_data = {0}
    regions.drawn.layer.features = regions.drawn.layer.features
    qtbot.wait(400)
    assert not told


def test_while_a_training_runs_nothing_can_be_changed(regions, panel):
    regions.drawn.add([DUCT])
    panel.setEnabledParts(can_change=False)
    assert not any(button.isEnabled() for button in (*panel.tools.values(), panel.import_button, panel.delete_button))
    assert panel.export_button.isEnabled()
    assert not panel.list.topLevelItem(0).flags() & Qt.ItemFlag.ItemIsUserCheckable
    panel.setEnabledParts(can_change=True)
    assert all(button.isEnabled() for button in panel.tools.values())
    assert panel.list.topLevelItem(0).flags() & Qt.ItemFlag.ItemIsEditable


def test_every_control_has_a_tooltip_and_is_reachable_by_keyboard(panel):
    controls = [*panel.tools.values(), panel.list, panel.delete_button, panel.undo_button, panel.import_button,
                panel.export_button]  # fmt: skip
    assert all(control.toolTip() for control in controls)
    assert all(control.focusPolicy() & Qt.FocusPolicy.TabFocus for control in controls)


# ---- files


@pytest.mark.parametrize("name", ["regions.geojson", "regions.csv"])
def test_regions_are_written_and_read_back_the_same(regions, tmp_path, name):
    regions.drawn.add([DUCT, NESTS])
    regions.panel.exportRequested.emit(tmp_path / name)
    assert [region.name for region in read_regions(tmp_path / name)] == ["duct", "nests"]
    regions.drawn.clear()
    regions.panel.importRequested.emit(tmp_path / name)
    found = regions.value()
    assert [region.name for region in found] == ["duct", "nests"]
    assert found[0].polygon.symmetric_difference(DUCT.polygon).area < 1e-6
    assert found[1].polygon.symmetric_difference(NESTS.polygon).area < 1e-6


def test_only_ticked_regions_are_written(regions, panel, tmp_path):
    regions.drawn.add([DUCT, NESTS])
    panel.list.topLevelItem(0).setCheckState(0, Qt.CheckState.Unchecked)
    regions.write(tmp_path / "one.geojson")
    assert [region.name for region in read_regions(tmp_path / "one.geojson")] == ["nests"]


def test_a_file_read_twice_gives_names_of_their_own(regions, tmp_path):
    path = write_regions(tmp_path / "duct.geojson", [DUCT])
    regions.read(path)
    regions.read(path)
    assert names(regions) == ["duct", "duct 2"]


def test_a_file_that_cannot_be_read_is_told_in_one_sentence(regions, panel, tmp_path, qtbot):
    (tmp_path / "bad.csv").write_text("a,b\n")
    with qtbot.waitSignal(regions.failed) as told:
        regions.read(tmp_path / "bad.csv")
    assert "names no columns X and Y" in told.args[0]
    assert regions.drawn.layer is None


def test_a_folder_that_cannot_be_written_is_told_in_one_sentence(regions, panel, tmp_path, qtbot):
    regions.drawn.add([DUCT])
    with qtbot.waitSignal(regions.failed) as told:
        regions.write(tmp_path / "none" / "a.geojson")
    assert "can't be written" in told.args[0]


def test_a_written_file_has_the_ending_of_its_format(tmp_path):
    assert with_ending(tmp_path / "a", csv=True).name == "a.csv"
    assert with_ending(tmp_path / "a.geojson", csv=True).name == "a.csv"
    assert with_ending(tmp_path / "a.1", csv=False).name == "a.1.geojson"
    assert with_ending(tmp_path / "a.json", csv=False).name == "a.json"


# ---- the layer comes and goes


def test_a_layer_that_the_user_deletes_means_the_whole_slide_and_undo_brings_it_back(regions, panel, viewer, qtbot):
    regions.drawn.add([DUCT])
    with settled(qtbot, panel):
        viewer.layers.remove(regions.drawn.layer)
    assert panel.value() == ()
    assert panel.rows() == ()
    panel.undo_button.click()
    assert names(regions) == ["duct"]
    panel.tools["add_polygon"].click()
    assert [layer.name for layer in viewer.layers].count("regions") == 1


def test_another_slide_takes_regions_and_undo_away(regions, panel, viewer):
    regions.drawn.add([DUCT])
    regions.drawn.delete(["duct"])
    regions.drawn.clear()
    assert "regions" not in viewer.layers
    assert not panel.undo_button.isEnabled()
    regions.drawn.undo()
    assert regions.value() == ()


def test_a_dock_opened_again_finds_the_regions(regions, make_workspace):
    regions.drawn.add([DUCT])
    regions.forget()
    other = make_workspace()
    again = Regions(other)
    assert [region.name for region in other.panels.region.value()] == ["duct"]
    again.forget()


def test_after_forgetting_nothing_follows_the_layer(regions, panel, viewer, qtbot):
    regions.drawn.add([DUCT])
    layer = regions.drawn.layer
    regions.forget()
    layer.add([SQUARE], shape_type="polygon")
    viewer.layers.remove(layer)
    qtbot.wait(50)
    assert len(panel.rows()) == 1
