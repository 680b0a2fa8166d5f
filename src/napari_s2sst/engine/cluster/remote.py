"""One training on a Dask cluster, as the same generator of events as one in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from pathlib import Path

from ..config import CHECKPOINT_EVERY_S, RunConfig
from ..errors import ExportError, TrainingError
from ..events import Command, Event, Finished, Hold, Recovered, Started, Unsaved, Validated, Waiting
from ..maps import SparseMap
from ..network.model import Trained
from ..training.checkpoint import write_state
from .connect import Tls
from .pool import Assignment, WorkerPool
from .wire import trained_bytes, trained_from

TRAINING_TOLD_EVERY_S = 0.1
"""So often a worker tells of a single training: somebody looks at its curve."""

NO_WORKER = "The cluster has no worker now. Training goes on from its last checkpoint when one comes."


def train_on_cluster(
    maps: Sequence[SparseMap],
    config: RunConfig,
    cluster: str | WorkerPool,
    *,
    tls: Tls | None = None,
    preview_every_s: float | None = None,
    start: Trained | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> Generator[Event | Waiting, Command | Hold | None, Trained]:
    """Train elsewhere; yields :func:`~.training.train.train`'s events and :class:`Waiting`, returns :class:`Trained`. Times are s.

    ``cluster`` is a scheduler's address (``tcp://...``; ``tls://...`` with ``tls``), or a pool that stays open. Measured bins,
    settings and the first weights travel there; events, previews, checkpoints and the model come back. When the worker dies, it
    goes on elsewhere from the last checkpoint, as a :class:`Recovered` says; :class:`Started` is told once. Closing the
    generator ends the training there.

    ``checkpoint`` is a file of this computer that every checkpoint is written to as it comes: :func:`~.training.train.train`
    goes on from it when this process or the cluster dies. The caller removes it.

    Commands may be sent at once: one that comes before the training has begun waits for it.
    Raises :class:`ClusterError` when the cluster can't be reached or is lost, :class:`TrainingError` when the training failed
    three times, with the reason of the last.
    """
    if start is None and isinstance(config.training.start_from, Path):  # a file that workers may not see
        from ..network.model import load_model

        start = load_model(config.training.start_from)
    order = {
        "kind": "train",
        "maps": tuple(maps),
        "config": config,
        "start": None if start is None else trained_bytes(start),
        "preview_every_s": preview_every_s,
        "every_s": checkpoint_every_s,
        "tell_every_s": TRAINING_TOLD_EVERY_S,
    }
    with contextlib.ExitStack() as stack:
        pool = cluster if isinstance(cluster, WorkerPool) else stack.enter_context(WorkerPool(address=cluster, tls=tls))
        assignment = pool.send(order)
        try:
            return (yield from _followed(pool, assignment, _Copy(checkpoint)))
        finally:  # also when the generator is closed in the middle
            if not assignment.is_over:
                pool.recall(assignment)


class _Copy:
    """The checkpoint that travelled here last, in a file of this computer."""

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path).expanduser()
        self._written: bytes | None = None
        self._has_complained = False

    def write(self, content: bytes | None) -> str:
        """Write the checkpoint; returns what to tell the user where that can't be done: once, until one was written."""
        if self.path is None or content is None or content is self._written:
            return ""
        self._written = content
        try:
            write_state(self.path, content)
        except ExportError as error:
            again, self._has_complained = self._has_complained, True
            return "" if again else f"{error} Training goes on, and tries again."
        self._has_complained = False
        return ""


def _followed(
    pool: WorkerPool, assignment: Assignment, copy: _Copy
) -> Generator[Event | Waiting, Command | Hold | None, Trained]:
    lost, paused, has_started, has_finished, at_step = "", False, False, False, 0
    validated_steps: set[int] = set()

    def obey(command: Command | Hold | None) -> None:
        nonlocal paused
        if command is not None and not (has_finished and command is Hold.PAUSE):  # its end must not be held back
            paused = command is Hold.PAUSE or (paused and command not in (Hold.RESUME, Command.STOP))
            pool.command(assignment, command.name)

    while True:
        updates = pool.updates()
        if problem := copy.write(assignment.checkpoint):
            obey((yield Unsaved(at_step, problem)))
        if not updates:
            has_none = pool.size == 0
            obey((yield Waiting(NO_WORKER if has_none else _waiting_for(assignment, paused), has_none)))
        for update in updates:
            match update.kind, update.value:
                case "done", answer:
                    return trained_from(answer["trained"])
                case "given up", why:
                    raise TrainingError(
                        f"The training on the cluster failed {assignment.attempts} times and is given up: {why}"
                    )
                case "failed", why:
                    lost = why
                case "event", Started(step=again) if has_started:
                    reason = lost[:1].upper() + lost[1:] or "The worker was lost"
                    obey(
                        (
                            yield Recovered(
                                again, f"{reason.rstrip('.')}. Training goes on elsewhere after step {again}."
                            )
                        )
                    )
                    lost = ""
                case "event", Started() as event:
                    has_started = True
                    obey((yield event))
                case "event", Validated(step=at) if at in validated_steps:
                    pass  # told before the worker died
                case "event", event:
                    at_step = getattr(event, "step", at_step)
                    if isinstance(event, Validated):
                        validated_steps.add(event.step)
                    if isinstance(event, Finished):
                        has_finished = True
                        if paused:  # asked for while it took its last step
                            obey(Hold.RESUME)
                    obey((yield event))


def _waiting_for(assignment: Assignment, paused: bool) -> str:
    if paused:
        return "Paused."
    return f"Training on {assignment.worker}." if assignment.attempt else "Waiting for a free worker of the cluster."
