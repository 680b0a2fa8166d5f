"""Score the genes of a slide in a napari thread, and tell the window of each part as it comes."""

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

log = logging.getLogger(__name__)

_NumberedPart = tuple[int, dict[str, GeneStructure] | None]


class StructureTask(QObject):
    """Scores one slide at a time: starting with another one, or with other bins, ends what is under way."""

    scored = Signal(object)
    """Gene -> GeneStructure, of some genes."""
    finished = Signal()
    """All genes are scored. Not after :meth:`abandon`."""
    failed = Signal(str)
    """A sentence; nothing more comes then."""

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
        """Tell nothing more of what is under way; its thread ends after the part, or the pass, that it is in."""
        if self._worker is not None:
            self._worker.quit()
            self._worker = None
        self._number += 1

    def _yielded(self, numbered: _NumberedPart) -> None:
        number, part = numbered
        if number != self._number:  # of an earlier slide, on its way when that was abandoned
            return
        if part is None:
            self._worker = None
            self.finished.emit()
        else:
            self.scored.emit(part)

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


def _numbered_parts(number: int, *what: Any) -> Generator[_NumberedPart, None, None]:
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
