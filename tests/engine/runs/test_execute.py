"""One way to execute a run: what it tells and in which order, what STOP keeps, and that every door listens to it."""

from dataclasses import replace
from itertools import groupby

import numpy as np
import pytest
import torch

from napari_s2sst.cli.impute_here import impute_here
from napari_s2sst.cli.options import RunOptions
from napari_s2sst.engine.cluster.part import Abandoned, work
from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.events import (
    Command,
    Finished,
    Previewed,
    Recovered,
    Started,
    Stepped,
    Unsaved,
    Validated,
    Waiting,
)
from napari_s2sst.engine.runs import maps_on_disk
from napari_s2sst.engine.runs.events import Imputing, LiveScores, Stage, Written
from napari_s2sst.engine.runs.execute import NOTHING_LEARNT, Elsewhere, Output, TrainingPlan, execute
from napari_s2sst.engine.runs.maps_on_disk import MapsInFile
from napari_s2sst.engine.runs.run import CountedJob, complete, prepare
from napari_s2sst.engine.runs.saved_run import Record, SavedRun
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.training.checkpoint import CHECKPOINT_NAME, unfinished
from napari_s2sst.engine.training.train import fit, train
from napari_s2sst.plugin.threads.request import Request
from napari_s2sst.plugin.threads.run import RunWorker

TINY = RunConfig.preset(
    "fast", steps=14, device="cpu", blocks=1, channels=8, growth=4, cascades=1, start_from="random", batch=3, image_batch=2,
    symmetries=1, bin_um=10.0,
)  # fmt: skip
EVER = 1_000_000
"""Steps that no test waits for."""
GENES = ["WAVE", "RIDGE"]


@pytest.fixture(scope="module")
def job(cube):
    return prepare(open_count_cube(cube), GENES, TINY)


def driven(run, answer=lambda event: None):
    """(events, result); ``answer`` gives the command after each event."""
    events, command = [], None
    try:
        while True:
            events.append(run.send(command))
            command = answer(events[-1])
    except StopIteration as end:
        return events, end.value


def kinds(events) -> list[tuple]:
    """Kinds of events with what of them is no matter of time: how often a step is told is."""
    told = [event for event in events if not isinstance(event, Stepped) or event.step == event.steps]
    return [(type(event).__name__, getattr(event, "step", getattr(event, "gene", None))) for event in told]


def order(events) -> list[str]:
    """Names of kinds, each once for as long as it goes on."""
    return [name for name, _ in groupby(type(event).__name__ for event in events)]


# ---- what is told


def test_a_run_tells_of_its_training_then_of_each_gene_then_of_its_files(job, tmp_path):
    events, result = driven(execute(job, TrainingPlan(), output=Output(folder=tmp_path)))
    assert isinstance(events[0], Started)
    at = next(place for place, event in enumerate(events) if isinstance(event, Finished))
    assert events[at + 1 : -1] == [Imputing(gene, n, 2, is_scored=True) for n, gene in enumerate(GENES, start=1)]
    assert isinstance(events[-1], Written)
    assert {path.name for path in events[-1].paths} == {path.name for path in tmp_path.iterdir()}
    assert [gene_map.gene for gene_map in result.imputed] == GENES


def test_what_is_prepared_by_the_run_is_told_first(cube):
    counted = CountedJob(maps=tuple(open_count_cube(cube).gene_maps(["WAVE"], bin_um=10.0)), config=TINY, fill_in=True)
    events, result = driven(execute(counted.prepared, TrainingPlan()))
    assert events[0] == Stage("Getting ready ...")
    assert isinstance(events[1], Started)
    assert events[-1] == Imputing("WAVE", 1, 1, is_scored=False)
    assert result.scores == {"WAVE": {}}


def test_the_numbers_are_those_of_training_and_imputing_one_after_the_other(job):
    _, result = driven(execute(job, TrainingPlan()))
    apart = complete(job, fit(job.sparse, job.config))
    assert all(torch.equal(weight, result.trained.weights[name]) for name, weight in apart.trained.weights.items())
    for one, other in zip(result.imputed, apart.imputed, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    assert repr(result.scores) == repr(apart.scores)


def test_a_preview_is_followed_by_its_scores(job):
    events, _ = driven(
        execute(job, TrainingPlan()), lambda event: Command.PREVIEW if isinstance(event, Stepped) else None
    )
    at = next(place for place, event in enumerate(events) if isinstance(event, Previewed))
    assert isinstance(events[at + 1], LiveScores)
    assert events[at + 1].step == events[at].step
    assert events[at + 1].scores.mae_unmeasured > 0


def test_a_model_imputes_as_it_is_without_a_word_of_training(job):
    model = fit(job.sparse, TINY.changed(steps=1))
    events, result = driven(execute(replace(job, start=model), None))
    assert order(events) == ["Imputing"]
    assert result.trained is model


def test_a_training_stops_at_the_step_it_is_told_to(job):
    _, result = driven(execute(job, TrainingPlan(stop_at=5)))
    assert (result.trained.steps, result.trained.config.training.steps) == (5, TINY.training.steps)


# ---- what STOP keeps


def test_stop_while_it_trains_keeps_what_was_learnt_and_imputes_every_gene(cube):
    job = prepare(open_count_cube(cube), GENES, TINY.changed(steps=EVER))
    events, result = driven(
        execute(job, TrainingPlan()), lambda event: Command.STOP if isinstance(event, Stepped) else None
    )
    assert 0 < result.trained.steps < EVER
    assert sum(isinstance(event, Imputing) for event in events) == len(result.imputed) == 2


def test_stop_while_it_imputes_keeps_the_genes_that_are_done_and_one_at_least(job):
    plan = TrainingPlan(stop_at=1)
    _, result = driven(execute(job, plan), lambda event: Command.STOP if isinstance(event, Imputing) else None)
    assert [sparse.gene for sparse in result.job.sparse] == ["WAVE"]
    assert len(result.imputed) == len(result.job.truth) == len(result.scores) == 1


def test_stop_of_a_part_of_a_batch_at_any_time_leaves_its_checkpoint_and_nothing_else(job, tmp_path):
    for number, kind in enumerate((Stepped, Imputing)):
        folder = tmp_path / str(number)
        folder.mkdir()
        part = work(job, checkpoint=folder / CHECKPOINT_NAME, every_s=1000, output=Output(folder=folder))
        with pytest.raises(Abandoned, match=r"The batch was stopped\."):
            driven(part, lambda event, kind=kind: Command.STOP if isinstance(event, kind) else None)
        assert [path.name for path in folder.iterdir()] == [CHECKPOINT_NAME]


# ---- checkpoints, and trainings elsewhere


def test_a_checkpoint_of_another_training_is_replaced_where_that_is_wanted_and_said(job, tmp_path):
    checkpoint = tmp_path / CHECKPOINT_NAME
    fit(job.sparse, TINY.changed(steps=3), checkpoint=checkpoint)
    events, result = driven(execute(job, TrainingPlan(checkpoint=checkpoint, or_anew=True)))
    assert isinstance(events[1], Recovered)
    assert "steps 3 instead of 14" in events[1].what
    assert events[1].what.endswith("It begins anew.")
    assert result.trained.steps == unfinished(checkpoint).step == 14


def test_a_training_that_can_t_be_kept_is_said_and_goes_on(job, tmp_path):
    (tmp_path / "trainings").write_text("a file, where the folder should be")

    def record(ready):
        return Record(slide=tmp_path, slide_name="cube", mode="check", genes=("WAVE",), config=ready.config)

    plan = TrainingPlan(saved_run=SavedRun(tmp_path / "trainings" / "one"), record=record)
    events, result = driven(execute(job, plan))
    assert isinstance(events[0], Unsaved)
    assert events[0].why.endswith("Training goes on, and would be lost in a crash.")
    assert result.trained.steps == 14


def waiting_train(maps, config, **how):
    """A training that waits for a worker, then trains in this process: all that is asked of one elsewhere."""
    yield Waiting("Waiting for a free worker of the cluster.")
    assert config.device == "auto", "the chosen device is of this computer"
    return (yield from train(maps, config.changed(device="cpu"), **how))


def test_a_training_elsewhere_is_told_of_like_one_here(job):
    there, result = driven(execute(job, TrainingPlan(elsewhere=Elsewhere("a cluster", waiting_train))))
    assert there[:2] == [Stage("Connecting to the cluster at a cluster ..."), Waiting(there[1].what)]
    here, _ = driven(execute(job, TrainingPlan()))
    assert kinds(there[2:]) == kinds(here)
    assert result.trained.config.device == job.config.device


def test_stop_before_anything_was_learnt_elsewhere_is_one_sentence(job):
    plan = TrainingPlan(elsewhere=Elsewhere("a cluster", waiting_train))
    with pytest.raises(TrainingError) as error:
        driven(execute(job, plan), lambda event: Command.STOP if isinstance(event, Waiting) else None)
    assert str(error.value) == NOTHING_LEARNT


# ---- three doors


def overheard(events: list):
    """The real :func:`execute`, of which every event is noted on its way to whoever listens."""

    def noted(*arguments, **options):
        run, command = execute(*arguments, **options), None
        try:
            while True:
                events.append(run.send(command))
                command = yield events[-1]
        except StopIteration as end:
            return end.value

    return noted


def by_the_command_line(job, folder, monkeypatch):
    events = []
    monkeypatch.setattr("napari_s2sst.cli.impute_here.execute", overheard(events))
    options = RunOptions(
        out=folder, fill_in=False, region=None, tissue=None, model=None, stop_at=None, resume=False, checkpoint_every_s=30.0,
        into=None,
    )  # fmt: skip
    assert impute_here("cube", job, options, "a command", None) == 0
    return events


def by_the_batch(job, folder):
    folder.mkdir()
    return driven(work(job, checkpoint=folder / CHECKPOINT_NAME, every_s=30.0, output=Output(folder=folder)))


def by_the_window(cube, qtbot):
    slide = open_count_cube(cube)
    counted = CountedJob(maps=tuple(slide.gene_maps(GENES, bin_um=10.0)), config=TINY, panel=slide)
    worker, events = RunWorker(Request(job=counted, slide=cube)), []
    worker.yielded.connect(events.append)
    with qtbot.waitSignal(worker.returned, timeout=300_000) as returned:
        worker.start()
    return events, returned.args[0]


def test_the_three_doors_hear_the_same_events_in_the_same_order(job, cube, tmp_path, monkeypatch, qtbot, capsys):
    command_line = by_the_command_line(job, tmp_path / "command line", monkeypatch)
    batch, (result, files) = by_the_batch(job, tmp_path / "batch")
    window, shown = by_the_window(cube, qtbot)
    assert isinstance(command_line.pop(), Written)
    assert window.pop(0) == Stage("Getting ready ...")
    window = [event for event in window if not isinstance(event, Previewed | LiveScores)]  # nobody else asks for them
    assert kinds(command_line) == kinds(batch) == kinds(window)
    assert kinds(batch)[0] == ("Started", 0)
    assert kinds(batch)[-3:] == [("Finished", 14), ("Imputing", "WAVE"), ("Imputing", "RIDGE")]
    assert any(isinstance(event, Validated) for event in batch)
    assert set(files) == {path.name for path in (tmp_path / "command line").iterdir()}
    assert repr(result.scores) == repr(shown.scores)
    assert "Scores on unmeasured bins" in capsys.readouterr().out


def test_the_maps_of_a_large_panel_are_in_a_file_at_every_door(job, cube, tmp_path, monkeypatch, qtbot):
    monkeypatch.setattr(maps_on_disk, "HELD_BYTES", 10_000)
    results = []

    class Noted(Output):
        def write(self, result):
            results.append(result)
            return super().write(result)

    monkeypatch.setattr("napari_s2sst.cli.impute_here.Output", Noted)
    by_the_command_line(job, tmp_path / "command line", monkeypatch)
    results.append(by_the_batch(job, tmp_path / "batch")[1][0])
    results.append(by_the_window(cube, qtbot)[1])
    assert [type(result.imputed) for result in results] == [MapsInFile] * 3
    for one in results[1:]:
        for index in range(2):
            np.testing.assert_array_equal(one.imputed[index].values, results[0].imputed[index].values)
