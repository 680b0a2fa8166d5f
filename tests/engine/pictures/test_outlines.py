"""Outlines of real slides in every form 10x and others wrote them, and of broken files."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from shapely import STRtree, polygons

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.pictures.outlines import Boundaries, find_boundaries, read_boundaries

SLIDES = {"xenium_v1_breast_crop": (122, 120), "xenium_v3_mouse_tiny": (23, 23),
          "xenium_cell_mix_no_manifest": (526, 526)}  # fmt: skip
"""Folder -> outlines of cells and of nuclei: ids are int32, strings and binary in turn."""


def write(path, ids, x, y, **more):
    pq.write_table(pa.table({"cell_id": ids, "vertex_x": x, "vertex_y": y, **more}), path)
    return path


def squares(n, size_um=10.0, pitch_um=20.0):
    """(n,) squares in a row, each closed by its first vertex: ids, x, y."""
    corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]) * size_um
    yx = (corners[None] + np.arange(n)[:, None, None] * [0, pitch_um]).reshape(-1, 2)
    return np.repeat(np.arange(n), 5), yx[:, 1], yx[:, 0]


def rings(boundaries: Boundaries) -> list[np.ndarray]:
    return np.split(boundaries.vertices_um, boundaries.offsets[1:-1])


@pytest.mark.parametrize("folder", SLIDES)
@pytest.mark.parametrize("kind", ["cell", "nucleus"])
def test_every_outline_of_a_real_slide_is_read(shared_data, folder, kind):
    path = find_boundaries(shared_data(folder), kind)
    boundaries = read_boundaries(path)
    table = pq.read_table(path)
    assert len(boundaries) == SLIDES[folder][kind == "nucleus"]
    # Each ring repeats its first vertex at its end, here it does not.
    assert len(boundaries.vertices_um) == table.num_rows - len(boundaries)
    first = boundaries.vertices_um[0]
    assert first == pytest.approx((table["vertex_y"][0].as_py(), table["vertex_x"][0].as_py()), abs=1e-3)


@pytest.mark.parametrize("folder", ["xenium_v1_breast_crop", "xenium_cell_mix_no_manifest"])
@pytest.mark.parametrize("kind", ["cell", "nucleus"])
def test_csv_and_parquet_hold_the_same_outlines(shared_data, folder, kind):
    path = shared_data(folder) / f"{kind}_boundaries.parquet"
    ours, theirs = read_boundaries(path), read_boundaries(path.with_suffix(".csv.gz"))
    np.testing.assert_array_equal(ours.offsets, theirs.offsets)
    np.testing.assert_allclose(ours.vertices_um, theirs.vertices_um, atol=1e-3)


def test_parquet_is_found_before_csv_and_csv_without_it(shared_data, tmp_path):
    folder = shared_data("xenium_v1_breast_crop")
    assert find_boundaries(folder, "cell").name == "cell_boundaries.parquet"
    shutil.copy(folder / "cell_boundaries.csv.gz", tmp_path)
    assert find_boundaries(tmp_path, "cell").name == "cell_boundaries.csv.gz"
    assert find_boundaries(tmp_path, "nucleus") is None


def test_the_outlines_in_a_rectangle_are_those_that_shapely_finds(sample_slide):
    boundaries = read_boundaries(find_boundaries(sample_slide, "cell"))
    tree = STRtree(polygons([ring for ring in rings(boundaries)]).tolist())
    rng = np.random.default_rng(0)
    for _ in range(20):
        (y0, x0), (y1, x1) = np.sort(rng.uniform(0, boundaries.vertices_um.max(), (2, 2)), axis=0)
        box = polygons([[y0, x0], [y1, x0], [y1, x1], [y0, x1]])
        assert sorted(tree.query(box)) == boundaries.within((y0, x0, y1, x1)).tolist()


def test_edges_go_round_every_chosen_outline_once(sample_slide):
    boundaries = read_boundaries(find_boundaries(sample_slide, "nucleus"))
    which = np.array([7, 2, 11])
    start, end = boundaries.edges_um(which)
    expected = [rings(boundaries)[number] for number in which]
    np.testing.assert_array_equal(start, np.concatenate(expected))
    np.testing.assert_array_equal(end, np.concatenate([np.roll(ring, -1, axis=0) for ring in expected]))


def test_a_view_without_outlines_has_no_edges(tmp_path):
    boundaries = read_boundaries(write(tmp_path / "b.parquet", *squares(3)))
    start, end = boundaries.edges_um(boundaries.within((500, 500, 600, 600)))
    assert start.shape == end.shape == (0, 2)


def test_two_nuclei_of_one_cell_are_two_outlines(tmp_path):
    ids, x, y = squares(4)
    path = write(tmp_path / "b.parquet", np.zeros_like(ids), x, y, label_id=ids)
    assert len(read_boundaries(path)) == 4


def test_rings_whose_rows_were_mixed_are_put_together_again(tmp_path):
    ids, x, y = squares(6)
    whole = read_boundaries(write(tmp_path / "whole.parquet", ids, x, y))
    order = np.argsort(np.tile(np.arange(5), 6), kind="stable")  # every first vertex, then every second one, ...
    mixed = read_boundaries(write(tmp_path / "mixed.parquet", ids[order], x[order], y[order]))
    np.testing.assert_array_equal(mixed.vertices_um, whole.vertices_um)
    np.testing.assert_array_equal(mixed.offsets, whole.offsets)


def test_vertices_that_are_not_numbers_and_rings_of_two_are_left_out(tmp_path):
    ids, x, y = squares(3)
    x[6] = np.nan
    path = write(tmp_path / "b.parquet", ids[:-3], x[:-3], y[:-3])
    assert [len(ring) for ring in rings(read_boundaries(path))] == [4, 3]


def test_a_file_without_cells_has_no_outlines(tmp_path):
    path = write(
        tmp_path / "b.parquet", pa.array([], pa.string()), pa.array([], pa.float64()), pa.array([], pa.float64())
    )
    boundaries = read_boundaries(path)
    assert len(boundaries) == 0
    assert boundaries.within((0, 0, 1, 1)).size == 0


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("cell_boundaries.parquet", b"not a table", "can't be read as a table of boundaries"),
        ("cell_boundaries.csv.gz", b"not gzip", "can't be read as a table of boundaries"),
        ("cell_boundaries.csv", b"cell_id,x,y\n1,2,3\n", "has no column vertex_x nor vertex_y; it has cell_id"),
        ("cell_boundaries.csv", b"cell_id,vertex_x,vertex_y\n1,left,3\n", "can't be read as a table of boundaries"),
        ("cell_boundaries.csv", b"", "can't be read as a table of boundaries"),
        ("cell_boundaries.csv", b"cell_id,vertex_x,vertex_y\n1,,\n1,,\n", "no coordinates that are numbers"),
    ],
)  # fmt: skip
def test_a_broken_file_is_named_in_one_sentence(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BundleError, match=says) as raised:
        read_boundaries(path)
    assert str(path) in str(raised.value)


def test_a_truncated_file_is_an_error(shared_data, tmp_path):
    for suffix in (".parquet", ".csv.gz"):
        whole = (shared_data("xenium_v1_breast_crop") / f"cell_boundaries{suffix}").read_bytes()
        path = tmp_path / f"cell_boundaries{suffix}"
        path.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(BundleError, match="cell_boundaries"):
            read_boundaries(path)


def test_a_view_among_a_hundred_thousand_cells_is_found(shared_data):
    one = read_boundaries(find_boundaries(shared_data("xenium_cell_mix_no_manifest"), "cell"))
    times = 100_000 // len(one) + 1
    moves = np.repeat(np.stack(np.divmod(np.arange(times), 14), axis=1), len(one.vertices_um), axis=0) * np.float32(430)
    offsets = np.concatenate([[0], np.cumsum(np.tile(np.diff(one.offsets), times))])
    many = Boundaries(np.tile(one.vertices_um, (times, 1)) + moves, offsets)
    assert len(many) > 100_000
    assert many.boxes_um.shape == (4, len(many))
    found = many.within((2000, 2000, 2800, 3000))
    assert len(many.edges_um(found)[0]) > len(found)
    assert 1000 < len(found) < 5000
