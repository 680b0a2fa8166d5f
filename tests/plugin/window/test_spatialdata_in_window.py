"""A SpatialData store dropped on napari, or opened in the dock, is a slide as any other."""

from dataclasses import replace

import numpy as np
import pytest

from napari_s2sst.engine.export.choice import ExportChoice, ExportItem
from napari_s2sst.plugin.panels.results.export_dialog import ExportDialog
from napari_s2sst.plugin.viewer.reader import get_reader, read_slide

sd = pytest.importorskip("spatialdata", reason='spatialdata is not installed: pip install "napari-s2sst[spatialdata]"')

pytestmark = pytest.mark.filterwarnings("ignore")
PIXEL_UM = 0.5


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two genes on 300 x 400 um, and a stain of 600 x 800 pixels that is bright where STRIPE is."""
    import pandas as pd

    rng = np.random.default_rng(0)
    y, x = rng.uniform(0, 300, 30_000), rng.uniform(0, 400, 30_000)
    stripe = (x // 50) % 2 == 0
    flat = pd.DataFrame({"x": x, "y": y, "qv": 40.0, "feature_name": np.where(stripe, "STRIPE", "OTHER")})
    flat["feature_name"] = flat["feature_name"].astype("category")
    bright = np.where((np.arange(800) * PIXEL_UM // 50) % 2 == 0, 200, 10).astype(np.uint8)
    stain = np.broadcast_to(bright, (1, 600, 800))
    to = {"global": sd.transformations.Scale([1 / PIXEL_UM, 1 / PIXEL_UM], axes=("x", "y"))}
    here = {"global": sd.transformations.Identity()}
    points = sd.models.PointsModel.parse(
        flat, coordinates={"x": "x", "y": "y"}, feature_key="feature_name", transformations=to
    )
    image = sd.models.Image2DModel.parse(stain, dims="cyx", c_coords=["DAPI"], transformations=here)
    path = tmp_path_factory.mktemp("store") / "stripes.zarr"
    held = sd.SpatialData(
        points={"transcripts": points}, images={"dapi": image}, attrs={"spatialdata_io_reader": "xenium"}
    )
    held.write(path)
    return path


def test_the_reader_takes_a_store_and_the_folder_of_its_points_and_no_part_of_an_image(store):
    assert get_reader(str(store)) is read_slide
    assert get_reader(str(store / "points" / "transcripts")) is read_slide
    assert get_reader(str(store / "images")) is None
    assert get_reader(str(store / "images" / "dapi" / "s0")) is None


def test_a_dropped_store_shows_its_stain_in_um(viewer, store):
    viewer.open(str(store), plugin="napari-s2sst")
    (layer,) = viewer.layers
    assert (layer.name, layer.data.shape) == ("DAPI", (600, 800))
    assert tuple(layer.scale) == (PIXEL_UM, PIXEL_UM)
    assert all(str(unit) == "micrometer" for unit in layer.units)


def test_the_dock_counts_its_genes_where_its_stain_is_bright(dock, qtbot, store):
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(store)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    assert dock.session.message == ""
    assert set(dock.session.slide.genes) == {"STRIPE", "OTHER"}
    gene_map = dock.session.slide.gene_map("STRIPE", bin_um=10.0)
    stain = np.asarray(dock.session.slide.images[0].levels[0])
    per_bin = stain.reshape(30, 20, 40, 20).mean(axis=(1, 3))
    assert ((gene_map.values > 0) == (per_bin > 100)).mean() > 0.99


ITEM = ExportItem(name="STRIPE", genes=("STRIPE",), bins=1200, tissue_bins=1200)
FEW = ExportChoice(ome_tiff=False, h5ad=False, figure=False, tables=False, model=False)


def test_the_export_dialog_offers_the_slide_s_own_store_and_leaves_it_unticked(qtbot, store, tmp_path):
    dialog = ExportDialog(ITEM, [ITEM], store=store)
    qtbot.addWidget(dialog)
    dialog.folder_edit.setText(str(tmp_path))
    assert dialog.value().store is None
    dialog.store.box.click()
    assert dialog.value().store == store
    assert dialog.export_button.isEnabled()


def test_the_export_dialog_takes_no_folder_that_is_no_store(qtbot, tmp_path):
    dialog = ExportDialog(ITEM, [ITEM])
    qtbot.addWidget(dialog)
    dialog.folder_edit.setText(str(tmp_path))
    dialog.store.box.click()
    assert "Choose the SpatialData store." in dialog.room_line.text()
    dialog.store.path_edit.setText(str(tmp_path))
    assert "is no SpatialData store" in dialog.room_line.text()
    assert not dialog.export_button.isEnabled()
    dialog.store.box.click()
    assert dialog.export_button.isEnabled()


@pytest.fixture
def trained(dock, qtbot, train, store):
    """The dock after a training of three steps on the store's first gene."""
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(store)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    train(dock, 3)
    qtbot.waitUntil(lambda: dock.session.result is not None or bool(dock.session.message), timeout=300_000)
    assert dock.session.message == ""
    qtbot.waitUntil(lambda: not dock.display.busy, timeout=300_000)
    return dock


def exported(dock) -> str:
    return dock.panels.result.line.text()


def test_an_export_into_the_store_adds_a_table_of_what_was_imputed(trained, qtbot, store, tmp_path):
    trained.results.export(tmp_path / "out", replace(FEW, store=store))
    qtbot.waitUntil(lambda: "in the store as s2sst_" in exported(trained), timeout=300_000)
    job, imputed = trained.session.result.job, trained.session.result.imputed[0]
    table = sd.read_zarr(store).tables[f"s2sst_{job.sparse[0].gene}"]
    np.testing.assert_array_equal(table.X[:, 0], imputed.values[table.obs["row"], table.obs["column"]])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["run.json"]


def test_a_store_that_can_t_be_written_is_told_in_a_sentence_and_no_file_is_written(trained, qtbot, tmp_path):
    trained.results.export(tmp_path / "out", replace(FEW, store=tmp_path))
    qtbot.waitUntil(lambda: bool(trained.session.message), timeout=300_000)
    assert "is no SpatialData store" in trained.session.message
    assert exported(trained) == ""
    assert not (tmp_path / "out").exists()
