"""Optional layers in a real window: they come, follow the camera and the genes, and go."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from napari.layers import Layer

from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.controllers.extras import Extras
from napari_s2sst.plugin.viewer.canvas import camera_of
from napari_s2sst.plugin.viewer.extra_display import KEYS
from napari_s2sst.plugin.viewer.layers import slide_layers
from napari_s2sst.plugin.viewer.outlines import MAX_OUTLINES, OUTLINE_PX, View


@pytest.fixture
def extras(workspace):
    """Without a slide; collects what it tells in ``heard`` and ``failures``."""
    made = Extras(workspace)
    made.heard, made.failures = [], []
    made.noted.connect(made.heard.append)
    made.failed.connect(made.failures.append)
    yield made
    made.forget()


@pytest.fixture
def give(viewer, extras, qtbot):
    """A function: open a slide, with its stains in the viewer."""

    def give(folder):
        bundle = open_xenium(folder)
        for data in slide_layers(bundle):
            viewer.add_layer(Layer.create(*data))
        viewer.reset_view()
        qtbot.wait(50)
        extras.setSlide(bundle)
        return bundle

    return give


@pytest.fixture
def show(extras, qtbot):
    """A function: switch on some layers and wait until they are there."""

    def show(*keys):
        for key in keys:
            extras.show(key, True)
        qtbot.waitUntil(lambda: not extras.loading, timeout=300_000)
        settle(extras, qtbot)

    return show


@pytest.fixture
def tiled(shared_data, tmp_path):
    """The cell mix with its cells 16 times in a square."""
    source = shared_data("xenium_cell_mix_no_manifest")
    for path in source.iterdir():
        if not path.name.startswith("cell_boundaries"):
            (tmp_path / path.name).symlink_to(path)
    shutil.copy(shared_data("xenium_v3_mouse_tiny") / "experiment.xenium", tmp_path)
    table = pq.read_table(source / "cell_boundaries.parquet")
    tiles = []
    for number in range(16):
        ids = [name + b"-%d" % number for name in table["cell_id"].to_pylist()]
        down, right = np.divmod(number, 4)
        y, x = table["vertex_y"].to_numpy() + 430 * down, table["vertex_x"].to_numpy() + 430 * right
        tiles.append({"cell_id": ids, "vertex_x": x, "vertex_y": y})
    pq.write_table(pa.concat_tables([pa.table(tile) for tile in tiles]), tmp_path / "cell_boundaries.parquet")
    return tmp_path


def settle(extras, qtbot):
    qtbot.waitUntil(lambda: not extras.shown._settle.isActive() and not extras.shown._raise.isActive(), timeout=300_000)


def names(viewer) -> list[str]:
    return [layer.name for layer in viewer.layers]


def shown(extras) -> set[str]:
    return {choice.key for choice in extras.choices() if choice.shown}


def look_at(viewer, y, x, height_um):
    camera = camera_of(viewer)
    now = View.of(viewer)
    camera.zoom = camera.zoom * (now.rectangle_um[2] - now.rectangle_um[0]) / height_um
    camera.center = (y, x)


# ---- what is offered


def test_without_a_slide_nothing_is_offered_and_each_choice_says_so(extras):
    assert [choice.key for choice in extras.choices()] == list(KEYS)
    assert {(choice.available, choice.shown, choice.tooltip) for choice in extras.choices()} == {
        (False, False, "Open a slide first.")
    }


def test_the_breast_crop_offers_everything_once_a_gene_is_chosen(extras, give, shared_data):
    give(shared_data("xenium_v1_breast_crop"))
    assert {choice.key for choice in extras.choices() if not choice.available} == {"transcripts"}
    extras.setGenes(("LUM",))
    assert all(choice.available for choice in extras.choices())
    labels = [choice.label for choice in extras.choices()]
    assert labels[1:] == ["H&E picture", "Cell outlines", "Nucleus outlines", "Transcripts of LUM"]


def test_what_a_folder_lacks_is_named(extras, give, shared_data):
    give(shared_data("xenium_bone_marrow"))
    reasons = {choice.key: choice.tooltip for choice in extras.choices() if not choice.available}
    assert "cell_boundaries" in reasons["cells"]
    assert "nucleus_boundaries" in reasons["nuclei"]
    assert "he_image" in reasons["histology"]
    extras.show("cells", True)
    assert not shown(extras)


def test_a_count_cube_offers_none_of_them(extras, cube):
    extras.setSlide(open_count_cube(cube))
    extras.setGenes(("WAVE",))
    assert not any(choice.available for choice in extras.choices())


# ---- showing


def test_all_layers_are_in_um_and_lie_over_the_slide_in_their_order(extras, give, show, viewer, shared_data):
    bundle = give(shared_data("xenium_v1_breast_crop"))
    active = viewer.layers.selection.active
    extras.setGenes(("LUM", "POSTN"))
    show("transcripts", "cells", "density", "nuclei", "histology")
    assert shown(extras) == set(KEYS)
    assert extras.failures == []
    pictures, thin = names(viewer)[:3], names(viewer)[3:]
    assert pictures[0] == bundle.images[0].name
    assert set(pictures[1:]) == {"H&E", "transcript density"}
    assert thin == ["cell outlines", "nucleus outlines", "LUM - transcripts", "POSTN - transcripts"]
    assert {tuple(map(str, layer.units)) for layer in viewer.layers} == {("micrometer", "micrometer")}
    assert viewer.layers.selection.active is active
    assert not any(viewer.layers[name].editable for name in names(viewer)[1:])


def test_a_map_that_comes_later_lies_under_the_outlines(extras, give, show, viewer, qtbot, shared_data):
    give(shared_data("xenium_v1_breast_crop"))
    show("cells", "histology")
    viewer.add_image(np.zeros((8, 8)), name="map", units=("um", "um"))
    settle(extras, qtbot)
    assert names(viewer)[-3:] == ["H&E", "map", "cell outlines"]


def test_switched_off_a_layer_is_gone(extras, give, show, viewer, shared_data):
    give(shared_data("xenium_v1_breast_crop"))
    before = names(viewer)
    show("cells", "nuclei", "density", "histology")
    for key in KEYS:
        extras.show(key, False)
    assert names(viewer) == before
    assert not shown(extras)
    assert extras.heard[-1] == ""


def test_a_layer_that_the_user_deletes_is_switched_off_and_can_come_back(
    extras, give, show, viewer, qtbot, sample_slide
):
    give(sample_slide)
    show("cells", "nuclei")
    with qtbot.waitSignal(extras.changed):
        viewer.layers.remove("cell outlines")
    assert shown(extras) == {"nuclei"}
    show("cells")
    assert names(viewer)[-2:] == ["cell outlines", "nucleus outlines"]


def test_switched_off_while_it_is_read_a_layer_does_not_come(extras, give, viewer, qtbot, sample_slide):
    give(sample_slide)
    before = names(viewer)
    extras.show("density", True)
    extras.show("density", False)
    qtbot.wait(1500)
    assert names(viewer) == before


def test_another_slide_takes_the_layers_away(extras, give, show, viewer, sample_slide, shared_data):
    give(sample_slide)
    show("cells")
    bundle = give(shared_data("xenium_v1_breast_crop"))
    assert not shown(extras)
    assert "cell outlines" not in names(viewer)
    assert bundle.images[0].name in names(viewer)
    extras.setSlide(None)
    assert not any(choice.available for choice in extras.choices())


def test_a_broken_file_is_told_once_and_its_layer_stays_off(extras, give, viewer, qtbot, sample_slide, tmp_path):
    for path in sample_slide.iterdir():
        if path.name != "cell_boundaries.parquet":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "cell_boundaries.parquet").write_bytes(b"nonsense")
    give(tmp_path)
    with qtbot.waitSignal(extras.failed, timeout=300_000):
        extras.show("cells", True)
    assert len(extras.failures) == 1
    assert "can't be read as a table of boundaries" in extras.failures[0]
    assert not shown(extras)
    assert "cell outlines" not in names(viewer)
    assert extras.heard[-1] == ""


# ---- transcripts


def test_points_follow_the_chosen_genes(extras, give, show, viewer, qtbot, shared_data):
    give(shared_data("xenium_v1_breast_crop"))
    extras.setGenes(("LUM",))
    show("transcripts")
    assert len(viewer.layers["LUM - transcripts"].data) == 1627
    extras.setGenes(("POSTN",))
    qtbot.waitUntil(lambda: "POSTN - transcripts" in names(viewer), timeout=300_000)
    assert "LUM - transcripts" not in names(viewer)
    assert shown(extras) == {"transcripts"}
    extras.setGenes(())
    assert names(viewer) == ["DAPI"]
    assert not shown(extras)


def test_a_lower_quality_shows_more_points(extras, give, show, viewer, qtbot, shared_data):
    give(shared_data("xenium_v1_breast_crop"))
    extras.setGenes(("LUM",))
    show("transcripts")
    extras.setGenes(("LUM",), 0.0)
    qtbot.waitUntil(lambda: not extras.loading, timeout=300_000)
    assert len(viewer.layers["LUM - transcripts"].data) == 1953


def test_too_many_transcripts_become_a_density_map_and_it_is_told(extras, give, show, viewer, shared_data):
    give(shared_data("xenium_bone_marrow"))
    extras.setGenes(("LTF", "SLC4A1"))
    show("transcripts")
    assert names(viewer) == ["DAPI", "LTF + SLC4A1 - transcript density"]
    assert "131,011 transcripts of LTF + SLC4A1 are more than 100,000 points" in extras.heard[-1]


# ---- outlines and the camera


def test_only_outlines_in_view_are_drawn_and_a_still_view_draws_nothing(extras, give, show, viewer, qtbot, shared_data):
    bundle = give(shared_data("xenium_v1_breast_crop"))
    show("cells")
    outlines = extras.shown._outlines["cells"]
    whole = len(outlines.layer.data)
    assert whole > 1000
    y0, x0, y1, x1 = bundle.extent_um
    look_at(viewer, (y0 + y1) / 2, (x0 + x1) / 2, (y1 - y0) / 4)
    settle(extras, qtbot)
    assert 0 < len(outlines.layer.data) < whole / 2
    draws = outlines.draws
    camera_of(viewer).center = (*camera_of(viewer).center[:-1], camera_of(viewer).center[-1] + 1.0)
    qtbot.wait(400)
    assert outlines.draws == draws  # a small move stays inside what is drawn


def test_one_rest_of_the_camera_is_one_drawing(extras, give, show, viewer, qtbot, sample_slide):
    bundle = give(sample_slide)
    show("cells")
    outlines = extras.shown._outlines["cells"]
    draws = outlines.draws
    for height in np.linspace(600, 100, 15):
        look_at(viewer, bundle.extent_um[2] / 2, bundle.extent_um[3] / 2, height)
    settle(extras, qtbot)
    assert outlines.draws == draws + 1


def test_lines_are_as_thin_on_the_screen_at_every_zoom(extras, give, show, viewer, qtbot, sample_slide):
    bundle = give(sample_slide)
    show("nuclei")
    for height in (400, 50):
        look_at(viewer, bundle.extent_um[2] / 2, bundle.extent_um[3] / 2, height)
        settle(extras, qtbot)
        width_px = viewer.layers["nucleus outlines"].edge_width / View.of(viewer).um_per_px
        assert width_px == pytest.approx(OUTLINE_PX)


def test_too_many_cells_are_told_with_their_number_until_the_user_zooms_in(tiled, extras, give, show, viewer, qtbot):
    give(tiled)
    look_at(viewer, 1850, 1850, 4000)
    show("cells")
    assert MAX_OUTLINES < 16 * 526
    assert extras.heard[-1] == "Zoom in to see cell outlines: 8,416 cells in view."
    assert len(viewer.layers["cell outlines"].data) == 0
    look_at(viewer, 1850, 1850, 500)
    settle(extras, qtbot)
    assert extras.heard[-1] == ""
    assert len(viewer.layers["cell outlines"].data) > 1000


def test_a_hidden_layer_is_drawn_when_it_is_shown_again(extras, give, show, viewer, qtbot, sample_slide):
    bundle = give(sample_slide)
    show("cells")
    outlines, layer = extras.shown._outlines["cells"], viewer.layers["cell outlines"]
    layer.visible = False
    draws = outlines.draws
    look_at(viewer, bundle.extent_um[2] / 2, bundle.extent_um[3] / 2, 100)
    settle(extras, qtbot)
    assert outlines.draws == draws
    layer.visible = True
    settle(extras, qtbot)
    assert outlines.draws == draws + 1


def test_forgotten_it_follows_nothing_and_leaves_the_layers(extras, give, show, viewer, qtbot, sample_slide):
    bundle = give(sample_slide)
    show("cells")
    data = viewer.layers["cell outlines"].data
    extras.forget()
    look_at(viewer, bundle.extent_um[2] / 2, bundle.extent_um[3] / 2, 100)
    viewer.add_image(np.zeros((4, 4)), units=("um", "um"))
    qtbot.wait(300)
    assert viewer.layers["cell outlines"].data is data
    extras.forget()
