"""Positions of chosen genes' transcripts, against pyarrow's own answer on real slides."""

import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.engine.transcripts.positions import MAX_POINTS, read_positions
from napari_s2sst.engine.transcripts.table import TranscriptTable


def by_pyarrow(path, gene, min_qv):
    table = pq.read_table(path)
    hits = pc.equal(table["feature_name"].cast(pa.string()), gene)
    if "qv" in table.column_names:
        hits = pc.and_(hits, pc.greater_equal(table["qv"], min_qv))
    table = table.filter(hits)
    return np.column_stack([table["y_location"].to_numpy(), table["x_location"].to_numpy()])


@pytest.mark.parametrize("folder", ["xenium_v1_breast_crop", "xenium_v3_mouse_tiny", "xenium_cell_mix_no_manifest"])
@pytest.mark.parametrize("min_qv", [0, 20, 30])
def test_positions_are_those_in_the_table(shared_data, folder, min_qv):
    bundle = open_xenium(shared_data(folder))
    genes = list(bundle.genes)[3:0:-1]
    positions = read_positions(bundle.transcripts, genes, min_qv=min_qv)
    assert positions.genes == tuple(genes)
    assert positions.count == len(positions.yx_um) == len(positions.gene)
    for gene in genes:
        expected = by_pyarrow(bundle.transcripts.path, gene, min_qv)
        np.testing.assert_allclose(positions.of(gene), expected, atol=1e-3)


def test_parquet_and_csv_hold_the_same_positions(shared_data, tmp_path):
    folder = shared_data("xenium_v1_breast_crop")
    shutil.copy(folder / "transcripts.csv.gz", tmp_path)
    ours, theirs = (read_positions(TranscriptTable.find(each), ["LUM", "POSTN"]) for each in (folder, tmp_path))
    np.testing.assert_array_equal(ours.gene, theirs.gene)
    np.testing.assert_allclose(ours.yx_um, theirs.yx_um, atol=1e-3)


def test_all_points_lie_where_the_gene_map_counts_them(sample_slide):
    bundle = open_xenium(sample_slide)
    gene = next(iter(bundle.genes))
    gene_map = bundle.gene_map(gene, 20.0)
    bins = np.floor(read_positions(bundle.transcripts, [gene]).yx_um / 20.0 - np.divide(gene_map.origin_um, 20.0))
    counts = np.zeros(gene_map.shape)
    np.add.at(counts, tuple(bins.astype(int).T), 1)
    np.testing.assert_array_equal(counts, gene_map.values)


@pytest.mark.parametrize("min_qv", [0, 20, 30])
def test_too_many_are_only_counted(shared_data, min_qv):
    bundle = open_xenium(shared_data("xenium_v1_breast_crop"))
    whole = read_positions(bundle.transcripts, ["LUM"], min_qv=min_qv)
    positions = read_positions(bundle.transcripts, ["LUM"], min_qv=min_qv, at_most=whole.count - 1)
    assert positions.count == whole.count
    assert positions.yx_um is None
    assert read_positions(bundle.transcripts, ["LUM"], min_qv=min_qv, at_most=whole.count).yx_um is not None


def test_a_frequent_gene_of_a_whole_slide_still_fits(shared_data):
    bundle = open_xenium(shared_data("xenium_bone_marrow"))
    assert read_positions(bundle.transcripts, ["LTF"]).yx_um.shape == (61_804, 2)
    both = read_positions(bundle.transcripts, ["LTF", "SLC4A1"])
    assert both.count == bundle.genes["LTF"] + bundle.genes["SLC4A1"] > MAX_POINTS
    assert both.yx_um is None


def test_a_gene_asked_for_twice_is_there_once_and_none_has_no_points(sample_slide):
    table = open_xenium(sample_slide).transcripts
    gene = table.survey.names[0]
    assert read_positions(table, [gene, gene]).genes == (gene,)
    assert read_positions(table, []).yx_um.shape == (0, 2)


def test_points_whose_place_is_not_a_number_are_left_out(tmp_path):
    table = {"feature_name": ["A"] * 3, "x_location": [1.0, np.nan, 3.0], "y_location": [4.0, 5.0, None]}
    pq.write_table(pa.table(table), tmp_path / "transcripts.parquet")
    np.testing.assert_array_equal(read_positions(TranscriptTable.find(tmp_path), ["A"]).yx_um, [[4.0, 1.0]])


def test_an_unknown_gene_is_named_with_its_nearest(shared_data):
    with pytest.raises(BundleError, match=r"no gene 'LUMM'.*LUM"):
        read_positions(open_xenium(shared_data("xenium_v1_breast_crop")).transcripts, ["LUMM"])
