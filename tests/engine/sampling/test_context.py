"""What lies around a region is looked at, and never told about."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage
from shapely.geometry import box

from napari_s2sst import GeneMap, RunConfig, SparseMap, Trained, fit, impute, interpolate, sample, score
from napari_s2sst.engine.classical.methods import METHODS
from napari_s2sst.engine.provenance import sparse_hash
from napari_s2sst.engine.sampling.crops import around_tissue, tissue_parts
from napari_s2sst.engine.sampling.lattice import CONTEXT_LATTICE, refine
from napari_s2sst.engine.sampling.regions import Region, restrict

SHAPE = (120, 140)
BIN_UM = 20.0
INSIDE = np.s_[50:74, 60:90]
REGION = Region("a", box(60 * BIN_UM, 50 * BIN_UM, 90 * BIN_UM, 74 * BIN_UM))


def counts() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 8
    return np.random.default_rng(0).poisson(5 * (1.2 + np.sin(x) * np.cos(y))).astype(np.float32)


def whole_map(values: np.ndarray | None = None) -> GeneMap:
    return GeneMap(counts() if values is None else values, gene="WAVE", bin_um=BIN_UM)


def region_map(values: np.ndarray | None = None) -> GeneMap:
    return restrict(whole_map(values), REGION)


def instant() -> RunConfig:
    return RunConfig.preset("instant", device="cpu")


def border(inside: np.ndarray, bins: int = 4) -> np.ndarray:
    return inside & ~ndimage.binary_erosion(inside, iterations=bins)


@pytest.fixture(scope="module")
def shipped():
    return fit([sample(whole_map())], instant())


@pytest.mark.parametrize("phase", [(0, 0), (1, 1)])
@pytest.mark.parametrize("stride", [2, 3])
def test_measured_bins_within_the_margin_are_context_and_no_others(stride, phase):
    sparse = sample(region_map(), stride, phase)
    everywhere = sample(whole_map(), stride, phase)
    inside = np.zeros(SHAPE, bool)
    inside[INSIDE] = True
    np.testing.assert_array_equal(sparse.lattice_mask(), everywhere.lattice_mask() & inside)
    seen = np.argwhere(sparse.seen)
    own = [np.flatnonzero(sparse.measured.any(axis=1 - axis)) for axis in (0, 1)]
    for axis in (0, 1):
        assert abs(seen[:, axis].min() - max(0, own[axis][0] - CONTEXT_LATTICE)) <= 1
        last = min(sparse.values.shape[axis] - 1, own[axis][-1] + CONTEXT_LATTICE)
        assert abs(seen[:, axis].max() - last) <= 1
    assert not (sparse.context & sparse.measured).any()
    np.testing.assert_array_equal(sparse.values[sparse.seen], everywhere.values[sparse.seen])
    assert not sparse.values[~sparse.seen].any()


def test_a_whole_slide_has_no_context():
    assert whole_map().context is None
    assert sample(whole_map()).context is None
    everything = restrict(whole_map(), Region("all", box(0, 0, SHAPE[1] * BIN_UM, SHAPE[0] * BIN_UM)))
    assert everything.context is None


def test_glass_is_no_context():
    tissue = np.zeros(SHAPE, bool)
    tissue[:, :80] = True
    sparse = sample(restrict(replace(whole_map(), tissue=tissue), REGION))
    assert sparse.context.any()
    assert not sparse.context[:, 40:].any()


def test_a_region_of_a_region_keeps_the_context():
    inner = Region("b", box(65 * BIN_UM, 55 * BIN_UM, 80 * BIN_UM, 70 * BIN_UM))
    np.testing.assert_array_equal(restrict(region_map(), inner).counted, whole_map().tissue)


def test_at_a_regions_border_the_map_is_close_to_the_whole_slides(shipped):
    whole = impute(shipped, sample(whole_map()))
    inside = region_map().tissue
    with_context = impute(shipped, sample(region_map()))
    without = impute(shipped, sample(replace(region_map(), context=None)))
    off = [np.abs(each.values - whole.values)[border(inside)] for each in (with_context, without)]
    assert off[0].mean() < 0.1 * off[1].mean()
    assert off[0].max() < 0.05
    unsure = [np.abs(each.uncertainty - whole.uncertainty)[border(inside)].mean() for each in (with_context, without)]
    assert unsure[0] < 0.2 * unsure[1]


def test_on_a_real_slide_the_border_is_as_good_as_on_the_whole(shared_data):
    from napari_s2sst import open_xenium

    whole = open_xenium(shared_data("xenium_bone_marrow")).gene_map("LTF", bin_um=20.0)
    part = restrict(whole, Region("marrow", box(4000, 1000, 5000, 1600)))
    edge = border(part.tissue) & ~sample(part).lattice_mask()
    truth = np.log1p(whole.values)[edge]

    def found(gene_map: GeneMap, trained: Trained) -> np.ndarray:
        return impute(trained, sample(gene_map)).values[edge]

    alone = fit([sample(whole)], instant().changed(panel=False))
    on_whole = found(whole, alone)
    off = [np.abs(found(each, alone) - on_whole).mean() for each in (part, replace(part, context=None))]
    assert off[0] < 0.01 < off[1]
    # What other genes tell is learnt in the region where that is all there is, so maps differ by more; errors do not.
    trained = fit([sample(whole)], instant())
    errors = [np.abs(found(each, trained) - truth).mean() for each in (whole, part)]
    assert abs(errors[1] / errors[0] - 1) < 0.05


# Without "nearest": which of four equally near bins it takes is chance.
@pytest.mark.parametrize("method", [name for name in METHODS if name != "nearest"])
def test_classical_methods_look_at_the_context_too(method):
    inside = region_map().tissue
    whole = interpolate(sample(whole_map()), method).values
    with_context = interpolate(sample(region_map()), method).values
    without = interpolate(sample(replace(region_map(), context=None)), method).values
    off = [np.abs(each - whole)[border(inside, 2)].mean() for each in (with_context, without)]
    assert off[0] <= off[1]
    assert off[0] < 0.05
    assert not with_context[~inside].any()


def test_results_and_scores_are_about_the_region_alone(shipped):
    truth, sparse = region_map(), sample(region_map())
    imputed = impute(shipped, sparse)
    np.testing.assert_array_equal(imputed.tissue, truth.tissue)
    for part in (imputed.values, imputed.lower, imputed.upper, imputed.uncertainty):
        assert not part[~truth.tissue].any()
    kept = sparse.lattice_mask()
    np.testing.assert_array_equal(imputed.values[kept], np.log1p(counts())[kept])
    changed = counts()
    changed[~truth.tissue] += 100
    assert score(imputed, truth=truth, sparse=sparse) == score(imputed, truth=region_map(changed), sparse=sparse)


def test_unmeasured_and_distant_bins_change_nothing(shipped):
    sparse = sample(region_map())
    seen = sparse.with_context().lattice_mask()
    changed = counts()
    changed[~seen] = 77
    other = sample(region_map(changed))
    assert sparse_hash([other]) == sparse_hash([sparse])
    np.testing.assert_array_equal(impute(shipped, other).values, impute(shipped, sparse).values)


@pytest.mark.parametrize("hiding", ["lattice", "scattered"])
def test_no_weight_depends_on_an_unmeasured_bin(hiding):
    """Of those in the region, between the measured ones around it, and beyond its margin."""
    config = RunConfig.preset(
        "fast", steps=2, batch=2, image_batch=1, symmetries=1, device="cpu", start_from="random", hiding=hiding
    )
    changed = counts()
    changed[~sample(region_map()).with_context().lattice_mask()] = 77
    first, second, context_gone = (
        fit([sample(each)], config) for each in (region_map(), region_map(changed), replace(region_map(), context=None))
    )
    for name, weight in first.weights.items():
        np.testing.assert_array_equal(weight, second.weights[name])
    assert any((weight != context_gone.weights[name]).any() for name, weight in first.weights.items())


def test_hiding_and_thinning_keep_the_context():
    sparse = sample(region_map())
    hidden = sparse.measured & (np.random.default_rng(0).random(sparse.measured.shape) < 0.2)
    gaps = sparse.without(hidden)
    np.testing.assert_array_equal(gaps.context, sparse.context)
    np.testing.assert_array_equal(gaps.values[sparse.context], sparse.values[sparse.context])
    assert not gaps.values[hidden].any()
    np.testing.assert_array_equal(sparse.thinned().context, sparse.context[::2, ::2])
    np.testing.assert_array_equal(sparse.thinned().tissue, sparse.measured)


def test_a_finer_grid_has_a_context_as_well(shipped):
    fine, everywhere = refine(region_map()), refine(whole_map())
    assert fine.context.any()
    inside = border(fine.tissue, 8)
    whole, with_context, without = (
        impute(shipped, each).values for each in (everywhere, fine, replace(fine, context=None))
    )
    assert np.abs(with_context - whole)[inside].mean() < 0.2 * np.abs(without - whole)[inside].mean()
    assert not with_context[~fine.tissue].any()


def test_the_normalisation_of_a_region_is_the_same_with_its_context():
    totals = np.random.default_rng(2).poisson(40, SHAPE) + np.arange(SHAPE[1])
    sparse = sample(restrict(replace(whole_map(), totals=totals), REGION))
    alone = sample(replace(restrict(replace(whole_map(), totals=totals), REGION), context=None))
    space = sparse.normalisation("median-log1p")
    assert space == alone.normalisation("median-log1p")
    assert sparse.with_context().normalisation("median-log1p") == space
    assert around_tissue(sparse).sparse.normalisation("median-log1p") == space


def test_the_rectangle_around_a_region_holds_its_context_and_little_more():
    sparse = sample(region_map())
    part = around_tissue(sparse, align=8).sparse
    assert isinstance(part, SparseMap)
    np.testing.assert_array_equal(part.context.sum(), sparse.context.sum())
    lattice = [length // 2 + 2 * CONTEXT_LATTICE + 2 * 8 for length in (24, 30)]
    assert all(length <= most for length, most in zip(part.values.shape, lattice, strict=True))


def test_two_regions_whose_contexts_do_not_meet_are_two_parts():
    values = np.random.default_rng(0).poisson(4, (100, 300)).astype(np.float32)
    ends = [Region(name, box(x, 800, x + 300, 1200)) for name, x in (("left", 100), ("right", 5600))]
    parts = tissue_parts(sample(restrict(GeneMap(values, bin_um=BIN_UM), ends)), gap=4, align=8)
    assert len(parts) == 2
    assert all(part.sparse.context.any() for part in parts)


def test_a_region_smaller_than_half_a_patch_is_seen_from_several_places():
    import torch

    from napari_s2sst.engine.training.patches import SlidePatches

    sparse = sample(region_map())
    nothing = [np.zeros(sparse.measured.shape, bool)]

    def positions(of: SparseMap) -> SlidePatches:
        return SlidePatches(
            [of], 32, normalisation="log1p", held_out=nothing, rng=np.random.default_rng(0), device=torch.device("cpu")
        )

    patches = positions(sparse)
    assert patches.steps_per_epoch(1) > 100
    assert positions(replace(sparse, context=None)).steps_per_epoch(1) == 1
    drawn = patches.draw(16)
    assert (drawn.target.sum((1, 2, 3)) >= sparse.measured.sum() / 2).all()
    assert (drawn.measured.sum((1, 2, 3)) > drawn.target.sum((1, 2, 3))).all()
