"""Join a session to the worker of its runs: start, pause, stop, abandon. Events change the session, then are passed on."""

from __future__ import annotations

import logging
from typing import Any

from qtpy.QtCore import QObject, Signal

from ...engine.errors import S2SSTError, sentence
from ...engine.events import Event, Waiting
from ...engine.maps import SparseMap
from ..session import Queue, Session, State
from ..threads.request import Request
from ..threads.run import ADVICE, Run, RunWorker, run

log = logging.getLogger(__name__)


class RunQueue(QObject):
    """Keeps at most one run at a time, several in a row. Signals come in the main thread and never after :meth:`abandon`."""

    began = Signal(object)
    """The Request of a run that starts now."""
    reported = Signal(object)
    """A RunEvent; the session knows the training's events already."""
    returned = Signal(object)
    """The engine's Result; of a row, each in its turn."""
    failed = Signal(str)
    """A sentence. The next run of a row is started all the same."""
    interrupted = Signal()
    """A run failed, and what it had learnt is kept."""

    def __init__(self, session: Session, parent: QObject | None = None, run: Run = run) -> None:
        super().__init__(parent)
        self.session, self.run = session, run
        self.request: Request | None = None
        self.sparse: SparseMap | None = None
        self._worker: RunWorker | None = None
        self._waiting: list[Request] = []
        self._total = 0

    @property
    def active(self) -> bool:
        return self._worker is not None

    @property
    def waits(self) -> bool:
        """Another run of the row will begin."""
        return bool(self._waiting)

    def start(self, *requests: Request) -> None:
        """Begin the first of some runs; nothing happens while one is on.

        Raises SamplingError when the lattice does not fit the first map.
        """
        if self._worker is not None:
            return
        first, *self._waiting = requests
        self._total = len(requests)
        try:
            self._begin(first)
        except S2SSTError:
            self._waiting.clear()
            raise

    def stop(self) -> None:
        """End training and keep its weights; what waits is not begun."""
        if self._worker is not None and self.session.can_stop:
            self._waiting.clear()
            self._worker.stop()
            self.session.state = State.STOPPING

    def toggle_pause(self) -> None:
        """Pause, or go on; a training on a cluster rests at its next step."""
        if self._worker is None or not self.session.can_pause:
            return
        if self._worker.is_elsewhere:
            rests = self.session.state is State.TRAINING
            self._worker.hold(rests)
            self.session.state = State.PAUSED if rests else State.TRAINING
        else:
            self._worker.toggle_pause()

    def abandon(self, *, keep: bool = False) -> None:
        """End a run and forget it; ``keep``: what it has learnt is offered when a window opens again."""
        worker, self._worker = self._worker, None
        self._waiting.clear()
        if worker is not None:
            for signal, slot in self._connections(worker):
                signal.disconnect(slot)  # its thread goes on until its next event, and the next run may begin before
            worker.leave(keep=keep)
            self.session.queue = None
            self.session.end()

    def _begin(self, request: Request) -> None:
        (sparse,) = request.job.measured(1)
        self.request, self.sparse = request, sparse
        number = self._total - len(self._waiting)
        self.session.queue = Queue(number, self._total, sparse.gene) if self._total > 1 else None
        self.session.begin(first=number == 1)
        self.began.emit(request)
        worker = self._worker = RunWorker(request, self.run)
        for signal, slot in self._connections(worker):
            signal.connect(slot)
        worker.start()

    def _connections(self, worker: RunWorker) -> tuple:
        return (
            (worker.yielded, self._follow),
            (worker.returned, self._returned),
            (worker.errored, self._failed),
            (worker.paused, self._paused),
            (worker.resumed, self._resumed),
        )

    def _follow(self, event: Any) -> None:
        if self._worker is None:
            return
        if isinstance(event, Event | Waiting):
            self.session.apply(event)
        self.reported.emit(event)

    def _returned(self, result: Any) -> None:
        if self._worker is not None:
            self._worker = None
            self.session.end(result)
            self.returned.emit(result)
            if self.request.saved_run is not None:
                self.request.saved_run.remove()  # not before the result is shown
            self._next()

    def _failed(self, error: Exception) -> None:
        if self._worker is not None:
            self._worker = None
            self.session.end()
            self._tell(self.sparse.gene, error)
            saved_run = self.request.saved_run
            if saved_run is not None:
                saved_run.release()
                if saved_run.checkpoint.exists():
                    self.interrupted.emit()
            self._next()

    def _next(self) -> None:
        """Begin what waits; a map whose lattice does not fit is told of and passed over."""
        while self._waiting and self._worker is None:
            request = self._waiting.pop(0)
            try:
                self._begin(request)
            except Exception as error:  # whatever it is, the rest of the row must not be stuck
                log.exception("a run of a row could not begin")
                self.session.end()
                self._tell(request.job.maps[0].gene, error)
        if self._worker is None:
            self.session.queue = None

    def _tell(self, gene: str, error: Exception) -> None:
        problem = sentence(error, ADVICE)
        self.failed.emit(f"{gene}: {problem}" if self._total > 1 else problem)

    def _paused(self) -> None:
        if self._worker is None:
            return
        if self.session.state is State.TRAINING:
            self.session.state = State.PAUSED
        else:  # asked for before Stop, or before the training ended: nobody could wake it any more
            self._worker.resume()

    def _resumed(self) -> None:
        if self._worker is not None and self.session.state is State.PAUSED:
            self.session.state = State.TRAINING
