"""Layers that were saved come back as they were; what is none of ours is left to napari, or refused."""

from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from napari.layers import Image, Layer
from napari.plugins.io import save_layers
from npe2 import PluginManager

from napari_s2sst import RunConfig, fit
from napari_s2sst.engine.errors import BundleError, ExportError
from napari_s2sst.engine.export.ome_tiff import read_channels
from napari_s2sst.engine.export.reading import is_result, read_result
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.write import describe
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.plugin.viewer.layers import counts_layer, entry_layers, lattice_layer
from napari_s2sst.plugin.viewer.reader import get_reader, read_results
from napari_s2sst.plugin.viewer.writer import layers_of, write_maps


@pytest.fixture(autouse=True)
def _known_plugins():
    """As every napari window finds them when it starts."""
    PluginManager.instance().discover()


@pytest.fixture(scope="module")
def result(cube):
    config = RunConfig.preset("fast", steps=0, symmetries=1, bin_um=10.0, device="cpu")
    job = prepare(open_count_cube(cube), ["WAVE", "RIDGE"], config)
    return complete(job, fit(list(job.sparse), job.config))


@pytest.fixture
def made(result) -> list[Layer]:
    """All maps of one gene, and the counts and the lattice below them."""
    truth = result.job.truth[0]
    data = [counts_layer(truth), lattice_layer(truth, 2), *entry_layers(result).values()]
    return [Layer.create(*each) for each in data]


def saved_and_read(path, layers: list[Layer]) -> list[Layer]:
    assert save_layers(str(path), layers, plugin="napari-s2sst") == [str(path)]
    return [Layer.create(*each) for each in get_reader(str(path))(str(path))]


def test_layers_come_back_with_values_place_units_names_colours_and_limits(tmp_path, made):
    made[2].contrast_limits = (0.25, 1.75)
    made[2].gamma, made[2].opacity, made[2].blending, made[2].visible = 0.8, 0.5, "additive", False
    made[2].name = "my µ <map>"
    made[-1].colormap = "viridis"
    back = saved_and_read(tmp_path / "maps.ome.tif", made)
    assert len(back) == len(made) == 7
    for one, other in zip(back, made, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        for what in ("name", "gamma", "opacity", "blending", "visible", "interpolation2d", "axis_labels", "units"):
            assert getattr(one, what) == getattr(other, what), what
        for what in ("scale", "translate", "contrast_limits"):
            np.testing.assert_array_equal(getattr(one, what), getattr(other, what), err_msg=what)
        assert one.colormap.name == other.colormap.name
        np.testing.assert_array_equal(one.colormap.colors, other.colormap.colors)
        shades = np.linspace(0, 1, 33)
        np.testing.assert_array_equal(one.colormap.map(shades), other.colormap.map(shades))
        kept = {key: value for key, value in other.metadata.items() if key != "s2sst_result"}
        assert {key: one.metadata[key] for key in kept} == kept


def test_a_saved_result_tells_its_run(tmp_path, made, result):
    back = saved_and_read(tmp_path / "maps.ome.tif", made)
    expected = describe(result)
    for layer in back[2:]:
        assert layer.metadata["s2sst_run"] == expected
        assert "Genes: WAVE, RIDGE" in layer.metadata["s2sst_summary"].splitlines()
    assert "s2sst_run" not in back[0].metadata


def test_what_was_read_back_can_be_saved_again(tmp_path, made):
    once = saved_and_read(tmp_path / "once.ome.tif", made)
    twice = saved_and_read(tmp_path / "twice.ome.tif", once)
    assert [layer.metadata for layer in twice] == [layer.metadata for layer in once]


def test_a_single_map_without_an_ending_becomes_an_ome_tiff_in_um(tmp_path, made):
    (path,) = save_layers(str(tmp_path / "one"), made[-1:], plugin="napari-s2sst")
    assert path.endswith("one.ome.tif")
    with tifffile.TiffFile(path) as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"]) == (10.0, "µm")
    assert pixels["Channel"]["Name"] == "WAVE - imputed"


def test_napari_chooses_our_writer_for_ome_tiffs_without_being_told(viewer, tmp_path, made):
    for layer in made[-2:]:
        viewer.add_layer(layer)
    path = tmp_path / "maps.ome.tif"
    viewer.layers.save(str(path))
    viewer.layers.clear()
    viewer.open(str(path), plugin="napari-s2sst")
    assert [layer.name for layer in viewer.layers] == ["WAVE - uncertainty", "WAVE - imputed"]
    assert viewer.scale_bar.visible


@pytest.mark.parametrize("change", ["bins", "place", "shape"])
def test_maps_of_different_grids_are_refused_and_nothing_is_written(tmp_path, made, change):
    other = GeneMap(
        np.ones((9, 9) if change == "shape" else (48, 44)),
        gene="OTHER",
        bin_um=20.0 if change == "bins" else 10.0,
        origin_um=(5.0, 0.0) if change == "place" else (0.0, 0.0),
    )
    with pytest.raises(ExportError, match="different grids") as error:
        save_layers(
            str(tmp_path / "maps.ome.tif"), [made[-1], Layer.create(*counts_layer(other))], plugin="napari-s2sst"
        )
    assert "\n" not in str(error.value)
    assert "OTHER - counts" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_a_map_beside_a_picture_is_refused_naming_the_picture(tmp_path, made):
    stain = Image(np.zeros((48, 44)), name="DAPI", units=("um", "um"), scale=(10, 10), translate=(5, 5))
    with pytest.raises(ExportError, match="DAPI is none of the maps"):
        save_layers(str(tmp_path / "maps.ome.tif"), [made[-1], stain], plugin="napari-s2sst")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"units": ("pixel", "pixel")}, "is in pixel"), ({"rotate": 30}, "was turned"), ({"shear": (0.5,)}, "was turned")],
)
def test_a_map_whose_place_an_ome_tiff_cannot_say_is_refused(tmp_path, made, change, said):
    for name, value in change.items():
        setattr(made[-1], name, value)
    with pytest.raises(ExportError, match=said):
        save_layers(str(tmp_path / "maps.ome.tif"), made[-1:], plugin="napari-s2sst")
    assert not list(tmp_path.iterdir())


def test_a_picture_of_others_is_saved_as_napari_does(tmp_path):
    picture = np.arange(300, dtype=np.uint16).reshape(15, 20)
    path = tmp_path / "other.ome.tif"
    assert save_layers(str(path), [Image(picture)]) == [str(path)]
    np.testing.assert_array_equal(tifffile.imread(path), picture)
    assert get_reader(str(path)) is None


def test_saved_layers_are_told_from_a_result(tmp_path, made):
    path = tmp_path / "maps.ome.tif"
    write_maps(str(path), [layer.as_layer_data_tuple() for layer in made])
    assert is_result(path)
    with pytest.raises(BundleError, match="layers that were saved from napari"):
        read_result(path)


@pytest.mark.parametrize("note", ["", "[]", "[1, 2, 3, 4, 5, 6, 7]", '{"name": 1}'])
def test_a_damaged_note_of_the_layers_is_one_clear_error(tmp_path, made, note):
    path = tmp_path / "maps.ome.tif"
    write_maps(str(path), [layer.as_layer_data_tuple() for layer in made])
    channels = read_channels(path)
    damaged = SimpleNamespace(maps=channels.maps, notes=channels.notes | {"layers": note})
    with pytest.raises(BundleError, match="damaged note"):
        layers_of(damaged, path)


def test_reading_layers_needs_no_window(tmp_path, made):
    path = tmp_path / "maps.ome.tif"
    write_maps(str(path), [layer.as_layer_data_tuple() for layer in made])
    assert [meta["name"] for _, meta, _ in read_results(path)] == [layer.name for layer in made]
