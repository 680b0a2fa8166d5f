"""A panel without its empty bins is the same panel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_s2sst.engine.slides.slide import DENSE_BYTES
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.engine.transcripts.grid import Grid
from napari_s2sst.engine.transcripts.panel import MapsOnDemand, added, counted, stacked
from napari_s2sst.engine.transcripts.table import TranscriptTable

SHAPE = (3, 5)


def dense(panel) -> np.ndarray:
    return np.stack([panel.dense(gene) for gene in range(len(panel))])


@given(st.lists(st.integers(0, 4 * 15 - 1), max_size=80), st.sampled_from([np.uint32, np.uint64]))
@settings(max_examples=60, deadline=None)
def test_points_are_counted_as_a_histogram_counts_them(points, kind):
    panel = counted(np.array(points, kind), 4, SHAPE)
    expected = np.bincount(np.array(points, int), minlength=60).reshape(4, *SHAPE)
    np.testing.assert_array_equal(dense(panel), expected)
    np.testing.assert_array_equal(panel.matrix().toarray().reshape(4, *SHAPE), expected)
    np.testing.assert_array_equal(panel.totals(), expected.sum(axis=0))


@given(st.lists(st.lists(st.integers(0, 29), max_size=30), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_panels_add_up_and_stand_one_after_the_other(points):
    panels = [counted(np.array(each, np.uint32), 2, SHAPE) for each in points]
    np.testing.assert_array_equal(dense(added(panels)), sum(map(dense, panels)))
    np.testing.assert_array_equal(dense(stacked(panels)), np.concatenate([*map(dense, panels)]))


@pytest.fixture(scope="module")
def bundle(sample_slide):
    return open_xenium(sample_slide)


def on_demand(bundle, genes, bin_um) -> MapsOnDemand:
    grid = Grid.over(bundle.extent_um, bin_um)
    panel, _ = bundle.transcripts.count(genes, grid)
    one = bundle.gene_map(genes[0], bin_um)
    slots = tuple(range(len(genes)))
    return MapsOnDemand(
        panel=panel, genes=tuple(genes), slots=slots, tissue=one.tissue, totals=one.totals, bin_um=bin_um,
        origin_um=one.origin_um,
    )  # fmt: skip


def test_maps_made_on_demand_are_those_that_are_made_at_once(bundle):
    genes = list(bundle.genes)[:7]
    at_once = bundle.gene_maps(genes, 25.0)
    later = on_demand(bundle, genes, 25.0)
    assert [each.gene for each in later] == [each.gene for each in later[:]] == genes
    for one, other in zip(at_once, later, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.totals, other.totals)
        np.testing.assert_array_equal(one.tissue, other.tissue)
        assert (one.bin_um, one.origin_um) == (other.bin_um, other.origin_um)
    assert later[-1].gene == genes[-1]
    with pytest.raises(IndexError):
        later[7]


def test_a_panel_larger_than_the_limit_comes_as_maps_on_demand(bundle):
    genes = list(bundle.genes)
    bins = bundle.gene_map(genes[0], 0.9).values.size
    assert 4 * bins * len(genes) > DENSE_BYTES, "the sample slide was large enough for that"
    maps = bundle.gene_maps([*genes, genes[0]], 0.9)
    assert isinstance(maps, MapsOnDemand)
    panel = maps.panel
    assert panel.starts.nbytes + panel.bins.nbytes + panel.counts.nbytes < DENSE_BYTES / 4
    assert len(maps) == len(genes) + 1
    np.testing.assert_array_equal(maps[-1].values, maps[0].values)
    np.testing.assert_array_equal(maps[3].values, bundle.gene_map(genes[3], 0.9).values)


def test_counts_of_all_genes_add_up_to_the_totals_that_one_gene_comes_with(sample_slide):
    table = TranscriptTable.find(sample_slide)
    grid = Grid.over(table.extent_um, 25.0)
    genes = [name for name, is_gene in zip(table.survey.names, table.survey.is_gene, strict=True) if is_gene]
    whole, of_all = table.count(genes, grid)
    _, totals = table.count(genes[:1], grid)
    np.testing.assert_array_equal(of_all, totals)
    np.testing.assert_array_equal(whole.totals(), totals)
