"""A training that a crash interrupted is offered again, and goes on to the same weights, bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.runs.run import CountedJob
from napari_s2sst.engine.runs.saved_run import CHECKPOINT, RECORD, Painted, SavedRun, new_saved_run
from napari_s2sst.engine.runs.saved_run import left_behind as left
from napari_s2sst.engine.sampling.lattice import sample
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.training.checkpoint import unfinished
from napari_s2sst.engine.training.train import fit
from napari_s2sst.plugin.session import Mode, Sampling
from napari_s2sst.plugin.threads.request import Request
from napari_s2sst.plugin.threads.run import run
from napari_s2sst.plugin.viewer.tissue_layer import ERASED

SMALL = dict(
    blocks=1, channels=8, growth=4, start_from="random", batch=3, image_batch=2, symmetries=1, device="cpu", steps=8
)
EVER = 1_000_000
"""Steps that no test waits for."""

WINDOW = """
import sys
import napari
from qtpy.QtCore import QTimer
from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.plugin.session import Sampling
from shapely.geometry import box

slide, steps = sys.argv[1], int(sys.argv[2])
viewer = napari.Viewer()
dock = viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
dock.runs.keep_every_s = 0.05
dock.panels.sampling.instant_box.setChecked(False)
dock.open_slide(slide)

def begin():
    session = dock.session
    if not session.can_train:
        QTimer.singleShot(50, begin)
    elif session.sampling.bin_um != 40:
        sampling = Sampling(40.0, 3, session.sampling.mode)
        dock.panels.sampling.setValue(sampling)
        dock.panels.sampling.valueChanged.emit(sampling)
        dock.regions.drawn.add([Region("left part", box(100, 100, 900, 1400))])
        dock.choose_gene(list(session.slide.genes)[1])
        QTimer.singleShot(1000, begin)
    else:
        config = RunConfig.preset("fast", steps=steps, batch=2, image_batch=1, symmetries=1, device="cpu", seed=5)
        dock.panels.training.setValue(config)
        session.settings = config
        dock.train()

QTimer.singleShot(0, begin)
napari.run()
"""
"""A whole program: opens the slide, chooses bins, stride, a region and the second gene, and trains."""


def kept_in(state_folder: Path) -> list[SavedRun]:
    return [SavedRun(path.parent) for path in sorted(state_folder.glob(f"trainings/*/{RECORD}"))]


def step_of(kept: SavedRun) -> int:
    left = unfinished(kept.checkpoint)
    return 0 if left is None else left.step


def killed_window(slide: Path, state_folder: Path, steps: int, until: int) -> SavedRun:
    """A real napari process that trains, killed after this many steps were kept."""
    arguments = [sys.executable, "-X", "faulthandler", "-c", WINDOW, str(slide), str(steps)]
    told = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    with subprocess.Popen(arguments, env={**os.environ, "S2SST_STATE_DIR": str(state_folder)}, **told) as process:
        try:
            end = time.monotonic() + 180
            while not (kept := kept_in(state_folder)) or step_of(kept[0]) < until:
                assert process.poll() is None, process.communicate()
                if time.monotonic() > end:
                    process.send_signal(signal.SIGABRT)  # so that it tells what its threads are doing
                    pytest.fail(f"nothing was kept: {process.communicate()[0]}")
                time.sleep(0.02)
            assert not kept[0].hold(), "a process that lives holds its training"
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    return kept[0]


def left_behind(slide: Path, *genes: str, until: int = 3, size_um: float | None = None, **changes) -> SavedRun:
    """A training of the window's own worker that took some steps and was then heard of no more."""
    maps = tuple(open_count_cube(slide, 10.0).gene_maps(list(genes or ("WAVE",)), bin_um=10.0))
    config = RunConfig.preset("fast", bin_um=10.0, **SMALL)
    given = dict(slide=slide, slide_name="cube", saved_run=new_saved_run(), checkpoint_every_s=0.0)
    request = Request(job=CountedJob(maps=maps, config=config, size_um=size_um), **{**given, **changes})
    running = run(request)
    while getattr(next(running), "step", 0) < until:
        continue
    running.close()
    request.saved_run.release()
    return request.saved_run


def offer(dock, qtbot) -> str:
    """What the dock offers after a look."""
    dock.resuming.look()
    qtbot.waitUntil(dock.panels.resume.isVisible, timeout=300_000)
    return dock.panels.resume.text()


def resume(dock, qtbot) -> None:
    dock.panels.sampling.instant_box.setChecked(False)
    dock.panels.resume.resume_button.click()
    qtbot.waitUntil(lambda: dock.session.result is not None or bool(dock.session.message), timeout=300_000)
    assert dock.session.message == ""


@pytest.fixture
def small(dock, qtbot, cube):
    """The dock with a small slide open and few, small steps to train."""
    dock.panels.sampling.instant_box.setChecked(False)
    dock.runs.keep_every_s = 0.0
    dock.open_slide(cube)
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=300_000)

    def train(steps: int) -> None:
        config = RunConfig.preset("fast", bin_um=10.0, **{**SMALL, "steps": steps})
        dock.panels.training.setValue(config)
        dock.session.settings = config
        dock.train()

    return dock, train


def test_a_killed_training_resumed_in_the_window_ends_with_the_weights_of_one_that_was_never_killed(
    dock, qtbot, sample_slide, state_folder
):
    steps = 14
    kept = killed_window(sample_slide, state_folder, steps, until=4)
    before = step_of(kept)
    assert 4 <= before < steps
    dock.resuming.look()
    qtbot.waitUntil(dock.panels.resume.isVisible, timeout=300_000)
    assert f"was interrupted at step {before} of {steps}, today" in dock.panels.resume.text()
    assert dock.session.slide is None
    dock.panels.sampling.instant_box.setChecked(False)
    dock.panels.resume.resume_button.click()
    assert not dock.panels.resume.isVisible()
    session = dock.session
    qtbot.waitUntil(lambda: session.result is not None or bool(session.message), timeout=300_000)
    assert session.message == ""
    assert session.started.step == before
    gene = list(session.slide.genes)[1]
    assert session.gene == gene
    assert dock.panels.genes.value() == (gene,)
    assert session.sampling == dock.panels.sampling.value() == Sampling(40.0, 3, Mode.CHECK)
    assert [region.name for region in dock.regions.value()] == ["left part"]
    assert dock.panels.training.value().seed == 5
    assert kept_in(state_folder) == []
    assert [path.name for path in (state_folder / "trainings").iterdir()] == []

    resumed = session.result
    qtbot.waitUntil(lambda: session.can_train and not dock.display.busy, timeout=300_000)
    dock.train()
    qtbot.waitUntil(lambda: session.result is not resumed or bool(session.message), timeout=300_000)
    whole = session.result
    assert session.message == ""
    assert whole.trained.steps == resumed.trained.steps == steps
    assert whole.trained.weights.keys() == resumed.trained.weights.keys()
    assert all(torch.equal(each, resumed.trained.weights[name]) for name, each in whole.trained.weights.items())
    assert np.array_equal(whole.imputed[0].values, resumed.imputed[0].values, equal_nan=True)
    assert repr(whole.scores) == repr(resumed.scores)  # some are nan


def test_a_training_is_kept_while_it_runs_and_gone_when_its_result_is_shown(small, qtbot, state_folder):
    dock, train = small
    train(EVER)
    qtbot.waitUntil(lambda: any(step_of(kept) for kept in kept_in(state_folder)), timeout=300_000)
    kept = kept_in(state_folder)[0]
    record = json.loads((kept.folder / RECORD).read_text())
    assert record["genes"] == [dock.session.gene]
    assert {path.name for path in kept.folder.iterdir() if path.suffix != ".part"} == {CHECKPOINT, RECORD}
    dock.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: dock.session.result is not None, timeout=300_000)
    assert list((state_folder / "trainings").iterdir()) == []


def test_a_training_given_up_for_another_slide_leaves_nothing(small, qtbot, state_folder, sample_slide):
    dock, train = small
    train(EVER)
    qtbot.waitUntil(lambda: any(step_of(kept) for kept in kept_in(state_folder)), timeout=300_000)
    dock.open_slide(sample_slide)
    qtbot.waitUntil(lambda: not list((state_folder / "trainings").iterdir()), timeout=300_000)


def test_a_dock_closed_in_the_middle_of_a_training_offers_it_when_it_is_opened_again(small, qtbot, state_folder):
    dock, train = small
    train(EVER)
    qtbot.waitUntil(lambda: any(step_of(kept) for kept in kept_in(state_folder)), timeout=300_000)
    viewer, gene, kept = dock.viewer, dock.session.gene, dock.run_queue.request.saved_run
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: any(each.folder == kept.folder for each in left()), timeout=300_000)
    again = viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    qtbot.waitUntil(again.panels.resume.isVisible, timeout=300_000)
    assert f"A training of {gene} (" in again.panels.resume.text()
    assert f"of {EVER:,}, today" in again.panels.resume.text()


def test_later_hides_the_offer_and_keeps_the_training(dock, qtbot, cube, state_folder):
    left_behind(cube)
    offer(dock, qtbot)
    dock.panels.resume.later_button.click()
    assert not dock.panels.resume.isVisible()
    dock.resuming.look()
    qtbot.waitUntil(lambda: not dock.resuming._looking.busy, timeout=300_000)
    assert not dock.panels.resume.isVisible()
    assert len(kept_in(state_folder)) == 1


def test_discard_removes_it_and_offers_the_next(dock, qtbot, cube, state_folder):
    left_behind(cube, "RIDGE")
    time.sleep(1.1)  # names go by the second
    left_behind(cube, "WAVE")
    assert "training of WAVE (" in offer(dock, qtbot)
    dock.panels.resume.discard_button.click()
    assert "training of RIDGE (" in dock.panels.resume.text()
    assert len(kept_in(state_folder)) == 1
    dock.panels.resume.discard_button.click()
    assert not dock.panels.resume.isVisible()
    assert list((state_folder / "trainings").iterdir()) == []


def test_several_genes_painted_tissue_and_a_row_that_waits_come_back(dock, qtbot, cube, state_folder):
    """The second gene of a row of three, on a tissue with a hole, begun with the weights of a run before."""
    edits = np.zeros((48, 44), np.uint8)
    edits[10:20, 10:20] = ERASED
    painted = Painted(edits, 10.0, (0.0, 0.0))
    values = {each.gene: each for each in open_count_cube(cube).gene_maps(["WAVE", "RIDGE"], bin_um=10.0)}
    tissue = values["WAVE"].tissue & (edits != ERASED)
    maps = (replace(values["WAVE"], tissue=tissue),)
    first = fit([sample(values["RIDGE"], 2)], RunConfig.preset("fast", bin_um=10.0, **{**SMALL, "steps": 1}))
    kept = new_saved_run()
    config = RunConfig.preset("fast", bin_um=10.0, **SMALL)
    request = Request(
        job=CountedJob(maps=maps, config=config, start=first, edited_tissue=True), slide=cube, painted=painted,
        slide_name="cube", waiting=("RIDGE",), saved_run=kept, checkpoint_every_s=0.0,
    )  # fmt: skip
    whole = _end(run(replace(request, saved_run=None)))
    running = run(request)
    while getattr(next(running), "step", 0) < 3:
        continue
    running.close()
    kept.release()
    assert offer(dock, qtbot).endswith(" 1 more was waiting.")
    dock.panels.resume.resume_button.click()
    session = dock.session
    qtbot.waitUntil(lambda: len([each for each in session.entries if each.number]) == 2, timeout=300_000)
    resumed = next(each.result for each in session.entries if each.gene == "WAVE" and each.number)
    assert dock.tissue.edited
    assert np.array_equal(resumed.job.truth[0].tissue, tissue)
    assert all(torch.equal(each, resumed.trained.weights[name]) for name, each in whole.trained.weights.items())
    assert list((state_folder / "trainings").iterdir()) == []


def test_a_slide_that_changed_is_said_and_can_only_be_discarded(dock, qtbot, cube, tmp_path, state_folder):
    copy = tmp_path / "cube.npz"
    copy.write_bytes(cube.read_bytes())
    left_behind(copy)
    counts = dict(np.load(copy))
    counts["counts"] = counts["counts"][:, ::-1]
    np.savez_compressed(copy, **counts)
    offer(dock, qtbot)
    dock.panels.resume.resume_button.click()
    qtbot.waitUntil(dock.panels.resume.isVisible, timeout=300_000)
    assert (
        dock.panels.resume.text() == "The training of WAVE can't go on: the counts of cube are not those it began with."
    )
    assert not dock.panels.resume.resume_button.isVisible()
    assert dock.panels.resume.discard_button.isVisible()
    qtbot.waitUntil(lambda: dock.session.can_open, timeout=300_000)
    dock.panels.resume.discard_button.click()
    assert kept_in(state_folder) == []


def test_a_slide_that_went_away_between_offer_and_click_is_said(dock, qtbot, cube, tmp_path):
    copy = tmp_path / "cube.npz"
    copy.write_bytes(cube.read_bytes())
    left_behind(copy)
    offer(dock, qtbot)
    copy.unlink()
    dock.panels.resume.resume_button.click()
    qtbot.waitUntil(dock.panels.resume.isVisible, timeout=300_000)
    assert dock.panels.resume.text().startswith("The training of WAVE can't go on: ")
    assert not dock.panels.resume.resume_button.isVisible()


def test_a_slide_whose_bin_size_only_its_user_knew_is_opened_with_it_and_asks_nothing(dock, qtbot, cube_without_bin):
    left_behind(cube_without_bin, size_um=10.0)
    offer(dock, qtbot)
    resume(dock, qtbot)
    assert dock.opening.dialog is None
    assert dock.session.result.job.size_um == 10.0


def test_what_another_window_took_up_is_not_taken_up_twice(dock, qtbot, cube):
    kept = left_behind(cube)
    offer(dock, qtbot)
    assert kept.hold()
    dock.panels.resume.resume_button.click()
    assert dock.panels.resume.text() == "Another window goes on with the training of WAVE."
    kept.release()


def test_a_state_folder_that_can_t_be_written_is_told_once_and_training_goes_on(small, qtbot, state_folder):
    dock, train = small
    state_folder.rmdir()
    state_folder.write_text("a file in the way")
    told = []
    dock.runs.warned.connect(told.append)
    for _ in range(2):
        before = dock.session.result
        train(2)
        qtbot.waitUntil(lambda before=before: dock.session.result is not before, timeout=300_000)
        qtbot.waitUntil(lambda: dock.session.can_train, timeout=300_000)
    assert len(told) == 1
    assert told[0].endswith("Training goes on, and would be lost in a crash.")


def test_a_training_that_failed_after_it_was_kept_is_offered(dock, qtbot, cube, tmp_path):
    """The run's own generator, which fails as when a device disappears."""

    def fails(request):
        running = run(request)
        event = next(running)
        while getattr(event, "step", 0) < 3:
            yield event
            event = next(running)
        raise TrainingError("The device has gone.")

    dock.run_queue.run = fails
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(cube)
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=300_000)
    dock.runs.keep_every_s = 0.0
    dock.session.settings = RunConfig.preset("fast", bin_um=10.0, **SMALL)
    dock.train()
    qtbot.waitUntil(lambda: "device has gone" in dock.session.message, timeout=300_000)
    qtbot.waitUntil(dock.panels.resume.isVisible, timeout=300_000)
    dock.run_queue.run = run
    dock.session.message = ""
    resume(dock, qtbot)
    assert dock.session.result.trained.steps == SMALL["steps"]


def _end(running):
    try:
        while True:
            next(running)
    except StopIteration as end:
        return end.value
