"""Training on a Dask cluster from a real window: a real scheduler, real worker processes on this computer, small maps."""

import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from support.window_state import buttons, names

pytest.importorskip("distributed", reason="the extra cluster (Dask) is not installed")

from napari_s2sst.engine.cluster import connect
from napari_s2sst.engine.cluster.connect import ClusterPlace, Tls
from napari_s2sst.engine.cluster.pool import WorkerPool
from napari_s2sst.engine.cluster.remote import NO_WORKER, train_on_cluster
from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.events import Stepped
from napari_s2sst.engine.network.model import save_model
from napari_s2sst.engine.runs.execute import NOTHING_LEARNT
from napari_s2sst.engine.runs.run import CountedJob
from napari_s2sst.engine.runs.saved_run import left_behind
from napari_s2sst.engine.runs.script import script_of
from napari_s2sst.engine.sampling.lattice import sample
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.training.train import fit
from napari_s2sst.plugin.panels.training.cluster_dialog import ClusterDialog
from napari_s2sst.plugin.panels.training.place import CHOOSE, CHOOSE_OTHER, HERE, PlaceBox
from napari_s2sst.plugin.session import State
from napari_s2sst.plugin.threads.request import Request
from napari_s2sst.plugin.threads.run import run

SMALL = dict(
    blocks=1, channels=8, growth=4, start_from="random", batch=3, image_batch=2, symmetries=1, device="cpu", steps=8
)
EVER = 1_000_000
"""Steps that no test waits for."""


@pytest.fixture(scope="module")
def pool():
    """Two workers."""
    with WorkerPool(workers=2) as pool:
        yield pool


@pytest.fixture
def small(dock, qtbot, cube):
    """The dock with a small slide open, and a function that trains on it so many small steps."""
    dock.panels.sampling.instant_box.setChecked(False)
    dock.runs.keep_every_s = 0.0
    dock.open_slide(cube)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)

    def train(steps: int, address: str | None) -> None:
        config = RunConfig.preset("fast", bin_um=10.0, **{**SMALL, "steps": steps})
        dock.panels.training.setValue(config)
        dock.session.settings = config
        dock.session.cluster = None if address is None else ClusterPlace(address)
        dock.train()

    yield dock, train
    dock.run_queue.abandon()


def until_ended(dock, qtbot) -> None:
    qtbot.waitUntil(lambda: dock.session.result is not None or bool(dock.session.message), timeout=300_000)
    assert dock.session.message == ""


def until_step(dock, qtbot, step: int) -> None:
    qtbot.waitUntil(lambda: dock.session.progress is not None and dock.session.progress.step >= step, timeout=300_000)


def step_it_rests_at(dock, qtbot) -> int:
    """What was under way arrives; then no step for longer than one takes on a busy machine."""
    for _ in range(15):
        step = dock.session.progress.step
        qtbot.wait(1500)
        if dock.session.progress.step == step:
            return step
    pytest.fail("it goes on taking steps")


def until_both_workers_are_there(pool, qtbot) -> None:
    """One may just have been killed."""
    qtbot.waitUntil(lambda: len(pool._cluster.scheduler.workers) == 2, timeout=300_000)


def until_nothing_is_under_way(pool, qtbot) -> None:
    """No worker does anything for anybody."""
    qtbot.waitUntil(lambda: not pool._cluster.scheduler.tasks, timeout=300_000)


def busy_workers(pool) -> dict[str, int]:
    """Address -> process of those that train."""
    processes = pool._client.run(os.getpid)
    return {
        each.address: processes[each.address] for each in pool._cluster.scheduler.workers.values() if each.processing
    }


# ---- runs


def test_a_training_on_the_cluster_ends_with_the_weights_map_and_script_of_one_here(small, qtbot, pool, cube):
    dock, train = small
    train(8, pool.address)
    until_ended(dock, qtbot)
    there = dock.session.result
    assert there.scores
    assert f"{dock.session.gene} - imputed" in names(dock)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    train(8, None)
    qtbot.waitUntil(lambda: dock.session.result is not there, timeout=300_000)
    here = dock.session.result
    assert there.trained.steps == here.trained.steps == 8
    assert all(torch.equal(each, there.trained.weights[name]) for name, each in here.trained.weights.items())
    assert np.array_equal(here.imputed[0].values, there.imputed[0].values, equal_nan=True)
    command = [script_of(each, cube).partition("exec ")[2] for each in (here, there)]
    assert "--steps 8" in command[0]
    assert command[0] == command[1]


def test_a_training_from_a_model_file_has_the_weights_of_one_here_and_its_script_brings_the_model(
    qtbot, pool, cube, tmp_path
):
    maps = tuple(open_count_cube(cube).gene_maps(["WAVE"], bin_um=10.0))
    config = RunConfig.preset("fast", bin_um=10.0, **SMALL)
    path = save_model(tmp_path / "first.safetensors", fit([sample(maps[0], 2)], config))
    config = config.changed(start_from=path)
    job = CountedJob(maps=maps, config=config, fill_in=True)  # which scores nothing, so it is quick
    request = Request(job=job, slide=cube)
    here, there = _end(run(request)), _end(run(replace(request, cluster=ClusterPlace(pool.address))))
    assert all(torch.equal(each, there.trained.weights[name]) for name, each in here.trained.weights.items())
    assert "start_from=$here/start.safetensors" in script_of(there, cube)


def test_a_device_that_only_this_computer_has_keeps_no_worker_from_training(pool, cube):
    maps = tuple(open_count_cube(cube).gene_maps(["WAVE"], bin_um=10.0))
    config = RunConfig.preset("fast", bin_um=10.0, **SMALL | {"device": "cuda:7"})
    job = CountedJob(maps=maps, config=config, fill_in=True)
    request = Request(job=job, slide=cube, cluster=ClusterPlace(pool.address))
    result = _end(run(request))
    assert result.trained.steps == SMALL["steps"]
    assert result.trained.config.device == "cuda:7"


def _end(running):
    try:
        while True:
            next(running)
    except StopIteration as end:
        return end.value


def test_previews_and_their_scores_come_back_pause_rests_there_and_stop_keeps_the_weights(small, qtbot, pool):
    dock, train = small
    train(EVER, pool.address)
    qtbot.waitUntil(lambda: "MAE" in dock.panels.live.text(), timeout=300_000)
    assert f"{dock.session.gene} - preview" in names(dock)
    dock.panels.run.pause_button.click()
    assert dock.session.state is State.PAUSED
    assert dock.panels.run.pause_button.text() == "Go on"
    step = step_it_rests_at(dock, qtbot)
    assert "steps/s" in dock.panels.run.line.text()
    dock.panels.run.pause_button.click()
    assert dock.session.state is State.TRAINING
    until_step(dock, qtbot, step + 5)
    dock.panels.run.stop_button.click()
    assert dock.session.state is State.STOPPING
    until_ended(dock, qtbot)
    assert step < dock.session.result.trained.steps < EVER
    until_nothing_is_under_way(pool, qtbot)


def test_stop_ends_a_paused_training_and_keeps_its_weights(small, qtbot, pool):
    dock, train = small
    train(EVER, pool.address)
    until_step(dock, qtbot, 3)
    dock.panels.run.pause_button.click()
    step_it_rests_at(dock, qtbot)
    dock.panels.run.stop_button.click()
    until_ended(dock, qtbot)
    assert 3 <= dock.session.result.trained.steps < EVER


def test_stop_while_no_worker_is_free_ends_the_run_and_says_that_nothing_was_learnt(
    small, qtbot, pool, cube, state_folder
):
    dock, train = small
    sparse = sample(open_count_cube(cube).gene_maps(["WAVE"], bin_um=10.0)[0], 2)
    config = RunConfig.preset("fast", bin_um=10.0, **{**SMALL, "steps": EVER})
    until_both_workers_are_there(pool, qtbot)
    others = [train_on_cluster([sparse], config, pool) for _ in range(2)]
    for other in others:
        while not isinstance(next(other), Stepped):
            pass
    train(EVER, pool.address)
    qtbot.waitUntil(lambda: dock.session.can_stop, timeout=300_000)
    assert dock.session.state is State.STARTING
    assert dock.panels.run.line.text() == "Waiting for a free worker of the cluster."
    assert buttons(dock)["pause"] is False
    dock.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=300_000)
    assert dock.session.message == NOTHING_LEARNT
    assert dock.session.result is None
    assert not dock.panels.resume.isVisible()
    assert list((state_folder / "trainings").iterdir()) == []
    for other in others:
        other.close()
    until_nothing_is_under_way(pool, qtbot)


def test_a_worker_that_is_killed_is_said_and_the_training_goes_on_from_its_checkpoint(small, qtbot, pool):
    dock, train = small
    train(EVER, pool.address)
    until_step(dock, qtbot, 20)
    ((address, process),) = busy_workers(pool).items()
    os.kill(process, signal.SIGKILL)
    qtbot.waitUntil(lambda: bool(dock.session.message), timeout=300_000)
    assert address in dock.session.message
    assert "Training goes on elsewhere after step" in dock.session.message
    assert "after step 0" not in dock.session.message
    assert dock.session.state is State.TRAINING
    step = dock.session.progress.step
    qtbot.waitUntil(lambda: dock.session.progress.step > step, timeout=300_000)


def test_a_cluster_whose_last_worker_went_is_said_and_the_training_goes_on_when_one_comes(small, qtbot):
    dock, train = small
    with WorkerPool(workers=1) as pool:
        train(EVER, pool.address)
        until_step(dock, qtbot, 20)
        pool._cluster.scale(0)
        qtbot.waitUntil(lambda: dock.panels.run.line.text() == NO_WORKER, timeout=300_000)
        step = dock.session.progress.step
        pool._cluster.scale(1)
        qtbot.waitUntil(lambda: dock.session.progress.step > step, timeout=300_000)
        assert dock.panels.run.line.text() != NO_WORKER
        dock.run_queue.abandon()


def test_a_run_that_is_left_for_another_slide_ends_on_the_cluster_too_and_leaves_nothing(
    small, qtbot, pool, cube, state_folder
):
    dock, train = small
    train(EVER, pool.address)
    until_step(dock, qtbot, 3)
    dock.open_slide(cube)
    until_nothing_is_under_way(pool, qtbot)
    qtbot.waitUntil(lambda: not list((state_folder / "trainings").iterdir()), timeout=300_000)


def test_a_run_whose_dock_is_closed_ends_on_the_cluster_too_and_is_offered_again(small, qtbot, pool):
    dock, train = small
    train(EVER, pool.address)
    qtbot.waitUntil(lambda: dock.run_queue.request.saved_run.checkpoint.exists(), timeout=300_000)
    dock.viewer.window.remove_dock_widget(dock)
    until_nothing_is_under_way(pool, qtbot)
    qtbot.waitUntil(lambda: len(left_behind()) == 1, timeout=300_000)


def test_a_cluster_that_is_lost_is_said_and_what_it_had_learnt_goes_on_here(small, qtbot):
    dock, train = small
    with WorkerPool(workers=1) as pool:
        train(EVER, pool.address)
        until_step(dock, qtbot, 20)
        before = dock.run_queue.request.saved_run
        qtbot.waitUntil(before.checkpoint.exists, timeout=300_000)
    qtbot.waitUntil(lambda: bool(dock.session.message), timeout=300_000)
    assert dock.session.cluster.address in dock.session.message
    assert dock.session.can_train
    qtbot.waitUntil(dock.panels.resume.isVisible, timeout=300_000)
    dock.session.message = ""
    dock.panels.resume.resume_button.click()
    qtbot.waitUntil(lambda: dock.session.state is State.TRAINING or bool(dock.session.message), timeout=300_000)
    assert dock.session.message == ""
    assert dock.run_queue.request.elsewhere is None
    step = dock.session.started.step
    assert step > 0
    until_step(dock, qtbot, step + 1)


def test_an_address_where_nobody_is_is_one_sentence_and_the_window_is_ready_again(small, qtbot, monkeypatch):
    monkeypatch.setattr(connect, "CONNECT_S", 2.0)
    dock, train = small
    train(8, "tcp://127.0.0.1:9")
    qtbot.waitUntil(
        lambda: dock.panels.run.line.text() == "Connecting to the cluster at 127.0.0.1:9 ...", timeout=300_000
    )
    assert buttons(dock)["stop"] is False
    qtbot.waitUntil(lambda: bool(dock.session.message), timeout=300_000)
    assert dock.panels.message.message().startswith("There is no Dask scheduler at tcp://127.0.0.1:9")
    assert "Traceback" not in dock.session.message
    assert dock.session.can_train


# ---- choosing


@pytest.fixture
def box(qtbot):
    made = PlaceBox()
    qtbot.addWidget(made)
    made.told = []
    made.valueChanged.connect(made.told.append)
    made.show()
    return made


def items(box) -> list[str]:
    return [box.itemText(row) for row in range(box.count())]


def choose(box, text: str) -> None:
    """As a user does, which tells."""
    box.setCurrentIndex(box.findText(text))
    box.activated.emit(box.currentIndex())


@pytest.fixture
def dialog(qtbot):
    made = ClusterDialog()
    qtbot.addWidget(made)
    made.open()
    return made


def test_a_cluster_that_was_chosen_stands_in_the_list_beside_this_computer_and_another(box):
    assert items(box) == [HERE, CHOOSE]
    assert box.value() is None
    choose(box, CHOOSE)
    assert box.currentText() == HERE  # until the dialog is answered
    box.dialog.address_edit.setText("tcp://10.0.0.5:8786")
    box.dialog.ok_button.click()
    place = ClusterPlace("tcp://10.0.0.5:8786")
    assert box.told == [place]
    assert box.value() == place
    assert items(box) == [HERE, "Dask cluster at 10.0.0.5:8786", CHOOSE_OTHER]
    assert box.currentText() == "Dask cluster at 10.0.0.5:8786"
    choose(box, HERE)
    assert box.value() is None
    choose(box, "Dask cluster at 10.0.0.5:8786")
    assert box.told == [place, None, place]


def test_a_cancelled_dialog_changes_nothing(box, qtbot):
    choose(box, CHOOSE)
    box.dialog.address_edit.setText("tcp://10.0.0.5:8786")
    qtbot.keyClick(box.dialog, Qt.Key.Key_Escape)
    assert box.dialog is None
    assert box.value() is None
    assert box.told == []


def test_without_dask_a_cluster_can_not_be_chosen_and_the_list_says_what_to_install(qtbot):
    box = PlaceBox(able=False)
    qtbot.addWidget(box)
    item = box.model().item(box.findText(CHOOSE))
    assert not item.isEnabled()
    assert "napari-s2sst[cluster]" in item.toolTip()


def test_the_choice_in_the_panel_is_the_sessions_and_can_not_be_changed_during_a_run(small, qtbot, pool):
    dock, train = small
    box = dock.panels.training.place_box
    choose(box, CHOOSE)
    box.dialog.address_edit.setText(pool.address)
    box.dialog.ok_button.click()
    assert dock.session.cluster == ClusterPlace(pool.address)
    train(EVER, pool.address)
    assert not box.isEnabled()
    until_step(dock, qtbot, 1)


def test_test_really_connects_and_says_how_many_workers_there_are(dialog, qtbot, pool):
    until_both_workers_are_there(pool, qtbot)
    assert not dialog.test_button.isEnabled()
    dialog.address_edit.setText(pool.address)
    dialog.test_button.click()
    assert dialog.outcome_line.text() == f"Connecting to {ClusterPlace(pool.address).name} ..."
    qtbot.waitUntil(lambda: dialog.outcome_line.text() == "It answers, and has 2 workers.", timeout=300_000)
    assert dialog.ok_button.isEnabled()


def test_test_says_what_is_wrong_in_a_sentence(dialog, qtbot, tmp_path):
    dialog.address_edit.setText("tls://127.0.0.1:9")
    assert "three files" in dialog.outcome_line.text()
    for name, edit in dialog.file_edits.items():
        edit.setText(str(tmp_path / f"{name}.pem"))
    dialog.test_button.click()
    qtbot.waitUntil(lambda: "There is no TLS file" in dialog.outcome_line.text(), timeout=300_000)
    assert dialog.test_button.isEnabled()


def test_certificates_are_asked_for_with_tls_only(dialog, tmp_path):
    for address, wanted in (("tcp://host:8786", False), ("tls://host:8786", True)):
        dialog.address_edit.setText(address)
        for widget in (*dialog.file_edits.values(), *dialog.browse_buttons.values()):
            assert widget.isEnabled() is wanted
    assert not dialog.ok_button.isEnabled()
    files = [tmp_path / name for name in ("ca.pem", "me.pem", "me-key.pem")]
    for edit, path in zip(dialog.file_edits.values(), files, strict=True):
        edit.setText(str(path))
    assert dialog.ok_button.isEnabled()
    assert dialog.value() == ClusterPlace("tls://host:8786", Tls(*files))


@pytest.mark.parametrize(
    ("address", "warns"),
    [("tcp://10.0.0.5:8786", True), ("tcp://127.0.0.1:8786", False), ("tcp://localhost:8786", False), ("tls://10.0.0.5:1", False)],
)  # fmt: skip
def test_an_open_door_to_another_computer_is_said(dialog, address, warns):
    dialog.address_edit.setText(address)
    assert dialog.warning_line.isVisible() is warns


@pytest.mark.parametrize(
    "address", ["", "host:8786", "tcp://host", "tcp://host:0", "tcp://host:99999", "http://host:80"]
)
def test_what_is_no_address_can_not_be_chosen(dialog, address):
    dialog.address_edit.setText(address)
    assert not dialog.ok_button.isEnabled()
    assert not dialog.test_button.isEnabled()
    assert bool(dialog.outcome_line.text()) is bool(address)


def test_the_cluster_that_was_chosen_last_is_offered_first(dialog, qtbot):
    dialog.address_edit.setText("tcp://10.0.0.5:8786")
    dialog.ok_button.click()
    again = ClusterDialog()
    qtbot.addWidget(again)
    assert again.address_edit.text() == "tcp://10.0.0.5:8786"


def test_every_control_can_be_reached_by_key_and_says_what_it_does(dialog, box):
    dialog.address_edit.setText("tls://host:1")
    controls = [dialog.address_edit, *dialog.file_edits.values(), *dialog.browse_buttons.values(), dialog.test_button]
    for control in (*controls, dialog.ok_button, dialog.cancel_button, box):
        assert control.toolTip()
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert all(edit.accessibleName() for edit in (dialog.address_edit, *dialog.file_edits.values()))
