"""Count cubes: a .npz that stands in for a bundle."""

import numpy as np
import pytest

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.count_cube import open_count_cube


def save(path, **changes):
    counts = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    arrays = {"counts": counts, "genes": np.array(["A", "B"]), "bin_um": 16.0} | changes
    np.savez_compressed(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_cube_gives_its_own_counts_back(tmp_path):
    cube = open_count_cube(save(tmp_path / "cube.npz"))
    assert cube.genes == {"B": 210, "A": 66}
    assert list(cube.genes) == ["B", "A"]
    gene_map = cube.gene_map("B")
    np.testing.assert_array_equal(gene_map.values, np.arange(12, 24).reshape(3, 4))
    np.testing.assert_array_equal(gene_map.totals, np.arange(12).reshape(3, 4) * 2 + 12)
    assert gene_map.gene == "B"
    assert gene_map.bin_um == cube.bin_um == 16.0
    assert cube.extent_um == (0.0, 0.0, 48.0, 64.0)
    assert cube.images == ()
    assert cube.name == "cube"
    assert [each.gene for each in cube.gene_maps(["A", "B"])] == ["A", "B"]


def test_the_bin_size_of_a_cube_stays_what_it_is(tmp_path):
    cube = open_count_cube(save(tmp_path / "cube.npz"))
    assert cube.gene_map("A", bin_um=20.0, min_qv=20.0).bin_um == 16.0


@pytest.mark.parametrize(
    ("name", "shape", "bin_um", "gene"),
    [("xenium_bonemarrow_core_bin16um", (24, 128, 250), 16.0, ("LTF", 41420)),
     ("iss_ca1_bin40px", (12, 136, 188), 13.0, None),
     ("visiumhd_crc_celltype_bin32um", (18, 210, 210), 32.0, None),
     ("merfish_vizgen_mini_bin4um", (12, 112, 124), 4.0, None)],
)  # fmt: skip
def test_the_shared_cubes_open(shared_data, name, shape, bin_um, gene):
    cube = open_count_cube(shared_data(f"maps/{name}.npz"))
    assert (len(cube.genes), *cube.gene_map(next(iter(cube.genes))).shape) == shape
    assert cube.bin_um == bin_um
    if gene:
        assert cube.genes[gene[0]] == pytest.approx(gene[1], abs=5)
    first = cube.gene_map(next(iter(cube.genes)))
    assert first.tissue.any()
    assert f"{shape[1]} x {shape[2]} bins" in cube.summary()


def test_an_unknown_gene_gets_the_nearest_names(tmp_path):
    with pytest.raises(BundleError, match=r"no gene 'AB' in cube.*names are [AB], [AB]"):
        open_count_cube(save(tmp_path / "cube.npz")).gene_map("AB")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"counts": None}, "has no counts; it has genes, bin_um"),
        ({"genes": None, "bin_um": None}, "has no genes and no bin_um"),
        ({"counts": np.zeros((3, 4))}, r"shape \(3, 4\)"),
        ({"counts": np.zeros((2, 0, 4))}, "numbers"),
        ({"counts": np.full((2, 3, 4), "x")}, "numbers"),
        ({"counts": np.full((2, 3, 4), np.nan)}, "not numbers"),
        ({"counts": np.full((2, 3, 4), -1)}, "below 0"),
        ({"genes": np.array(["A"])}, "2 names are needed"),
        ({"genes": np.array([1, 2])}, "2 names are needed"),
        ({"genes": np.array(["A", "A"])}, "A more than once"),
        ({"genes": np.array(["A", None], object)}, "without objects"),
        ({"bin_um": 0.0}, "above 0"),
        ({"bin_um": np.nan}, "above 0"),
        ({"bin_um": np.array([1.0, 2.0])}, "above 0"),
    ],
)
def test_a_broken_cube_is_one_clear_error(tmp_path, changes, said):
    with pytest.raises(BundleError, match=said):
        open_count_cube(save(tmp_path / "cube.npz", **changes))


def test_a_file_that_is_no_cube_is_one_clear_error(tmp_path):
    for content in (b"", b"hello", b"PK\x03\x04 cut off"):
        (tmp_path / "cube.npz").write_bytes(content)
        with pytest.raises(BundleError, match="can't be read as a count cube"):
            open_count_cube(tmp_path / "cube.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(BundleError, match="can't be read as a count cube"):
        open_count_cube(tmp_path / "one.npy")
    with pytest.raises(BundleError, match="There is no file"):
        open_count_cube(tmp_path / "none.npz")
