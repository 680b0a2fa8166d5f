"""One part of a batch in one process: measured bins -> a training that can go on from its checkpoint -> maps, scores, files."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, S2SSTError
from ..events import Command, Event, Recovered, last_command
from ..maps import SparseMap
from ..provenance import sparse_hash
from ..training.checkpoint import CHECKPOINT_NAME, remove_checkpoint, unfinished
from .events import Imputing
from .plan import write_record

if TYPE_CHECKING:
    from ..network.model import Trained
    from ..runs.run import Job, Result

Told = Event | Imputing


class Abandoned(S2SSTError):
    """Somebody stopped the batch: nothing is written of this part but its checkpoint."""


def sentence(error: BaseException) -> str:
    """What a user reads of an error of any kind: one sentence, no traceback."""
    if isinstance(error, S2SSTError):
        return str(error)
    if isinstance(error, MemoryError):
        return "The memory was not enough. Run fewer workers, or put fewer genes into a task."
    return f"Something failed that should not: {type(error).__name__}: {' '.join(str(error).split())}"


def train_resuming(
    maps: tuple[SparseMap, ...],
    config: Any,
    *,
    checkpoint: Path,
    every_s: float,
    start: Trained | None = None,
    preview_every_s: float | None = None,
) -> Generator[Event, Command | None, Trained]:
    """:func:`~.training.train` from its checkpoint where there is one of the same training, else from its first step."""
    from ..training.train import train

    def training(resume: bool):
        return train(
            list(maps), config, preview_every_s=preview_every_s, start=start, checkpoint=checkpoint, resume=resume,
            checkpoint_every_s=every_s,
        )  # fmt: skip

    unusable = ""
    try:
        unfinished(checkpoint)
        events = training(resume=True)
        event = next(events)
    except CheckpointError as error:  # of other settings, or damaged; where the fault is a model's, it is raised again
        unusable = str(error)
        events = training(resume=False)
        event = next(events)
    try:
        command = yield event
        if unusable:
            command = last_command(command, (yield Recovered(0, f"{unusable} It begins anew.")) or command)
        while True:
            command = yield events.send(command)
    except StopIteration as end:
        return end.value


def work(job: Job, *, checkpoint: Path, every_s: float) -> Generator[Told, Command | None, Result]:
    """Train, impute and score a part. A STOP saves the checkpoint and raises :class:`Abandoned`.

    Raises what :func:`~.training.train` raises.
    """
    from ..runs.run import Result, complete

    training = train_resuming(job.sparse, job.config, checkpoint=checkpoint, every_s=every_s, start=job.start)
    stopped = False
    try:
        command = None
        while True:
            command = yield training.send(command)
            stopped = stopped or command is Command.STOP
    except StopIteration as end:
        trained = end.value
    parts: list[Result] = []
    for number, (sparse, truth) in enumerate(zip(job.sparse, job.truth, strict=True), start=1):
        stopped = stopped or (yield Imputing(sparse.gene, number, len(job.sparse))) is Command.STOP
        if stopped:
            raise Abandoned("The batch was stopped.")
        parts.append(complete(replace(job, sparse=(sparse,), truth=(truth,)), trained))
    scores: dict[str, Any] = {}
    for part in parts:
        scores |= part.scores
    return Result(
        job, trained, tuple(part.imputed[0] for part in parts), scores,
        sum(part.impute_s for part in parts), sum(part.score_s for part in parts),
    )  # fmt: skip


def finish(
    result: Result,
    identity: Mapping[str, Any],
    folder: Path,
    *,
    worker: str,
    began: float,
    command: str = "",
    slide_path: Path | None = None,
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Write a part's results, its record last, and remove its checkpoint: the files' names, and facts for people.

    ``began``: :func:`time.time` of its first attempt. Raises :class:`ExportError`.
    """
    from ..runs.write import write_result

    files = tuple(path.name for path in write_result(folder, result, command=command, slide_path=slide_path))
    ours = [next(iter(methods.values())).mae_unmeasured for methods in result.scores.values() if methods]
    facts = {
        "steps": result.trained.steps,
        "seconds": round(time.time() - began, 3),
        "device": result.trained.device,
        "worker": worker,
        "mae_unmeasured": sum(ours) / len(ours) if ours else None,
        "sparse_sha256": sparse_hash(result.job.sparse),
    }
    write_record(identity, folder, files, facts)
    remove_checkpoint(folder / CHECKPOINT_NAME)
    return files, facts


def this_process() -> str:
    """How a process calls itself in records: its computer and number."""
    import platform

    return f"{platform.node() or 'this computer'}, process {os.getpid()}"
