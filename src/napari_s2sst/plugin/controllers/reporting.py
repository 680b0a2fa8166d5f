"""Write a report on request, and bring every error to the log file: from the message bar, the Help menu or File > IO Utilities."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from napari.utils.notifications import ErrorNotification, Notification, notification_manager
from qtpy import API_NAME, QT_VERSION
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QApplication, QFileDialog, QWidget

from ...engine.config import RunConfig
from ...engine.errors import S2SSTError
from ...engine.reports.log import begin_log
from ...engine.reports.report import environment, save_report
from ..session import Session
from ..threads.background import Background
from .controller import Controller, Workspace

if TYPE_CHECKING:
    import napari

TITLE = "napari-s2sst: save report..."
KINDS = "Text (*.txt)"

log = logging.getLogger(__name__)


class Reporting(Controller):
    """Writes reports of one window, while it is open."""

    saved = Signal(str)
    """Where it is, as a sentence."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        begin_log({**environment(), **window_facts(None)})
        self._writing = Background(self)
        self._writing.failed.connect(self.failed)
        self.action = QAction(TITLE, self)
        self.action.setToolTip("Versions, settings and the log in one file, without data of the slide")
        self.action.triggered.connect(lambda _=False: self.ask())
        window = getattr(self.display.viewer, "window", None)
        self._menu = None if window is None else window.help_menu  # a viewer's model alone has no window
        if self._menu is not None:
            self._menu.aboutToShow.connect(self._put_into_menu)
            self._put_into_menu()
        notification_manager.notification_ready.connect(_noticed)
        self.panels.message.reportRequested.connect(self.ask)

    def ask(self) -> None:
        """Ask where to, then write the report there."""
        ask_for_place(self.window, self.save)

    def save(self, path: str | Path) -> None:
        """Write the report in the background."""
        config, facts = _settings(self.session), window_facts(self.session)
        self._writing.start(
            lambda: save_report(path, config, facts), lambda where: self.saved.emit(f"The report is in {where}.")
        )

    def forget(self) -> None:
        """The window is closed."""
        self._writing.abandon()
        if self._menu is not None:
            self._menu.aboutToShow.disconnect(self._put_into_menu)
            self._menu.removeAction(self.action)

    def _put_into_menu(self) -> None:
        """Add the entry again where napari has built its menu anew."""
        if self.action not in self._menu.actions():
            self._menu.addAction(self.action)


def ask_for_report(viewer: napari.Viewer) -> None:
    """napari's command: the open window's report, or one without any."""
    main = viewer.window.help_menu.parentWidget()  # the main window, which napari shows nowhere else
    docks = [widget for widget in main.findChildren(QWidget) if hasattr(widget, "reporting") and not widget.over]
    if docks:
        docks[0].reporting.ask()
        return
    ask_for_place(main, _save_without_window)


def ask_for_place(parent: QWidget, then: Callable[[Path], None]) -> None:
    """A new text file; nothing follows when the user thinks better of it."""
    dialog = QFileDialog(parent, "Save a report", "", KINDS)
    dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    dialog.setDefaultSuffix("txt")
    dialog.selectFile(f"napari-s2sst report {date.today().isoformat()}.txt")
    dialog.fileSelected.connect(lambda path: then(Path(path)))
    dialog.open()


def _save_without_window(path: Path) -> None:
    try:
        save_report(path, None, window_facts(None))
    except S2SSTError as error:
        notification_manager.dispatch(Notification(str(error), "warning"))


def window_facts(session: Session | None) -> dict[str, str]:
    """Facts that only the window knows; no names, counts or maps."""
    screen = QApplication.primaryScreen()
    size = (
        "" if screen is None else f"{screen.size().width()} x {screen.size().height()}, {screen.devicePixelRatio():g}"
    )
    facts = {"Qt": f"{API_NAME}, Qt {QT_VERSION}, {QApplication.platformName()}, screen {size}"}
    if session is not None:
        grid = session.gene_map
        facts["window"] = (
            f"{session.state.value}; {session.sampling.mode.value}; {len(session.genes)} genes chosen; "
            f"{'nothing counted' if grid is None else ' x '.join(map(str, grid.shape)) + ' bins'}; "
            f"{len(session.entries)} results"
        )
        if session.progress is not None:
            facts["last training"] = f"step {session.progress.step} of {session.progress.steps}"
    return facts


def _settings(session: Session) -> RunConfig | None:
    try:
        return session.config
    except S2SSTError:
        return session.settings


def _noticed(notification: Notification) -> None:
    """An error that napari shows and that passed through our code goes to the log too."""
    error = getattr(notification, "exception", None)
    if isinstance(notification, ErrorNotification) and error is not None and _is_ours(error):
        log.error("an error in the window", exc_info=error)


def _is_ours(error: BaseException) -> bool:
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_globals.get("__name__", "").startswith("napari_s2sst."):
            return True
        trace = trace.tb_next
    return False
