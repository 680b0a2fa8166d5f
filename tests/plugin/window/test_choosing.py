"""Choosing gene, bins, lattice, tissue and region in a real window; what follows at once."""

from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import Qt
from shapely.geometry import box
from support.window_state import names

from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.plugin.viewer.layers import lattice_layer


@pytest.fixture
def square(opened, qtbot):
    """A chosen and counted region, 800 um wide."""
    whole = opened.session.gene_map.tissue.sum()
    opened.regions.drawn.add([Region("tumour", box(100, 100, 900, 900))])
    qtbot.waitUntil(lambda: opened.session.gene_map.tissue.sum() < whole and not opened.session.busy, timeout=300_000)
    return opened.regions.drawn.layer


def test_another_gene_takes_the_place_of_the_first_ones_counts(opened, qtbot):
    first, second = list(opened.session.slide.genes)[:2]
    opened.panels.genes.view.setFocus()
    qtbot.keyClick(opened.panels.genes.view, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: f"{second} - counts" in names(opened), timeout=300_000)
    assert f"{first} - counts" not in names(opened)
    counts = opened.viewer.layers[f"{second} - counts"].data
    assert np.nansum(counts) == pytest.approx(opened.session.slide.genes[second], rel=0.1)


def test_typing_a_gene_and_enter_chooses_it(opened, qtbot):
    third = list(opened.session.slide.genes)[2]
    line = opened.panels.genes.search
    qtbot.keyClicks(line, third.lower())
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: f"{third} - counts" in names(opened), timeout=300_000)


def test_an_unknown_gene_names_the_nearest_ones(opened, qtbot):
    known = opened.session.gene
    line = opened.panels.genes.search
    qtbot.keyClicks(line, known + "Q")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: bool(opened.session.message), timeout=300_000)
    assert known in opened.session.message
    assert opened.panels.genes.value() == (known,)


def test_larger_bins_count_anew_in_place(opened, qtbot):
    before = opened.session.gene_map.shape
    opened.panels.sampling.bin_box.setValue(40)
    qtbot.waitUntil(lambda: opened.session.gene_map.bin_um == 40, timeout=300_000)
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
    opened.regions.drawn.draw("add_polygon")
    layer = opened.regions.drawn.layer
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    layer.add_polygons([[400, 400], [400, 900], [900, 900], [900, 400]])
    qtbot.waitUntil(lambda: opened.session.gene_map.tissue.sum() < whole, timeout=300_000)
    rows, columns = np.nonzero(opened.session.gene_map.tissue)
    y0, x0 = opened.session.gene_map.origin_um
    assert (y0 + (rows + 0.5) * 20).min() >= 400
    assert (x0 + (columns + 0.5) * 20).max() <= 900


def test_a_region_without_tissue_can_not_be_trained_on(opened, qtbot):
    opened.regions.drawn.add([Region("glass", box(-500, -500, -400, -400))])
    qtbot.waitUntil(lambda: "No tissue" in opened.session.message, timeout=300_000)
    assert not opened.session.can_train
    opened.regions.drawn.delete(["glass"])
    qtbot.waitUntil(lambda: opened.session.can_train, timeout=300_000)


def test_erased_tissue_is_not_counted(opened, qtbot):
    before = opened.session.gene_map.tissue.sum()
    opened.panels.sampling.tissue_box.setChecked(True)
    layer = opened.viewer.layers["tissue"]
    row, column = np.argwhere(np.asarray(layer.data) > 0)[500]
    layer.paint((row, column), 0)
    qtbot.waitUntil(lambda: opened.session.gene_map.tissue.sum() < before, timeout=300_000)
    assert not opened.session.gene_map.tissue[row, column]
    qtbot.waitUntil(opened.panels.sampling.tissue_reset_button.isEnabled, timeout=300_000)  # a moment after the stroke
    opened.panels.sampling.tissue_reset_button.click()
    qtbot.waitUntil(lambda: opened.session.gene_map.tissue.sum() == before, timeout=300_000)


def test_several_genes_are_named_and_counted_on_the_button(opened):
    genes = tuple(opened.session.slide.genes)[:3]
    opened.choose_genes(genes)
    assert opened.panels.run.train_button.text() == "Train 3 genes"
    assert not opened.panels.several.isHidden()
    assert opened.session.gene == genes[0]


def test_the_panel_says_how_many_bins_are_measured_and_warns_of_empty_ones(opened, qtbot):
    said = opened.panels.sampling._measures.text()
    assert f"{(opened.session.gene_map.tissue).sum():,}" in said
    opened.panels.sampling.bin_box.setValue(200)
    qtbot.waitUntil(lambda: "Only" in opened.panels.sampling._warning.text(), timeout=300_000)


def test_a_gene_is_imputed_at_once_and_then_scored(opened, qtbot):
    opened.panels.sampling.instant_box.setChecked(True)
    qtbot.waitUntil(lambda: opened.session.shown is not None and not opened.display.busy, timeout=300_000)
    gene = opened.session.gene
    assert {f"{gene} - imputed (at once)", f"{gene} - uncertainty (at once)"} <= set(names(opened))
    qtbot.waitUntil(lambda: bool(opened.session.shown.scores), timeout=300_000)
    scores = opened.session.shown.scores
    assert scores["CDCIN"].mae_unmeasured < scores["nearest"].mae_unmeasured
    assert opened.session.shown.result.job.sparse[0].coexpressed is not None  # the panel's other genes were looked at
    assert opened.session.can_export


def test_the_map_made_at_once_follows_stride_and_gene_in_place(opened, qtbot):
    opened.panels.sampling.instant_box.setChecked(True)
    qtbot.waitUntil(lambda: opened.session.shown is not None and bool(opened.session.shown.scores), timeout=300_000)
    qtbot.waitUntil(lambda: not opened.display.busy, timeout=300_000)
    before = len(names(opened))
    opened.panels.sampling.stride_box.setValue(3)
    qtbot.waitUntil(lambda: opened.session.shown.result.job.sparse[0].stride == 3, timeout=300_000)
    second = list(opened.session.slide.genes)[1]
    opened.choose_gene(second)
    qtbot.waitUntil(lambda: opened.session.shown.gene == second and bool(opened.session.shown.scores), timeout=300_000)
    qtbot.waitUntil(lambda: not opened.display.busy, timeout=300_000)
    assert len(names(opened)) == before
    assert f"{second} - imputed (at once)" in names(opened)


def test_the_view_buttons_show_one_kind_of_map_at_a_time(opened, qtbot):
    opened.panels.sampling.instant_box.setChecked(True)
    qtbot.waitUntil(lambda: opened.session.shown is not None and not opened.display.busy, timeout=300_000)
    for kind in ("error", "uncertainty", "counts"):
        opened.panels.view.buttons[kind].click()
        seen = [
            layer.name for layer in opened.viewer.layers if layer.visible and layer.name.startswith(opened.session.gene)
        ]
        assert len(seen) == 1
        assert kind in seen[0]


def test_a_region_deleted_while_training_is_gone_afterwards(opened, square, qtbot):
    inside = opened.session.gene_map.tissue.sum()
    opened.session.begin()
    opened.viewer.layers.remove(square)
    qtbot.waitUntil(lambda: opened.session.outdated, timeout=300_000)
    qtbot.wait(400)
    assert opened.session.gene_map.tissue.sum() == inside
    opened.session.end()
    assert not opened.session.can_train
    qtbot.waitUntil(lambda: opened.session.can_train, timeout=300_000)
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


def test_regions_stay_above_maps_that_come_later(opened, square, qtbot):
    opened.panels.sampling.instant_box.setChecked(True)
    qtbot.waitUntil(lambda: opened.session.shown is not None and not opened.display.busy, timeout=300_000)
    assert names(opened)[-1] == square.name
