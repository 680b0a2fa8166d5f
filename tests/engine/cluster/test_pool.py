"""A real scheduler, real worker processes on this computer, small maps: nothing that dies takes more with it than itself."""

import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("distributed", reason="the extra cluster (Dask) is not installed")

from napari_s2sst import Command, GeneMap, RunConfig, SlideJob, fit, run_jobs, sample, train_on_cluster
from napari_s2sst.engine.cluster import connect
from napari_s2sst.engine.cluster.batch import land, order_for
from napari_s2sst.engine.cluster.connect import LEAST_ARENAS, ClusterError, Tls, local_cluster
from napari_s2sst.engine.cluster.events import PartFailed, PartStarted
from napari_s2sst.engine.cluster.plan import plan, prepare_part
from napari_s2sst.engine.cluster.pool import ATTEMPTS, WorkerPool
from napari_s2sst.engine.cluster.remote import Hold, Waiting
from napari_s2sst.engine.device import CORES
from napari_s2sst.engine.errors import ConfigError, TrainingError
from napari_s2sst.engine.events import Finished, Previewed, Recovered, Started, Stepped

TINY = RunConfig.preset(
    "fast", steps=30, device="cpu", blocks=1, channels=8, growth=4, cascades=1, start_from="random", batch=3, image_batch=2,
    symmetries=1, bin_um=10.0,
)  # fmt: skip
EVER = 1_000_000
LONG_S = 300


@pytest.fixture(scope="module")
def pool():
    with WorkerPool(workers=2) as pool:
        yield pool


@pytest.fixture(scope="module")
def sparse():
    y, x = np.mgrid[:40, :36]
    counts = np.random.default_rng(0).poisson(4 + 3 * np.sin(y / 6) * np.cos(x / 5)).astype(np.float32)
    return sample(GeneMap(counts, gene="WAVE", bin_um=10.0), 2)


def driven(training, tell=lambda event: None):
    """(events, what it returned); ``tell`` gives the command after each event."""
    events, end = [], time.monotonic() + LONG_S
    try:
        event = next(training)
        while True:
            assert time.monotonic() < end, "nothing happened"
            if not isinstance(event, Waiting):
                events.append(event)
            event = training.send(tell(event))
    except StopIteration as stop:
        return events, stop.value


def same(one, other) -> bool:
    return one.weights.keys() == other.weights.keys() and all(
        torch.equal(weight, other.weights[name]) for name, weight in one.weights.items()
    )


@pytest.mark.parametrize("asked", [None, "7"])
def test_a_worker_has_a_pool_of_memory_for_each_computing_thread_unless_the_user_wants_others(monkeypatch, asked):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    if asked:
        monkeypatch.setenv("MALLOC_ARENA_MAX", asked)
    cluster, client = local_cluster(1)
    with cluster, client:
        assert set(client.run(os.getenv, "MALLOC_ARENA_MAX").values()) == {asked or str(max(LEAST_ARENAS, CORES))}
    assert os.environ.get("MALLOC_ARENA_MAX") == asked


def test_a_training_whose_worker_is_killed_ends_with_the_weights_of_an_undisturbed_one(pool, sparse):
    config, killed = TINY.changed(steps=300), []  # enough that it is still under way when it is killed

    def kill(event):
        if isinstance(event, Stepped) and event.step >= 5 and not killed:
            assignment = next(iter(pool._assignments.values()))
            os.kill(assignment.process, signal.SIGKILL)
            killed.append(assignment.worker)

    events, disturbed = driven(train_on_cluster([sparse], config, pool, checkpoint_every_s=0.02), kill)
    recovered = [event for event in events if isinstance(event, Recovered)]
    assert len(recovered) == 1
    assert killed[0] in recovered[0].what
    assert 0 < recovered[0].step < 300, "it began anew instead of going on"
    assert sum(isinstance(event, Started) for event in events) == 1
    assert isinstance(events[-1], Finished)
    _, undisturbed = driven(train_on_cluster([sparse], config, pool))
    assert same(disturbed, undisturbed)
    assert disturbed.steps == undisturbed.steps == 300


def test_it_tells_and_returns_what_a_training_in_this_process_does(pool, sparse):
    here = []
    ours = fit([sparse], TINY, on_event=here.append)
    events, theirs = driven(train_on_cluster([sparse], TINY, pool, preview_every_s=1000))
    assert {type(event) for event in here} == {type(event) for event in events}
    assert events[0].classical == here[0].classical
    assert (theirs.config.changed(device="cpu"), theirs.genes, theirs.stride) == (ours.config, ours.genes, ours.stride)
    for name, weight in ours.weights.items():  # the number of threads may differ
        torch.testing.assert_close(weight, theirs.weights[name], rtol=1e-2, atol=1e-2)


def test_stop_preview_pause_and_resume_reach_the_worker(pool, sparse):
    told, steps_at_pause, waits = [], [], []

    def tell(event):
        match event:
            case Stepped() if not told:
                told.append("preview")
                return Command.PREVIEW
            case Previewed() if told == ["preview"]:
                assert event.imputed.shape == sparse.shape
                told.append("pause")
                return Hold.PAUSE
            case Stepped(step=step) if told[-1] == "pause":
                steps_at_pause.append(step)
                waits.clear()
            case Waiting(what="Paused.") if told[-1] == "pause":
                waits.append(time.monotonic())  # emptied by every step, so it really rests for that long
                if waits[-1] - waits[0] > 1:
                    told.append("resume")
                    return Hold.RESUME
            case Stepped(step=step) if told[-1] == "resume":
                assert step > max(steps_at_pause, default=0)
                told.append("stop")
                return Command.STOP
        return None

    events, trained = driven(train_on_cluster([sparse], TINY.changed(steps=EVER), pool), tell)
    assert told == ["preview", "pause", "resume", "stop"]
    assert events[-1] == Finished(trained.steps, events[-1].seconds, stopped=True)
    assert 0 < trained.steps < EVER


def test_a_pause_asked_for_at_the_end_does_not_keep_the_model_back(pool, sparse):
    events, trained = driven(
        train_on_cluster([sparse], TINY.changed(steps=4), pool),
        lambda event: Hold.PAUSE if isinstance(event, Finished) else None,
    )
    assert isinstance(events[-1], Finished)
    assert trained.steps == 4


def test_checkpoints_that_travel_are_written_here_and_a_training_in_this_process_goes_on_from_them(
    pool, sparse, tmp_path
):
    path, config = tmp_path / "checkpoint.safetensors", TINY.changed(steps=60)
    training = train_on_cluster([sparse], config, pool, checkpoint=path, checkpoint_every_s=0.0)
    while getattr(next(training), "step", 0) < 5 or not path.exists():
        pass
    training.close()
    here = []
    resumed = fit([sparse], config, on_event=here.append, checkpoint=path, resume=True)
    assert here[0].step > 0
    assert resumed.steps == 60
    assert same(resumed, fit([sparse], config))


def test_a_training_that_nobody_listens_to_any_more_ends_and_its_worker_is_free(pool, sparse):
    for _ in range(pool.size + 1):  # more than there are workers: they would wait for ever
        training = train_on_cluster([sparse], TINY.changed(steps=EVER), pool)
        while not isinstance(next(training), Stepped):
            pass
        training.close()
    assert pool.busy == 0
    _, trained = driven(train_on_cluster([sparse], TINY.changed(steps=2), pool))
    assert trained.steps == 2


def test_an_assignment_that_kills_its_workers_is_given_up_and_others_go_on(pool, sparse):
    training = train_on_cluster([sparse], TINY.changed(steps=EVER), pool, checkpoint_every_s=0.02)
    killed = set()

    def kill(event):
        assignment = next(iter(pool._assignments.values()))
        if isinstance(event, Stepped | Recovered) and assignment.process not in killed:
            killed.add(assignment.process)
            os.kill(assignment.process, signal.SIGKILL)

    with pytest.raises(TrainingError, match=r"given up: its worker .* died"):
        driven(training, kill)
    assert len(killed) == ATTEMPTS
    _, trained = driven(train_on_cluster([sparse], TINY.changed(steps=2), pool))
    assert trained.steps == 2


def test_what_fails_three_times_is_reported_and_the_others_are_kept(pool, cube, tmp_path):
    job = SlideJob(
        slide=cube, out=tmp_path / "out", genes=("SILENT", "WAVE"), config=TINY.changed(steps=4), genes_per_task=1
    )
    whole = replace(job, out=tmp_path / "whole", genes=("WAVE", "RIDGE"), genes_per_task=None)
    events, result = driven(run_jobs([job, whole], cluster=pool.address))
    failed = [event for event in events if isinstance(event, PartFailed)]
    assert [(event.attempt, event.is_final) for event in failed] == [(1, False), (2, False), (3, True)]
    assert "No measured bin holds a transcript of SILENT" in result.failed[0].why
    assert [event.part.genes for event in result.failed] == [("SILENT",)]
    assert {event.part.genes for event in result.done} == {("WAVE",), ("WAVE", "RIDGE")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"WAVE"}, "no token, no empty folder"
    assert {event.worker for event in events if isinstance(event, PartStarted)} <= {
        each for each in pool._client.scheduler_info(n_workers=-1)["workers"]
    }
    found = plan([job, whole])
    assert [part.genes for part in found.parts] == [("SILENT",)]


def test_results_come_back_where_workers_do_not_see_the_folder(pool, cube, tmp_path):
    job = SlideJob(slide=cube, out=tmp_path / "out", genes=("WAVE", "RIDGE"), config=TINY.changed(steps=4))
    job.out.mkdir()  # but no token in it
    part = plan([job]).parts[0]
    assignment = pool.send(order_for(part, prepare_part(part), 30.0, "a command"))
    end, answer = time.monotonic() + LONG_S, None
    while answer is None and time.monotonic() < end:
        answer = next(
            (update.value for update in pool.updates() if update.assignment is assignment and update.kind == "done"),
            None,
        )
    assert list(job.out.iterdir()) == []
    files, facts = land(part, answer, "a command")
    assert set(files) < {path.name for path in part.folder.iterdir()}
    assert 0 < facts["mae_unmeasured"] < 2
    assert plan([job]).parts == ()


def test_its_doors_are_open_to_this_computer_only(pool):
    import psutil

    own = psutil.Process()
    workers = {each.pid for each in own.children(recursive=True)}
    listening = [
        (each.pid, place.laddr.ip)
        for each in [own, *own.children(recursive=True)]
        for place in each.net_connections(kind="inet")
        if place.status == psutil.CONN_LISTEN
    ]
    assert {ip for _, ip in listening} == {"127.0.0.1"}
    assert {pid for pid, _ in listening} & workers, "no worker was looked at"
    assert pool.address.startswith("tcp://127.0.0.1:")


def test_the_scheduler_keeps_nothing_of_what_is_done(pool, sparse):
    driven(train_on_cluster([sparse], TINY.changed(steps=3), pool))
    time.sleep(0.5)
    scheduler = pool._cluster.scheduler
    assert not scheduler.tasks
    before = len(scheduler.extensions["queues"].queues)
    for _ in range(3):
        driven(train_on_cluster([sparse], TINY.changed(steps=2), pool))
    time.sleep(0.5)
    assert len(scheduler.extensions["queues"].queues) <= before
    assert not scheduler.tasks


def test_an_address_where_nobody_is_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(connect, "CONNECT_S", 1.0)
    with pytest.raises(ConfigError, match="is no address"):
        WorkerPool(address="localhost:8786")
    with pytest.raises(ConfigError, match="--tls-ca"):
        WorkerPool(address="tls://127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"no TLS file .*ca\.pem"):
        WorkerPool(address="tls://127.0.0.1:9", tls=Tls(tmp_path / "ca.pem", tmp_path / "c.pem", tmp_path / "k.pem"))
    with pytest.raises(ClusterError, match="no Dask scheduler"):
        WorkerPool(address="tcp://127.0.0.1:9")
