"""Transcripts in pixels are noticed by where the cells end, where no image tells; and never where they are in um."""

import shutil

import pyarrow.parquet as pq
import pytest

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.xenium import cells_reach_um, lie_in_pixels, open_xenium


def in_pixels(folder, place, pixel_um, cells_too=False):
    """The tables alone, the transcripts in pixels, without a manifest and without an image."""
    place.mkdir()
    shutil.copy(folder / "cells.parquet", place)
    for name, columns in (("transcripts", ("x_location", "y_location")), ("cells", ("x_centroid", "y_centroid"))):
        table = pq.read_table(folder / f"{name}.parquet")
        if name == "transcripts" or cells_too:
            for column in columns:
                at = table.column_names.index(column)
                table = table.set_column(at, column, [table[column].to_numpy() / pixel_um])
        pq.write_table(table, place / f"{name}.parquet")
    return place


@pytest.mark.parametrize("folder", ["xenium_v1_breast_crop", "xenium_v3_tables_only", "xenium_cell_mix_no_manifest"])
def test_a_table_in_pixels_is_noticed_without_any_image(shared_data, tmp_path, folder):
    place = in_pixels(shared_data(folder), tmp_path / "slide", 0.2125)
    with pytest.raises(BundleError, match=r"by cells.parquet the cells end at .* the table is in pixels.*by 0.2125"):
        _ = open_xenium(place).extent_um


@pytest.mark.parametrize(
    "folder",
    ["xenium_bone_marrow", "xenium_v1_breast_crop", "xenium_v3_mouse_tiny", "xenium_v3_tables_only",
     "xenium_cell_mix_no_manifest"],
)  # fmt: skip
def test_tables_in_um_are_never_taken_for_pixels(shared_data, folder):
    slide = open_xenium(shared_data(folder))
    assert cells_reach_um(slide.path) is not None
    assert len(slide.extent_um) == 4


def test_the_sample_slide_has_no_cells_and_nothing_is_told(sample_slide, tmp_path):
    (tmp_path / "cells.parquet").write_bytes(b"no table")
    assert cells_reach_um(tmp_path) is None
    assert cells_reach_um(tmp_path / "nowhere") is None
    assert len(open_xenium(sample_slide).extent_um) == 4


def test_cells_that_are_in_pixels_too_tell_nothing(shared_data, tmp_path):
    place = in_pixels(shared_data("xenium_v1_breast_crop"), tmp_path / "slide", 0.2125, cells_too=True)
    assert open_xenium(place).extent_um[2] > 700


def test_only_both_axes_by_the_pixel_together_are_pixels():
    assert lie_in_pixels((4706.0, 2353.0), (1000.0, 500.0), 0.2125)
    assert not lie_in_pixels((1000.0, 500.0), (1000.0, 500.0), 0.2125)
    assert not lie_in_pixels((4706.0, 500.0), (1000.0, 500.0), 0.2125)
    assert not lie_in_pixels((9000.0, 6000.0), (1000.0, 500.0), 0.2125)
    assert not lie_in_pixels((1000.0, 500.0), (1000.0, 500.0), 1.0)
