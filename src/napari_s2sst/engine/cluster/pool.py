"""A Dask cluster, this computer's own or one that is there already -> a pool that does assignments and tells of them.

An assignment whose worker dies begins again on another one, from its last checkpoint: from the shared folder of results, or, where
the workers don't see that, from the copy that travelled here. An assignment that failed :data:`ATTEMPTS` times is given up.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigError
from .connect import ClusterError, Tls, connected, has_dask, local_cluster, own_version, usual_workers
from .plan import ATTEMPTS
from .wire import pack, unpack

QUEUED = 256
"""Messages that may wait here; a worker that has more to tell waits."""

COUNT_EVERY_S = 3.0
"""A large cluster's list of workers is long."""


@dataclass(eq=False, kw_only=True)
class Assignment:
    """One order for a worker, until it is done or given up."""

    payload: bytes
    """The order, as it travels."""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    attempts: int = 0
    greeted: bool = False
    """Whether this attempt told that it begins; one that fails before that counts, too."""
    worker: str = ""
    process: int = 0
    checkpoint: bytes | None = None
    """The last that travelled here."""
    why: str = ""
    """Of the last failure."""
    future: Any = None
    attempt: str = ""
    down: Any = None
    standing: str | None = None
    """STOP or PAUSE, which a new attempt must be told again."""
    is_over: bool = False


@dataclass(frozen=True)
class Update:
    """News of an assignment."""

    assignment: Assignment
    kind: str
    """``begun``, ``event``, ``failed`` (and tried again), ``given up``, ``done``, ``abandoned`` (after a STOP)."""
    value: Any = None
    """An event, a sentence, or what came back."""


class WorkerPool:
    """Workers, near or far. Use it as a context, which ends those it started and gives up what others were doing for it."""

    def __init__(self, workers: int | None = None, address: str | None = None, tls: Tls | None = None) -> None:
        """Start ``workers`` processes here, or use the scheduler at ``address``. Raises :class:`ClusterError`."""
        if not has_dask():
            raise ConfigError(
                'Several workers and clusters need Dask\'s package distributed: pip install "napari-s2sst[cluster]"'
            )
        from distributed import Queue

        self._cluster = None
        self._assignments: dict[str, Assignment] = {}
        self._count, self._counted_at = 0, float("-inf")
        if address is None:
            self._cluster, self._client = local_cluster(workers or usual_workers())
        else:
            self._client = connected(address, tls)
        self._up = f"s2sst-{uuid.uuid4().hex}"
        self._queue = Queue(self._up, client=self._client, maxsize=QUEUED)
        self.token = uuid.uuid4().hex
        """In the name of an empty file, by which workers see that they share a folder with this process."""

    @property
    def address(self) -> str:
        return self._client.scheduler.address

    @property
    def size(self) -> int:
        """Workers there are, as of the last few seconds."""
        if time.monotonic() - self._counted_at > COUNT_EVERY_S:
            self._count, self._counted_at = len(self._client.scheduler_info(n_workers=-1)["workers"]), time.monotonic()
        return self._count

    @property
    def busy(self) -> int:
        """Assignments under way."""
        return len(self._assignments)

    def send(self, order: dict[str, Any]) -> Assignment:
        """Order something; ``order`` as :func:`.worker.run_assignment` reads it."""
        assignment = Assignment(payload=pack({**order, "token": self.token, "version": own_version()}))
        self._assignments[assignment.id] = assignment
        self._submit(assignment)
        return assignment

    def command(self, assignment: Assignment, name: str) -> None:
        """STOP, PREVIEW, PAUSE or RESUME. One that comes before the worker has begun waits for it."""
        if name in ("STOP", "PAUSE"):
            assignment.standing = name if assignment.standing != "STOP" else "STOP"
        elif name == "RESUME" and assignment.standing == "PAUSE":
            assignment.standing = None
        if assignment.down is not None:
            self._put(assignment, {"command": name})

    def dismiss(self) -> None:
        """Stop every assignment: those under way keep a checkpoint, the others are not begun."""
        for assignment in list(self._assignments.values()):
            if assignment.attempt:
                self.command(assignment, "STOP")
            else:
                self.recall(assignment)

    def recall(self, assignment: Assignment) -> None:
        """Call an assignment back that nobody wants any more; its worker ends it at the next step."""
        if assignment.future is not None:
            self._client.cancel([assignment.future], force=True)
        self._hang_up(assignment)
        self._forget(assignment)

    def updates(self, wait_s: float = 0.2) -> list[Update]:
        """News since the last call; waits so many seconds for the first. Raises :class:`ClusterError` if the cluster is lost."""
        updates: list[Update] = []
        try:
            messages = []
            with contextlib.suppress(TimeoutError):
                messages = [self._queue.get(timeout=wait_s)]
                messages += self._queue.get(batch=True)
        except (OSError, RuntimeError) as error:  # Dask's CommClosedError is an OSError
            why = type(error).__name__
            raise ClusterError(f"The cluster at {self.address} does not answer any more ({why}).") from error
        for message in messages:
            assignment = self._assignments.get(message["assignment"])
            if assignment is not None:
                updates += self._take(assignment, message)
        for assignment in list(self._assignments.values()):
            if assignment.future.done():
                updates += self._end(assignment)
        if self._client.status not in ("running", "connecting"):
            raise ClusterError(
                f"The cluster at {self.address} is gone. What was finished is kept; start the same again."
            )
        return updates

    def close(self) -> None:
        """End the workers that were started here; cancel what others do, which end at their next step."""
        with contextlib.suppress(Exception):  # whatever is lost already needs no farewell
            self._client.cancel([assignment.future for assignment in self._assignments.values()], force=True)
            for assignment in self._assignments.values():
                self._hang_up(assignment)
            self._queue.close()
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=10)

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, assignment: Assignment) -> None:
        from .worker import run_assignment

        assignment.greeted = False
        assignment.future = self._client.submit(
            run_assignment, assignment.payload, self._up, assignment.id, pure=False, retries=0
        )

    def _take(self, assignment: Assignment, message: dict[str, Any]) -> list[Update]:
        match message["kind"]:
            case "hello":
                return self._greet(assignment, message)
            case _ if message["attempt"] != assignment.attempt:
                return []  # of an attempt whose worker is gone
            case "checkpoint":
                assignment.checkpoint = message["checkpoint"]
            case "event":
                return [Update(assignment, "event", unpack(message["event"]))]
        return []

    def _greet(self, assignment: Assignment, message: dict[str, Any]) -> list[Update]:
        """An attempt begins: the first, one after a failure, or one that Dask began because a worker died."""
        from distributed import Queue

        updates = []
        if assignment.attempt and assignment.down is not None:  # nobody said that the last one had ended
            assignment.why = f"its worker ({assignment.worker}, process {assignment.process}) died"
            updates.append(Update(assignment, "failed", assignment.why))
        self._hang_up(assignment)
        assignment.attempts, assignment.greeted = assignment.attempts + 1, True
        assignment.attempt, assignment.worker, assignment.process = (
            message["attempt"],
            message["worker"],
            message["process"],
        )
        assignment.down = Queue(f"{self._up}-{assignment.attempt}", client=self._client)
        if assignment.attempts > ATTEMPTS:
            self._put(assignment, {"give_up": True})
            return updates[:-1] + self._give_up(assignment)
        checkpoint = None if message["shared"] else assignment.checkpoint
        self._put(assignment, {"checkpoint": checkpoint, "command": assignment.standing})
        return [*updates, Update(assignment, "begun")]

    def _end(self, assignment: Assignment) -> list[Update]:
        future, assignment.future = assignment.future, None
        if future.status == "finished":
            answer = unpack(future.result())
            why = answer.get("failed") or ("it was given up by its worker" if answer.get("abandoned") else "")
        else:
            error = future.exception() if future.status == "error" else None
            died = type(error).__name__ == "KilledWorker"
            why = f"its worker ({assignment.worker}) died" if died else f"Dask gave it up ({future.status}: {error})"
        self._hang_up(assignment)
        if not why or (assignment.standing == "STOP" and future.status == "finished" and answer.get("abandoned")):
            self._forget(assignment)
            return [Update(assignment, "abandoned" if why else "done", answer)]
        assignment.why = why
        assignment.attempts += not assignment.greeted
        if assignment.attempts >= ATTEMPTS:
            return self._give_up(assignment)
        self._submit(assignment)
        return [Update(assignment, "failed", why)]

    def _give_up(self, assignment: Assignment) -> list[Update]:
        self._hang_up(assignment)
        self._forget(assignment)
        return [Update(assignment, "given up", assignment.why)]

    def _forget(self, assignment: Assignment) -> None:
        """Forget whatever the scheduler and this process hold of it."""
        assignment.is_over, assignment.future, assignment.checkpoint, assignment.payload = True, None, None, b""
        self._assignments.pop(assignment.id, None)

    def _put(self, assignment: Assignment, message: dict[str, Any]) -> None:
        with contextlib.suppress(TimeoutError, KeyError):
            assignment.down.put(message, timeout=10)

    def _hang_up(self, assignment: Assignment) -> None:
        if assignment.down is not None:
            assignment.down.close()
            assignment.down = None
