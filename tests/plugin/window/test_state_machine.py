"""Every button in every state, every click in any order, and the end of the window in the middle of anything."""

import shutil
import time
from functools import partial
from pathlib import Path
from typing import ClassVar

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from qtpy.QtCore import QThreadPool, QTimer
from qtpy.QtWidgets import QApplication
from shapely.geometry import box
from support.window_state import names

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.events import Command, Finished, Started, Stepped
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs.events import Stage
from napari_s2sst.engine.runs.run import CountedJob
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.plugin.controllers.run_queue import RunQueue
from napari_s2sst.plugin.session import Mode, Session, Several, State
from napari_s2sst.plugin.threads.request import Request
from napari_s2sst.plugin.viewer.comparison import CompareChoice, CompareMode

# ---- every button in every state

PARTS = ("open", "genes", "sampling", "regions", "train", "pause", "stop", "export", "load", "save")
TABLE = {
    "empty":           "open sampling",
    "opening, empty":  "sampling",
    "ready":           "open genes sampling regions train load",
    "counting":        "genes sampling regions load",
    "opening":         "genes sampling regions load",
    "starting":        "open",
    "training":        "open pause stop",
    "paused":          "open pause stop",
    "stopping":        "open",
    "scoring":         "open",
    "result":          "open genes sampling regions train export load save",
    "writing":         "genes sampling regions load",
    "starting again":  "open export",
    "training again":  "open pause stop export",
    "stopping again":  "open export",
    "scoring again":   "open export",
}  # fmt: skip
"""What can be pressed; "again" is with an earlier result at hand, as in a row of runs."""


def situation(session) -> str:
    earlier = " again" if session.entries else ""
    if session.busy.startswith("Opening"):
        return "opening" + (", empty" if session.slide is None else "")
    if session.busy:
        return session.busy.split()[0].lower()
    if session.state is State.EMPTY:
        return "empty"
    if session.state is State.READY:
        return "result" if session.entries else "ready"
    return session.state.value + earlier


def enabled(dock) -> str:
    panels = dock.panels
    controls = (
        panels.header.open_button, panels.genes.view, panels.sampling.stride_box, panels.region.import_button,
        panels.run.train_button, panels.run.pause_button, panels.run.stop_button, panels.result.export_button,
        panels.training.load_button, panels.training.save_button,
    )  # fmt: skip
    return " ".join(name for name, control in zip(PARTS, controls, strict=True) if control.isEnabled())


def test_every_button_in_every_state(dock, qtbot, train, sample_slide, tmp_path):
    session, seen = dock.session, {}

    def look(*_) -> None:
        seen.setdefault(situation(session), set()).add(enabled(dock))

    def until(condition) -> None:
        qtbot.waitUntil(condition, timeout=300_000)

    timer = QTimer(dock)  # ends with the dock, also where the test fails
    timer.timeout.connect(look)
    timer.start(0)
    look()
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(sample_slide)
    until(lambda: session.can_train and not dock.display.busy)
    dock.choose_gene(list(session.slide.genes)[1])
    until(lambda: session.can_train)
    train(dock, 100_000)
    until(lambda: session.progress is not None)
    dock.panels.run.pause_button.click()
    until(lambda: session.state is State.PAUSED)
    dock.panels.run.pause_button.click()
    until(lambda: session.state is State.TRAINING)
    dock.panels.run.stop_button.click()
    until(lambda: session.state is State.READY)
    dock.results.export(tmp_path)
    until(lambda: not session.busy)
    dock.choose_genes(tuple(session.slide.genes)[:2])
    until(lambda: session.can_train)
    train(dock, 2)
    until(lambda: len(session.entries) == 3 and not session.running)
    train(dock, 100_000)
    until(lambda: session.running and session.progress is not None)
    dock.panels.run.stop_button.click()
    until(lambda: session.state is State.READY)
    session.entries, session.shown, session.model = (), None, None
    dock.open_slide(sample_slide)
    until(lambda: session.can_train)
    timer.stop()
    assert {state: sorted(found) for state, found in seen.items()} == {
        state: [wanted] for state, wanted in TABLE.items()
    }


# ---- every click in any order


def quick(request, *, steps: int, fails: bool):
    """A run as the engine tells it, too quick to learn; every event says whose it is by the request's seed."""
    own = request.job.config.seed
    yield Stage("Getting ready ...")
    command = yield Started(
        genes=tuple(each.gene for each in request.job.maps), device="CPU", parameters=own, held_out_bins=0
    )
    step = 0
    while step < steps and command is not Command.STOP:
        time.sleep(0.001)
        step += 1
        command = yield Stepped(
            step=step, steps=steps, loss=1.0, terms={}, steps_per_second=float(own), seconds_left=1.0
        )
    if fails:
        raise TrainingError("on purpose")
    yield Finished(step, 1.0, command is Command.STOP)
    yield Stage("Imputing ...")
    time.sleep(0.002)
    return own


class Clicks(RuleBasedStateMachine):
    """A session and its runner, with a real thread for each run."""

    clicks: ClassVar[int] = 0
    """On Train, Pause and Stop, by all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.session = Session()
        self.session.open(object())
        self.run_queue = RunQueue(self.session, run=self.run)
        self.alive: list[int] = []
        self.begun: list[int] = []
        self.asked: list[int] = []
        self.returned: list[int] = []
        self.failed: list[str] = []
        self.outcomes: dict[int, tuple[int, bool]] = {}
        self.current = -1
        self.run_queue.began.connect(self.began)
        self.run_queue.reported.connect(self.told)
        self.run_queue.returned.connect(self.returned.append)
        self.run_queue.failed.connect(self.failed.append)

    def run(self, request):
        steps, fails = self.outcomes[request.job.config.seed]
        return (yield from quick(request, steps=steps, fails=fails))

    def began(self, request) -> None:
        assert request.job.config.seed not in self.begun, "a run begins once"
        self.current = request.job.config.seed
        self.begun.append(self.current)

    def told(self, event) -> None:
        if isinstance(event, Started):
            assert event.parameters == self.current, "an event of another run"
        if isinstance(event, Stepped):
            assert event.steps_per_second == self.current, "an event of another run"

    def pump(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.001)

    @rule(runs=st.lists(st.tuples(st.sampled_from([0, 3, 1000]), st.booleans(), st.booleans()), min_size=1, max_size=3))
    def train(self, runs) -> None:
        """(steps, whether it fails, whether the lattice fits its map) for each."""
        Clicks.clicks += 1
        was_active, requests = self.run_queue.active, []
        for steps, fails, fits in runs:
            seed = len(self.outcomes)
            self.outcomes[seed] = (steps, fails)
            self.asked.append(seed)
            gene_map = GeneMap(np.ones((16, 16) if fits else (3, 3)), gene=f"G{seed}")
            config = RunConfig.preset("fast", seed=seed)
            requests.append(Request(job=CountedJob(maps=(gene_map,), config=config), slide=Path("slide")))
        before = list(self.begun)
        try:
            self.run_queue.start(*requests)
        except Exception:
            assert not self.run_queue.active
        if was_active:
            assert self.begun == before, "a run begins while another one is on"

    @rule()
    def pause_or_go_on(self) -> None:
        Clicks.clicks += 1
        self.run_queue.toggle_pause()

    @rule()
    def stop(self) -> None:
        Clicks.clicks += 1
        could, begun = self.session.can_stop and self.run_queue.active, len(self.begun)
        self.run_queue.stop()
        if could:
            self.finish()
            assert len(self.begun) == begun, "a stopped row goes on"

    @rule()
    def another_slide(self) -> None:
        returned, failed = len(self.returned), len(self.failed)
        self.run_queue.abandon()
        self.session.open(object())
        self.pump(0.01)
        assert (len(self.returned), len(self.failed)) == (returned, failed)
        assert self.session.state is State.READY

    @rule(milliseconds=st.sampled_from([1, 5, 30]))
    def wait(self, milliseconds) -> None:
        self.pump(milliseconds / 1000)

    @precondition(lambda self: self.run_queue.active)
    @rule()
    def finish(self) -> None:
        end = time.monotonic() + 300
        while self.run_queue.active and time.monotonic() < end:
            if self.session.state is State.PAUSED:
                self.run_queue.toggle_pause()
            if self.session.can_stop:
                self.run_queue.stop()
            self.pump(0.005)
        assert not self.run_queue.active, f"stuck in {self.session.state}"

    @invariant()
    def a_run_is_on_exactly_when_the_session_says_so(self) -> None:
        assert self.run_queue.active == self.session.running
        if not self.run_queue.active:
            assert self.session.state is State.READY
            assert self.session.queue is None
            assert not self.run_queue.waits

    def teardown(self) -> None:
        if self.run_queue.active:
            self.finish()
        self.run_queue.abandon()
        assert QThreadPool.globalInstance().waitForDone(10_000)
        QApplication.processEvents()
        assert len(self.returned) == len(set(self.returned))


def test_a_thousand_clicks_in_any_order_lead_back_to_ready(qapp):
    run_state_machine_as_test(
        Clicks,
        settings=settings(
            max_examples=80, stateful_step_count=40, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
    assert Clicks.clicks >= 1000


# ---- the end in the middle of anything


@pytest.fixture
def slow_slide(sample_slide, tmp_path) -> Path:
    """Another folder with the same slide."""
    return Path(shutil.copytree(sample_slide, tmp_path / "other"))


def _opening(dock, qtbot, train, slide, folder):
    dock.open_slide(slide)
    assert dock.opening.busy


def _counting(dock, qtbot, train, slide, folder):
    dock.choose_gene(list(dock.session.slide.genes)[1])
    assert dock.counting.busy


def _instant(dock, qtbot, train, slide, folder):
    dock.panels.sampling.instant_box.setChecked(True)
    assert dock.instant.imputing


def _judging_instant(dock, qtbot, train, slide, folder):
    dock.panels.sampling.instant_box.setChecked(True)
    qtbot.waitUntil(lambda: dock.session.shown is not None, timeout=300_000)
    assert dock.instant.imputing


def _scoring_genes(dock, qtbot, train, slide, folder):
    dock.genes.structure.start(dock.session.slide, tuple(dock.session.slide.genes), 10.0, 20.0)
    assert dock.genes.structure.busy


def _starting(dock, qtbot, train, slide, folder):
    train(dock, 100_000)
    assert dock.session.state is State.STARTING


def _training(dock, qtbot, train, slide, folder):
    train(dock, 100_000)
    qtbot.waitUntil(lambda: dock.session.running and dock.session.progress is not None, timeout=300_000)


def _paused(dock, qtbot, train, slide, folder):
    _training(dock, qtbot, train, slide, folder)
    dock.panels.run.pause_button.click()
    qtbot.waitUntil(lambda: dock.session.state is State.PAUSED, timeout=300_000)


def _stopping(dock, qtbot, train, slide, folder):
    _training(dock, qtbot, train, slide, folder)
    dock.panels.run.stop_button.click()
    assert dock.session.state is State.STOPPING


def _scoring(dock, qtbot, train, slide, folder):
    train(dock, 1)
    qtbot.waitUntil(lambda: dock.session.state is State.SCORING, timeout=300_000)


def _comparing(dock, qtbot, train, slide, folder):
    _judging_instant(dock, qtbot, train, slide, folder)
    qtbot.waitUntil(lambda: not dock.display.busy, timeout=300_000)
    gene = dock.session.gene
    layers = (f"{gene} - sparse input (at once)", f"{gene} - imputed (at once)")
    dock.results.comparison.show(CompareChoice(mode=CompareMode.SWIPE, first=layers[0], second=layers[1]))


def _writing(dock, qtbot, train, slide, folder):
    train(dock, 1)
    qtbot.waitUntil(lambda: dock.session.can_export and not dock.session.running, timeout=300_000)
    dock.results.export(folder / "out")
    assert dock.results.busy


def _showing_layers(dock, qtbot, train, slide, folder):
    dock.panels.sampling.instant_box.setChecked(True)
    qtbot.waitUntil(lambda: dock.display.busy, timeout=300_000)


SITUATIONS = (
    _opening, _counting, _instant, _judging_instant, _scoring_genes, _starting, _training, _paused, _stopping,
    _scoring, _comparing, _writing, _showing_layers,
)  # fmt: skip


def _nothing_goes_on(dock) -> bool:
    parts = (dock.opening, dock.counting, dock.genes.structure, dock.models, dock.results, dock.display)
    return not dock.run_queue.active and not dock.instant.imputing and not any(part.busy for part in parts)


@pytest.mark.parametrize("bring", SITUATIONS, ids=lambda each: each.__name__.strip("_"))
def test_the_dock_can_be_closed_in_the_middle_of_anything(opened, qtbot, train, slow_slide, tmp_path, bring):
    bring(opened, qtbot, train, slow_slide, tmp_path)
    viewer = opened.viewer
    viewer.window.remove_dock_widget(opened)
    assert opened.over
    assert _nothing_goes_on(opened)
    before = names(opened)
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=300_000)
    qtbot.wait(50)
    assert names(opened) == before, "a layer came after the end"
    viewer.layers.clear()


@pytest.mark.parametrize("bring", [_opening, _instant, _training, _writing, _comparing, _showing_layers])
def test_the_window_can_be_closed_in_the_middle_of_anything(opened, qtbot, train, slow_slide, tmp_path, bring):
    bring(opened, qtbot, train, slow_slide, tmp_path)
    opened.viewer.close()
    assert opened.over
    assert _nothing_goes_on(opened)
    qtbot.waitUntil(lambda: QThreadPool.globalInstance().activeThreadCount() == 0, timeout=300_000)
    qtbot.wait(50)


def test_the_window_can_be_closed_while_the_dock_floats(opened, qtbot, train):
    opened.parent().setFloating(True)
    qtbot.waitUntil(lambda: opened.window() is opened.parent(), timeout=300_000)
    _training(opened, qtbot, train, None, None)
    opened.viewer.close()
    assert opened.over
    assert not opened.run_queue.active


def test_the_window_can_be_closed_under_the_export_dialog(opened, qtbot, train, tmp_path):
    train(opened, 1)
    qtbot.waitUntil(lambda: opened.session.can_export and not opened.session.running, timeout=300_000)
    qtbot.wait(100)

    def close() -> None:
        assert opened.results.dialog is not None
        opened.viewer.close()

    QTimer.singleShot(200, close)
    opened.panels.result.export_button.click()
    assert opened.over
    assert opened.results.dialog is None


# ---- layers that are gone


def _all_well(dock, qtbot) -> None:
    """It can be worked on: another gene is counted and shown."""
    other = next(gene for gene in dock.session.slide.genes if gene != dock.session.gene)
    dock.choose_gene(other)
    qtbot.waitUntil(lambda: dock.session.can_train and dock.session.gene_map.gene == other, timeout=300_000)
    qtbot.waitUntil(lambda: f"{other} - counts" in names(dock), timeout=300_000)
    assert dock.session.message == ""


def test_deleting_every_layer_while_maps_are_compared_ends_the_comparison(opened, qtbot, train):
    _comparing(opened, qtbot, train, None, None)
    opened.viewer.layers.clear()
    qtbot.waitUntil(lambda: opened.results.comparison.mode is CompareMode.OFF, timeout=300_000)
    qtbot.waitUntil(lambda: not opened.instant.imputing and not opened.display.busy, timeout=300_000)
    _all_well(opened, qtbot)


def test_deleting_every_layer_while_a_preview_is_shown_brings_none_back(opened, qtbot, train):
    train(opened, 100_000)
    preview = f"{opened.session.gene} - preview"
    qtbot.waitUntil(lambda: preview in names(opened), timeout=300_000)
    opened.viewer.layers.clear()
    step = opened.session.progress.step
    qtbot.waitUntil(lambda: opened.session.progress.step > step + 5, timeout=300_000)
    assert names(opened) == []
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None and not opened.display.busy, timeout=300_000)
    assert f"{opened.session.gene} - imputed" in names(opened)
    _all_well(opened, qtbot)


def test_deleting_every_layer_while_a_gene_is_imputed_at_once_does_no_harm(opened, qtbot, train):
    _showing_layers(opened, qtbot, train, None, None)
    opened.viewer.layers.clear()
    qtbot.waitUntil(lambda: not opened.instant.imputing and not opened.display.busy, timeout=300_000)
    _all_well(opened, qtbot)


def test_a_slide_opened_again_is_seen_again(opened, qtbot, sample_slide, slow_slide):
    own = [layer for layer in opened.viewer.layers if "s2sst_bundle" in layer.metadata]
    seen = [layer.visible for layer in own]
    opened.open_slide(slow_slide)
    qtbot.waitUntil(lambda: opened.session.slide.path == slow_slide and opened.session.can_train, timeout=300_000)
    qtbot.waitUntil(lambda: not opened.display.busy, timeout=300_000)
    assert not any(layer.visible for layer in own)
    opened.open_slide(sample_slide)
    qtbot.waitUntil(lambda: opened.session.slide.path == sample_slide and opened.session.can_train, timeout=300_000)
    qtbot.waitUntil(lambda: not opened.display.busy, timeout=300_000)
    assert [layer.visible for layer in own] == seen


# ---- another slide


def test_a_folder_that_is_no_slide_does_not_end_the_training(opened, qtbot, train, tmp_path):
    _training(opened, qtbot, train, None, None)
    opened.open_slide(tmp_path)
    qtbot.waitUntil(lambda: bool(opened.session.message), timeout=300_000)
    assert opened.session.state is State.TRAINING
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=300_000)


def test_another_slide_in_the_middle_of_a_row_leaves_no_row(opened, qtbot, train, slow_slide):
    opened.choose_genes(tuple(opened.session.slide.genes)[:3])
    _training(opened, qtbot, train, None, None)
    assert opened.session.queue.total == 3
    opened.open_slide(slow_slide)
    qtbot.waitUntil(lambda: opened.session.slide.path == slow_slide and opened.session.can_train, timeout=300_000)
    assert not opened.panels.run.queue_line.isVisible()
    assert opened.panels.run.line.text() == ""
    qtbot.wait(300)
    assert not opened.session.running
    assert opened.session.entries == ()


def test_a_row_that_was_still_being_counted_is_not_begun_on_another_slide(opened, qtbot, train, slow_slide):
    opened.choose_genes(tuple(opened.session.slide.genes)[:3])
    opened.viewer.open(str(slow_slide), plugin="napari-s2sst")
    train(opened, 2)
    qtbot.waitUntil(lambda: opened.session.slide.path == slow_slide and opened.session.can_train, timeout=300_000)
    qtbot.wait(500)
    assert not opened.session.running
    assert opened.session.entries == ()


def test_another_slide_while_files_are_written_leaves_them_whole(opened, qtbot, train, slow_slide, tmp_path):
    _writing(opened, qtbot, train, slow_slide, tmp_path)
    gene = opened.session.gene
    opened.open_slide(slow_slide)
    qtbot.waitUntil(lambda: opened.session.slide.path == slow_slide and opened.session.can_train, timeout=300_000)
    qtbot.waitUntil(lambda: not opened.results.busy, timeout=300_000)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"imputed.h5ad", f"{gene}.ome.tif", "run.json"} <= written
    assert not any("partial" in name or "tmp" in name for name in written)


def test_two_slides_dropped_one_after_the_other_end_with_the_second(opened, qtbot, slow_slide, tmp_path):
    third = Path(shutil.copytree(slow_slide, tmp_path / "third"))
    opened.viewer.open(str(slow_slide), plugin="napari-s2sst")
    qtbot.waitUntil(lambda: opened.opening.busy, timeout=300_000)
    opened.viewer.open(str(third), plugin="napari-s2sst")
    qtbot.waitUntil(lambda: opened.session.slide.path == third and opened.session.can_train, timeout=300_000)


# ---- many changes at a time


def _instant_of(dock, qtbot, gene=None, **sampling):
    """Wait until what is shown was imputed at once of what the window says now, and judged where it can be."""

    def there() -> bool:
        shown = dock.session.shown
        if shown is None or shown.number or dock.instant.imputing or dock.counting.busy or dock.display.busy:
            return False
        return shown.gene == dock.session.gene == dock.session.gene_map.gene and not dock.session.outdated

    qtbot.waitUntil(there, timeout=300_000)
    job, session = dock.session.shown.result.job, dock.session
    assert job.config.sampling.stride == session.sampling.stride
    assert job.config.grid.bin_um == session.gene_map.bin_um == session.sampling.bin_um
    assert (job.truth[0] is None) == (session.sampling.mode is Mode.FILL_IN)
    assert len([name for name in names(dock) if name.endswith("imputed (at once)")]) == 1


def test_five_genes_chosen_quickly_end_with_the_last(opened, qtbot):
    opened.panels.sampling.instant_box.setChecked(True)
    genes = list(opened.session.slide.genes)[1:6]
    for gene in genes:
        opened.choose_gene(gene)
        qtbot.wait(40)
    qtbot.waitUntil(
        lambda: opened.session.shown is not None and opened.session.shown.gene == genes[-1], timeout=300_000
    )
    _instant_of(opened, qtbot)
    assert [name for name in names(opened) if name.endswith("counts")] == [f"{genes[-1]} - counts"]


def test_sampling_changed_while_a_gene_is_imputed_at_once_ends_with_what_the_panel_says(opened, qtbot):
    panel = opened.panels.sampling
    panel.instant_box.setChecked(True)
    panel.stride_box.setValue(3)
    panel.fill_button.setChecked(True)
    qtbot.wait(100)
    panel.bin_box.setValue(40)
    qtbot.wait(300)
    panel.check_button.setChecked(True)
    panel.stride_box.setValue(2)
    qtbot.waitUntil(lambda: opened.session.gene_map.bin_um == 40, timeout=300_000)
    _instant_of(opened, qtbot)
    qtbot.waitUntil(lambda: bool(opened.session.shown.scores), timeout=300_000)


def test_what_was_imputed_at_once_does_not_cover_a_run_that_ended_sooner(opened, qtbot, train):
    opened.panels.sampling.instant_box.setChecked(True)
    assert opened.instant.imputing
    train(opened, 1)
    assert not opened.instant.imputing
    qtbot.waitUntil(lambda: opened.session.result is not None and not opened.session.running, timeout=300_000)
    qtbot.wait(1500)
    assert opened.session.shown.number == 1


def test_a_run_that_failed_gives_way_to_imputing_at_once_again(opened, qtbot, train, tmp_path):
    opened.panels.sampling.instant_box.setChecked(True)
    train(opened, 2, images=tmp_path / "nowhere")
    qtbot.waitUntil(lambda: "nowhere" in opened.session.message, timeout=300_000)
    _instant_of(opened, qtbot)


def test_imputing_at_once_that_was_switched_off_shows_nothing_any_more(opened, qtbot):
    opened.panels.sampling.instant_box.setChecked(True)
    opened.panels.sampling.instant_box.setChecked(False)
    qtbot.waitUntil(lambda: not opened.instant.imputing, timeout=300_000)
    assert opened.session.shown is None


def test_judging_a_map_does_not_end_its_comparison(opened, qtbot, train):
    _comparing(opened, qtbot, train, None, None)
    qtbot.waitUntil(lambda: bool(opened.session.shown.scores) and not opened.instant.imputing, timeout=300_000)
    comparison = opened.results.comparison
    assert comparison.mode is CompareMode.SWIPE
    gene = opened.session.gene
    assert not opened.viewer.layers[f"{gene} - imputed (at once)"].visible
    comparison.end()
    qtbot.waitUntil(lambda: f"{gene} - error (at once)" in names(opened), timeout=300_000)


def test_train_clicked_twice_begins_one_run(opened, qtbot, train):
    train(opened, 2)
    opened.panels.run.train_button.click()
    opened.train()
    qtbot.waitUntil(lambda: opened.session.result is not None and not opened.session.running, timeout=300_000)
    qtbot.wait(300)
    assert len(opened.session.entries) == 1


def test_train_clicked_twice_for_several_genes_begins_one_row(opened, qtbot, train):
    opened.choose_genes(tuple(opened.session.slide.genes)[:2])
    train(opened, 1)
    opened.train()
    qtbot.waitUntil(lambda: opened.session.running, timeout=300_000)
    opened.train()
    qtbot.waitUntil(lambda: len(opened.session.entries) == 2 and not opened.session.running, timeout=300_000)
    qtbot.wait(300)
    assert not opened.session.running
    assert len(opened.session.entries) == 2


def test_bins_turned_while_a_row_is_counted_are_not_trained_on_with_old_counts(opened, qtbot, train):
    opened.choose_genes(tuple(opened.session.slide.genes)[:2])
    train(opened, 1)
    opened.panels.sampling.bin_box.setValue(40)
    qtbot.waitUntil(lambda: opened.session.can_train or opened.session.running, timeout=300_000)
    assert not opened.session.running
    assert opened.session.gene_map.bin_um == 40


def test_another_result_can_not_be_chosen_while_a_row_runs(opened, qtbot, train):
    opened.choose_genes(tuple(opened.session.slide.genes)[:2])
    train(opened, 1)
    qtbot.waitUntil(lambda: len(opened.session.entries) == 2 and not opened.session.running, timeout=300_000)
    shown = opened.session.shown
    _training(opened, qtbot, train, None, None)
    opened.panels.result.result_box.setCurrentIndex(1)
    assert opened.session.shown is shown
    assert opened.panels.result.result_box.currentIndex() == 0
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: not opened.session.running, timeout=300_000)
    opened.panels.result.result_box.setCurrentIndex(1)
    assert opened.session.shown is opened.session.entries[1]
    qtbot.waitUntil(lambda: not opened.display.busy, timeout=300_000)


def test_a_stopped_row_is_not_shown_any_more_and_its_result_is(opened, qtbot, train):
    opened.choose_genes(tuple(opened.session.slide.genes)[:3])
    _training(opened, qtbot, train, None, None)
    assert opened.panels.run.queue_line.text().startswith("gene 1 of 3")
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: not opened.session.running, timeout=300_000)
    assert not opened.panels.run.queue_line.isVisible()
    assert opened.panels.tabs.currentIndex() == 3


def test_stop_while_many_genes_are_imputed_keeps_those_that_are_done(opened, qtbot, train):
    genes = tuple(opened.session.slide.genes)[:8]
    opened.choose_genes(genes)
    opened.session.several = Several.TOGETHER
    train(opened, 1)
    qtbot.waitUntil(lambda: opened.session.state is State.SCORING, timeout=300_000)
    qtbot.waitUntil(lambda: "(2 of 8)" in opened.panels.run.line.text(), timeout=300_000)
    opened.panels.run.stop_button.click()
    assert not opened.panels.run.stop_button.isEnabled()
    qtbot.waitUntil(lambda: not opened.session.running, timeout=300_000)
    done = [entry.gene for entry in opened.session.entries]
    assert 1 <= len(done) < 8
    assert tuple(done) == genes[: len(done)]
    assert opened.session.message == ""


def test_the_export_dialog_writes_what_it_named_though_a_run_ended_meanwhile(opened, qtbot, train, tmp_path):
    opened.choose_genes(tuple(opened.session.slide.genes)[:2])
    train(opened, 1)
    first = opened.session.genes[0]
    qtbot.waitUntil(lambda: len(opened.session.entries) == 1 and opened.session.can_export, timeout=300_000)

    def accept() -> None:
        dialog = opened.results.dialog
        if len(opened.session.entries) < 2 or opened.session.running:
            QTimer.singleShot(50, accept)
            return
        dialog.folder_edit.setText(str(tmp_path / "out"))
        dialog.accept()

    QTimer.singleShot(50, accept)
    opened.panels.result.export_button.click()
    qtbot.waitUntil(lambda: not opened.session.busy, timeout=300_000)
    assert opened.session.shown.gene != first
    assert (tmp_path / "out" / f"{first}.ome.tif").exists()
    assert len(list((tmp_path / "out").glob("*.ome.tif"))) == 1


def test_a_model_for_another_stride_can_only_be_put_away(opened, qtbot, train, tmp_path):
    _writing(opened, qtbot, train, None, tmp_path)
    qtbot.waitUntil(lambda: not opened.session.busy, timeout=300_000)
    opened.panels.sampling.stride_box.setValue(3)
    opened.models.load(tmp_path / "out" / "model.safetensors")
    qtbot.waitUntil(lambda: opened.models.card is not None, timeout=300_000)
    assert not opened.models.card.impute_button.isEnabled()
    assert not opened.models.card.train_button.isEnabled()
    opened.models.card.cancel_button.click()
    assert not opened.session.running
    assert opened.session.can_train


def test_saving_before_any_run_writes_the_model_that_imputed_at_once(opened, qtbot, tmp_path):
    opened.panels.sampling.instant_box.setChecked(True)
    qtbot.waitUntil(lambda: opened.panels.training.save_button.isEnabled(), timeout=300_000)
    assert opened.session.model is None
    opened.models.save(tmp_path / "shipped")
    qtbot.waitUntil(lambda: (tmp_path / "shipped.safetensors").exists(), timeout=300_000)


def test_a_model_saved_without_an_ending_replaces_no_file(opened, qtbot, train, tmp_path):
    (tmp_path / "model.safetensors").write_text("precious")
    train(opened, 1)
    qtbot.waitUntil(lambda: opened.session.model is not None and not opened.session.running, timeout=300_000)
    opened.models.save(tmp_path / "model")
    assert "is there already" in opened.session.message
    assert (tmp_path / "model.safetensors").read_text() == "precious"


def test_regions_redrawn_while_training_count_afterwards(opened, qtbot, train):
    opened.regions.drawn.add([Region("left", box(100, 100, 700, 1200))])
    whole = opened.session.gene_map.tissue.sum()
    qtbot.waitUntil(lambda: opened.session.can_train and opened.session.gene_map.tissue.sum() < whole, timeout=300_000)
    _training(opened, qtbot, train, None, None)
    used = opened.session.gene_map
    opened.regions.drawn.layer.add_polygons([[800, 800], [800, 1200], [1200, 1200], [1200, 800]])
    qtbot.wait(600)
    assert opened.session.gene_map is used
    assert opened.session.running
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: not opened.session.running, timeout=300_000)
    assert [region.name for region in opened.session.result.job.regions] == ["left"]
    qtbot.waitUntil(lambda: opened.session.can_train, timeout=300_000)
    assert opened.session.gene_map.tissue.sum() > used.tissue.sum()


def test_the_theme_can_be_changed_while_training(opened, qtbot, train):
    _training(opened, qtbot, train, None, None)
    for theme in ("light", "dark"):
        opened.viewer.theme = theme
        step = opened.session.progress.step
        qtbot.waitUntil(lambda step=step: opened.session.progress.step > step, timeout=300_000)
    opened.run_queue.abandon()


def test_the_dock_of_one_of_two_windows_is_closed_while_both_train(
    opened, make_napari_viewer, qtbot, train, sample_slide
):
    """Not the window itself: that makes an OpenGL error in the other one's canvas, without this plugin too (napari 0.9.2)."""
    other = make_napari_viewer(show=True).window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    other.panels.sampling.instant_box.setChecked(False)
    other.open_slide(sample_slide)
    qtbot.waitUntil(lambda: other.session.can_train, timeout=300_000)
    for dock in (other, opened):
        train(dock, 100_000)
    qtbot.waitUntil(lambda: all(dock.session.progress is not None for dock in (opened, other)), timeout=300_000)
    opened.viewer.window.remove_dock_widget(opened)
    step = other.session.progress.step
    qtbot.waitUntil(lambda: other.session.progress.step > step, timeout=300_000)
    other.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: other.session.result is not None and not other.display.busy, timeout=300_000)
    assert opened.session.result is None


# ---- slides that are tables


@pytest.fixture
def h5ad(tmp_path) -> Path:
    """Two genes on a lattice of 100 um, as HEST writes it."""
    rows, columns = (each.ravel() for each in np.mgrid[:48, :44])
    depth = np.column_stack([6 + 5 * np.sin(rows / 6) * np.cos(columns / 5), 3 + 2 * np.cos(rows / 8)])
    obs = pd.DataFrame(
        {"array_row": rows, "array_col": columns}, index=[f"{r:03}x{c:03}" for r, c in zip(rows, columns, strict=True)]
    )
    counts = np.random.default_rng(0).poisson(depth).astype(np.uint16)
    counts[:, 1] += 1  # HEST drops bins without any count
    table = anndata.AnnData(counts, obs, pd.DataFrame(index=["WAVE", "RIDGE"]))
    pitch_px = 100 / 0.2125
    table.obsm["spatial"] = (np.column_stack([columns, rows]) + 0.5) * pitch_px
    factors = {"spot_diameter_fullres": 55 / 0.2125, "tissue_downscaled_fullres_scalef": 0.02}
    picture = np.zeros((20, 15, 3), np.uint8)
    table.uns["spatial"] = {"ST": {"images": {"downscaled_fullres": picture}, "scalefactors": factors}}
    path = tmp_path / "lattice.h5ad"
    table.write_h5ad(path)
    return path


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("kind", ["iss_ca1_bin40px.npz", "xenium_bonemarrow_core_bin16um.npz", "h5ad"])
def test_a_table_of_counts_goes_from_file_to_files(dock, qtbot, train, request, tmp_path, kind, mode):
    path = request.getfixturevalue("h5ad") if kind == "h5ad" else request.getfixturevalue("shared_data")(f"maps/{kind}")
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(path)
    qtbot.waitUntil(lambda: dock.session.can_train or bool(dock.session.message), timeout=300_000)
    assert dock.session.message == ""
    assert dock.panels.sampling.bin_box.isReadOnly()
    panel = dock.panels.sampling
    (panel.check_button if mode is Mode.CHECK else panel.fill_button).setChecked(True)
    assert dock.session.sampling.mode is mode
    train(dock, 2)
    qtbot.waitUntil(lambda: dock.session.result is not None or bool(dock.session.message), timeout=300_000)
    assert dock.session.message == ""
    assert bool(dock.session.shown.scores) == (mode is Mode.CHECK)
    qtbot.waitUntil(lambda: not dock.display.busy, timeout=300_000)
    dock.results.export(tmp_path / "out")
    qtbot.waitUntil(partial(Path.exists, tmp_path / "out" / "run.json"), timeout=300_000)
    qtbot.waitUntil(lambda: not dock.session.busy, timeout=300_000)
    assert dock.session.message == ""
