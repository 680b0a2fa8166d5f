from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_s2sst import GeneMap, RunConfig, fit, impute, sample
from napari_s2sst.engine.config import ImputationConfig
from napari_s2sst.engine.imputing.impute import impute_with, predict
from napari_s2sst.engine.network.cdcin import CDCIN


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    y, x = np.mgrid[:61, :75] / 8
    return np.random.default_rng(0).poisson(5 * (1.2 + np.sin(x) * np.cos(y))).astype(np.float32)


def network(stride: int = 2, preset: str = "fast", **settings) -> CDCIN:
    """With weights large enough that every part matters."""
    torch.manual_seed(0)
    made = CDCIN(RunConfig.preset(preset, **settings).network, stride).eval()
    for cascade in made.cascades:
        torch.nn.init.normal_(cascade.last.weight, std=0.02)
    return made


@pytest.mark.parametrize("phase", [(0, 0), (1, 1), (0, 1)])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_measured_bins_come_out_bit_exact(counts, stride, phase):
    sparse = sample(GeneMap(counts), stride, phase)
    imputed = impute_with(network(stride), sparse, ImputationConfig(symmetries=8), kind="log1p")
    assert np.array_equal(
        imputed.values[sparse.lattice_mask()], np.log1p(counts[phase[0] :: stride, phase[1] :: stride]).ravel()
    )
    assert (imputed.uncertainty[sparse.lattice_mask()] == 0).all()


@pytest.mark.parametrize("phase", [(0, 0), (1, 1), (1, 0)])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_every_symmetry_keeps_each_bin_in_its_place(stride, phase):
    y, x = np.mgrid[:61, :75]
    slope = (0.03 * y + 0.05 * x).astype(np.float32)
    made = network(stride)
    for cascade in made.cascades:  # leaves the bilinear start, which is exact on a slope
        torch.nn.init.zeros_(cascade.last.weight)
    found = predict(
        made, sample(GeneMap(slope), stride, phase), ImputationConfig(symmetries=8, overlap="hann"), kind="none"
    )
    inner = np.s_[2 * stride : -2 * stride, 2 * stride : -2 * stride]
    for estimate in found[:, 0]:
        np.testing.assert_allclose(estimate[inner], slope[inner], atol=2e-3)


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_turning_the_slide_turns_the_result(counts, turn):
    made, config = network(), ImputationConfig(symmetries=8, overlap="hann")
    straight, turned = (
        impute_with(made, sample(GeneMap(values)), config, kind="log1p") for values in (counts, np.rot90(counts, turn))
    )
    np.testing.assert_allclose(turned.values, np.rot90(straight.values, turn), atol=2e-4)


def test_a_constant_map_comes_back_constant():
    made = network()
    for cascade in made.cascades:
        torch.nn.init.zeros_(cascade.last.weight)
    imputed = impute_with(made, sample(GeneMap(np.full((50, 50), 3.0))), ImputationConfig(), kind="log1p")
    np.testing.assert_allclose(imputed.values, np.log1p(3.0), rtol=1e-5)


def test_every_tissue_bin_gets_a_value_and_no_other(counts):
    tissue = np.zeros(counts.shape, bool)
    tissue[5:50, 8:60] = True
    imputed = impute_with(network(), sample(GeneMap(counts, tissue)), ImputationConfig(), kind="log1p")
    assert np.isfinite(imputed.values).all()
    assert not imputed.values[~tissue].any()
    assert imputed.uncertainty[tissue & ~sample(GeneMap(counts, tissue)).lattice_mask()].min() >= 0


def test_the_estimate_lies_within_its_interval(counts):
    imputed = impute_with(network(), sample(GeneMap(counts)), ImputationConfig(), kind="log1p")
    assert (imputed.lower <= imputed.values).all()
    assert (imputed.values <= imputed.upper).all()


def test_no_logarithm_of_counts_is_negative():
    counts = np.random.default_rng(0).poisson(0.05, (64, 64))
    imputed = impute_with(network(), sample(GeneMap(counts)), ImputationConfig(map_share=1.0), kind="log1p")
    assert imputed.values.min() >= 0
    assert imputed.lower.min() >= 0


def test_the_papers_network_tells_its_uncertainty_by_the_lattices_symmetries(counts):
    made = network(preset="paper", blocks=1, cascades=1)
    imputed = impute_with(made, sample(GeneMap(counts)), ImputationConfig(overlap="hann"), kind="log1p")
    unmeasured = ~sample(GeneMap(counts)).lattice_mask()
    assert (imputed.uncertainty[unmeasured] > 0).mean() > 0.9  # both ends may be cut off at no counts


def test_overlapping_tiles_leave_no_seam():
    rng = np.random.default_rng(0)
    sparse = sample(GeneMap(rng.poisson(20, (200, 200))))
    small, large = (
        predict(network(), sparse, ImputationConfig(tile_bins=tile, overlap="hann"), kind="log1p")[0, 0]
        for tile in (64, 256)
    )
    assert np.abs(small - large).mean() < 0.005 * np.ptp(large)


def test_the_map_keeps_its_place_and_name(counts):
    gene_map = GeneMap(counts, gene="LTF", bin_um=16.0, origin_um=(32.0, 48.0))
    sparse = sample(gene_map)
    imputed = impute(fit([sparse], RunConfig.preset("fast", steps=1, device="cpu", start_from="random")), sparse)
    assert (imputed.gene, imputed.bin_um, imputed.origin_um) == ("LTF", 16.0, (32.0, 48.0))
    assert imputed.normalisation.kind == "log1p"


def test_a_model_from_a_machine_with_another_device_works_here(counts):
    sparse = sample(GeneMap(counts))
    config = RunConfig.preset("fast", steps=1, batch=1, image_batch=1, symmetries=1, device="cpu", start_from="random")
    trained = fit([sparse], config)
    moved = replace(trained, config=trained.config.changed(device="cuda:7"))
    assert np.array_equal(impute(moved, sparse).values, impute(trained, sparse).values)
