"""A run in a napari thread: told, stopped, and every failure a sentence."""

import numpy as np
import pytest

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.events import Command, Finished, Started, Stepped
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs.run import prepare
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.session import Mode
from napari_s2sst.plugin.threads.run import Request, RunWorker, run, seen_of, sentence
from napari_s2sst.plugin.threads.tasks import impute_instantly

SMALL = dict(batch=2, image_batch=1, symmetries=1, device="cpu")


@pytest.fixture
def request_of(tmp_path):
    rng = np.random.default_rng(0)
    gene_map = GeneMap(rng.poisson(3.0, (48, 48)), gene="LTF")

    def make(mode=Mode.CHECK, **settings) -> Request:
        return Request((gene_map,), RunConfig.preset("fast", **SMALL, **settings), mode, tmp_path)

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
    text = sentence(errored.args[0])
    assert "nowhere" in text
    assert "Traceback" not in text
    qtbot.waitUntil(lambda: not worker.is_running, timeout=300_000)


def test_a_runtime_error_is_not_swallowed(request_of):
    """napari's worker swallows a RuntimeError; this one is real: 32 channels don't divide by 7 heads."""
    broken = request_of(steps=2, start_from="random").config
    network = broken.network.model_copy(update={"heads": 7, "attention": True})
    config = broken.model_copy(update={"network": network})
    running = run(Request(request_of(steps=2).maps, config, Mode.CHECK, request_of().slide))
    with pytest.raises(TrainingError, match="computing library"):
        for _ in running:
            pass


def test_memory_errors_say_what_to_do():
    assert "Choose the device CPU" in sentence(RuntimeError("CUDA out of memory. Tried to allocate 20 GiB"))
    assert not issubclass(TrainingError, RuntimeError)


def test_fill_in_makes_a_finer_map_without_scores(request_of):
    running = run(request_of(Mode.FILL_IN, steps=2))
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


@pytest.mark.parametrize("mode", [Mode.CHECK, Mode.FILL_IN])
def test_the_window_looks_at_the_panel_as_the_command_line_does(sample_slide, mode):
    slide, config = open_xenium(sample_slide), RunConfig.preset("instant", bin_um=20, image=False)
    gene = next(iter(slide.genes))
    request = Request((slide.gene_map(gene, 20),), config, mode, sample_slide, panel=slide)
    (here,) = seen_of(request)
    (there,) = prepare(slide, [gene], config, fill_in=mode is Mode.FILL_IN).sparse
    np.testing.assert_array_equal(here.coexpressed, there.coexpressed)


def test_the_map_at_once_does_not_wait_for_the_other_genes_to_be_counted(sample_slide):
    slide = open_xenium(sample_slide)
    config = RunConfig.preset("instant", bin_um=20, device="cpu")
    request = Request((slide.gene_map(next(iter(slide.genes)), 20),), config, Mode.CHECK, sample_slide, panel=slide)
    assert impute_instantly(request).job.sparse[0].coexpressed is None
    seen_of(request)
    assert impute_instantly(request).job.sparse[0].coexpressed is not None
