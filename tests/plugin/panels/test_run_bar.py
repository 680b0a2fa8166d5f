import pytest
from qtpy.QtCore import Qt

from napari_s2sst.engine.events import Stepped
from napari_s2sst.plugin.panels.run_bar import PROGRESS_STEPS, RunBar
from napari_s2sst.plugin.widgets.clock import clock, progress_text


@pytest.fixture
def bar(qtbot):
    bar = RunBar()
    qtbot.addWidget(bar)
    bar.resize(364, 80)
    bar.show()
    return bar


def stepped(step=61, steps=100, speed=12.0, left=47.0) -> Stepped:
    return Stepped(step=step, steps=steps, loss=1.0, terms={}, steps_per_second=speed, seconds_left=left)


@pytest.mark.parametrize(("seconds", "text"), [(47, "0:47"), (120, "2:00"), (3600, "1:00:00"), (-1, "0:00")])
def test_a_clock_has_minutes_and_seconds_and_hours_where_needed(seconds, text):
    assert clock(seconds) == text


def test_progress_tells_share_time_left_and_speed_as_far_as_known():
    assert progress_text(stepped()) == "61 % · 0:47 left · 12 steps/s"
    assert progress_text(stepped(step=1200, steps=None, speed=1.25, left=None)) == "step 1,200 · 1.2 steps/s"


@pytest.mark.parametrize(
    ("genes", "trains", "text"),
    [
        (1, True, "Train"),
        (3, True, "Train 3 genes"),
        (1, False, "Impute"),
        (3, False, "Impute 3 genes"),
        (0, True, "Train"),
    ],
)
def test_the_button_says_what_it_would_do(bar, genes, trains, text):
    bar.setGenes(genes)
    bar.setTrains(trains)
    assert bar.train_button.text() == text
    assert bar.train_button.objectName() == "s2sst_train"
    assert ("nothing is trained" in bar.train_button.toolTip()) != trains


def test_only_what_can_be_done_can_be_clicked(bar):
    bar.setEnabledParts(train=False, pause=True, stop=True, paused=False)
    assert [b.isEnabled() for b in (bar.train_button, bar.pause_button, bar.stop_button)] == [False, True, True]
    assert bar.pause_button.text() == "Pause"
    bar.setEnabledParts(train=False, pause=True, stop=True, paused=True)
    assert bar.pause_button.text() == "Go on"


def test_each_button_asks_for_its_own(qtbot, bar):
    for button, signal in (
        (bar.train_button, bar.trainRequested),
        (bar.pause_button, bar.pauseToggled),
        (bar.stop_button, bar.stopRequested),
    ):
        with qtbot.waitSignal(signal, timeout=300_000):
            qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_training_starts_from_the_keyboard_too(qtbot, bar):
    bar.setGenes(2)
    bar.activateWindow()
    qtbot.waitUntil(bar.isActiveWindow, timeout=300_000)
    with qtbot.waitSignal(bar.trainRequested, timeout=300_000):
        qtbot.keyClick(bar, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)


def test_progress_fills_the_bar(bar):
    bar.setProgress(stepped())
    assert bar.bar.value() == 0.61 * PROGRESS_STEPS
    assert bar.line.text() == "61 % · 0:47 left · 12 steps/s"
    bar.setDone("Done: 100 steps in 0:08")
    assert bar.bar.value() == PROGRESS_STEPS
    bar.setProgress(None)
    assert bar.bar.value() == 0


def test_a_step_of_unknown_length_moves_the_bar_until_it_is_over(bar):
    bar.setBusy("Getting ready ...")
    assert bar.bar.maximum() == 0
    assert bar.line.text() == "Getting ready ..."
    bar.setBusy("")
    assert bar.bar.maximum() == PROGRESS_STEPS
    bar.setBusy("Finishing ...")
    bar.setDone("Done")
    assert bar.bar.value() == bar.bar.maximum() == PROGRESS_STEPS


def test_a_single_gene_has_no_second_bar(bar):
    bar.setQueue(0, 1, "LTF")
    assert not bar.queue_bar.isVisible()
    assert not bar.queue_line.isVisible()


def test_several_genes_have_a_second_bar_that_counts_the_present_one_in(bar):
    bar.setQueue(1, 5, "SLC4A1")
    assert bar.queue_line.text() == "gene 2 of 5: SLC4A1"
    assert bar.queue_bar.isVisible()
    assert bar.queue_bar.value() == 0.2 * PROGRESS_STEPS
    bar.setProgress(stepped(step=50))
    assert bar.queue_bar.value() == 0.3 * PROGRESS_STEPS
    bar.setQueue(5, 5, "")
    assert bar.queue_bar.value() == PROGRESS_STEPS
    assert bar.queue_line.text() == "all 5 genes are done"


def test_a_long_name_does_not_widen_the_bar(bar):
    bar.setQueue(1, 5, "NEGCONTROLPROBE" * 10)
    bar.setBusy("Imputing and comparing " * 20)
    assert bar.minimumSizeHint().width() < 300
