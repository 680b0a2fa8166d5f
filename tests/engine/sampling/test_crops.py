"""A small region costs little, and its estimates stay what they are on the whole map."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_s2sst import GeneMap, RunConfig, fit, sample
from napari_s2sst.engine.config import ImputationConfig
from napari_s2sst.engine.imputing.impute import BORDER_LATTICE, impute_with, predict
from napari_s2sst.engine.network.cdcin import CDCIN
from napari_s2sst.engine.network.inputs import VALUE_SCALE, noise_scale
from napari_s2sst.engine.sampling.crops import around_tissue, tissue_parts, whole_map

SHAPE = (171, 153)
CORNERS = [np.s_[:40, :30], np.s_[60:101, 50:90], np.s_[131:, 120:], np.s_[90:, :20]]


@pytest.fixture(scope="module")
def counts() -> np.ndarray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] / 8
    return np.random.default_rng(0).poisson(5 * (1.2 + np.sin(x) * np.cos(y))).astype(np.float32)


@pytest.fixture(scope="module")
def shipped(counts) -> CDCIN:
    config = RunConfig.preset("instant", device="cpu")
    return fit([sample(GeneMap(counts))], config).network(torch.device("cpu"))


def tissue_at(*places) -> np.ndarray:
    tissue = np.zeros(SHAPE, bool)
    for place in places:
        tissue[place] = True
    return tissue


def plain_pass(network: CDCIN, sparse) -> np.ndarray:
    """(outputs, rows, columns) of the whole lattice as one tile, with nothing left out."""
    values, measured = sparse.normalised("log1p") / VALUE_SCALE, sparse.measured.astype(np.float32)
    unit = noise_scale(*(torch.from_numpy(part)[None, None] for part in (values, measured))).unit
    seen = [torch.from_numpy(np.pad(part, BORDER_LATTICE, mode="symmetric"))[None, None] for part in (values, measured)]
    with torch.inference_mode():
        whole = network(*seen, unit)[-1][0].numpy() * VALUE_SCALE
    begin = [BORDER_LATTICE * sparse.stride - phase for phase in sparse.phase]
    return whole[:, begin[0] : begin[0] + sparse.shape[0], begin[1] : begin[1] + sparse.shape[1]]


@pytest.mark.parametrize("place", CORNERS)
@pytest.mark.parametrize("phase", [(0, 0), (1, 0)])
def test_inside_a_region_the_network_says_what_it_says_on_the_whole_map(counts, shipped, place, phase):
    tissue = tissue_at(place)
    sparse = sample(GeneMap(counts, tissue), 2, phase)
    config = ImputationConfig(tile_bins=512, overlap="hann")
    found = predict(shipped, sparse, config, kind="log1p")[0]
    np.testing.assert_allclose(found[:, tissue], plain_pass(shipped, sparse)[:, tissue], atol=2e-6)


def test_two_regions_far_apart_are_predicted_as_though_together(counts, shipped):
    tissue = tissue_at(CORNERS[0], CORNERS[2])
    sparse = sample(GeneMap(counts, tissue))
    found = predict(shipped, sparse, ImputationConfig(tile_bins=512, overlap="hann"), kind="log1p")[0]
    assert len(tissue_parts(sparse, gap=28, align=8)) == 2
    np.testing.assert_allclose(found[:, tissue], plain_pass(shipped, sparse)[:, tissue], atol=2e-6)


def test_the_papers_tiles_lie_where_they_lie_on_the_whole_map(counts):
    torch.manual_seed(0)
    config = RunConfig.preset("paper", blocks=1, cascades=1, channels=8, growth=8)
    network = CDCIN(config.network, 2).eval()
    torch.nn.init.normal_(network.cascades[0].last.weight, std=0.02)
    tissue = tissue_at(np.s_[140:, :20])
    more = tissue_at(np.s_[140:, :20], np.s_[:20, 130:])  # farther away than a tile reaches
    small, large = (
        predict(network, sample(GeneMap(counts, part)), config.imputation, kind="log1p")[0, 0]
        for part in (tissue, more)
    )
    np.testing.assert_allclose(small[tissue], large[tissue], atol=1e-5)
    assert large[:10, 140:].all()
    assert not small[:10, 140:].any()  # no tile lies there


def test_nothing_is_imputed_outside_the_tissue(counts, shipped):
    tissue = tissue_at(CORNERS[1])
    config = RunConfig.preset("instant").imputation
    imputed = impute_with(shipped, sample(GeneMap(counts, tissue)), config, kind="log1p")
    for part in (imputed.values, imputed.lower, imputed.upper, imputed.uncertainty):
        assert part.shape == SHAPE
        assert not part[~tissue].any()
        assert part[tissue].any()


@pytest.mark.parametrize("stride", [2, 3, 4])
@pytest.mark.parametrize("place", CORNERS)
def test_the_rectangle_keeps_every_bin_at_its_place(counts, stride, place):
    tissue = tissue_at(place)
    sparse = sample(GeneMap(counts, tissue, origin_um=(100.0, 200.0)), stride, (1, 1))
    part = around_tissue(sparse, align=8)
    assert part.sparse.tissue.sum() == tissue.sum()
    assert part.sparse.measured.sum() == sparse.measured.sum()
    np.testing.assert_array_equal(part.cut(tissue), part.sparse.tissue)
    np.testing.assert_array_equal(part.cut(sparse.lattice_mask()), part.sparse.lattice_mask())
    np.testing.assert_array_equal(part.spread(part.sparse.tissue), tissue)
    corner = [sparse.origin_um[axis] + part.at[axis].start * sparse.bin_um for axis in (0, 1)]
    assert list(part.sparse.origin_um) == corner
    assert part.sparse.tissue.size < tissue.size or stride == 4  # whose margin is wide


def test_a_map_with_tissue_everywhere_is_not_cropped(counts):
    sparse = sample(GeneMap(counts))
    assert around_tissue(sparse, align=8).sparse is sparse
    assert [part.sparse for part in tissue_parts(sparse, gap=28, align=8)] == [sparse]
    assert whole_map(sparse).spread(counts) is counts


def test_no_two_parts_share_a_bin_and_all_tissue_is_in_them(counts):
    shape = (900, 700)
    tissue = ndimage.binary_dilation(np.random.default_rng(1).random(shape) < 2e-5, iterations=9)
    parts = tissue_parts(sample(GeneMap(tissue, tissue)), gap=4)
    owned = np.zeros(shape, int)
    for part in parts:
        owned[part.core] += 1
    assert len(parts) > 1
    assert owned.max() == 1
    assert owned[tissue].min() == 1


def test_a_part_keeps_the_whole_maps_normalisation(counts):
    tissue = tissue_at(CORNERS[0], CORNERS[2])
    totals = np.random.default_rng(2).poisson(40, SHAPE) + np.arange(SHAPE[1])
    sparse = sample(GeneMap(counts, tissue, totals=totals))
    whole = sparse.normalised("median-log1p")
    for part in tissue_parts(sparse, gap=28):
        lattice = tuple(slice(at.start // 2, -(-at.stop // 2)) for at in part.at)
        np.testing.assert_array_equal(part.sparse.normalised("median-log1p"), whole[lattice])
