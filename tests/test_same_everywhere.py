"""The three doors lead to one engine: Python, the command line and the window's worker give the same numbers."""

import subprocess
import sys

import numpy as np
import pytest
import tifffile
import torch

from napari_s2sst import RunConfig, fit, impute, load_model, open_xenium, sample, with_image, with_panel

GENE, STEPS, SEED = "KRT8", 3, 11


@pytest.fixture(scope="module")
def by_python(sample_slide):
    slide = open_xenium(sample_slide)
    (sparse,) = with_panel(with_image([sample(slide.gene_map(GENE, bin_um=20.0), stride=2)], slide.images), slide)
    trained = fit([sparse], RunConfig.preset("fast", steps=STEPS, seed=SEED, device="cpu"))
    return trained, impute(trained, sparse)


def assert_same(trained, other) -> None:
    assert trained.weights.keys() == other.weights.keys()
    for name, weight in trained.weights.items():
        assert torch.equal(weight, other.weights[name]), f"{name} differs"


def test_the_command_line_gives_the_weights_and_map_of_python(by_python, sample_slide, tmp_path):
    command = [sys.executable, "-m", "napari_s2sst", "impute", str(sample_slide), "--gene", GENE, "--steps", str(STEPS),
               "--seed", str(SEED), "--device", "cpu", "--out", str(tmp_path)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    trained, imputed = by_python
    assert_same(trained, load_model(tmp_path / "model.safetensors"))
    written = tifffile.imread(tmp_path / f"{GENE}.ome.tif")[1]
    assert np.array_equal(written[imputed.tissue], imputed.values[imputed.tissue])


def test_the_windows_worker_gives_the_weights_and_map_of_python(by_python, sample_slide, qtbot):
    from napari_s2sst.engine.runs.run import CountedJob
    from napari_s2sst.plugin.threads.request import Request
    from napari_s2sst.plugin.threads.run import RunWorker

    slide = open_xenium(sample_slide)
    gene_map = slide.gene_map(GENE, bin_um=20.0)
    config = RunConfig.preset("fast", steps=STEPS, seed=SEED, device="cpu")
    counted = CountedJob(maps=(gene_map,), config=config, images=slide.images, panel=slide)
    worker = RunWorker(Request(job=counted, slide=sample_slide))
    with qtbot.waitSignal(worker.returned, timeout=300_000) as returned:
        worker.start()
    trained, imputed = by_python
    assert_same(trained, returned.args[0].trained)
    assert np.array_equal(returned.args[0].imputed[0].values, imputed.values)
