"""Execute one run of the window in a napari thread that tells what it does and can be stopped.

The engine does all of it (:func:`napari_s2sst.engine.runs.execute.execute`), imputing gene by gene in the same thread, so
that the window never waits. napari's worker swallows every RuntimeError, and a GPU that is out of memory raises one: all of
those leave here as a TrainingError with a sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker

from ...engine.errors import Advice, S2SSTError, TrainingError, sentence
from ...engine.events import Command, Hold
from ...engine.runs.events import RunEvent
from ...engine.runs.execute import execute
from .request import Request

if TYPE_CHECKING:
    from ...engine.runs.run import Result

log = logging.getLogger(__name__)

ADVICE = Advice(
    shortage="Choose the device CPU, the preset Fast, larger bins, or a smaller region.",
    unexpected="Something went wrong that should not ({kind}: {line}). The log has the details.",
)
"""What the window says of errors that have no sentence of their own."""

Run = Callable[[Request], Generator[RunEvent, Command | Hold | None, Any]]
"""Returns a Result."""


def run(request: Request) -> Generator[RunEvent, Command | Hold | None, Result]:
    """Execute it. Raises S2SSTError only; what failed is in the log with what it ran with."""
    try:
        return (yield from execute(request.prepared, request.training()))
    except S2SSTError as error:
        log.warning("a run ended: %s", error, exc_info=error)
        log.warning("%s", about(request))
        raise
    except Exception as error:
        log.exception("a run failed")
        log.error("%s", about(request))
        raise TrainingError(sentence(error, ADVICE)) from error


def about(request: Request) -> str:
    """Facts of a run that failed, for a log; no data of its slide."""
    from ...engine.reports.report import processors, settings_text

    maps = request.job.maps
    shapes = f"{len(maps)} maps of {' x '.join(map(str, maps[0].shape))} bins, {request.mode.value}"
    facts = {**processors(), "run": shapes, "settings": settings_text(request.job.config)}
    return "\n".join(["it ran with", *(f"    {name}: {value}" for name, value in facts.items())])


class RunWorker(GeneratorWorker):
    """A run in a thread: ``yielded`` events, ``returned`` a Result, or ``errored`` with a sentence.

    Stop is :meth:`stop`, so that the generator returns the weights; ``quit`` would throw them away.
    """

    def __init__(self, request: Request, what: Run = run) -> None:
        super().__init__(what, request)
        self._saved_run, self.is_elsewhere = request.saved_run, request.elsewhere is not None
        self._leave: Callable[[], None] | None = None
        self._over = False

    def run(self) -> None:
        """Run in the thread. What is left is let go of when no more steps are taken: they would write it anew."""
        try:
            super().run()
        except RuntimeError:  # the window has gone and taken the signals along; raised further it would end the program
            log.warning("a run ended after its window", exc_info=True)
        try:
            self._gen.close()  # of a run that was left: a cluster would train on
        except Exception:
            log.warning("a run that was left did not end well", exc_info=True)
        self._over = True
        if self._leave is not None:
            self._leave()

    def leave(self, *, keep: bool) -> None:
        """End without a result: what is kept of the training is offered again, or removed."""
        if self._saved_run is not None:
            self._leave = self._saved_run.release if keep else self._saved_run.remove
            if self._over:
                self._leave()
        self.quit()
        self.resume()

    def hold(self, rests: bool) -> None:
        """Hold a training elsewhere: it would take its steps whether it is listened to or not."""
        self.send(Hold.PAUSE if rests else Hold.RESUME)

    def stop(self) -> None:
        """Stop the training; only when the session can. A paused worker is woken, as it reads nothing in its sleep."""
        self.send(Command.STOP)
        self.resume()

    def _relay_error(self, exc: Exception) -> None:
        """napari would show a traceback; the dock shows the sentence."""

    def _relay_warning(self, show_warn_args: tuple) -> None:
        """napari would pop up every deprecation in a library."""
        log.warning("%s", show_warn_args[0])
