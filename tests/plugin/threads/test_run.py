"""A run in a napari thread: told, stopped, and every failure a sentence."""

import gc
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import TrainingError, sentence
from napari_s2sst.engine.events import Command, Finished, Started, Stepped
from napari_s2sst.engine.imputing.impute import impute
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs import maps_on_disk
from napari_s2sst.engine.runs.events import Imputing
from napari_s2sst.engine.runs.maps_on_disk import MapsInFile
from napari_s2sst.engine.runs.run import CountedJob, prepare
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.threads.request import Request
from napari_s2sst.plugin.threads.run import ADVICE, RunWorker, run
from napari_s2sst.plugin.threads.tasks import impute_instantly

SMALL = dict(batch=2, image_batch=1, symmetries=1, device="cpu")


@pytest.fixture
def request_of(tmp_path):
    rng = np.random.default_rng(0)
    gene_map = GeneMap(rng.poisson(3.0, (48, 48)), gene="LTF")

    def make(*, fill_in=False, **settings) -> Request:
        config = RunConfig.preset("fast", **SMALL, **settings)
        return Request(job=CountedJob(maps=(gene_map,), config=config, fill_in=fill_in), slide=tmp_path)

    return make


def test_a_run_returns_maps_scores_and_weights(qtbot, request_of):
    worker = RunWorker(request_of(steps=2))
    events = []
    worker.yielded.connect(events.append)
    with qtbot.waitSignal(worker.returned, timeout=300_000) as returned:
        worker.start()
    result = returned.args[0]
    assert result.trained.steps == 2
    assert "CDCIN" in result.scores["LTF"]
    assert result.imputed[0].shape == (48, 48)
    assert [type(event) for event in events if isinstance(event, Started | Finished)] == [Started, Finished]


def test_stop_returns_the_weights_learnt_so_far(qtbot, request_of):
    worker = RunWorker(request_of(steps=100_000))
    worker.yielded.connect(lambda event: worker.stop() if isinstance(event, Stepped) else None)
    with qtbot.waitSignal(worker.returned, timeout=300_000) as returned:
        worker.start()
    assert 1 <= returned.args[0].trained.steps < 100_000


def test_stop_ends_a_paused_run(qtbot, request_of):
    worker = RunWorker(request_of(steps=100_000))
    worker.yielded.connect(lambda event: worker.pause() if isinstance(event, Started) else None)
    with qtbot.waitSignal(worker.paused, timeout=300_000):
        worker.start()
    with qtbot.waitSignal(worker.returned, timeout=300_000):
        worker.stop()


def test_an_error_in_the_thread_arrives_as_a_sentence(qtbot, request_of, tmp_path):
    """A picture folder that is not there: refused by the engine, inside the thread."""
    worker = RunWorker(request_of(steps=2, images=tmp_path / "nowhere"))
    with qtbot.waitSignal(worker.errored, timeout=300_000) as errored:
        worker.start()
    text = sentence(errored.args[0], ADVICE)
    assert "nowhere" in text
    assert "Traceback" not in text
    qtbot.waitUntil(lambda: not worker.is_running, timeout=300_000)


def test_a_runtime_error_is_not_swallowed(request_of):
    """napari's worker swallows a RuntimeError; this one is real: 32 channels don't divide by 7 heads."""
    request = request_of(steps=2, start_from="random")
    network = request.job.config.network.model_copy(update={"heads": 7, "attention": True})
    config = request.job.config.model_copy(update={"network": network})
    running = run(replace(request, job=replace(request.job, config=config)))
    with pytest.raises(TrainingError, match="computing library"):
        for _ in running:
            pass


def test_memory_errors_say_what_to_do():
    assert "Choose the device CPU" in sentence(RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"), ADVICE)
    assert not issubclass(TrainingError, RuntimeError)


def test_fill_in_makes_a_finer_map_without_scores(request_of):
    running = run(request_of(fill_in=True, steps=2))
    try:
        while True:
            next(running)
    except StopIteration as end:
        result = end.value
    assert result.imputed[0].shape == (96, 96)
    assert result.imputed[0].bin_um == 10.0
    assert result.scores == {"LTF": {}}
    assert result.job.truth == (None,)


def test_a_command_reaches_the_engine(request_of):
    running = run(request_of(steps=50))
    event = next(running)
    while not isinstance(event, Stepped):
        event = next(running)
    event = running.send(Command.STOP)
    while not isinstance(event, Finished):
        event = next(running)
    assert event.stopped


@pytest.mark.parametrize("fill_in", [False, True])
def test_the_window_looks_at_the_panel_as_the_command_line_does(sample_slide, fill_in):
    slide, config = open_xenium(sample_slide), RunConfig.preset("instant", bin_um=20, image=False)
    gene = next(iter(slide.genes))
    counted = CountedJob(maps=(slide.gene_map(gene, 20),), config=config, fill_in=fill_in, panel=slide)
    (here,) = counted.prepared().sparse
    (there,) = prepare(slide, [gene], config, fill_in=fill_in).sparse
    np.testing.assert_array_equal(here.coexpressed, there.coexpressed)


def test_the_map_at_once_does_not_wait_for_the_other_genes_to_be_counted(sample_slide):
    slide = open_xenium(sample_slide)
    config = RunConfig.preset("instant", bin_um=20, device="cpu")
    counted = CountedJob(maps=(slide.gene_map(next(iter(slide.genes)), 20),), config=config, panel=slide)
    assert impute_instantly(counted).job.sparse[0].coexpressed is None
    counted.prepared()
    assert impute_instantly(counted).job.sparse[0].coexpressed is not None


def test_the_maps_of_a_large_panel_are_in_a_file_that_goes_with_the_result(monkeypatch, tmp_path):
    """As on the command line; large is what HELD_BYTES says."""
    monkeypatch.setattr(maps_on_disk, "HELD_BYTES", 100_000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    rng = np.random.default_rng(0)
    maps = tuple(GeneMap(rng.poisson(3.0, (48, 48)), gene=f"G{number}") for number in range(3))
    config = RunConfig.preset("fast", **SMALL, steps=1)
    request = Request(job=CountedJob(maps=maps, config=config, fill_in=True), slide=tmp_path)
    held = _end(run(replace(request, job=replace(request.job, maps=maps[:1], fill_in=False))))
    assert isinstance(held.imputed, tuple), "a single small map needs no file"
    result = _end(run(request))
    assert isinstance(result.imputed, MapsInFile)
    assert [gene_map.gene for gene_map in result.imputed] == ["G0", "G1", "G2"]
    again = impute(result.trained, result.job.sparse[2])
    np.testing.assert_array_equal(result.imputed[2].values, again.values)
    np.testing.assert_array_equal(result.imputed[2].upper, again.upper)
    assert list(tmp_path.iterdir()) == [], "the file has no name to be left behind"
    file = result.imputed._file
    del result
    gc.collect()
    assert file.closed


def test_stop_while_imputing_keeps_the_genes_that_are_done():
    rng = np.random.default_rng(0)
    maps = tuple(GeneMap(rng.poisson(3.0, (48, 48)), gene=f"G{number}") for number in range(3))
    config = RunConfig.preset("fast", **SMALL, steps=1)
    running = run(Request(job=CountedJob(maps=maps, config=config, fill_in=True), slide=Path("slide")))
    event = next(running)
    while not (isinstance(event, Imputing) and event.number == 2):
        event = next(running)
    with pytest.raises(StopIteration) as end:
        running.send(Command.STOP)
    result = end.value.value
    assert [sparse.gene for sparse in result.job.sparse] == [gene_map.gene for gene_map in result.imputed] == ["G0"]
    assert len(result.job.truth) == 1
    assert set(result.scores) == {"G0"}


def _end(running):
    try:
        while True:
            next(running)
    except StopIteration as end:
        return end.value
