"""Run a function in a napari thread and bring its result, or a sentence about what went wrong, back to the window."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker
from qtpy.QtCore import QObject, Signal

from ...engine.errors import S2SSTError, sentence
from ...engine.slides.structure import GeneStructure, structure_parts
from .run import ADVICE

if TYPE_CHECKING:
    from ...engine.slides.slide import Slide


from collections.abc import Callable

from napari.qt.threading import FunctionWorker

# ---- Score the genes of a slide in a napari thread, and tell the window of each part as it comes.

log = logging.getLogger(__name__)

_ToldParts = tuple[int, dict[str, GeneStructure] | None]


class StructureTask(QObject):
    """One slide at a time: starting with another one, or with other bins, ends what is under way."""

    told = Signal(object)
    """Gene -> GeneStructure, of some genes."""
    finished = Signal()
    """All genes were told. Not after :meth:`abandon`."""
    failed = Signal(str)
    """A sentence; nothing more is told then."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker: _StructureWorker | None = None
        self._number = 0

    @property
    def busy(self) -> bool:
        return self._worker is not None

    def start(self, slide: Slide, genes: Sequence[str], bin_um: float, min_qv: float) -> None:
        """Score the genes in this order, so those that the table shows first come first."""
        self.abandon()
        self._worker = _StructureWorker(self._number, slide, tuple(genes), bin_um, min_qv)
        self._worker.yielded.connect(self._yielded)
        self._worker.errored.connect(self._errored)
        self._worker.start()

    def abandon(self) -> None:
        """Nothing more is told of what is under way; its thread ends after the part, or the pass, that it is in."""
        if self._worker is not None:
            self._worker.quit()
            self._worker = None
        self._number += 1

    def _yielded(self, told: _ToldParts) -> None:
        number, part = told
        if number != self._number:  # of an earlier slide, on its way when that was abandoned
            return
        if part is None:
            self._worker = None
            self.finished.emit()
        else:
            self.told.emit(part)

    def _errored(self, error: _TaskError) -> None:
        if error.number == self._number:
            self._worker = None
            self.failed.emit(str(error))


class _TaskError(S2SSTError):
    """A sentence, and whose it is."""

    def __init__(self, number: int, text: str) -> None:
        super().__init__(text)
        self.number = number


class _StructureWorker(GeneratorWorker):
    def __init__(self, number: int, *what: Any) -> None:
        super().__init__(_numbered_parts, number, *what)

    def _relay_error(self, exc: Exception) -> None:
        """napari would show a traceback; the window shows the sentence."""

    def _relay_warning(self, show_warn_args: tuple) -> None:
        log.warning("%s", show_warn_args[0])


def _numbered_parts(number: int, *what: Any) -> Generator[_ToldParts, None, None]:
    """Every part with the task's number, None at the end. napari swallows a RuntimeError, so none may leave here."""
    try:
        for part in structure_parts(*what):
            yield number, part
    except S2SSTError as error:
        raise _TaskError(number, str(error)) from error
    except Exception as error:
        log.exception("scoring the genes failed")
        raise _TaskError(number, sentence(error, ADVICE)) from error
    yield number, None


log = logging.getLogger(__name__)


_Told = tuple[int, Any, Exception | None]


def _attempt(number: int, function: Callable[[], Any]) -> _Told:
    """Whose it is, and its result or its error."""
    try:
        return number, function(), None
    except Exception as error:
        return number, None, error


class _QuietWorker(FunctionWorker):
    def run(self) -> None:
        """Called in the thread."""
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

    def _returned(self, told: _Told) -> None:
        number, result, error = told
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
