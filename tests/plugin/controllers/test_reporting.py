"""Every error reaches the user and the log, and one file to attach to a report holds what helps and no name."""

from dataclasses import replace
from pathlib import Path

import pytest
from napari.utils.notifications import ErrorNotification, notification_manager
from npe2 import PluginManifest
from qtpy import API_NAME
from qtpy.QtWidgets import QFileDialog

import napari_s2sst
from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.reports.log import log_path, read_log
from napari_s2sst.plugin.controllers.reporting import TITLE, ask_for_report, window_facts
from napari_s2sst.plugin.threads.run import run


def help_texts(viewer) -> list[str]:
    return [action.text() for action in viewer.window.help_menu.actions()]


def type_into_dialog(viewer, path: Path) -> None:
    """What somebody types into the file dialog that has opened."""
    dialog = viewer.window._qt_window.findChild(QFileDialog)
    dialog.selectFile(str(path))
    dialog.accept()


def test_the_help_menu_has_it_once_while_the_dock_is_open(dock, viewer):
    viewer.window.help_menu.aboutToShow.emit()
    assert help_texts(viewer).count(TITLE) == 1
    viewer.window.remove_dock_widget(dock)
    assert TITLE not in help_texts(viewer)


def test_naparis_own_menus_offer_it_before_any_dock_is_open():
    manifest = PluginManifest.from_file(Path(napari_s2sst.__file__).with_name("napari.yaml"))
    (item,) = manifest.contributions.menus["napari/file/io_utilities"]
    command = next(each for each in manifest.contributions.commands if each.id == item.command)
    assert command.title == TITLE
    assert command.python_name == "napari_s2sst.plugin.controllers.reporting:ask_for_report"


def test_the_menu_writes_a_report_of_the_open_window(dock, viewer, qtbot, tmp_path):
    dock.session.settings = RunConfig.preset("fast", seed=4711)
    dock.reporting.action.trigger()
    with qtbot.waitSignal(dock.reporting.saved, timeout=300_000):
        type_into_dialog(viewer, tmp_path / "report.txt")
    text = (tmp_path / "report.txt").read_text()
    assert '"seed": 4711' in text
    assert API_NAME in text
    assert "window: no slide; check; 0 genes chosen" in text


def test_the_command_writes_a_report_without_a_dock(viewer, qtbot, tmp_path):
    ask_for_report(viewer)
    type_into_dialog(viewer, tmp_path / "report.txt")
    assert "no window is open" in (tmp_path / "report.txt").read_text()


def test_a_report_that_can_t_be_written_is_said_in_the_window(dock, qtbot, tmp_path):
    dock.reporting.save(tmp_path / "nowhere" / "report.txt")
    qtbot.waitUntil(lambda: "can't be written" in dock.session.message, timeout=300_000)


def test_an_error_shows_a_button_that_asks_for_a_report(dock, qtbot, tmp_path):
    assert not dock.panels.message.report_button.isVisible()
    dock.show_problem("Something went wrong.")
    assert dock.panels.message.report_button.isVisible()
    dock.panels.message.report_button.click()
    with qtbot.waitSignal(dock.reporting.saved, timeout=300_000):
        type_into_dialog(dock.viewer, tmp_path / "report.txt")
    assert "told: Something went wrong." in (tmp_path / "report.txt").read_text()


@pytest.mark.parametrize("unexpected", [True, False])
def test_an_error_of_a_run_is_in_the_window_and_in_the_log_with_what_it_ran_with(
    dock, qtbot, cube, tmp_path, unexpected
):
    """One is real: a folder of pictures that is not there; the other a mistake in the code, which only a test can make."""
    slide = tmp_path / "Jane Roe" / "marrow 7.npz"
    slide.parent.mkdir()
    slide.write_bytes(cube.read_bytes())

    def mistaken(request):
        return (yield from run(replace(request, slide=None) if unexpected else request))

    dock.run_queue.run = mistaken
    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(slide)
    qtbot.waitUntil(lambda: dock.session.can_train, timeout=300_000)
    dock.session.settings = RunConfig.preset("fast", steps=2, seed=4711, images=tmp_path / "Jane Roe" / "nowhere")
    dock.train()
    qtbot.waitUntil(lambda: bool(dock.session.message), timeout=300_000)
    text = read_log()
    assert "Traceback (most recent call last)" in text
    assert "platform: " in text
    assert f"Qt: {API_NAME}" in text
    assert "torch: " in text
    if unexpected:
        assert "The log has the details" in dock.session.message
    else:
        assert "nowhere" in dock.session.message
    assert '"seed": 4711' in text
    assert "devices: " in text
    assert "Roe" not in text
    assert "marrow" not in text


def test_an_error_of_our_own_that_napari_shows_is_in_the_log_and_others_are_not(dock):
    try:
        window_facts(3)
    except AttributeError as error:
        notification_manager.dispatch(ErrorNotification(error))
    try:
        raise ZeroDivisionError("of somebody else")
    except ZeroDivisionError as error:
        notification_manager.dispatch(ErrorNotification(error))
    text = log_path().read_text()
    assert "AttributeError" in text
    assert "somebody else" not in text
