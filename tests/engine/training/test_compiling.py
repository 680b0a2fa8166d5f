"""A compiled network learns what the network itself does, and where it can't be compiled the training goes on without."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_s2sst import GeneMap, RunConfig, fit, sample
from napari_s2sst.engine.events import Recovered

TINY = dict(
    cascades=1, blocks=1, convolutions=1, channels=8, growth=4, smoothings=(), quantiles=(), scaled=False, start_from="random",
    batch=2, image_batch=2, steps=3, precision="float32", device="cpu", held_out=0.0, average=0.0,
)  # fmt: skip


def some_map():
    y, x = np.mgrid[:72, :80] / 9
    counts = np.random.default_rng(0).poisson(4 + 3 * np.sin(x) * np.cos(y))
    return sample(GeneMap(counts.astype(np.float32), gene="G"))


def trained(**settings):
    """A small training's result, and what went wrong on its way."""
    torch._dynamo.reset()  # what an earlier test compiled
    told = []
    result = fit([some_map()], RunConfig.preset("fast", **(TINY | settings)), told.append)
    return result, [event.what for event in told if isinstance(event, Recovered)]


@pytest.fixture(scope="module")
def plain():
    return trained()[0]


def test_a_compiled_network_learns_the_same(plain):
    with warnings.catch_warnings(record=True) as caught:
        filters = list(warnings.filters)
        found, told = trained(compiled=True)
        assert warnings.filters == filters
    assert not [warning for warning in caught if "lru_cache" in str(warning.message)]
    assert told == []
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0  # something was compiled
    for name, weight in plain.weights.items():
        torch.testing.assert_close(found.weights[name], weight, rtol=1e-3, atol=2e-4)


def test_without_a_compiler_training_goes_on_and_says_so_once(plain, tmp_path):
    """In a process of its own: torch looks for the compiler once."""
    found = str(tmp_path / "found")
    save = f"import torch; import {Path(__file__).stem} as test; torch.save(test.trained(compiled=True), {found!r})"
    place = {
        "PYTHONPATH": str(Path(__file__).parent),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        "CXX": str(tmp_path / "none"),
    }
    subprocess.run([sys.executable, "-c", save], env=os.environ | place, check=True, timeout=240)
    found, told = torch.load(found, weights_only=False)
    assert len(told) == 1
    assert told[0].startswith("The network can't be compiled here (")
    assert all(torch.equal(found.weights[name], weight) for name, weight in plain.weights.items())
