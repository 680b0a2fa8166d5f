"""The optional layers as layer data: everything in um, small, and told apart by any eye."""

import numpy as np
import pytest
from napari.layers import Layer

from napari_s2sst.engine.pictures.outlines import find_boundaries, read_boundaries
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.engine.transcripts.positions import read_positions
from napari_s2sst.engine.transcripts.table import MIN_QV
from napari_s2sst.plugin.viewer import extra_layers


def made(loaded) -> list[Layer]:
    return [Layer.create(*data) for data in loaded.layers]


def assert_in_um(layer):
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert tuple(layer.axis_labels) == ("y", "x")


def test_points_are_transcripts_with_a_layer_and_a_colour_for_each_gene(shared_data):
    bundle = open_xenium(shared_data("xenium_v1_breast_crop"))
    layers = made(extra_layers.load_transcripts(bundle, ["LUM", "POSTN"], MIN_QV))
    assert [layer.name for layer in layers] == ["LUM - transcripts", "POSTN - transcripts"]
    positions = read_positions(bundle.transcripts, ["LUM", "POSTN"])
    for layer in layers:
        assert_in_um(layer)
        np.testing.assert_array_equal(layer.data, positions.of(layer.name.split()[0]))
    assert not np.array_equal(layers[0].face_color[0], layers[1].face_color[0])


def test_beyond_the_cap_a_density_map_counts_every_transcript(shared_data):
    bundle = open_xenium(shared_data("xenium_v1_breast_crop"))
    loaded = extra_layers.load_transcripts(bundle, ["LUM", "POSTN"], MIN_QV, at_most=1000)
    (layer,) = made(loaded)
    assert_in_um(layer)
    count = bundle.genes["LUM"] + bundle.genes["POSTN"]
    assert layer.data.sum() == count
    assert f"{count:,} transcripts of LUM + POSTN" in loaded.note
    assert "density map of 2 um bins" in loaded.note
    first = bundle.gene_map("LUM", 2.0)
    assert layer.data_to_world((-0.5, -0.5)) == pytest.approx(first.origin_um)


def test_more_genes_than_colours_are_said_to_be_left_out(sample_slide):
    bundle = open_xenium(sample_slide)
    rare = [gene for gene, count in bundle.genes.items() if count][-9:]
    loaded = extra_layers.load_transcripts(bundle, rare, MIN_QV)
    assert len(loaded.layers) == len(extra_layers.GENE_COLOURS) == 7
    assert loaded.note.startswith("2 more chosen genes have no points")


def test_no_two_genes_share_a_colour():
    assert len(set(extra_layers.GENE_COLOURS)) == len(extra_layers.GENE_COLOURS)


def test_the_density_holds_all_good_transcripts_of_genes(sample_slide):
    bundle = open_xenium(sample_slide)
    (layer,) = made(extra_layers.load_density(bundle))
    assert_in_um(layer)
    assert layer.data.sum(dtype=np.float64) == sum(bundle.genes.values())


@pytest.mark.parametrize(("side_um", "bin_um"), [(190, 2), (4_000, 2), (9_000, 5), (19_000, 10), (200_000, 50)])
def test_fine_bins_grow_with_the_slide(side_um, bin_um):
    assert extra_layers.fine_bin_um((0, 0, side_um / 2, side_um)) == bin_um


def test_outlines_are_vectors_along_every_edge(shared_data):
    boundaries = read_boundaries(find_boundaries(shared_data("xenium_v3_mouse_tiny"), "cell"))
    vectors = extra_layers.outline_vectors(boundaries, np.array([3]))
    ring = boundaries.vertices_um[slice(*boundaries.offsets[3:5])]
    np.testing.assert_array_equal(vectors[:, 0], ring)
    np.testing.assert_allclose(vectors[:, 0] + vectors[:, 1], np.roll(ring, -1, axis=0), atol=1e-3)
    assert np.abs(vectors[:, 1].sum(axis=0)).max() < 1e-3  # it closes


@pytest.mark.parametrize("kind", ["cell", "nucleus"])
def test_the_layer_of_outlines_begins_empty_and_in_um(kind):
    layer = Layer.create(*extra_layers.outline_layer(kind))
    assert_in_um(layer)
    assert len(layer.data) == 0


def test_the_he_picture_is_an_rgb_layer_with_an_affine_to_um(shared_data):
    bundle = open_xenium(shared_data("xenium_v1_breast_crop"))
    loaded = extra_layers.load_histology(bundle)
    (layer,) = made(loaded)
    assert_in_um(layer)
    assert layer.rgb
    corners = np.array([layer.data_to_world(corner) for corner in ((-0.5, -0.5), (447.5, 526.5))])
    rows, columns = bundle.images[0].levels[0].shape
    # Upside down, and on the whole of the morphology image.
    np.testing.assert_allclose(corners[:, 0], [rows * 0.2125, 0], atol=2)
    np.testing.assert_allclose(corners[:, 1], [0, columns * 0.2125], atol=2)
    assert loaded.note
