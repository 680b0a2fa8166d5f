"""Streaming passes over transcript tables of every dress that 10x has given them."""

import gzip
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.transcripts.grid import Grid
from napari_s2sst.engine.transcripts.table import CONTROL, TranscriptTable, no_such_gene

NAMES = ["LTF", "CD4", "LTF", "NegControlProbe_00042", "LTF"]
X = [1.0, 25.0, 15.0, 5.0, 99.0]
Y = [1.0, 5.0, 1.0, 5.0, 49.0]
QV = [40.0, 20.0, 19.9, 40.0, 21.0]


def write(folder, names=None, more=None, **settings):
    columns = {
        "feature_name": pa.array(NAMES) if names is None else names,
        "x_location": pa.array(X, pa.float32()),
        "y_location": pa.array(Y, pa.float32()),
        "qv": pa.array(QV, pa.float32()),
    } | (more or {})
    table = pa.table({name: column for name, column in columns.items() if column is not None})
    pq.write_table(table, folder / "transcripts.parquet", **settings)
    return TranscriptTable.find(folder)


def count(table, genes, grid, **how):
    """(genes, rows, columns) and the totals."""
    panel, totals = table.count(genes, grid, **how)
    return np.stack([panel.dense(gene) for gene in range(len(panel))]), totals


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.binary(), pa.large_binary(), pa.string_view(),
     pa.dictionary(pa.int8(), pa.string()), pa.dictionary(pa.int32(), pa.large_string())],
    ids=str,
)  # fmt: skip
def test_names_of_every_type_are_the_same_names(tmp_path, kind):
    table = write(tmp_path, pa.array(NAMES).cast(kind))
    survey = table.survey
    assert dict(zip(survey.names, survey.counts.tolist(), strict=True)) == {
        "LTF": 2, "CD4": 1, "NegControlProbe_00042": 1,
    }  # fmt: skip
    assert survey.is_gene.tolist() == [True, True, False]
    counts, totals = count(table, ["LTF", "CD4"], Grid.over(table.extent_um, 10.0))
    assert counts.sum(axis=(1, 2)).tolist() == [2, 1]
    assert counts[0, 0, 0] == 1
    assert counts[0, 4, 9] == 1
    assert totals.sum() == 3


def test_the_lowest_quality_can_be_chosen(tmp_path):
    table = write(tmp_path)
    grid = Grid.over(table.extent_um, 10.0)
    for min_qv, expected in ((0, 3), (20, 2), (21, 2), (21.5, 1), (50, 0)):
        assert count(table, ["LTF"], grid, min_qv=min_qv)[0].sum() == expected


def test_without_a_quality_column_every_transcript_counts(tmp_path):
    table = write(tmp_path, more={"qv": None})
    assert table.survey.counts.tolist() == [3, 1, 1]
    assert count(table, ["LTF"], Grid.over(table.extent_um, 10.0))[0].sum() == 3


def test_coordinates_that_are_not_numbers_are_left_out(tmp_path):
    x = pa.array([float("nan"), 25.0, None, 5.0, float("inf")], pa.float32())
    table = write(tmp_path, more={"x_location": x, "qv": None})
    y0, x0, y1, x1 = table.extent_um
    assert (y0, x0, y1, x1) == (1.0, 5.0, 49.0, 25.0)
    counts, totals = count(table, ["LTF", "CD4"], Grid.over(table.extent_um, 10.0))
    assert counts.sum(axis=(1, 2)).tolist() == [0, 1]
    assert totals.sum() == 1


def test_rows_without_a_name_are_left_out(tmp_path):
    table = write(tmp_path, pa.array(["LTF", None, "LTF", None, "CD4"]), {"qv": None})
    assert table.survey.counts.tolist() == [2, 1]
    counts, totals = count(table, ["LTF", "CD4"], Grid.over(table.extent_um, 10.0))
    assert counts.sum() == totals.sum() == 3


def test_the_extent_is_the_same_with_and_without_statistics(tmp_path):
    with_statistics = write(tmp_path, row_group_size=2).extent_um
    assert write(tmp_path, write_statistics=False).extent_um == with_statistics == (1.0, 1.0, 49.0, 99.0)


def test_a_column_that_says_gene_wins_over_the_name(tmp_path):
    table = write(tmp_path, more={"is_gene": pa.array([True, False, True, True, True])})
    assert table.survey.is_gene.tolist() == [True, False, True]


def test_the_codewords_category_tells_genes(tmp_path):
    category = ["predesigned_gene", "custom_gene", "predesigned_gene", "negative_control_probe", "predesigned_gene"]
    assert write(tmp_path, more={"codeword_category": pa.array(category)}).survey.is_gene.tolist() == [
        True,
        True,
        False,
    ]


def test_totals_leave_controls_out_and_a_control_can_be_counted_by_name(tmp_path):
    table = write(tmp_path, more={"qv": None})
    counts, totals = count(table, ["NegControlProbe_00042"], Grid.over(table.extent_um, 10.0))
    assert counts.sum() == 1
    assert totals.sum() == 4


@pytest.mark.parametrize(
    "name",
    ["NegControlProbe_00042", "NegControlCodeword_0500", "BLANK_0272", "UnassignedCodeword_0001", "antisense_ULK3",
     "DeprecatedCodeword_0321", "Intergenic_Region_1", "GenomicControl_1"],
)  # fmt: skip
def test_names_of_controls_are_known(name):
    assert CONTROL.match(name)


@pytest.mark.parametrize("name", ["NEGR1", "BLNK", "UNC13D", "DEPDC5", "INTS6", "ANTXR1", "GENX-1", "AR", "T"])
def test_genes_that_sound_like_controls_are_genes(name):
    assert not CONTROL.match(name)


@pytest.mark.parametrize("name", ["transcripts.csv.gz", "transcripts.csv"])
def test_csv_reads_like_parquet(tmp_path, name):
    lines = ['"transcript_id","feature_name","x_location","y_location","qv"']
    lines += [f'{i},"{n}",{x},{y},{q}' for i, (n, x, y, q) in enumerate(zip(NAMES, X, Y, QV, strict=True))]
    opened = gzip.open if name.endswith("gz") else open
    with opened(tmp_path / name, "wt") as file:
        file.write("\n".join(lines) + "\n")
    table = TranscriptTable.find(tmp_path)
    assert table.path.name == name
    assert table.rows == 5
    assert table.extent_um == (1.0, 1.0, 49.0, 99.0)
    counts, totals = count(table, ["LTF"], Grid.over(table.extent_um, 10.0))
    assert counts.sum() == 2
    assert totals.sum() == 3


@given(data=st.data(), bin_um=st.sampled_from([0.5, 7.0, 20.0]), min_qv=st.sampled_from([0.0, 20.0]))
@settings(max_examples=30, deadline=None)
def test_every_good_transcript_of_a_gene_lands_in_exactly_one_bin(tmp_path_factory, data, bin_um, min_qv):
    n = data.draw(st.integers(1, 60))
    number = st.one_of(st.floats(-500, 500, width=32), st.just(float("nan")))
    x, y = (np.array(data.draw(st.lists(number, min_size=n, max_size=n)), np.float32) for _ in "xy")
    qv = np.array(data.draw(st.lists(st.floats(0, 40, width=32), min_size=n, max_size=n)), np.float32)
    names = data.draw(st.lists(st.sampled_from(["A", "B", "NegControlProbe_1"]), min_size=n, max_size=n))
    folder = tmp_path_factory.mktemp("table")
    table = write(folder, pa.array(names), {"x_location": x, "y_location": y, "qv": qv}, row_group_size=7)
    good = np.isfinite(x) & np.isfinite(y) & (qv >= min_qv)
    if not (np.isfinite(x).any() and np.isfinite(y).any()):
        return
    present = sorted(set(names))
    counts, totals = count(table, present, Grid.over(table.extent_um, bin_um), min_qv=min_qv)
    for name, one in zip(present, counts, strict=True):
        assert one.sum() == (good & (np.array(names) == name)).sum()
    assert totals.sum() == (good & (np.array(names) != "NegControlProbe_1")).sum()


COUNT_AND_PRINT_PEAK = """
import pathlib, sys
import pyarrow
from napari_s2sst.engine.transcripts.grid import Grid
from napari_s2sst.engine.transcripts.table import TranscriptTable
table = TranscriptTable(pathlib.Path(sys.argv[1]))
_, totals = table.count(["LTF"], Grid.over(table.extent_um, 0.1))
print(totals.sum(), pyarrow.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("row_groups", [1, 10])
def test_a_pass_holds_a_small_part_of_the_table_in_memory(tmp_path, row_groups):
    n = 3_000_000
    rng = np.random.default_rng(0)
    names = pa.DictionaryArray.from_arrays(rng.integers(0, 3, n, np.int32), ["LTF", "CD4", "KRT8"])
    more = {"x_location": rng.random(n), "y_location": rng.random(n), "qv": rng.random(n) * 40}
    table = write(tmp_path, names, more, row_group_size=n // row_groups)
    assert table.path.stat().st_size > 60e6  # random numbers do not compress
    # In a process of its own: the peak is the process's, and pyarrow buffers files outside any pool a test could set.
    run = subprocess.run(
        [sys.executable, "-c", COUNT_AND_PRINT_PEAK, table.path], capture_output=True, check=True, text=True
    )
    counted, peak_bytes = map(int, run.stdout.split())
    assert counted == (more["qv"] >= 20).sum()
    assert peak_bytes < 30e6


def test_many_genes_in_one_pass_are_the_same_as_one_by_one(sample_slide):
    table = TranscriptTable.find(sample_slide)
    grid = Grid.over(table.extent_um, 25.0)
    names = table.survey.names[:5]
    together, totals = count(table, names, grid)
    for name, counted in zip(names, together, strict=True):
        alone, none = count(table, [name], grid, totals=False)
        assert none is None
        np.testing.assert_array_equal(alone[0], counted)
    assert totals.sum() >= together.sum()


@pytest.mark.parametrize("row_group_size", [40_000, 300_000, 1_000_000])
def test_row_groups_change_no_count(tmp_path, row_group_size):
    n = 900_000
    rng = np.random.default_rng(1)
    names = pa.DictionaryArray.from_arrays(rng.integers(0, 40, n, np.int32), [f"G{code}" for code in range(40)])
    yx = {name: rng.gamma(2, 200, n).astype(np.float32) for name in ("y_location", "x_location")}
    table = write(
        tmp_path, names, {**yx, "qv": rng.uniform(10, 40, n).astype(np.float32)}, row_group_size=row_group_size
    )
    assert sorted(table.survey.names) == sorted(names.dictionary.to_pylist())
    good = pq.read_table(table.path)["qv"].to_numpy() >= 20
    assert table.survey.counts.sum() == good.sum()
    grid = Grid.over(table.extent_um, 13.0)
    counts, totals = count(table, [f"G{code}" for code in range(40)], grid)
    assert totals.sum() == counts.sum() == good.sum()
    np.testing.assert_array_equal(counts.sum(axis=0), totals)
    edges = [(np.arange(length + 1) + first) * 13.0 for first, length in zip(grid.first, grid.shape, strict=True)]
    chosen = good & (names.indices.to_numpy() == 7)
    expected, *_ = np.histogram2d(*(values[chosen] for values in yx.values()), edges)
    np.testing.assert_array_equal(counts[7], expected)


def test_a_missing_column_is_named(tmp_path):
    pq.write_table(pa.table({"gene": ["LTF"], "x_location": [1.0]}), tmp_path / "transcripts.parquet")
    with pytest.raises(BundleError, match=r"no column feature_name nor y_location; it has gene, x_location"):
        TranscriptTable.find(tmp_path)


def test_a_cut_off_table_is_one_clear_error(tmp_path):
    write(tmp_path)
    whole = (tmp_path / "transcripts.parquet").read_bytes()
    (tmp_path / "transcripts.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="can't be read as a transcript table"):
        TranscriptTable.find(tmp_path)


def test_a_cut_off_csv_is_one_clear_error(tmp_path):
    text = "feature_name,x_location,y_location\n" + "".join(f"G{i % 97},{i * 37 % 1009},{i}\n" for i in range(20000))
    packed = gzip.compress(text.encode())
    (tmp_path / "transcripts.csv.gz").write_bytes(packed[: len(packed) // 2])
    with pytest.raises(BundleError, match="can't be read as a transcript table"):
        TranscriptTable.find(tmp_path).survey  # noqa: B018


def test_a_table_without_rows_is_one_clear_error(tmp_path):
    empty = pa.array([], pa.float32())
    more = {"x_location": empty, "y_location": empty, "qv": empty}
    table = write(tmp_path, pa.array([], pa.string()), more)
    assert table.rows == 0
    with pytest.raises(BundleError, match="holds no transcripts"):
        table.extent_um  # noqa: B018


def test_an_unknown_gene_gets_the_three_nearest_names():
    error = no_such_gene("ltf1", ["LTF", "LTA", "LTB", "SLC4A1", "CD4"], "slide")
    assert str(error).startswith("There is no gene 'ltf1' in slide. The nearest names are LTF, ")
    assert str(error).count(",") == 2
