"""An export dropped on the window is what the window showed; a table or picture of others is left alone."""

import json

import anndata
import numpy as np
import pytest
import tifffile
from napari.layers import Layer

from napari_s2sst import RunConfig, fit, interpolate, sample
from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.export.tables import write_h5ad
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.write import write_result
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.plugin.viewer.layers import KINDS, entry_layers
from napari_s2sst.plugin.viewer.reader import MOST_GENES, get_reader, read_results


@pytest.fixture(scope="module")
def result(cube):
    config = RunConfig.preset("fast", steps=0, symmetries=1, bin_um=10.0, device="cpu")
    job = prepare(open_count_cube(cube), ["WAVE", "RIDGE"], config)
    return complete(job, fit(list(job.sparse), job.config))


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    place = tmp_path_factory.mktemp("exported")
    write_result(place, result)
    return place


@pytest.mark.parametrize(("name", "indices"), [("imputed.h5ad", (0, 1)), ("RIDGE.ome.tif", (1,))])
def test_every_layer_of_the_window_comes_back_from_its_export(folder, result, name, indices):
    back = get_reader(str(folder / name))(str(folder / name))
    shown = [data for index in indices for data in entry_layers(result, index).values()]
    assert [meta["name"] for _, meta, _ in back] == [meta["name"] for _, meta, _ in shown]
    assert len(back) == len(KINDS) * len(indices)
    for one, other in zip(back, shown, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        for what in ("scale", "translate", "units", "contrast_limits", "colormap", "blending", "axis_labels"):
            assert one[1][what] == other[1][what], what
        assert one[1]["metadata"]["s2sst_kind"] == other[1]["metadata"]["s2sst_kind"]
    assert [meta["name"] for _, meta, _ in back if meta["visible"]] == [f"{result.imputed[indices[0]].gene} - imputed"]


@pytest.mark.parametrize("name", ["imputed.h5ad", "WAVE.ome.tif"])
def test_every_layer_tells_the_run_exactly_and_for_people(folder, name):
    written = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    for _, meta, _ in read_results(folder / name):
        run = meta["metadata"]["s2sst_run"]
        assert run["input"] == written["input"]
        assert run["config"] == written["config"]
        assert "Input: cube.npz" in meta["metadata"]["s2sst_summary"].splitlines()


def test_dropped_on_the_window_an_export_lies_where_it_was_in_um(viewer, folder):
    viewer.open(str(folder / "imputed.h5ad"), plugin=None)  # nobody else claims tables, so napari asks nothing
    viewer.open(str(folder / "WAVE.ome.tif"), plugin="napari-s2sst")
    assert len(viewer.layers) == 15
    assert all(str(unit) == "micrometer" for layer in viewer.layers for unit in layer.units)
    layer = viewer.layers["WAVE - imputed"]
    assert np.allclose(layer.data_to_world((-0.5, -0.5)), (0, 0))
    assert np.allclose(layer.data_to_world((47.5, 43.5)), (480, 440))
    assert viewer.scale_bar.visible


def test_of_a_whole_panel_only_the_first_genes_are_read_unless_others_are_asked_for(tmp_path, capsys):
    rng = np.random.default_rng(0)
    sparse = [sample(GeneMap(rng.poisson(3, (12, 9)), gene=f"G{number}"), stride=2) for number in range(MOST_GENES + 3)]
    imputed = [interpolate(one, method="nearest") for one in sparse]
    path = write_h5ad(tmp_path / "imputed.h5ad", sparse=sparse, imputed=imputed, run={})
    names = {meta["name"].split(" - ")[0] for _, meta, _ in read_results(path)}
    assert names == {f"G{number}" for number in range(MOST_GENES)}
    assert {meta["name"] for _, meta, _ in read_results(path, ["G8"])} == {"G8 - sparse input", "G8 - imputed"}


def test_tables_and_pictures_of_others_are_left_alone(tmp_path):
    anndata.AnnData(np.ones((3, 2), np.float32)).write_h5ad(tmp_path / "other.h5ad")
    tifffile.imwrite(tmp_path / "other.ome.tif", np.zeros((2, 32, 32), np.float32), metadata={"axes": "CYX"})
    (tmp_path / "text.h5ad").write_text("no table")
    (tmp_path / "text.ome.tif").write_text("no picture")
    for path in [*tmp_path.iterdir(), tmp_path / "absent.h5ad", tmp_path / "absent.ome.tif"]:
        assert get_reader(str(path)) is None


@pytest.mark.parametrize("name", ["xenium_bone_marrow", "xenium_v1_breast_crop"])
def test_a_stain_of_a_real_slide_is_left_alone(shared_data, name):
    pictures = [path for path in shared_data(name).rglob("*.ome.tif") if path.is_file()]
    assert pictures
    assert all(get_reader(str(path)) is None for path in pictures)


def test_an_unknown_gene_is_refused_in_one_sentence(folder):
    with pytest.raises(BundleError, match="has no map of NOPE"):
        read_results(folder / "imputed.h5ad", ["NOPE"])


def test_a_restored_map_becomes_its_layer_again(folder, result):
    for one, other in zip(read_results(folder / "WAVE.ome.tif"), entry_layers(result).values(), strict=True):
        layer, before = Layer.create(*one), Layer.create(*other)
        assert layer.metadata.get("s2sst_map") == before.metadata.get("s2sst_map")
        assert layer.extent.world.tolist() == before.extent.world.tolist()
