"""napari opens Xenium folders by this plugin, and nothing else."""

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.viewer.reader import get_reader, read_slide


def test_other_folders_and_files_are_left_to_others(tmp_path):
    (tmp_path / "picture.png").write_bytes(b"")
    assert get_reader(str(tmp_path)) is None
    assert get_reader(str(tmp_path / "picture.png")) is None
    assert get_reader(str(tmp_path / "not there")) is None
    assert get_reader([str(tmp_path), str(tmp_path)]) is None


def test_the_folder_and_its_manifest_file_open_alike(sample_slide):
    by_folder = get_reader(str(sample_slide))(str(sample_slide))
    by_file = get_reader(str(sample_slide / "experiment.xenium"))(str(sample_slide / "experiment.xenium"))
    assert [meta["name"] for _, meta, _ in by_folder] == [meta["name"] for _, meta, _ in by_file]


def test_a_folder_that_is_no_slide_says_what_to_do(tmp_path):
    with pytest.raises(BundleError, match="Choose the folder"):
        read_slide(tmp_path)


def test_the_manifest_is_valid_and_all_its_commands_exist():
    PluginManifest.from_distribution("napari-s2sst").validate_imports()


def test_napari_opens_a_slide_in_um(viewer, sample_slide):
    viewer.open(str(sample_slide), plugin="napari-s2sst")
    assert len(viewer.layers) == 4
    assert all(str(unit) == "micrometer" for layer in viewer.layers for unit in layer.units)
    assert viewer.scale_bar.visible
    height_mm, width_mm = open_xenium(sample_slide).size_mm
    extent = viewer.layers.extent.world
    assert np.allclose(extent[1] - extent[0], (height_mm * 1000, width_mm * 1000), rtol=0.1)


def test_a_dropped_manifest_file_opens_without_a_question(viewer, sample_slide):
    """Folders are also claimed by napari's own reader, so napari asks which to use; this file is ours alone."""
    viewer.open(str(sample_slide / "experiment.xenium"), plugin=None)
    assert "DAPI" in viewer.layers


@pytest.mark.parametrize(
    "name", ["xenium_bone_marrow", "xenium_v1_breast_crop", "xenium_v3_mouse_tiny", "xenium_v3_tables_only"]
)
def test_real_slides_open_in_the_window(viewer, shared_data, name):
    viewer.open(str(shared_data(name)), plugin="napari-s2sst")
    assert len(viewer.layers) >= 1
    assert all(str(unit) == "micrometer" for layer in viewer.layers for unit in layer.units)


def test_a_transcript_lies_in_the_bin_that_counts_it_and_on_its_pixel(viewer, sample_slide, qtbot):
    """World coordinates are Xenium's um: the same point hits the right bin of a map and the right pixel of a stain."""
    from napari.layers import Layer

    from napari_s2sst.plugin.viewer.layers import counts_layer

    bundle = open_xenium(sample_slide)
    gene_map = bundle.gene_map(next(iter(bundle.genes)), bin_um=20.0)
    viewer.open(str(sample_slide), plugin="napari-s2sst")
    stain, counts = viewer.layers[0], viewer.add_layer(Layer.create(*counts_layer(gene_map)))
    pixel = bundle.pixel_size_um
    for y, x in ((333.3, 512.7), (801.0, 1203.9), (20.01, 39.99)):
        origin = np.array(gene_map.origin_um)
        assert np.array_equal(np.round(counts.world_to_data((y, x))), ((y, x) - origin) // 20.0)
        assert np.array_equal(np.round(stain.world_to_data((y, x))), np.array([y, x]) // pixel)
