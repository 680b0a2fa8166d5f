"""What a panel's other genes lead to expect of a gene, in the bins that were measured and nowhere else."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_s2sst import GeneMap, RunConfig, interpolate, open_count_cube, open_xenium, sample, with_panel
from napari_s2sst.engine.cluster.wire import pack, unpack
from napari_s2sst.engine.errors import SamplingError
from napari_s2sst.engine.imputing.regression import regression_share
from napari_s2sst.engine.runs.run import prepare
from napari_s2sst.engine.sampling import panel as module
from napari_s2sst.engine.sampling.crops import around_tissue
from napari_s2sst.engine.sampling.lattice import lattice, refine
from napari_s2sst.engine.slides import slide as slides
from napari_s2sst.engine.slides.count_cube import CountCube

GENES, SHAPE, BIN_UM = 13, (96, 108), 16.0


def cell_types(seed=0, genes=GENES):
    """Counts of genes that two cell types express in their own proportions; G0 is rare and of the first type alone."""
    rng = np.random.default_rng(seed)
    fields = [ndimage.gaussian_filter(rng.normal(size=SHAPE), 2.5) for _ in range(2)]
    types = np.stack([np.exp(1.2 * field / field.std()) for field in fields])
    shares = rng.random((genes, 2)) * 3
    shares[0] = 0.25, 0.0
    return rng.poisson(np.tensordot(shares, types, 1)).astype(np.float32)


def slide_of(counts):
    names = tuple(f"G{number}" for number in range(len(counts)))
    return CountCube(path=Path("made.npz"), counts=counts, names=names, bin_um=BIN_UM)


@pytest.fixture(scope="module")
def slide():
    return slide_of(cell_types())


def test_a_rare_gene_is_told_better_with_those_expressed_beside_it(slide):
    truth = slide.gene_map("G0")
    sparse = sample(truth)
    unmeasured = ~sparse.lattice_mask()
    without = interpolate(sparse, "kriging").values
    shares = [regression_share(each, "log1p") for each in (sparse, *with_panel([sparse], slide))]
    found = [np.corrcoef((without + share)[unmeasured], np.log1p(truth.values)[unmeasured])[0, 1] for share in shares]
    assert found[1] > found[0] + 0.01


def test_maps_of_ones_own_are_each_others_panel(slide):
    """Without a slide: as from one that holds these genes and no others."""
    of_slide = slide.gene_maps(list(slide.names))
    arrays = [GeneMap(each.values, each.tissue, gene=each.gene, bin_um=BIN_UM) for each in of_slide]
    known_of_slide = with_panel([sample(each) for each in of_slide], slide)
    for own, known in zip(with_panel([sample(each) for each in arrays]), known_of_slide, strict=True):
        np.testing.assert_array_equal(own.totals, known.totals)
        np.testing.assert_allclose(own.coexpressed, known.coexpressed, atol=1e-5)


def test_totals_that_maps_of_ones_own_have_stay(slide):
    sparse = [sample(GeneMap(slide.counts[n], gene=f"G{n}", totals=slide.counts[n] + 7)) for n in (0, 1)]
    for before, after in zip(sparse, with_panel(sparse), strict=True):
        np.testing.assert_array_equal(after.totals, before.totals)


def test_a_single_map_of_ones_own_has_no_expectation(slide):
    (alone,) = with_panel([sample(GeneMap(slide.counts[0], gene="G0"))])
    assert alone.coexpressed is None


@pytest.mark.parametrize("other", [dict(stride=3), dict(phase=(1, 0))])
def test_maps_of_other_bins_are_no_panel(slide, other):
    maps = [GeneMap(slide.counts[number], gene=f"G{number}") for number in (0, 1)]
    with pytest.raises(SamplingError, match="not measured in the same bins"):
        with_panel([sample(maps[0]), sample(maps[1], **other)])


def test_maps_of_one_name_are_no_panel(slide):
    with pytest.raises(SamplingError, match=r"Two maps are named ''.*GeneMap\(gene=\.\.\.\)"):
        with_panel([sample(GeneMap(counts)) for counts in slide.counts[:2]])


def test_the_expectation_is_a_ridge_regression_on_the_other_genes(slide):
    sparse = sample(slide.gene_map("G3"), stride=3, phase=(1, 2))
    logs = np.log1p(slide.counts[:, 1::3, 2::3].reshape(GENES, -1).T.astype(np.float64))
    logs -= logs.mean(0)
    own, others = logs[:, 3], np.delete(logs, 3, axis=1)
    others /= np.maximum(others.std(0), module.LEAST_SPREAD)
    ridge = np.sqrt(module.RIDGE * len(own)) * np.eye(GENES - 1)
    weights = np.linalg.lstsq(np.vstack([others, ridge]), np.append(own, np.zeros(GENES - 1)))[0]
    expected = others @ weights
    found = with_panel([sparse], slide)[0].coexpressed
    np.testing.assert_allclose(found.ravel(), expected / expected.std(), atol=1e-4)


def test_what_was_not_measured_changes_nothing(slide):
    other = np.where(lattice(SHAPE, 2), slide.counts, slide.counts[:, ::-1])
    found = [with_panel([sample(each.gene_map("G0"))], each)[0] for each in (slide, slide_of(other))]
    np.testing.assert_array_equal(found[0].coexpressed, found[1].coexpressed)


def test_a_gene_does_not_lead_to_expect_itself():
    counts = np.random.default_rng(3).poisson(2, (2, *SHAPE)).astype(np.float32)
    slide = slide_of(counts)
    found = with_panel([sample(slide.gene_map("G0"))], slide)[0]
    assert abs(np.corrcoef(found.coexpressed.ravel(), found.values.ravel())[0, 1]) < 0.1


def test_a_slide_of_one_gene_leads_to_expect_nothing():
    slide = slide_of(cell_types()[:1])
    sparse = sample(slide.gene_map("G0"))
    assert with_panel([sparse], slide) == [sparse]


def test_fewer_measured_bins_than_genes_lead_to_expect_nothing(slide):
    tissue = np.zeros(SHAPE, bool)
    tissue[:6, :8] = True
    few = sample(replace(slide.gene_map("G0"), tissue=tissue))
    assert np.count_nonzero(few.seen) < GENES
    assert with_panel([few], slide) == [few]


def test_a_gene_that_is_alone_in_its_bins_has_no_expectation():
    counts = np.zeros((2, *SHAPE), np.float32)
    counts[0] = cell_types()[1]
    slide = slide_of(counts)
    assert with_panel([sample(slide.gene_map("G0"))], slide)[0].coexpressed is None


def test_a_gene_beyond_the_most_frequent_ones_is_expected_from_those(slide, monkeypatch):
    monkeypatch.setattr(module, "MOST_GENES", 4)
    small = slide_of(slide.counts)
    assert "G0" not in list(small.genes)[:4]
    found = with_panel([sample(small.gene_map("G0"))], small)[0]
    assert np.corrcoef(found.coexpressed.ravel(), np.log1p(found.values).ravel())[0, 1] > 0.2


def test_weights_learnt_from_some_of_many_bins_are_nearly_those_of_all(slide, monkeypatch):
    whole = with_panel([sample(slide.gene_map("G0"))], slide)[0].coexpressed
    monkeypatch.setattr(module, "LEARNT_FROM", 1500)
    other = slide_of(slide.counts)
    some = with_panel([sample(other.gene_map("G0"))], other)[0].coexpressed
    assert not np.array_equal(whole, some)
    assert np.corrcoef(whole.ravel(), some.ravel())[0, 1] > 0.97


def test_the_slide_s_genes_are_counted_once_for_one_lattice(slide):
    sparse, fresh = sample(slide.gene_map("G0")), slide_of(slide.counts)
    assert not module.is_known(sparse, fresh)
    with_panel([sparse], fresh)
    assert module.is_known(sparse, fresh)
    assert not module.is_known(sample(slide.gene_map("G0"), stride=3), fresh)
    edited = replace(slide.gene_map("G0"), tissue=np.tri(*SHAPE, dtype=bool))
    assert not module.is_known(sample(edited), fresh)


def test_where_all_bins_were_measured_all_of_them_tell(slide):
    gene_map = slide.gene_map("G0")
    found = with_panel([refine(gene_map, 2)], slide, filled_in=True)[0]
    assert found.coexpressed.shape == SHAPE
    assert np.corrcoef(found.coexpressed.ravel(), np.log1p(gene_map.values).ravel())[0, 1] > 0.2


def test_maps_too_many_for_the_memory_are_looked_at_one_by_one(slide, monkeypatch):
    held = with_panel([sample(slide.gene_map("G0"))], slide)[0].coexpressed
    monkeypatch.setattr(slides, "DENSE_BYTES", 1)
    large = slide_of(slide.counts)
    assert isinstance(large.gene_maps(list(large.genes)), slides.MapsOfBins)
    np.testing.assert_array_equal(with_panel([sample(large.gene_map("G0"))], large)[0].coexpressed, held)


def test_it_stays_at_its_bins_when_a_map_is_hidden_thinned_cut_and_sent(slide):
    tissue = np.zeros(SHAPE, bool)
    tissue[10:30, 20:50] = True
    sparse = with_panel([sample(replace(slide.gene_map("G0"), tissue=tissue))], slide)[0]
    assert not sparse.coexpressed[~sparse.measured].any()
    np.testing.assert_array_equal(sparse.thinned().coexpressed, sparse.coexpressed[::2, ::2])
    hidden = np.zeros(sparse.measured.shape, bool)
    hidden[8, 12] = True
    np.testing.assert_array_equal(sparse.without(hidden).coexpressed, sparse.coexpressed)
    part = around_tissue(sparse).sparse
    assert part.coexpressed.shape == part.measured.shape != sparse.measured.shape
    np.testing.assert_array_equal(part.coexpressed[part.measured], sparse.coexpressed[sparse.measured])
    np.testing.assert_array_equal(unpack(pack(sparse)).coexpressed, sparse.coexpressed)


def test_where_the_expectation_tells_nothing_more_it_is_left_out():
    counts = cell_types()
    truth = slide_of(counts).gene_map("G0")
    sparse = sample(replace(truth, totals=counts.sum(0)))
    noise = np.random.default_rng(1).normal(size=sparse.measured.shape).astype(np.float32)
    shares = [regression_share(each, "log1p") for each in (sparse, replace(sparse, coexpressed=noise))]
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"regions": "some"}, {"fill_in": True}])
def test_a_run_looks_at_the_panel_unless_told_not_to(sample_slide, settings):
    from shapely import box

    from napari_s2sst.engine.sampling.regions import Region

    regions = [Region("corner", box(100, 100, 700, 600))] if settings.pop("regions", None) else []
    slide, config = open_xenium(sample_slide), RunConfig.preset("instant", bin_um=20, image=False)
    genes = list(slide.genes)[:2]
    for sparse in prepare(slide, genes, config, regions, **settings).sparse:
        assert sparse.coexpressed.shape == sparse.measured.shape
        assert abs(sparse.coexpressed[sparse.seen].std() - 1) < 1e-3
    for without in (config.changed(panel=False), RunConfig.preset("paper", bin_um=20)):
        assert all(sparse.coexpressed is None for sparse in prepare(slide, genes, without, regions, **settings).sparse)


def test_a_cube_s_genes_tell_of_each_other(cube):
    slide = open_count_cube(cube)
    job = prepare(slide, list(slide.genes)[:1], RunConfig.preset("instant", bin_um=slide.bin_um))
    assert job.sparse[0].coexpressed is not None
