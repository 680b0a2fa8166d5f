"""Run a function in a napari thread and bring its result, or a sentence about what went wrong, back to the window."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from napari.qt.threading import FunctionWorker
from qtpy.QtCore import QObject, Signal

from ...engine.errors import S2SSTError, sentence
from .run import ADVICE

log = logging.getLogger(__name__)

_Outcome = tuple[int, Any, Exception | None]


def _attempt(number: int, function: Callable[[], Any]) -> _Outcome:
    """Run one task: its number, and its result or its error."""
    try:
        return number, function(), None
    except Exception as error:
        return number, None, error


class _QuietWorker(FunctionWorker):
    def run(self) -> None:
        """Run in the thread."""
        try:
            super().run()
        except RuntimeError:  # the program has ended, and Qt has taken the worker's signals along
            log.debug("a background task ended after its window", exc_info=True)

    def _relay_warning(self, show_warn_args: tuple) -> None:
        log.warning("%s", show_warn_args[0])


class Background(QObject):
    """One function at a time; a newer one waits for the present one and makes its result worthless.

    So typing through a list of genes costs two countings, not one per gene.
    """

    failed = Signal(str)
    """A sentence; the result's receiver is not called then."""
    idle = Signal()
    """Nothing is under way any more."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._running: tuple[_QuietWorker, Callable[[Any], None]] | None = None
        self._number = 0
        self._next: tuple[Callable[[], Any], Callable[[Any], None]] | None = None

    @property
    def busy(self) -> bool:
        return self._running is not None

    def start(self, function: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Call ``function`` in a thread, then ``done(result)`` in this one."""
        if self._running is not None:
            self._next = (function, done)
            return
        self._number += 1
        worker = _QuietWorker(_attempt, self._number, function)
        self._running = (worker, done)
        worker.returned.connect(self._returned)
        worker.start()

    def abandon(self) -> None:
        """Forget everything: no receiver is called any more."""
        if self._running is not None:
            self._running[0].quit()
        self._running = self._next = None

    def _returned(self, outcome: _Outcome) -> None:
        number, result, error = outcome
        if self._running is None or number != self._number:  # abandoned when it was on its way already
            return
        done = self._running[1]
        if error is not None and not isinstance(error, S2SSTError):
            log.error("a background task failed", exc_info=error)
        if self._go_on():
            return
        if error is None:
            done(result)
        else:
            self.failed.emit(sentence(error, ADVICE))
        self._tell_idle()

    def _go_on(self) -> bool:
        """Start what waits; True when something did."""
        self._running, waiting, self._next = None, self._next, None
        if waiting is not None:
            self.start(*waiting)
        return waiting is not None

    def _tell_idle(self) -> None:
        if self._running is None:
            self.idle.emit()
