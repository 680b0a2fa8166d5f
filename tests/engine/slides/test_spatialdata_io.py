"""spatialdata-io and this program agree on the real slides: genes, counts, extents and pixels.

Needs the extra ``spatialdata``. spatialdata-io opens ``cells.zarr.zip`` before anything else and asks for ``z_location`` and
``cell_id``, which shared slides lack; so a folder of links to a slide's files is opened, with what is lacking made up.
"""

import warnings

import numpy as np
import pytest

from napari_s2sst.engine.slides.xenium import open_xenium

io = pytest.importorskip(
    "spatialdata_io", reason='spatialdata-io is not installed: pip install "napari-s2sst[spatialdata]"'
)

NO_CELLS = dict.fromkeys(
    ("cells_boundaries", "nucleus_boundaries", "cells_as_circles", "cells_labels", "nucleus_labels", "cells_table",
     "morphology_mip", "aligned_images"), False)  # fmt: skip


def as_spatialdata_io_wants_it(folder, place):
    """A folder of links to the bundle's files, cells.zarr.zip with no cell in it, and transcripts with a z."""
    import pyarrow.parquet as pq
    import zarr

    place.mkdir()
    for each in folder.iterdir():
        (place / each.name).symlink_to(each, target_is_directory=each.is_dir())
    if not (place / "cells.zarr.zip").exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            store = zarr.storage.ZipStore(place / "cells.zarr.zip", mode="w")
            zarr.open_group(store, mode="w").create_array("cell_id", data=np.zeros((0, 2), np.uint32))
            store.close()
    if not (place / "morphology_focus.ome.tif").exists():  # where it looks when it can't tell the version
        for each in (place / "morphology_focus").glob("*_0000.ome.tif"):
            (place / "morphology_focus.ome.tif").symlink_to(each)
    path = place / "transcripts.parquet"
    flat = pq.read_table(path)
    lacking = {"z_location": np.zeros(len(flat), np.float32), "cell_id": np.full(len(flat), "UNASSIGNED")}
    if lacking.keys() - set(flat.column_names):
        for name in lacking.keys() - set(flat.column_names):
            flat = flat.append_column(name, [lacking[name]])
        path.unlink()  # the link, not what it leads to
        pq.write_table(flat, path)
    return place


def finest(image):
    """(stains, rows, columns) of the finest level."""
    level = next(iter(image["scale0"].values())) if hasattr(image, "children") and "scale0" in image.children else image
    return level.data


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "folder", ["xenium_bone_marrow", "xenium_v1_breast_crop", "xenium_v3_mouse_tiny", "xenium_v3_tables_only"]
)
def test_both_read_the_same_genes_counts_extents_and_pixels(shared_data, tmp_path, folder):
    ours = open_xenium(shared_data(folder))
    place = as_spatialdata_io_wants_it(shared_data(folder), tmp_path / folder)
    theirs = io.xenium(place, morphology_focus=bool(ours.images), **NO_CELLS)

    points = theirs.points["transcripts"]
    wanted = ["x", "y", "feature_name", *(each for each in ("qv", "is_gene") if each in points.columns)]
    table = points[wanted].compute()
    assert len(table) == ours.num_transcripts
    assert ours.extent_um == pytest.approx((table.y.min(), table.x.min(), table.y.max(), table.x.max()), abs=1e-3)

    names = table.feature_name.astype(str)
    good = table.qv >= 20 if "qv" in table else np.ones(len(table), bool)
    counted = names[good].value_counts().to_dict()
    assert {name: counted.get(name, 0) for name in ours.genes} == ours.genes
    if "is_gene" in table:
        assert set(names[table.is_gene]) == set(ours.genes)
    else:
        assert set(ours.genes) <= set(names)

    for number, stain in enumerate(ours.images):
        pixels = finest(theirs.images["morphology_focus"])[number]
        assert pixels.shape == stain.shape_px
        rows, columns = (np.s_[length // 2 : length // 2 + 300] for length in pixels.shape)
        np.testing.assert_array_equal(np.asarray(pixels[rows, columns]), np.asarray(stain.levels[0][rows, columns]))
