"""Regions in pixels of the picture, as QuPath writes them, and in um."""

import json

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box

from napari_s2sst.engine.errors import RegionError
from napari_s2sst.engine.sampling.regions import (
    Picture,
    Region,
    look_like_pixels,
    picture_of,
    read_regions,
    write_explorer_csv,
    write_regions,
)
from napari_s2sst.engine.slides.xenium import open_xenium

PICTURE = Picture((4000, 9000), 0.25, (1000.0, 2250.0))
DUCT = Region("duct", Polygon([(40, 40), (900, 40), (900, 640)], [[(600, 100), (700, 100), (700, 200)]]))
NESTS = Region("nests", MultiPolygon([box(200, 0, 220, 20), box(260, 60, 300, 80)]))


def qupath(path, *regions: Region):
    """As QuPath 0.5 exports annotations: features with an id, in pixels, with nothing that says so."""
    features = [
        {"type": "Feature", "id": f"id-{number}", "geometry": json.loads(json.dumps(region.polygon.__geo_interface__)),
         "properties": {"objectType": "annotation", "name": region.name}}
        for number, region in enumerate(regions)
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("pixel_size_um", [None, 0.2125, 0.85])
def test_regions_come_back_as_they_were_in_whatever_unit_they_were_written(tmp_path, pixel_size_um):
    path = write_regions(tmp_path / "a.geojson", [DUCT, NESTS], pixel_size_um=pixel_size_um)
    for again in (None, 0.3):  # the file itself says its unit
        found = read_regions(path, pixel_size_um=again)
        assert [region.name for region in found] == ["duct", "nests"]
        for one, other in zip(found, (DUCT, NESTS), strict=True):
            assert one.polygon.symmetric_difference(other.polygon).area < 1e-6


def test_a_file_in_pixels_holds_pixels(tmp_path):
    path = write_regions(tmp_path / "a.geojson", [DUCT], pixel_size_um=0.25)
    (feature,) = json.loads(path.read_text())["features"]
    assert feature["geometry"]["coordinates"][0][1] == [3600.0, 160.0]
    assert len(feature["geometry"]["coordinates"]) == 2  # the hole


def test_a_file_of_qupath_is_in_um_unless_its_reader_knows_better(tmp_path):
    path = qupath(tmp_path / "q.geojson", Region("duct", box(400, 800, 8000, 3600)))
    assert read_regions(path)[0].polygon.bounds == (400, 800, 8000, 3600)
    assert read_regions(path, pixel_size_um=0.25)[0].polygon.bounds == (100, 200, 2000, 900)


def test_an_explorer_selection_is_always_in_um(tmp_path):
    path = write_explorer_csv(tmp_path / "a.csv", [DUCT.__class__("a", box(10, 10, 20, 20))])
    assert read_regions(path, pixel_size_um=0.25)[0].polygon.bounds == (10, 10, 20, 20)


@pytest.mark.parametrize("said", ["0.25", 0, -1, None, [1], float("nan")])
def test_a_unit_that_is_none_is_not_believed(tmp_path, said):
    path = tmp_path / "a.geojson"
    content = json.loads(write_regions(path, [NESTS]).read_text())
    path.write_text(json.dumps(content | {"s2sst_unit_um": said}))
    assert read_regions(path)[0].polygon.bounds == NESTS.polygon.bounds


def test_a_broken_region_in_pixels_is_one_clear_error(tmp_path):
    path = tmp_path / "a.geojson"
    path.write_text('{"type": "Polygon", "coordinates": [[[0, 0], [9, 9], [9, 0], [0, 9], [0, 0]]]}')
    with pytest.raises(RegionError, match="no proper outline"):
        read_regions(path, pixel_size_um=0.25)


@pytest.mark.parametrize(
    ("bounds", "pixels"),
    [
        ((0, 0, 9000, 4000), True),
        ((100, 100, 3000, 500), True),  # beyond along x is enough
        ((100, 100, 2000, 900), False),  # could be either, so it is what it is said to be
        ((0, 0, 2280, 1010), False),  # drawn a little over the edge
        ((0, 0, 20_000, 4000), False),  # off the picture as well
        ((-2000, 0, 8000, 4000), False),
    ],
)
def test_regions_look_like_pixels_when_off_the_slide_in_um_and_on_its_picture_in_pixels(bounds, pixels):
    assert look_like_pixels([Region("a", box(*bounds))], PICTURE) is pixels


def test_one_region_beyond_the_slide_makes_all_look_like_pixels():
    assert look_like_pixels([Region("small", box(0, 0, 10, 10)), Region("a", box(0, 0, 8000, 3000))], PICTURE)


def test_the_picture_of_a_slide_tells_its_pixels_and_where_the_slide_ends(sample_slide):
    slide = open_xenium(sample_slide)
    picture = picture_of(slide)
    assert picture.shape_px == slide.images[0].shape_px
    assert picture.pixel_size_um == slide.pixel_size_um
    assert np.all(np.asarray(picture.end_um) >= np.asarray(slide.extent_um[2:]))


def test_a_slide_without_a_picture_or_of_unknown_pixels_counts_in_nothing(shared_data, cube):
    from napari_s2sst.engine.slides.count_cube import open_count_cube

    assert picture_of(open_xenium(shared_data("xenium_v3_tables_only"))) is None
    assert picture_of(open_xenium(shared_data("xenium_cell_mix_no_manifest"))) is None
    assert picture_of(open_count_cube(cube)) is None
