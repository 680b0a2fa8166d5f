"""Many clicks and ten windows with real trainings in them: never stuck, never two runs at once, always back to ready.

A thousand clicks, on runs too quick to learn, are in test_state_machine.py.
"""

import random

from qtpy.QtCore import QThreadPool
from qtpy.QtWidgets import QApplication

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.plugin.session import State

SMALL = dict(
    blocks=1, channels=8, growth=4, start_from="random", batch=3, image_batch=2, symmetries=1, device="cpu",
    classical_share=0.0,
)  # fmt: skip
CLICKS = 40
WINDOWS = 10


def opened_dock(viewer, qtbot, cube):
    dock = viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(cube)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    return dock


def set_steps(dock, steps: int) -> None:
    config = RunConfig.preset("fast", bin_um=10.0, steps=steps, **SMALL)
    dock.panels.training.setValue(config)
    dock.session.settings = config


def active_runs() -> int:
    return QThreadPool.globalInstance().activeThreadCount()


def test_many_clicks_on_train_pause_and_stop_in_any_order_lead_back_to_ready(viewer, qtbot, cube):
    dock = opened_dock(viewer, qtbot, cube)
    run, session, draw = dock.panels.run, dock.session, random.Random(0)
    begun, ended = [], []
    dock.run_queue.began.connect(begun.append)
    dock.run_queue.returned.connect(ended.append)
    clicks = 0
    while clicks < CLICKS:
        able = [button for button in (run.train_button, run.pause_button, run.stop_button) if button.isEnabled()]
        if able:
            likely = [1 if button is run.stop_button else 4 for button in able]
            (button,) = draw.choices(able, likely)
            if button is run.train_button:
                set_steps(dock, draw.choice([1, 3, 100_000]))
            button.click()
            clicks += 1
        for _ in range(draw.choice([1, 1, 3, 10])):
            QApplication.processEvents()
            qtbot.wait(1)
        assert session.message == ""
        assert len(begun) - len(ended) == int(dock.run_queue.active), "two runs at once"
        assert session.running == dock.run_queue.active
        if not session.running and len(session.entries) > 2:  # or hundreds of layers slow napari down
            qtbot.waitUntil(lambda: not dock.display.busy, timeout=300_000)
            dock.results.remove()
        if not able and session.state in (State.STARTING, State.STOPPING, State.SCORING):
            qtbot.waitUntil(
                lambda: session.state not in (State.STARTING, State.STOPPING, State.SCORING), timeout=300_000
            )
    if session.state is State.PAUSED:
        run.pause_button.click()
    while session.running:
        qtbot.waitUntil(lambda: session.can_stop or not session.running, timeout=300_000)
        run.stop_button.click()
        qtbot.waitUntil(lambda: not session.running, timeout=300_000)
    assert session.state is State.READY
    assert len(begun) == len(ended) > 2
    qtbot.waitUntil(lambda: active_runs() == 0, timeout=300_000)


def test_ten_windows_opened_and_closed_while_they_train_leave_no_thread_behind(make_napari_viewer, qtbot, cube):
    for _ in range(WINDOWS):
        viewer = make_napari_viewer(show=True)
        dock = opened_dock(viewer, qtbot, cube)
        set_steps(dock, 1_000_000)
        dock.panels.run.train_button.click()
        qtbot.waitUntil(lambda dock=dock: dock.session.progress is not None, timeout=300_000)
        assert active_runs() >= 1
        viewer.close()
        qtbot.waitUntil(lambda: active_runs() == 0, timeout=300_000)
