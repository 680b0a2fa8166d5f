"""A batch that is too large for the memory is computed in parts, and teaches the same."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from napari_s2sst import GeneMap, RunConfig, sample
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.events import Recovered
from napari_s2sst.engine.training.loop import TrainingRun
from napari_s2sst.engine.training.mishaps import in_parts, is_shortage


def sparse_map():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:72, :80] / 12
    return sample(GeneMap(rng.poisson(6 * (1 + np.sin(x + np.cos(y)))).astype(np.float32), gene="G"))


def quick(**settings) -> RunConfig:
    small = dict(steps=4, batch=6, image_batch=3, patch_bins=32, blocks=1, channels=16, growth=8, device="cpu",
                 start_from="random", precision="float32")  # fmt: skip
    return RunConfig.preset("fast", **(small | settings))


class SmallMemory(TrainingRun):
    """A training on a device that has room for so many patches at once."""

    room = 2

    def _gradients(self, part):
        patches = len(part.slide.values) + len(part.pictures)
        if patches > self.room:
            raise torch.OutOfMemoryError(f"CUDA out of memory. Tried to allocate room for {patches} patches.")
        return super()._gradients(part)


def finished(run) -> tuple[list, object]:
    events, training = [], run.events()
    with run.cores:
        try:
            while True:
                events.append(next(training))
        except StopIteration as end:
            return events, end.value


@pytest.mark.parametrize("settings", [{}, {"image_batch": 0}, {"batch": 2, "image_batch": 5}, {"hiding": "lattice"}])
def test_parts_of_a_batch_have_the_gradients_of_the_whole(settings):
    run = TrainingRun([sparse_map()], quick(**settings))
    batch = run.objective.batch(run.patches.draw(run.training.batch))
    whole = run._gradients(batch)[1]
    found, count = in_parts(run.cores, run._gradients, batch, max(run.training.batch, run.training.image_batch))
    assert count == len(found)
    for one, *parts in zip(whole, *(gradients for _, gradients in found), strict=True):
        torch.testing.assert_close(sum(parts), one, rtol=1e-3, atol=1e-4 * float(one.abs().max() + 1e-3))
    run.cores.close()


def test_a_batch_that_is_too_large_is_halved_until_it_fits_and_that_is_said():
    events, trained = finished(SmallMemory([sparse_map()], quick(held_out=0.0)))
    told = [event.what for event in events if isinstance(event, Recovered)]
    assert len(told) == 1
    assert "memory was not enough" in told[0]
    assert "6 parts" in told[0]
    _, roomy = finished(TrainingRun([sparse_map()], quick(held_out=0.0)))
    assert trained.steps == roomy.steps == 4
    for name, weight in roomy.weights.items():
        torch.testing.assert_close(trained.weights[name], weight, rtol=0.05, atol=2e-3)


def test_a_single_patch_that_does_not_fit_is_one_clear_sentence():
    class NoMemory(SmallMemory):
        room = 1

    with pytest.raises(TrainingError, match="not even one patch of 16 x 16 measured bins fits"):
        finished(NoMemory([sparse_map()], quick(held_out=0.0)))


@pytest.mark.parametrize(
    ("error", "short"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."), True),
        (RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"), False),
    ],
)
def test_a_want_of_memory_is_told_from_other_errors(error, short):
    assert is_shortage(error) is short


def test_another_error_of_a_step_is_not_taken_for_a_want_of_memory():
    run = TrainingRun([sparse_map()], quick())

    def broken(part):
        raise RuntimeError("shapes don't match")

    with run.cores, pytest.raises(RuntimeError, match="shapes"):
        in_parts(run.cores, broken, run.objective.batch(run.patches.draw(2)), 1)


TAKES_LESS_AND_LESS = """
import resource, sys
import numpy as np
from napari_s2sst import GeneMap, RunConfig, fit, sample
from napari_s2sst.engine.events import Recovered

values = np.random.default_rng(0).poisson(5, (72, 80)).astype(np.float32)
sparse = sample(GeneMap(values, gene="G"))
config = RunConfig.preset("fast", steps=2, batch=64, image_batch=0, device="cpu", start_from="random", held_out=0.0)
fit([sparse], config.changed(batch=2))
for megabytes in range(700, 150, -50):
    now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + (megabytes << 20), resource.RLIM_INFINITY))
    told = []
    trained = fit([sparse], config, told.append)
    found = [event.what for event in told if isinstance(event, Recovered)]
    if found:
        print(trained.steps, found[0])
        break
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit no process's memory")
def test_a_process_whose_memory_really_ends_trains_on_in_parts():
    done = subprocess.run([sys.executable, "-c", TAKES_LESS_AND_LESS], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 The memory was not enough."), done.stdout
