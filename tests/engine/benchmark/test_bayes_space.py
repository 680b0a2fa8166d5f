from dataclasses import fields, replace
from itertools import product

import numpy as np
import pytest

from napari_s2sst import GeneMap, interpolate, sample, score
from napari_s2sst.engine.benchmark.bayes_space import Mcmc, bayes_space, k_means, principal_components
from napari_s2sst.engine.benchmark.potts import GAMMA, JITTER_PRIOR, Chain, enhance, subspots_of
from napari_s2sst.engine.errors import TrainingError


def poisson_panel(means, seed=0, tissue=None) -> list[GeneMap]:
    """Maps of counts with these (genes, rows, columns) means."""
    counts = np.random.default_rng(seed).poisson(means)
    return [GeneMap(gene, tissue, gene=f"G{row}") for row, gene in enumerate(counts)]


def waves(rows=48, columns=60) -> np.ndarray:
    """(genes, rows, columns) means that change smoothly; neighbouring bins are nearly alike."""
    y, x = np.mgrid[:rows, :columns]
    shapes = [np.sin(y / 9), np.cos(x / 11), np.sin((x + y) / 13), np.cos((x - y) / 10), np.sin(x / 8) * np.cos(y / 12)]
    return np.stack([40 * np.exp(shape) for shape in shapes])


def spread_of(maps, wanted, **settings):
    how = {name: settings.pop(name) for name in [field.name for field in fields(Mcmc)] if name in settings}
    chain = Mcmc(**{"iterations": 60, "clusters": 4, **how})
    return bayes_space([sample(gene) for gene in maps], wanted, chain=chain, **settings)


def chain_of(rows, columns, spots, labels, *, clusters, stride=2, gamma=GAMMA, seed=0) -> Chain:
    subspots = subspots_of(sample(GeneMap(np.ones((rows, columns))), stride))
    return Chain(spots, labels, subspots, clusters=clusters, gamma=gamma, seed=seed)


# The sub-spots


@pytest.mark.parametrize(("stride", "phase"), [(2, (0, 0)), (2, (1, 0)), (3, (1, 2)), (4, (3, 1))])
def test_every_bin_gets_its_spot_and_a_spot_holds_its_own_bin(stride, phase):
    sparse = sample(GeneMap(np.ones((23, 26))), stride, phase)
    subspots = subspots_of(sparse)
    number = np.broadcast_to(np.arange(sparse.measured.sum()), subspots.used.shape)
    owner = subspots.on_grid(number).reshape(23, 26)
    assert (owner[sparse.lattice_mask()] == np.arange(sparse.measured.sum())).all()
    spot_at = np.argwhere(sparse.lattice_mask())
    inner = np.s_[stride:-stride, stride:-stride]
    away = np.abs(np.indices((23, 26)) - spot_at[owner].transpose(2, 0, 1))[:, *inner]
    assert away.max() == stride // 2
    assert (subspots.at[(stride - 1) // 2 * (stride + 1)] == spot_at).all()


def test_a_bin_whose_own_spot_lies_on_glass_gets_the_nearest():
    tissue = np.zeros((16, 16), bool)
    tissue[3:14, 3:14] = True
    sparse = sample(GeneMap(np.ones((16, 16)), tissue), 2)
    subspots = subspots_of(sparse)
    owner = subspots.on_grid(np.broadcast_to(np.arange(sparse.measured.sum()), subspots.used.shape))
    corner = owner[np.flatnonzero((np.argwhere(tissue) == (3, 3)).all(1))[0]]
    assert tuple(np.argwhere(sparse.lattice_mask())[corner]) == (4, 4)


# The sampler


def test_without_smoothness_and_differences_every_label_is_as_likely_and_knows_no_neighbour():
    spots = np.random.default_rng(0).standard_normal((400, 2))
    chain = chain_of(40, 40, spots, np.zeros(400, int), clusters=3, gamma=0.0)
    chain.settle(np.zeros((2, 3)), np.eye(2))
    shares, alike = [], []
    for turn in range(400):
        chain.update_labels()
        if turn >= 20:
            grid = chain._map.reshape(42, 42)[1:-1, 1:-1]
            shares.append(np.bincount(grid.ravel(), minlength=3) / grid.size)
            alike.append((grid[1:] == grid[:-1]).mean())
    assert np.mean(shares, axis=0) == pytest.approx([1 / 3] * 3, abs=0.01)
    assert np.mean(alike) == pytest.approx(1 / 3, abs=0.01)


def test_without_smoothness_a_label_is_drawn_by_its_distance_alone():
    spots = np.random.default_rng(0).standard_normal((400, 2))
    chain = chain_of(40, 40, spots, np.zeros(400, int), clusters=3, gamma=0.0)
    means = np.array([[0.0, 1.0, -0.5], [0.3, 0.0, -1.0]])
    chain.settle(means, np.eye(2))
    found = np.zeros((1600, 3))
    for turn in range(2000):
        chain.update_labels()
        # The chain's own distances are to the present label's mean, as another step has worked them out.
        chain.settle(means, np.eye(2))
        if turn >= 20:
            found[np.arange(1600), chain.labels] += 1
    likelihood = np.exp(-0.5 * ((spots[:, None] - means.T) ** 2).sum(-1))
    expected = np.tile(likelihood / likelihood.sum(1, keepdims=True), (4, 1))
    assert np.abs(found / found.sum(1, keepdims=True) - expected).mean() < 0.01


def test_labels_without_data_come_as_often_as_the_potts_model_says():
    """A tissue of 2 x 3 bins and 3 labels has 729 states, of which each has a known probability."""
    tissue = np.zeros((8, 8), bool)
    tissue[2:4, 2:5] = True
    subspots = subspots_of(sample(GeneMap(np.ones((8, 8)), tissue), 2))
    chain = Chain(np.array([[-1.0], [1.0]]), np.zeros(2, int), subspots, clusters=3, gamma=1.6)
    chain.settle(np.zeros((1, 3)), np.eye(1))

    def alike(grid):
        return (grid[1:] == grid[:-1]).sum() + (grid[:, 1:] == grid[:, :-1]).sum()

    states = [alike(np.array(state).reshape(2, 3)) for state in product(range(3), repeat=6)]
    weight = np.exp(2 * 1.6 / 4 * np.array(states))
    expected = np.bincount(states, weights=weight, minlength=8) / weight.sum()
    found = np.zeros(8)
    for _ in range(12_000):
        chain.update_labels()
        found[alike(chain._map.reshape(10, 10)[3:5, 3:6])] += 1
    assert found / found.sum() == pytest.approx(expected, abs=0.02)


def test_components_with_their_clusters_fixed_have_the_known_normal_distribution():
    """Precision p and pull 2 c: offsets average p / (p + 2 c) of the clusters' differences, with variance 3/4 / (p + 2 c)."""
    spots = np.random.default_rng(0).standard_normal((400, 2))
    chain = chain_of(40, 40, spots, np.zeros(400, int), clusters=2)
    chain.labels[:400] = 1  # the first of every spot's four sub-spots
    means, precision, pull = np.array([[0.0, 0.8], [0.0, -0.4]]), 4.0, 1 / (JITTER_PRIOR * spots.var(axis=0).mean())
    chain.settle(means, np.sqrt(precision) * np.eye(2))
    chain.jitter = 1.0
    kept = []
    for turn in range(600):
        chain.update_components()
        if turn >= 100:
            kept.append(chain.components.reshape(2, 4, 400) - spots.T[:, None])
    shrink = precision / (precision + pull)
    assert np.mean(kept, axis=(0, 3))[:, 0] == pytest.approx(shrink * 0.75 * means[:, 1], abs=0.01)
    assert np.mean(kept, axis=(0, 3))[:, 1] == pytest.approx(-shrink * 0.25 * means[:, 1], abs=0.01)
    assert np.var(kept, axis=(0, 3)) == pytest.approx(0.75 / (precision + pull), rel=0.05)


def test_the_mean_of_a_spots_components_stays_the_spots():
    spots = np.random.default_rng(0).standard_normal((400, 3))
    subspots = subspots_of(sample(GeneMap(np.ones((40, 40)))))
    start = k_means(spots, 4, np.random.default_rng(0))
    found = enhance(spots, start, subspots, clusters=4, iterations=300, burn_in=30)
    assert found.components.std(axis=1).mean() > 0.01
    assert np.abs(found.components.mean(axis=1) - spots.T).max() < 1e-4


def test_jitters_are_accepted_as_often_as_the_program_wants():
    spots = np.random.default_rng(0).standard_normal((400, 3))
    subspots = subspots_of(sample(GeneMap(np.ones((40, 40)))))
    found = enhance(spots, np.zeros(400, int), subspots, clusters=2, iterations=600, burn_in=300)
    assert 0.25 <= found.accepted <= 0.4


@pytest.mark.parametrize("stride", [2, 3])
def test_two_domains_with_a_straight_border_are_told_apart_at_the_sub_spots(stride):
    left = np.arange(60) < 31
    pairs = [(30, 8), (8, 30), (20, 10), (15, 15)]
    means = np.stack([np.where(left, here, there) * np.ones((48, 60)) for here, there in pairs])
    sparse = [sample(gene, stride) for gene in poisson_panel(means)]
    panel = np.stack([gene.normalised("log1p")[gene.measured] for gene in sparse], axis=1)
    spots, subspots = principal_components(panel, 15), subspots_of(sparse[0])
    start = k_means(spots, 2, np.random.default_rng(0))
    found = enhance(spots, start, subspots, clusters=2, iterations=400, burn_in=100)
    labels = subspots.on_grid(found.labels).reshape(48, 60)
    right = (labels == left).mean()
    assert max(right, 1 - right) > 0.95


# The maps


def test_a_constant_map_comes_back_constant():
    maps = [GeneMap(np.full((20, 24), counts), gene=f"G{counts}") for counts in (3.0, 7.0)]
    found = spread_of(maps, [1, 0])
    assert [gene.gene for gene in found] == ["G7.0", "G3.0"]
    assert found[0].values == pytest.approx(np.full((20, 24), np.log(8)), abs=1e-5)
    assert found[1].values == pytest.approx(np.full((20, 24), np.log(4)), abs=1e-5)


def test_a_smooth_map_is_told_far_better_than_by_its_mean_and_as_well_as_by_the_nearest_bin():
    maps = poisson_panel(waves())
    for gene, found in zip(maps, spread_of(maps, range(5), iterations=400), strict=True):
        sparse = sample(gene)
        error = score(found, truth=gene, sparse=sparse).mae_unmeasured
        truth = np.log1p(gene.values)
        away = ~sparse.lattice_mask()
        assert error < 0.6 * np.abs(truth[away] - truth[sparse.lattice_mask()].mean()).mean()
        assert error < 1.1 * score(interpolate(sparse, "nearest"), truth=gene, sparse=sparse).mae_unmeasured


@pytest.mark.parametrize("normalisation", ["none", "log1p"])
def test_measured_bins_are_put_back_to_the_bit(normalisation):
    maps = poisson_panel(waves())
    sparse = sample(maps[2])
    found = spread_of(maps, [2], normalisation=normalisation)[0]
    assert (found.values[sparse.lattice_mask()] == sparse.normalised(normalisation).ravel()).all()


def test_changing_every_unmeasured_bin_changes_nothing():
    maps = poisson_panel(waves())
    away = ~sample(maps[0]).lattice_mask()
    other = [replace(gene, values=np.where(away, 1000.0, gene.values)) for gene in maps]
    assert (spread_of(maps, [0])[0].values == spread_of(other, [0])[0].values).all()


def test_the_same_seed_gives_the_same_map_and_another_one_another():
    maps = poisson_panel(waves())
    first, again, other = (spread_of(maps, [0], seed=seed)[0].values for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_nothing_lies_below_zero_or_outside_the_tissue_and_the_map_keeps_its_place():
    y, x = np.mgrid[:48, :60]
    tissue = np.hypot(y - 24, x - 30) < 21
    maps = [replace(gene, origin_um=(40.0, 20.0), bin_um=16.0) for gene in poisson_panel(waves() / 80, tissue=tissue)]
    found = spread_of(maps, [0])[0]
    assert (found.values >= 0).all()
    assert not found.values[~tissue].any()
    assert (found.values[tissue & ~sample(maps[0]).lattice_mask()] > 0).mean() > 0.5
    assert (found.origin_um, found.bin_um, found.normalisation.kind) == ((40.0, 20.0), 16.0, "log1p")


@pytest.mark.parametrize("genes", [1, 2])
def test_a_panel_with_fewer_genes_than_components_works(genes):
    maps = poisson_panel(waves())[:genes]
    found = spread_of(maps, [genes - 1])[0]
    assert score(found, truth=maps[-1], sparse=sample(maps[-1])).pcc_unmeasured > 0.5


def test_one_cluster_and_one_component_are_enough():
    maps = poisson_panel(waves())
    assert np.isfinite(spread_of(maps, [0], clusters=1, components=1)[0].values).all()


def test_progress_is_told_to_the_last_iteration():
    steps = []
    spread_of(poisson_panel(waves())[:2], [0], on_step=lambda *step: steps.append(step))
    assert steps == [(50, 60), (60, 60)]


@pytest.mark.parametrize(
    "other",
    [
        lambda gene: sample(gene, 3),
        lambda gene: sample(gene, 2, (1, 0)),
        lambda gene: sample(GeneMap(gene.values, np.arange(60) < np.full((48, 1), 40)), 2),
    ],
    ids=["stride", "phase", "tissue"],
)
def test_maps_of_different_lattices_are_refused(other):
    maps = poisson_panel(waves())
    with pytest.raises(TrainingError, match="different lattices"):
        bayes_space([sample(maps[0]), other(maps[1])], [0])


@pytest.mark.parametrize(
    ("wanted", "settings", "words"),
    [
        ([5], {}, "no map 5"),
        ([0], {"iterations": 10, "burn_in": 10}, "burn-in of 10"),
        ([0], {"clusters": 0}, "0 clusters"),
    ],
)
def test_numbers_out_of_range_are_refused_with_the_number(wanted, settings, words):
    with pytest.raises(TrainingError, match=words):
        spread_of(poisson_panel(waves()), wanted, **settings)


def test_no_map_at_all_is_refused():
    with pytest.raises(TrainingError, match="no measured bin"):
        bayes_space([], [0])
