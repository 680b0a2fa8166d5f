"""A real napari window with the dock in it, on a real (virtual) screen."""

import os
import sys

import pytest
from qtpy.QtCore import QSettings
from support.garbage import no_garbage_search_in_what_is_there

from napari_s2sst.engine.config import RunConfig

NO_SCREEN = (
    "the window's tests need a screen and there is none: run them with "
    "`xvfb-run -a -s '-screen 0 1920x1080x24' pytest tests/plugin` (system package xvfb)"
)


def pytest_collection_modifyitems(items) -> None:
    """napari can't make a viewer with an image layer on Qt's `offscreen` platform."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        for item in items:
            if "viewer" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=NO_SCREEN))


@pytest.fixture(autouse=True)
def state_folder(tmp_path_factory, monkeypatch):
    """Where the window keeps trainings and its log: no folder of the user's, and another one for each test."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("S2SST_STATE_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory):
    """What dialogs remember: not that of whoever runs the tests, and nothing of an earlier test."""
    folder = str(tmp_path_factory.mktemp("settings"))
    for kind in (QSettings.Format.NativeFormat, QSettings.Format.IniFormat):
        QSettings.setPath(kind, QSettings.Scope.UserScope, folder)
    QSettings("napari-s2sst", "napari-s2sst").clear()


@pytest.fixture
def viewer(make_napari_viewer):
    """An empty napari window, shown."""
    no_garbage_search_in_what_is_there()  # of each window napari keeps some thousand objects
    return make_napari_viewer(show=True)


@pytest.fixture
def dock(viewer, qtbot):
    """The dock widget, opened as from the Plugins menu."""
    return viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]


@pytest.fixture
def opened(dock, qtbot, sample_slide):
    """The dock with the sample slide open and its first gene counted; nothing is imputed at once."""
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(sample_slide)
    qtbot.waitUntil(lambda: dock.session.can_train and not dock.display.busy, timeout=300_000)
    return dock


@pytest.fixture
def train(qtbot):
    """A function: start a short real training of a small network from the dock, of this many steps."""

    def start(dock, steps: int, **settings) -> None:
        small = dict(blocks=1, channels=8, growth=4, start_from="random", batch=2, image_batch=1, symmetries=1)
        config = RunConfig.preset("fast", **(small | dict(steps=steps, image=False, device="cpu") | settings))
        dock.panels.training.setValue(config)
        dock.session.settings = config
        dock.panels.run.train_button.click()

    return start


@pytest.fixture
def trained(opened, qtbot, train):
    """The dock after a training of three steps, and its result."""
    train(opened, 3)
    qtbot.waitUntil(lambda: opened.session.result is not None or bool(opened.session.message), timeout=300_000)
    assert opened.session.message == ""
    qtbot.waitUntil(lambda: not opened.display.busy, timeout=300_000)
    return opened
