"""The image adds to a map what measured bins show that it tells, and nothing where they do not."""

from dataclasses import replace

import numpy as np
import pytest

from napari_s2sst import GeneMap, RunConfig, fit, impute, open_xenium, sample
from napari_s2sst.engine.baselines import interpolate
from napari_s2sst.engine.checkpoint import load_model, shipped_model
from napari_s2sst.engine.image_regression import image_share
from napari_s2sst.engine.metrics import score
from napari_s2sst.engine.run import prepare
from napari_s2sst.engine.sampling import hide, thin


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
    share = image_share(sparse, "log1p")
    errors = [np.abs(found - np.log1p(truth.values))[unmeasured].mean() for found in (without, without + share)]
    assert errors[1] < 0.85 * errors[0]


def test_an_image_that_tells_nothing_of_the_gene_adds_nothing():
    truth, image = tissue_with_cells()
    noise = np.random.default_rng(5).normal(size=image.shape).astype(np.float32)
    assert image_share(replace(sample(truth), image=noise), "log1p") is None


def test_a_map_without_an_image_has_no_share():
    assert image_share(sample(tissue_with_cells()[0]), "log1p") is None


def test_too_few_measured_bins_teach_nothing():
    truth, image = tissue_with_cells(shape=(24, 24))
    assert image_share(replace(sample(truth), image=image), "log1p") is None


def test_nothing_is_added_to_measured_bins_or_outside_the_tissue():
    truth, image = tissue_with_cells()
    tissue = np.zeros(truth.shape, bool)
    tissue[10:80, 20:100] = True
    sparse = replace(sample(replace(truth, tissue=tissue)), image=image)
    share = image_share(sparse, "log1p")
    assert share.any()
    assert not share[~tissue | sparse.lattice_mask()].any()


def test_turning_the_slide_turns_what_is_added():
    truth, image = tissue_with_cells(shape=(97, 97))
    share = image_share(replace(sample(truth), image=image), "log1p")
    turned = GeneMap(np.rot90(truth.values))
    other = image_share(replace(sample(turned), image=np.rot90(image)), "log1p")
    np.testing.assert_allclose(np.rot90(share), other, atol=1e-4)


def test_hidden_and_thinned_maps_keep_the_image_of_their_bins():
    truth, image = tissue_with_cells()
    sparse = replace(sample(truth, 2, (1, 0)), image=image)
    np.testing.assert_array_equal(hide(sparse, np.zeros(sparse.measured.shape, bool)).image, image)
    np.testing.assert_array_equal(thin(sparse).image, image[1::2, 0::2])


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


def test_the_papers_preset_does_not_look_at_the_image(sample_slide):
    job = prepare(open_xenium(sample_slide), ["ERBB2"], RunConfig.preset("paper"))
    assert job.sparse[0].image is None
