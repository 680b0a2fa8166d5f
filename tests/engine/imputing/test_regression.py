"""Image and total counts add to a map what measured bins show that they tell, and nothing where they do not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_s2sst import GeneMap, RunConfig, fit, impute, open_xenium, sample
from napari_s2sst.engine.classical.methods import interpolate
from napari_s2sst.engine.imputing.regression import regression_share
from napari_s2sst.engine.network.model import load_model, shipped_model
from napari_s2sst.engine.runs.run import prepare
from napari_s2sst.engine.scores.metrics import score


def tissue_with_cells(seed=0, shape=(96, 112)):
    """Counts that follow the number of cells in each bin, and an image feature that follows it too, but for noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]] / 15
    cells = rng.poisson(2 + 1.5 * np.sin(x) * np.cos(y), shape)
    counts = rng.poisson(1.5 * cells).astype(np.float32)
    feature = cells + rng.normal(0, 0.3, shape)
    image = np.stack([feature, rng.normal(size=shape)], -1)
    return GeneMap(counts, gene="G"), ((image - image.mean((0, 1))) / image.std((0, 1))).astype(np.float32)


@pytest.mark.parametrize("stride", [2, 3])
def test_a_gene_that_follows_the_image_is_told_better_with_it(stride):
    truth, image = tissue_with_cells()
    sparse = replace(sample(truth, stride), image=image)
    unmeasured = truth.tissue & ~sparse.lattice_mask()
    without = interpolate(sparse, "kriging").values
    share = regression_share(sparse, "log1p")
    errors = [np.abs(found - np.log1p(truth.values))[unmeasured].mean() for found in (without, without + share)]
    assert errors[1] < 0.85 * errors[0]


def test_an_image_that_tells_nothing_of_the_gene_adds_nothing():
    truth, image = tissue_with_cells()
    noise = np.random.default_rng(5).normal(size=image.shape).astype(np.float32)
    assert regression_share(replace(sample(truth), image=noise), "log1p") is None


def test_a_map_without_an_image_and_totals_has_no_share():
    assert regression_share(sample(tissue_with_cells()[0]), "log1p") is None


def crowded_tissue(seed=0, shape=(120, 130)):
    """Rare counts that follow how crowded the tissue is, which many other genes tell with little noise."""
    rng = np.random.default_rng(seed)
    crowd = np.exp(1.2 * ndimage.gaussian_filter(rng.normal(size=shape), 2.0) / 0.14 * 0.5)
    counts, totals = rng.poisson(0.4 * crowd), rng.poisson(40 * crowd)
    return GeneMap(counts.astype(np.float32), gene="G", totals=totals.astype(np.float32))


def test_a_gene_that_follows_the_total_counts_is_told_better_with_them():
    truth = crowded_tissue()
    sparse = sample(truth)
    unmeasured = truth.tissue & ~sparse.lattice_mask()
    without, share = interpolate(sparse, "kriging").values, regression_share(sparse, "log1p")
    found = [np.corrcoef(each[unmeasured], truth.values[unmeasured])[0, 1] for each in (without, without + share)]
    assert found[1] > found[0] + 0.03


def test_totals_that_tell_nothing_of_the_gene_add_nothing():
    truth = crowded_tissue()
    other = crowded_tissue(seed=9).totals
    assert regression_share(sample(replace(truth, totals=other)), "log1p") is None


def test_image_and_totals_are_looked_at_as_asked_for():
    truth, image = tissue_with_cells()
    totals = np.round(30 * np.exp(ndimage.gaussian_filter(np.random.default_rng(3).normal(size=truth.shape), 3.0)))
    sparse = replace(sample(replace(truth, totals=totals)), image=image)
    assert regression_share(sparse, "log1p", image=False, panel=False) is None
    only = regression_share(replace(sparse, totals=None), "log1p")
    np.testing.assert_array_equal(regression_share(sparse, "log1p", panel=False), only)


def test_a_normalisation_by_totals_needs_no_look_at_the_panel():
    truth, image = tissue_with_cells()
    totals = np.random.default_rng(3).poisson(50, truth.shape).astype(np.float32)
    sparse = replace(sample(replace(truth, totals=totals)), image=image)
    share = regression_share(sparse, "median-log1p", panel=False)
    assert share is not None
    assert np.abs(share).max() > 0


def test_totals_of_bins_that_were_not_measured_are_not_looked_at():
    sparse = sample(crowded_tissue())
    hidden = np.random.default_rng(1).random(sparse.measured.shape) < 0.1
    known = sparse.without(hidden)
    other = replace(known, totals=np.where(hidden, 1e4, known.totals))
    np.testing.assert_array_equal(regression_share(known, "log1p"), regression_share(other, "log1p"))


def test_too_few_measured_bins_teach_nothing():
    truth, image = tissue_with_cells(shape=(24, 24))
    assert regression_share(replace(sample(truth), image=image), "log1p") is None


def test_nothing_is_added_to_measured_bins_or_outside_the_tissue():
    truth, image = tissue_with_cells()
    tissue = np.zeros(truth.shape, bool)
    tissue[10:80, 20:100] = True
    sparse = replace(sample(replace(truth, tissue=tissue)), image=image)
    share = regression_share(sparse, "log1p")
    assert share.any()
    assert not share[~tissue | sparse.lattice_mask()].any()


def test_turning_the_slide_turns_what_is_added():
    truth, image = tissue_with_cells(shape=(97, 97))
    truth = replace(truth, totals=truth.values * 7 + 3)
    share = regression_share(replace(sample(truth), image=image), "log1p")
    turned = GeneMap(np.rot90(truth.values), totals=np.rot90(truth.totals))
    other = regression_share(replace(sample(turned), image=np.rot90(image)), "log1p")
    np.testing.assert_allclose(np.rot90(share), other, atol=1e-4)


def test_hidden_and_thinned_maps_keep_the_image_of_their_bins():
    truth, image = tissue_with_cells()
    sparse = replace(sample(truth, 2, (1, 0)), image=image)
    np.testing.assert_array_equal(sparse.without(np.zeros(sparse.measured.shape, bool)).image, image)
    np.testing.assert_array_equal(sparse.thinned().image, image[1::2, 0::2])


def test_the_sample_slides_gene_is_imputed_better_with_its_image_and_its_interval_still_holds(sample_slide):
    slide, config = open_xenium(sample_slide), RunConfig.preset("instant", device="cpu", symmetries=1)
    job = prepare(slide, ["ERBB2"], config)
    seen = impute(fit(list(job.sparse), config), job.sparse[0])
    blind = impute(load_model(shipped_model(2)), replace(job.sparse[0], image=None))
    with_it, without = (score(each, truth=job.truth[0], sparse=job.sparse[0]) for each in (seen, blind))
    assert with_it.mae_unmeasured < without.mae_unmeasured
    assert with_it.pcc_unmeasured > without.pcc_unmeasured
    truth = job.truth[0].normalised(seen.normalisation).values
    unmeasured = job.truth[0].tissue & ~job.sparse[0].lattice_mask()
    inside = ((truth >= seen.lower) & (truth <= seen.upper))[unmeasured].mean()
    assert inside > 0.88


def test_the_papers_preset_looks_at_neither(sample_slide):
    config = RunConfig.preset("paper")
    assert not config.imputation.panel
    assert prepare(open_xenium(sample_slide), ["ERBB2"], config).sparse[0].image is None
