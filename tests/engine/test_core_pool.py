import threading

import numpy as np
import pytest
import torch

from napari_s2sst import GeneMap, RunConfig, fit, sample
from napari_s2sst.engine.device import CORES
from napari_s2sst.engine.network.cdcin import CDCIN
from napari_s2sst.engine.threads import CorePool, one_thread, set_gradients
from napari_s2sst.engine.training.objective import Objective
from napari_s2sst.engine.training.patches import SlidePatches

CPU = torch.device("cpu")


@pytest.mark.parametrize("preset", ["fast", "paper"])
def test_gradients_of_the_parts_add_up_to_those_of_the_whole_batch(preset):
    small = {"blocks": 1, "channels": 8, "growth": 8, "batch": 3, "image_batch": 2, "precision": "float32"}
    config = RunConfig.preset(preset, **small)
    truth = GeneMap(values=np.random.default_rng(0).poisson(2.0, (80, 90)).astype(np.float32), gene="A", bin_um=20.0)
    sparse = sample(truth, stride=2)
    rng = np.random.default_rng(0)
    patches = SlidePatches(
        [sparse], 32, normalisation="log1p", held_out=[np.zeros(sparse.measured.shape, bool)], rng=rng, device=CPU
    )
    objective = Objective([sparse], config, 32, rng, CPU)
    torch.manual_seed(0)
    network = CDCIN(config.network, 2)
    weights = list(network.parameters())
    batch = objective.batch(patches.draw(3))

    def gradients(part):
        terms = objective(network, part)
        return torch.autograd.grad(sum(weight * term for weight, term in terms.values()), weights)

    set_gradients(weights, [gradients(part) for part in batch.parts(2)])
    for weight, whole in zip(weights, gradients(batch), strict=True):
        assert torch.allclose(weight.grad, whole, rtol=1e-3, atol=1e-5)


def test_gradients_take_the_memory_order_of_their_weights():
    weight = torch.zeros(4, 3, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    set_gradients([weight], [[torch.ones(4, 3, 5, 5)], [torch.ones(4, 3, 5, 5)]])
    assert weight.grad.stride() == weight.stride()
    assert torch.equal(weight.grad, torch.full((4, 3, 5, 5), 2.0))


def test_results_come_in_the_order_of_the_parts_from_threads_of_their_own():
    with CorePool(2, CPU) as cores:
        found = cores.map(lambda part: (part, threading.get_ident(), torch.get_num_threads()), range(6))
    assert [part for part, _, _ in found] == list(range(6))
    assert threading.get_ident() not in {thread for _, thread, _ in found}
    assert {threads for _, _, threads in found} == {max(1, CORES // cores.count)}


def test_no_more_parts_than_the_work_has():
    assert CorePool(1, CPU).count == 1


def test_the_threads_of_the_caller_are_as_before():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_weights_do_not_depend_on_how_many_threads_the_caller_has():
    """It has fewer after a run: torch gives new threads what was set last. On a map large enough to be added up by several."""
    y, x = np.mgrid[:901, :703]
    counts = np.random.default_rng(0).poisson(3 + 2 * np.sin(y / 60) * np.cos(x / 50))
    sparse, before = sample(GeneMap(counts)), torch.get_num_threads()
    config = RunConfig.preset("fast", steps=2, batch=2, image_batch=1, classical_share=0.0, device="cpu")
    found = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(fit([sparse], config).weights)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
