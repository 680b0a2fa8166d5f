from dataclasses import fields

import numpy as np
import pytest
import torch

from napari_s2sst import GeneMap, sample, score
from napari_s2sst.engine.benchmark import dist as module
from napari_s2sst.engine.benchmark.dist import DistNetwork, DistTraining, dist, frequent
from napari_s2sst.engine.classical.methods import interpolate
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.sampling.lattice import lattice

SIDE = 48


def waves(genes=4, shape=(SIDE, SIDE + 5), seed=0, length=24) -> list[np.ndarray]:
    """Smooth maps between 0 and 4, a wave of ``length`` bins in another direction for each gene."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    angles, phases = rng.uniform(0, np.pi, (2, genes))
    return [
        2 + 2 * np.sin((np.sin(a) * y + np.cos(a) * x) * 2 * np.pi / length + p)
        for a, p in zip(angles, phases, strict=True)
    ]


def disc(shape=(SIDE, SIDE + 5)) -> np.ndarray:
    y, x = np.indices(shape)
    return np.hypot(y - shape[0] / 2, x - shape[1] / 2) < 0.45 * min(shape)


def run(maps, wanted=(0,), **settings):
    how = {name: settings.pop(name) for name in [field.name for field in fields(DistTraining)] if name in settings}
    training = DistTraining(**{"seconds": None, "steps": 20} | how)
    return dist(maps, wanted, **{"normalisation": "none", "device": "cpu"} | settings, training=training)


def test_a_constant_map_comes_back_constant():
    sparse = sample(GeneMap(np.full((SIDE // 2, SIDE // 2), 3.0)))
    (found,) = run([sparse], steps=150)
    np.testing.assert_allclose(found.values, 3.0, atol=0.1)


@pytest.mark.parametrize("stride", [2, 3])
def test_smooth_maps_are_told_better_than_by_their_nearest_bins(stride):
    truths = [GeneMap(values) for values in waves(shape=(32 * stride, 32 * stride + 5), length=6 * stride**2)]
    sparse = [sample(truth, stride) for truth in truths]
    found = run(sparse, range(4), steps=100)
    for imputed, truth, lattice_map in zip(found, truths, sparse, strict=True):
        ours = score(imputed, truth=truth, sparse=lattice_map)
        nearest = score(interpolate(lattice_map, "nearest", "none"), truth=truth, sparse=lattice_map)
        assert ours.mae_unmeasured < 0.8 * nearest.mae_unmeasured


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_measured_bins_come_back_bit_for_bit(stride):
    counts = np.random.default_rng(1).poisson(3.0, (SIDE + 1, SIDE + 6)).astype(np.float32)
    sparse = sample(GeneMap(counts, disc(counts.shape)), stride, (1, stride - 1))
    (found,) = run([sparse], normalisation="log1p")
    at = sparse.lattice_mask()
    assert (found.values[at] == sparse.normalised("log1p")[sparse.measured]).all()


def test_changing_every_unmeasured_bin_changes_nothing():
    values, tissue = waves(1)[0], disc()
    others = np.where(lattice(values.shape, 2), values, 7.0)
    one, other = (run([sample(GeneMap(dense, tissue))])[0].values for dense in (values, others))
    assert (one == other).all()


def test_the_same_seed_gives_the_same_map_and_another_seed_another():
    maps = [sample(GeneMap(values)) for values in waves()]
    one, same, other = (run(maps, batch_genes=3, seed=seed)[0].values for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()


def test_the_seed_of_others_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    run([sample(GeneMap(waves(1)[0]))], steps=1)
    assert torch.rand(1) == expected


def test_the_result_is_zero_outside_the_tissue_and_never_below_zero():
    tissue = disc()
    maps = [sample(GeneMap(np.random.default_rng(2).poisson(0.2, tissue.shape), tissue))]
    (found,) = run(maps, normalisation="log1p")
    assert (found.values[~tissue] == 0).all()
    assert found.values.min() == 0


def test_values_below_zero_are_imputed_where_such_were_measured():
    (found,) = run([sample(GeneMap(waves(1)[0] - 4))])
    assert np.median(found.values[1::2, 1::2]) < -1


def test_the_result_is_in_the_place_and_the_space_of_its_map():
    truth = GeneMap(waves(1)[0], gene="LTF", bin_um=16.0, origin_um=(5.0, 7.0), totals=np.full((SIDE, SIDE + 5), 50.0))
    (found,) = run([sample(truth)], normalisation="median-log1p")
    assert (found.gene, found.bin_um, found.origin_um, found.shape) == ("LTF", 16.0, (5.0, 7.0), truth.shape)
    assert found.normalisation.median_total == 50


def test_the_wanted_maps_come_back_in_the_order_they_were_asked_for():
    maps = [sample(GeneMap(values, gene=str(i))) for i, values in enumerate(waves())]
    assert [found.gene for found in run(maps, (3, 1), steps=1)] == ["3", "1"]


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_network_has_the_layers_of_the_paper(stride):
    """3x3 convolutions: 1 -> 64, five 64 -> 64, and 64 -> S*S, each with a bias."""
    network = DistNetwork(stride)
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [layer.out_channels for layer in layers] == [64] * 6 + [stride**2]
    assert {layer.kernel_size for layer in layers} == {(3, 3)}
    parameters = sum(weights.numel() for weights in network.parameters())
    assert parameters == (9 + 1) * 64 + 5 * (9 * 64 + 1) * 64 + (9 * 64 + 1) * stride**2
    assert parameters == {2: 187_588, 3: 190_473, 4: 194_512}[stride]


@pytest.mark.parametrize("phase", [(0, 0), (1, 0), (0, 2), (2, 1)])
def test_a_network_that_adds_nothing_repeats_every_measured_bin_in_the_block_it_starts(phase):
    values = np.arange(20.0 * 23).reshape(20, 23)
    network = DistNetwork(3)
    torch.nn.init.zeros_(network.reconstruct.weight)
    torch.nn.init.zeros_(network.reconstruct.bias)
    found = module._impute(network, sample(GeneMap(values), 3, phase), "none", torch.device("cpu"), "float32")
    row, column = (np.maximum((np.arange(n) - p) // 3 * 3 + p, p) for n, p in zip(values.shape, phase, strict=True))
    np.testing.assert_array_equal(found.values, values[np.ix_(row, column)])


def test_bins_outside_the_tissue_teach_nothing():
    """Their error is masked: the network that is right in the tissue has no loss."""
    tissue = disc()
    sparse = sample(GeneMap(np.full(tissue.shape, 2.0), tissue))
    pairs = module._pairs([sparse], "none", torch.device("cpu"))
    wrong = torch.where(torch.tensor(sparse.measured), pairs.sparse, 9.0)
    network = DistNetwork(2)
    torch.nn.init.zeros_(network.reconstruct.weight)
    torch.nn.init.zeros_(network.reconstruct.bias)
    spoilt = module.Pairs(pairs.sparser, wrong, pairs.measured)
    assert module._backward(network, spoilt, torch.tensor([0]), "float32") == 0


def test_a_batch_in_parts_has_the_gradients_of_the_whole():
    pairs = module._pairs([sample(GeneMap(values)) for values in waves()], "none", torch.device("cpu"))
    gradients = []
    for bins in (10**6, 1):
        network = DistNetwork(2)
        network.initialise(torch.Generator().manual_seed(0))
        module._backward(network, pairs, torch.arange(4), "float32", bins)
        gradients.append(network.reconstruct.weight.grad)
    torch.testing.assert_close(*gradients)


def test_genes_seen_in_more_than_a_tenth_of_the_measured_bins_are_trained_on():
    seen = [np.arange(400).reshape(20, 20) % every == 0 for every in (1, 30, 5)]
    maps = [sample(GeneMap(np.kron(some, np.ones((2, 2))))) for some in seen]
    assert frequent(maps) == [0, 2]


def test_the_most_frequent_genes_are_trained_on_where_none_is_seen_that_often():
    maps = []
    for number in range(module.MOST_FREQUENT + 2):
        values = np.zeros((40, 40))
        values[0, : 2 * number + 1 : 2] = 1
        maps.append(sample(GeneMap(values)))
    assert frequent(maps) == list(range(2, module.MOST_FREQUENT + 2))
    assert run(maps, steps=1)


def test_training_ends_after_the_paper_s_epochs():
    told = []
    maps = [sample(GeneMap(values)) for values in waves()]
    run(maps, steps=None, epochs=3, batch_genes=3, on_step=lambda *step: told.append(step))
    assert told == [(done, 6) for done in range(1, 7)]


def test_the_seconds_become_steps_and_the_last_step_says_so():
    told = []
    run([sample(GeneMap(waves(1)[0]))], steps=10**6, seconds=0.5, on_step=lambda *step: told.append(step))
    assert 1 < told[-1][0] < 10**5
    assert told[-1][0] == told[-1][1]


@pytest.mark.parametrize(
    ("maps", "wanted", "settings", "says"),
    [
        ([], (), {}, "there is none"),
        ([(2, (0, 0)), (2, (1, 0))], (0,), {}, "one stride, phase and tissue"),
        ([(2, (0, 0)), (3, (0, 0))], (0,), {}, "one stride, phase and tissue"),
        ([(2, (0, 0))], (1,), {}, "no map 1 among the 1"),
        ([(2, (0, 0))], (0,), {"steps": 0}, "choose 1 or more"),
        ([(2, (0, 0))], (0,), {"learning_rate": 1e30}, "diverged"),
    ],
)
def test_bad_input_is_told_in_a_sentence(maps, wanted, settings, says):
    sparse = [sample(GeneMap(waves(1)[0]), *lattice_of) for lattice_of in maps]
    with pytest.raises(TrainingError, match=says):
        run(sparse, wanted, **settings)


def test_maps_of_different_tissue_are_refused():
    values = waves(1)[0]
    with pytest.raises(TrainingError, match="tissue"):
        run([sample(GeneMap(values)), sample(GeneMap(values, disc()))])


def test_too_small_a_tissue_to_thin_is_refused():
    tissue = np.zeros((SIDE, SIDE), bool)
    tissue[10, 10] = True
    with pytest.raises(TrainingError, match="larger region"):
        run([sample(GeneMap(np.ones((SIDE, SIDE)), tissue))])
