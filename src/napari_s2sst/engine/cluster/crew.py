"""A Dask cluster, this computer's own or one that is there already -> a crew that does errands and tells of them.

An errand whose worker dies begins again on another one, from its last checkpoint: from the shared folder of results, or, where
the workers don't see that, from the copy that travelled here. An errand that failed :data:`ATTEMPTS` times is given up.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .connect import ClusterError, Tls, connected, has_dask, local_cluster, own_version, usual_workers
from .wire import pack, unpack

ATTEMPTS = 3
"""Of an errand. A worker that dies takes what it did with it; one that dies three times over it was killed by it."""

QUEUED = 256
"""Messages that may wait here; a worker that has more to tell waits."""

COUNT_EVERY_S = 3.0
"""A large cluster's list of workers is long."""


@dataclass(eq=False)
class Errand:
    """One parcel, until it is done or given up."""

    parcel: bytes
    shared_folder: Path | None = None
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
class News:
    """What became known of an errand."""

    errand: Errand
    kind: str
    """``begun``, ``event``, ``failed`` (and tried again), ``given up``, ``done``, ``abandoned`` (after a STOP)."""
    value: Any = None
    """An event, a sentence, or what came back."""


class Crew:
    """Workers, near or far. Use it as a context, which ends those it started and gives up what others were doing for it."""

    def __init__(self, workers: int | None = None, address: str | None = None, tls: Tls | None = None) -> None:
        """Start ``workers`` processes here, or use the scheduler at ``address``. Raises :class:`ClusterError`."""
        if not has_dask():
            raise ConfigError(
                'Several workers and clusters need Dask\'s package distributed: pip install "napari-s2sst[cluster]"'
            )
        from distributed import Queue

        self._cluster = None
        self._errands: dict[str, Errand] = {}
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
        """Errands under way."""
        return len(self._errands)

    def send(self, order: dict[str, Any]) -> Errand:
        """Order something; ``order`` as ``cluster_task`` reads it."""
        errand = Errand(pack({**order, "token": self.token, "version": own_version()}))
        self._errands[errand.id] = errand
        self._submit(errand)
        return errand

    def command(self, errand: Errand, name: str) -> None:
        """STOP, PREVIEW, PAUSE or RESUME. One that comes before the worker has begun waits for it."""
        if name in ("STOP", "PAUSE"):
            errand.standing = name if errand.standing != "STOP" else "STOP"
        elif name == "RESUME" and errand.standing == "PAUSE":
            errand.standing = None
        if errand.down is not None:
            self._put(errand, {"command": name})

    def dismiss(self) -> None:
        """Stop every errand: those under way keep a checkpoint, the others are not begun."""
        for errand in list(self._errands.values()):
            if errand.attempt:
                self.command(errand, "STOP")
            else:
                self.recall(errand)

    def recall(self, errand: Errand) -> None:
        """Nobody wants it any more; its worker ends it at the next step."""
        if errand.future is not None:
            self._client.cancel([errand.future], force=True)
        self._hang_up(errand)
        self._forget(errand)

    def news(self, wait_s: float = 0.2) -> list[News]:
        """What became known since, waiting so long for the first of it. Raises :class:`ClusterError` if the cluster is lost."""
        found: list[News] = []
        try:
            messages = []
            with contextlib.suppress(TimeoutError):
                messages = [self._queue.get(timeout=wait_s)]
                messages += self._queue.get(batch=True)
        except (OSError, RuntimeError) as error:  # Dask's CommClosedError is an OSError
            why = type(error).__name__
            raise ClusterError(f"The cluster at {self.address} does not answer any more ({why}).") from error
        for message in messages:
            errand = self._errands.get(message["errand"])
            if errand is not None:
                found += self._take(errand, message)
        for errand in list(self._errands.values()):
            if errand.future.done():
                found += self._end(errand)
        if self._client.status not in ("running", "connecting"):
            raise ClusterError(
                f"The cluster at {self.address} is gone. What was finished is kept; start the same again."
            )
        return found

    def close(self) -> None:
        """End the workers that were started here; cancel what others do, which end at their next step."""
        with contextlib.suppress(Exception):  # whatever is lost already needs no farewell
            self._client.cancel([errand.future for errand in self._errands.values()], force=True)
            for errand in self._errands.values():
                self._hang_up(errand)
            self._queue.close()
        with contextlib.suppress(Exception):
            self._client.close(timeout=5)
        if self._cluster is not None:
            self._cluster.close(timeout=10)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _submit(self, errand: Errand) -> None:
        from .worker import run_errand

        errand.greeted = False
        errand.future = self._client.submit(run_errand, errand.parcel, self._up, errand.id, pure=False, retries=0)

    def _take(self, errand: Errand, message: dict[str, Any]) -> list[News]:
        match message["kind"]:
            case "hello":
                return self._greet(errand, message)
            case _ if message["attempt"] != errand.attempt:
                return []  # of an attempt whose worker is gone
            case "checkpoint":
                errand.checkpoint = message["checkpoint"]
            case "event":
                return [News(errand, "event", unpack(message["event"]))]
        return []

    def _greet(self, errand: Errand, message: dict[str, Any]) -> list[News]:
        """An attempt begins: the first, one after a failure, or one that Dask began because a worker died."""
        from distributed import Queue

        found = []
        if errand.attempt and errand.down is not None:  # nobody said that the last one had ended
            errand.why = f"its worker ({errand.worker}, process {errand.process}) died"
            found.append(News(errand, "failed", errand.why))
        self._hang_up(errand)
        errand.attempts, errand.greeted = errand.attempts + 1, True
        errand.attempt, errand.worker, errand.process = message["attempt"], message["worker"], message["process"]
        errand.down = Queue(f"{self._up}-{errand.attempt}", client=self._client)
        if errand.attempts > ATTEMPTS:
            self._put(errand, {"give_up": True})
            return found[:-1] + self._give_up(errand)
        checkpoint = None if message["shared"] else errand.checkpoint
        self._put(errand, {"checkpoint": checkpoint, "command": errand.standing})
        return [*found, News(errand, "begun")]

    def _end(self, errand: Errand) -> list[News]:
        future, errand.future = errand.future, None
        if future.status == "finished":
            answer = unpack(future.result())
            why = answer.get("failed") or ("it was given up by its worker" if answer.get("abandoned") else "")
        else:
            error = future.exception() if future.status == "error" else None
            died = type(error).__name__ == "KilledWorker"
            why = f"its worker ({errand.worker}) died" if died else f"Dask gave it up ({future.status}: {error})"
        self._hang_up(errand)
        if not why or (errand.standing == "STOP" and future.status == "finished" and answer.get("abandoned")):
            self._forget(errand)
            return [News(errand, "abandoned" if why else "done", answer)]
        errand.why = why
        errand.attempts += not errand.greeted
        if errand.attempts >= ATTEMPTS:
            return self._give_up(errand)
        self._submit(errand)
        return [News(errand, "failed", why)]

    def _give_up(self, errand: Errand) -> list[News]:
        self._hang_up(errand)
        self._forget(errand)
        return [News(errand, "given up", errand.why)]

    def _forget(self, errand: Errand) -> None:
        """Whatever the scheduler and this process hold of it."""
        errand.is_over, errand.future, errand.checkpoint, errand.parcel = True, None, None, b""
        self._errands.pop(errand.id, None)

    def _put(self, errand: Errand, message: dict[str, Any]) -> None:
        with contextlib.suppress(TimeoutError, KeyError):
            errand.down.put(message, timeout=10)

    def _hang_up(self, errand: Errand) -> None:
        if errand.down is not None:
            errand.down.close()
            errand.down = None
