"""Polygons in um to masks, and through files and back."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import MultiPolygon, Point, Polygon, box

from napari_s2sst.engine.errors import RegionError
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.sampling.regions import (
    Region,
    mask_polygon,
    read_regions,
    region_mask,
    restrict,
    write_explorer_csv,
    write_regions,
)

DUCT = Region("duct", Polygon([(0, 0), (100, 0), (100, 60), (0, 60)], [[(20, 20), (60, 20), (60, 40), (20, 40)]]))
NESTS = Region("nests", MultiPolygon([box(0, 0, 20, 20), box(60, 60, 100, 80)]))
SQUARE = [[0, 0], [40, 0], [40, 20], [0, 20], [0, 0]]


def geojson(path, content):
    path.write_text(json.dumps(content))
    return path


def feature(coordinates=SQUARE, **properties):
    geometry = {"type": "Polygon", "coordinates": [coordinates]}
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def test_a_bin_belongs_to_a_region_that_holds_its_centre():
    mask = region_mask(Region("r", box(11, 0, 29, 31)), (5, 4), 10.0)
    expected = np.zeros((5, 4), bool)
    expected[:3, 1:3] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_centre_on_any_edge_of_a_region_is_inside():
    assert region_mask(Region("r", box(10, 10, 30, 50)), (4, 4), 20.0).sum() == 6


def test_x_runs_along_columns_and_the_origin_is_y_before_x():
    mask = region_mask(Region("r", box(100, 0, 200, 20)), (4, 10), 20.0, (-20.0, 80.0))
    assert np.argwhere(mask).tolist() == [[1, column] for column in range(1, 6)]


def test_holes_are_left_out():
    mask = region_mask(DUCT, (3, 5), 20.0)
    assert not mask[1, 1:3].any()
    assert mask.sum() == 13


def test_several_regions_are_united():
    mask = region_mask([DUCT, NESTS], (5, 5), 20.0)
    np.testing.assert_array_equal(mask, region_mask(DUCT, (5, 5), 20.0) | region_mask(NESTS, (5, 5), 20.0))


@given(
    st.lists(st.tuples(st.floats(-50, 150), st.floats(-50, 150)), min_size=3, max_size=8),
    st.sampled_from([3.0, 7.5, 20.0]),
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
)
@settings(max_examples=100, deadline=None)
def test_the_mask_is_what_asking_every_bin_centre_gives(points, bin_um, origin_um):
    polygon = Polygon(points).convex_hull
    if polygon.geom_type != "Polygon" or polygon.area == 0 or not polygon.is_valid:
        return  # Region refuses it
    mask = region_mask(Region("r", polygon), (9, 11), bin_um, origin_um)
    for row, column in np.ndindex(mask.shape):
        centre = Point(origin_um[1] + (column + 0.5) * bin_um, origin_um[0] + (row + 0.5) * bin_um)
        assert mask[row, column] == polygon.intersects(centre)


@given(
    st.lists(st.booleans(), min_size=63, max_size=63),
    st.sampled_from([1 / 3, 3.0, 20.0]),
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
)
@settings(max_examples=100, deadline=None)
def test_the_squares_of_a_mask_give_the_mask_back(bins, bin_um, origin_um):
    mask = np.reshape(bins, (7, 9))
    polygon = mask_polygon(mask, bin_um, origin_um)
    if not mask.any():
        assert polygon is None
        return
    np.testing.assert_array_equal(region_mask(Region("mask", polygon), mask.shape, bin_um, origin_um), mask)
    assert polygon.area == pytest.approx(mask.sum() * bin_um**2)


def test_a_region_outside_the_map_gives_an_empty_mask():
    assert not region_mask(Region("far", box(1e5, 1e5, 2e5, 2e5)), (5, 5), 20.0).any()


def test_restricting_a_map_takes_tissue_away_and_nothing_else():
    tissue = np.ones((5, 5), bool)
    tissue[0] = False
    gene_map = GeneMap(np.arange(25).reshape(5, 5), tissue, gene="LTF", bin_um=20.0)
    inside = restrict(gene_map, DUCT)
    np.testing.assert_array_equal(inside.tissue, tissue & region_mask(DUCT, (5, 5), 20.0))
    np.testing.assert_array_equal(inside.values, gene_map.values)
    assert (inside.gene, inside.bin_um) == ("LTF", 20.0)


def test_a_region_without_tissue_says_where_the_slide_is():
    gene_map = GeneMap(np.ones((5, 10)), bin_um=20.0, origin_um=(1000.0, 2000.0))
    with pytest.raises(RegionError, match=r"'duct'; the slide covers x 2000 to 2200 and y 1000 to 1100 um.*pixels"):
        restrict(gene_map, [DUCT])
    with pytest.raises(RegionError, match="No region"):
        restrict(gene_map, [])


def test_writing_and_reading_back_gives_the_same_regions(tmp_path):
    path = write_regions(tmp_path / "roi.geojson", [DUCT, NESTS])
    back = read_regions(path)
    assert [region.name for region in back] == ["duct", "nests"]
    assert back[0].polygon.equals(DUCT.polygon)
    assert back[1].polygon.equals(NESTS.polygon)
    assert [file.name for file in tmp_path.iterdir()] == ["roi.geojson"]


def test_writing_into_a_missing_folder_is_one_clear_error(tmp_path):
    with pytest.raises(RegionError, match="can't be written"):
        write_regions(tmp_path / "none" / "roi.geojson", [DUCT])


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({"type": "FeatureCollection", "features": [feature(name="tumour"), feature()]}, ["tumour", "region 2"]),
        ([feature(classification={"name": "Stroma", "color": [1, 2, 3]}), feature(name="")], ["Stroma", "region 2"]),
        (feature(name="own", classification={"name": "Stroma"}), ["own"]),
        (feature(classification="Stroma"), ["Stroma"]),
        (feature() | {"properties": None}, ["region 1"]),
        ({"type": "Polygon", "coordinates": [SQUARE]}, ["region 1"]),
        ({"type": "MultiPolygon", "coordinates": [[SQUARE], [[[p[0] + 99, p[1]] for p in SQUARE]]]}, ["region 1"]),
        (feature([[*point, 7.0] for point in SQUARE]), ["region 1"]),
    ],
    ids=["collection", "QuPath list", "feature", "classification as text", "no properties", "polygon", "parts", "3D"],
)  # fmt: skip
def test_geojson_in_every_wrapping_is_read(tmp_path, content, names):
    regions = read_regions(geojson(tmp_path / "roi.geojson", content))
    assert [region.name for region in regions] == names
    assert regions[0].polygon.area in (800, 1600)
    assert not regions[0].polygon.has_z


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            feature([[0, 0], [40, 40], [40, 0], [0, 40], [0, 0]], name="bow"),
            r"'bow' is no proper outline \(Self-inters",
        ),
        (feature([[0, 0], [40, 0], [80, 0], [0, 0]], name="line"), "'line' is no proper outline"),
        (feature([[0, 0], [40, 0]], name="two"), "'two' has broken coordinates"),
        (feature([["a", 0], [40, 0], [40, 40]], name="text"), "'text' has broken coordinates"),
        (feature([], name="none"), "'none'"),
        (feature() | {"geometry": None}, "without a geometry"),
        (feature() | {"geometry": {"type": "Point", "coordinates": [1, 2]}}, "is a Point, not a polygon"),
        ({"type": "FeatureCollection", "features": []}, "holds no regions"),
        ({"type": "FeatureCollection"}, "is not a GeoJSON feature"),
        ([1, 2], "is not a GeoJSON feature"),
        ({"hello": 1}, "not a polygon"),
    ],
)
def test_what_is_no_region_is_refused_in_one_sentence(tmp_path, content, said):
    with pytest.raises(RegionError, match=said) as caught:
        read_regions(geojson(tmp_path / "roi.geojson", content))
    assert str(caught.value).startswith(str(tmp_path / "roi.geojson"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("polygon", [Polygon(), Point(1, 2), Polygon([(0, 0), (1, 1), (1, 0), (0, 1)])])
def test_a_region_is_a_valid_polygon_or_none(polygon):
    with pytest.raises(RegionError, match="'r'"):
        Region("r", polygon)


def test_coordinates_that_are_not_numbers_are_refused():
    with np.errstate(invalid="ignore"):
        polygon = Polygon([(0, 0), (float("nan"), 1), (1, 1)])
    with pytest.raises(RegionError, match="not numbers"):
        Region("r", polygon)


def test_one_selection_of_xenium_explorer_is_read(tmp_path):
    path = tmp_path / "selection.csv"
    path.write_text(
        "#Selection name: Tumour, left\n#Area (µm^2): 800.0\nX,Y\n0,0\n40,0\n40,20\n0,20\n", encoding="utf-8"
    )
    (region,) = read_regions(path)
    assert region.name == "Tumour, left"
    assert region.polygon.equals(box(0, 0, 40, 20))


def test_several_selections_of_xenium_explorer_are_read(tmp_path):
    path = tmp_path / "selections.csv"
    text = '#Selection names: "A, 1", B\r\nSelection,X,Y\r\n"A, 1",0,0\r\n"A, 1",9,0\r\n"A, 1",9,9\r\n\r\n'
    path.write_bytes((text + "B,50,50\r\nB,60,50\r\nB,60,60\r\nB,50,60\r\n").encode("latin-1"))
    regions = read_regions(path)
    assert [(region.name, region.polygon.area) for region in regions] == [("A, 1", 40.5), ("B", 100)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no regions"),
        ("#Selection name: A\nX,Y\n", "holds no regions"),
        ("a,b\n1,2\n", "line 1 names no columns X and Y"),
        ("X,Y\n0,0\n1,one\n", "line 3 holds no x and y in um"),
        ("X,Y\n0,0\n1\n", "line 3 holds no x and y in um"),
        ("X,Y\n0,0\n1,1\n", "has 2 points"),
        ("X,Y\n0,0\n1,1\n1,0\n0,1\n", "no proper outline"),
        ("{broken", "not valid JSON"),
    ],
)
def test_a_broken_selection_is_refused_in_one_sentence(tmp_path, text, said):
    path = tmp_path / "selection.csv"
    path.write_text(text)
    with pytest.raises(RegionError, match=said):
        read_regions(path)


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(RegionError, match="can't be read"):
        read_regions(tmp_path / "none.geojson")


PLAIN = Region("Tumour, left", Polygon([(0.1, 0.2), (40.25, 0), (1 / 3, 20)]))
SIEVE = Region("sieve", box(0, 0, 100, 100).difference(MultiPolygon([
    Point(x, y).buffer(9) for x in (15, 50, 85) for y in (15, 50, 85)
])))  # fmt: skip


@pytest.mark.parametrize("regions", [[PLAIN], [PLAIN, Region("B", box(50, 50, 60, 60))], [NESTS], [NESTS, PLAIN]])
def test_selections_written_for_xenium_explorer_read_back_equal(tmp_path, regions):
    back = read_regions(write_explorer_csv(tmp_path / "selections.csv", regions))
    assert [region.name for region in back] == [region.name for region in regions]
    assert all(found.polygon.equals(region.polygon) for found, region in zip(back, regions, strict=True))
    assert [file.name for file in tmp_path.iterdir()] == ["selections.csv"]


@pytest.mark.parametrize("region", [DUCT, SIEVE])
def test_a_region_with_holes_is_cut_for_xenium_explorer_and_whole_again_when_read(tmp_path, region):
    path = write_explorer_csv(tmp_path / "selections.csv", [PLAIN, region])
    assert f'"Tumour, left", {region.name} [1/' in path.read_text(encoding="utf-8")
    back = read_regions(path)
    assert [each.name for each in back] == ["Tumour, left", region.name]
    assert back[1].polygon.symmetric_difference(region.polygon).area < 1e-9
    assert len(back[1].polygon.interiors) == len(region.polygon.interiors)


def test_one_selection_is_written_as_xenium_explorer_writes_it(tmp_path):
    path = write_explorer_csv(tmp_path / "selection.csv", [Region("Tumour", box(0, 0, 40, 20))])
    assert path.read_text(encoding="utf-8") == (
        "#Selection name: Tumour\n#Area (\u00b5m^2): 800.00\nX,Y\n40.0,0.0\n40.0,20.0\n0.0,20.0\n0.0,0.0\n40.0,0.0\n"
    )


def test_several_selections_are_written_as_xenium_explorer_writes_them(tmp_path):
    path = write_explorer_csv(tmp_path / "two.csv", [Region("A", box(0, 0, 4, 2)), Region("B", box(9, 9, 10, 10))])
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[:4] == ["#Selection names: A, B", "#Areas (\u00b5m^2): 8.00, 1.00", "Selection,X,Y", "A,4.0,0.0"]


def test_part_of_a_cut_region_stays_what_it_is(tmp_path):
    path = tmp_path / "selections.csv"
    path.write_text("Selection,X,Y\nA [1/2],0,0\nA [1/2],9,0\nA [1/2],9,9\nB [1/99999999],0,0\nB [1/99999999],9,0\n"
                    "B [1/99999999],9,9\n")  # fmt: skip
    assert [region.name for region in read_regions(path)] == ["A [1/2]", "B [1/99999999]"]


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ([PLAIN, PLAIN], "Two regions are named 'Tumour, left'"),
        ([Region("#1", box(0, 0, 1, 1))], "begins with '#'"),
        ([], "no region to write"),
    ],
)
def test_what_xenium_explorer_could_not_tell_is_refused_in_one_sentence(tmp_path, regions, said):
    with pytest.raises(RegionError, match=said):
        write_explorer_csv(tmp_path / "selections.csv", regions)
    assert not list(tmp_path.iterdir())
