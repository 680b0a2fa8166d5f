"""A session and its run: every click leads somewhere, and a run that was abandoned is heard of no more."""

import time
from functools import partial

import numpy as np
import pytest

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.events import Command, Finished, Started, Stepped
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs.run import CountedJob
from napari_s2sst.plugin.controllers.run_queue import RunQueue
from napari_s2sst.plugin.session import Session, State
from napari_s2sst.plugin.threads.request import Request

STARTED = Started(genes=("LTF",), device="CPU", parameters=1, held_out_bins=0)


@pytest.fixture
def run_queue(qapp):
    made = RunQueue(Session(slide=object()))
    yield made
    made.abandon()


@pytest.fixture
def start(run_queue, tmp_path, qtbot):
    """A function: start a generator as the run, in a real thread, where the engine's steps would be too quick to time."""

    def begin(run) -> None:
        run_queue.run = run
        gene_map = GeneMap(np.ones((48, 48)), gene="LTF")
        job = CountedJob(maps=(gene_map,), config=RunConfig.preset("fast"))
        run_queue.start(Request(job=job, slide=tmp_path))
        qtbot.waitUntil(lambda: run_queue.session.state is State.TRAINING, timeout=300_000)

    return begin


def slow_steps(request, seconds: float = 0.5):
    command = yield STARTED
    step = 0
    while command is not Command.STOP and step < 100:
        time.sleep(seconds)
        step += 1
        command = yield Stepped(step=step, steps=100, loss=1.0, terms={}, steps_per_second=2.0, seconds_left=1.0)
    yield Finished(step, 1.0, True)
    return "result"


def slow_end(request):
    yield STARTED
    time.sleep(0.5)  # the last step, and trying the last weights
    yield Finished(1, 1.0, False)
    return "result"


def test_stop_right_after_pause_ends_the_run(run_queue, start, qtbot):
    start(slow_steps)
    run_queue.toggle_pause()
    run_queue.stop()
    qtbot.waitUntil(lambda: run_queue.session.result == "result", timeout=300_000)


def test_a_pause_asked_for_at_the_end_does_not_keep_the_result_back(run_queue, start, qtbot):
    start(slow_end)
    run_queue.toggle_pause()
    qtbot.waitUntil(lambda: run_queue.session.result == "result", timeout=300_000)


def test_an_abandoned_run_tells_the_next_one_nothing(run_queue, start, qtbot):
    start(slow_steps)
    run_queue.abandon()
    told = []
    run_queue.reported.connect(told.append)
    start(partial(slow_steps, seconds=2))
    qtbot.wait(800)
    assert [type(event) for event in told] == [Started]


def test_an_abandoned_runs_error_does_not_end_the_next_one(run_queue, start, qtbot):
    def fails(request):
        yield STARTED
        time.sleep(0.5)
        raise TrainingError("of the first run")

    start(fails)
    run_queue.abandon()
    start(slow_steps)
    with qtbot.assertNotEmitted(run_queue.failed, wait=1000):
        pass
    assert run_queue.active
