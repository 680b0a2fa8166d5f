"""A SpatialData store dropped on napari, or opened in the dock, is a slide as any other."""

import numpy as np
import pytest

from napari_s2sst.plugin.reader import get_reader, read_slide

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
    dock.panels.sampling.at_once_box.setChecked(False)
    dock.open_slide(store)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    assert dock.session.message == ""
    assert set(dock.session.bundle.genes) == {"STRIPE", "OTHER"}
    gene_map = dock.session.bundle.gene_map("STRIPE", bin_um=10.0)
    stain = np.asarray(dock.session.bundle.images[0].levels[0])
    per_bin = stain.reshape(30, 20, 40, 20).mean(axis=(1, 3))
    assert ((gene_map.values > 0) == (per_bin > 100)).mean() > 0.99
