"""One part of a batch in one process: a job -> a training that can go on from its checkpoint -> maps, scores, files, a record."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Advice, S2SSTError
from ..events import Command, Event
from ..provenance import sparse_hash
from ..runs.events import Imputing, Written
from ..training.checkpoint import CHECKPOINT_NAME, remove_checkpoint
from .plan import write_record

if TYPE_CHECKING:
    from ..runs.execute import Output
    from ..runs.run import Job, Result

PartEvent = Event | Imputing
"""What a part tells. That its files are written is told with them, when its record is written, too."""

ADVICE = Advice(
    shortage="Run fewer workers, or put fewer genes into a task.",
    unexpected="Something failed that should not: {kind}: {text}",
)


class Abandoned(S2SSTError):
    """Somebody stopped the batch: nothing is written of this part but its checkpoint."""


def work(
    job: Job, *, checkpoint: Path, every_s: float, output: Output | None = None
) -> Generator[PartEvent, Command | None, tuple[Result, tuple[str, ...]]]:
    """Execute a part; returns its result and the names of its files, if there is an ``output``.

    A checkpoint of the same training is gone on from, and another one is replaced, as a :class:`Recovered` says. A STOP at any
    time saves the checkpoint and raises :class:`Abandoned`. Raises what :func:`~.runs.execute.execute` raises.
    """
    from ..runs.execute import TrainingPlan, execute

    training = TrainingPlan(checkpoint=checkpoint, checkpoint_every_s=every_s, or_anew=True)
    command, is_stopped, files = None, False, ()
    # Without an output the checkpoint's folder is a worker's own, and gone before the result's maps are read.
    keep_in = None if output is None else output.folder
    with closing(execute(job, training, keep_in=keep_in, output=output)) as run:
        try:
            while True:
                event = run.send(command)
                if isinstance(event, Written):
                    files, command = tuple(path.name for path in event.paths), None
                    continue
                command = yield event
                is_stopped = is_stopped or command is Command.STOP
                if is_stopped and isinstance(event, Imputing):
                    raise Abandoned("The batch was stopped.")
        except StopIteration as end:
            return end.value, files


def finish(
    result: Result, files: Sequence[str], identity: Mapping[str, Any], folder: Path, *, worker: str, began: float
) -> dict[str, Any]:
    """Write the record of a part whose files are written, and remove its checkpoint; returns facts for people.

    ``began``: `time.time` of its first attempt. Raises :class:`ExportError`.
    """
    errors = [next(iter(methods.values())).mae_unmeasured for methods in result.scores.values() if methods]
    facts = {
        "steps": result.trained.steps,
        "seconds": round(time.time() - began, 3),
        "device": result.trained.device,
        "worker": worker,
        "mae_unmeasured": sum(errors) / len(errors) if errors else None,
        "sparse_sha256": sparse_hash(result.job.sparse),
    }
    write_record(identity, folder, files, facts)
    remove_checkpoint(folder / CHECKPOINT_NAME)
    return facts


def this_process() -> str:
    """Name of this process in records: its computer and number."""
    import platform

    return f"{platform.node() or 'this computer'}, process {os.getpid()}"
