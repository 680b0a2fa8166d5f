"""Join a session to the worker of its run: start, pause, stop, abandon. Events change the session, then are told."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal

from ..engine.maps import SparseMap
from .session import Session, State
from .worker import Request, Run, RunWorker, Stage, job_of, run, sentence


class Runner(QObject):
    """At most one run at a time. Signals come in the main thread and never after :meth:`abandon`."""

    told = Signal(object)
    """A training event or a Stage; the session knows it already."""
    returned = Signal(object)
    """The engine's Result."""
    failed = Signal(str)
    """A sentence."""

    def __init__(self, session: Session, parent: QObject | None = None, run: Run = run) -> None:
        super().__init__(parent)
        self.session, self.run = session, run
        self.request: Request | None = None
        self.sparse: SparseMap | None = None
        self._worker: RunWorker | None = None

    @property
    def active(self) -> bool:
        return self._worker is not None

    def start(self, request: Request) -> None:
        """Raises SamplingError when the lattice does not fit the map; nothing has changed then."""
        sparse = job_of(request).sparse[0]
        self.request, self.sparse = request, sparse
        self.session.begin()
        worker = self._worker = RunWorker(request, self.run)
        for signal, slot in self._connections(worker):
            signal.connect(slot)
        worker.start()

    def stop(self) -> None:
        """End training and keep its weights."""
        if self._worker is not None and self.session.can_stop:
            self._worker.stop()
            self.session.state = State.STOPPING

    def toggle_pause(self) -> None:
        if self._worker is not None and self.session.can_pause:
            self._worker.toggle_pause()

    def abandon(self) -> None:
        """End a run and forget it."""
        worker, self._worker = self._worker, None
        if worker is not None:
            for signal, slot in self._connections(worker):
                signal.disconnect(slot)  # its thread goes on until its next event, and the next run may begin before
            worker.quit()
            worker.resume()
            self.session.end()

    def _connections(self, worker: RunWorker) -> tuple:
        return (
            (worker.yielded, self._told),
            (worker.returned, self._returned),
            (worker.errored, self._failed),
            (worker.paused, self._paused),
            (worker.resumed, self._resumed),
        )

    def _told(self, event: Any) -> None:
        if self._worker is None:
            return
        if not isinstance(event, Stage):
            self.session.apply(event)
        self.told.emit(event)

    def _returned(self, result: Any) -> None:
        if self._worker is not None:
            self._worker = None
            self.session.end(result)
            self.returned.emit(result)

    def _failed(self, error: Exception) -> None:
        if self._worker is not None:
            self._worker = None
            self.session.end()
            self.failed.emit(sentence(error))

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
