"""The tissue mask, painted on in a real napari window."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_s2sst import GeneMap, sample
from napari_s2sst.engine.sampling.regions import region_mask
from napari_s2sst.plugin.viewer.tissue_layer import TissueLayer


def gene_map(bin_um: float = 20.0, **settings) -> GeneMap:
    """800 x 1200 um, its upper half tissue."""
    rows, columns = round(800 / bin_um), round(1200 / bin_um)
    tissue = np.zeros((rows, columns), bool)
    tissue[: rows // 2] = True
    return GeneMap(np.where(tissue, 3.0, 0.0), tissue, gene="LTF", bin_um=bin_um, **settings)


@pytest.fixture
def tissue(viewer, qtbot):
    made = TissueLayer(viewer)
    yield made
    made.forget()


def settled(qtbot, tissue):
    return qtbot.waitSignal(tissue.changed, timeout=300_000)


def test_the_mask_lies_on_the_bins_in_um(tissue, viewer):
    tissue.show(gene_map(origin_um=(100.0, 40.0)))
    layer = viewer.layers["tissue"]
    assert tissue.shown
    assert tuple(layer.translate) == (110, 50)
    assert tuple(layer.scale) == (20, 20)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    np.testing.assert_array_equal(layer.data > 0, gene_map().tissue)
    assert layer.editable
    assert layer.brush_size == 5
    assert not tissue.edited


def test_what_is_painted_and_erased_is_in_the_map(tissue, qtbot):
    tissue.show(gene_map())
    with settled(qtbot, tissue):
        tissue.layer.brush_size = 4
        tissue.layer.paint((30, 10), 1)
        tissue.layer.paint((5, 50), 0)
    edited = tissue.apply(gene_map())
    assert edited.tissue[30, 10]
    assert not edited.tissue[5, 50]
    np.testing.assert_array_equal(edited.tissue, tissue.layer.data > 0)
    np.testing.assert_array_equal(edited.values, gene_map().values)
    assert tissue.edited
    assert sample(edited).measured.sum() != sample(gene_map()).measured.sum()


def test_dragging_the_brush_paints_on_the_slide(tissue, viewer, qtbot):
    tissue.show(gene_map())
    viewer.reset_view()
    tissue.edit("paint")
    canvas = viewer.window._qt_viewer.canvas.native
    at = QPoint(canvas.width() // 2, canvas.height() * 2 // 3)
    with settled(qtbot, tissue):
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=at)
        qtbot.mouseMove(canvas, at + QPoint(40, 0))
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=at + QPoint(40, 0))
    assert tissue.apply(gene_map()).tissue.sum() > gene_map().tissue.sum()


def test_undo_takes_a_stroke_back(tissue, qtbot):
    tissue.show(gene_map())
    with settled(qtbot, tissue):
        tissue.layer.paint((30, 10), 1)
    with settled(qtbot, tissue):
        tissue.layer.undo()
    assert not tissue.edited
    assert tissue.apply(gene_map()).tissue.sum() == gene_map().tissue.sum()
    with settled(qtbot, tissue):
        tissue.layer.redo()
    assert tissue.edited


def test_showing_the_edited_map_again_keeps_what_can_be_undone(tissue, qtbot):
    tissue.show(gene_map())
    with settled(qtbot, tissue):
        tissue.layer.paint((30, 10), 1)
    tissue.show(tissue.apply(gene_map()))
    with settled(qtbot, tissue):
        tissue.layer.undo()
    assert not tissue.edited


def test_several_strokes_in_a_row_are_told_once(tissue, qtbot):
    told = []
    tissue.show(gene_map())
    tissue.changed.connect(lambda: told.append(1))
    for column in range(10, 50, 5):
        tissue.layer.paint((30, column), 1)
        qtbot.wait(10)
    qtbot.wait(600)
    assert len(told) == 1


def test_showing_and_hiding_tells_nothing(tissue, qtbot):
    told = []
    tissue.changed.connect(lambda: told.append(1))
    tissue.show(gene_map())
    tissue.layer.opacity = 0.5
    tissue.show(gene_map(10.0))
    tissue.hide()
    qtbot.wait(500)
    assert not told
    assert not tissue.shown


@pytest.mark.parametrize(("painted_um", "seen_um"), [(20.0, 10.0), (20.0, 5.0), (10.0, 20.0), (20.0, 30.0)])
def test_edits_keep_their_place_at_another_bin_size(tissue, painted_um, seen_um):
    tissue.show(gene_map(painted_um))
    half = round(400 / painted_um)
    tissue.layer.data[half + round(120 / painted_um) : half + round(240 / painted_um), : round(240 / painted_um)] = 1
    tissue.layer.refresh()
    seen = gene_map(seen_um)
    tissue.show(seen)
    mask = tissue.apply(seen).tissue & ~seen.tissue
    assert mask.sum() * seen_um**2 == pytest.approx(120 * 240, rel=0.01)
    np.testing.assert_array_equal(tissue.layer.data > 0, tissue.apply(seen).tissue)


def test_fine_edits_are_not_lost_by_editing_coarser_bins(tissue, qtbot):
    tissue.show(gene_map(10.0))
    tissue.layer.data[60:64, 10:13] = 1
    tissue.layer.data[0, 0] = 0
    tissue.show(gene_map(40.0))  # looks at the layer first
    tissue.layer.data[15, 20] = 1
    tissue.show(gene_map(10.0))
    mask = tissue.apply(gene_map(10.0)).tissue
    assert mask[60:64, 10:13].all()
    assert mask[60:64, 80:84].all()
    assert not mask[0, 0]
    assert mask.sum() == gene_map(10.0).tissue.sum() + 12 + 16 - 1


def test_a_deleted_layer_is_not_shown_and_its_edits_count_on(tissue, viewer, qtbot):
    tissue.show(gene_map())
    with settled(qtbot, tissue):
        tissue.layer.paint((30, 10), 1)
    with settled(qtbot, tissue):
        viewer.layers.remove("tissue")
    assert not tissue.shown
    assert tissue.edited
    tissue.show(gene_map())
    assert tissue.layer.data[30, 10] == 1


def test_resetting_forgets_the_edits_and_tells(tissue, qtbot):
    tissue.show(gene_map())
    with settled(qtbot, tissue):
        tissue.layer.paint((30, 10), 1)
    with settled(qtbot, tissue):
        tissue.reset()
    assert not tissue.edited
    assert tissue.apply(gene_map()).tissue.sum() == gene_map().tissue.sum()
    tissue.show(gene_map())
    assert tissue.layer.data[30, 10] == 0
    qtbot.wait(400)
    assert not tissue.edited


def test_another_slide_knows_nothing_of_the_edits(tissue, viewer):
    tissue.show(gene_map())
    tissue.layer.paint((30, 10), 1)
    tissue.clear()
    assert "tissue" not in viewer.layers
    assert not tissue.edited
    assert tissue.apply(gene_map()).tissue.sum() == gene_map().tissue.sum()


def test_the_edited_mask_is_a_region_of_whole_bins(tissue):
    tissue.show(gene_map(origin_um=(100.0, 40.0)))
    assert tissue.polygons() is None
    tissue.layer.data[30:33, 10:12] = 1
    region = tissue.polygons()
    assert region.name == "tissue"
    assert region.polygon.area == (20 * 60 + 6) * 400
    edited = tissue.apply(gene_map(origin_um=(100.0, 40.0)))
    np.testing.assert_array_equal(region_mask(region, edited.shape, 20.0, edited.origin_um), edited.tissue)


def test_bins_without_a_number_become_tissue_without_counts(tissue):
    raw = gene_map()
    raw = GeneMap(np.where(raw.tissue, raw.values, np.nan), raw.tissue, gene="LTF")
    tissue.show(raw)
    tissue.layer.data[30, 10] = 1
    tissue.polygons()
    assert tissue.apply(raw).values[30, 10] == 0


def test_a_thread_may_put_the_edits_into_a_map(tissue):
    tissue.show(gene_map())
    tissue.layer.data[30, 10] = 1
    tissue.polygons()
    found = []
    thread = threading.Thread(target=lambda: found.append(tissue.apply(gene_map()).tissue[30, 10]))
    thread.start()
    thread.join()
    assert found == [True]


def test_after_forgetting_nothing_is_told(tissue, viewer, qtbot):
    tissue.show(gene_map())
    layer, told = tissue.layer, []
    tissue.changed.connect(lambda: told.append(1))
    tissue.forget()
    layer.paint((30, 10), 1)
    viewer.layers.remove(layer)
    qtbot.wait(400)
    assert not told
