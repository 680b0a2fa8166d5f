"""The training of a run, on this computer or on a cluster: the same events, and scores of each preview."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..engine.errors import S2SSTError, TrainingError
from ..engine.events import Command, Event, Hold, Previewed, Started, Unsaved, Waiting, last_command
from ..engine.kept_training import Record
from .request import LiveScores, Request, Stage, Told

if TYPE_CHECKING:
    from ..engine.run import Job
    from ..engine.trained import Trained

PREVIEW_EVERY_S = 2.0
"""Imputing a preview costs training time, and a map sharpens no faster than this."""

NOTHING_LEARNT = "Stopped before a worker of the cluster took the first step, so nothing was learnt."


def begun_with(request: Request) -> Request:
    """The same with its first weights at hand, where the cluster may not see their file. Raises CheckpointError."""
    source = request.config.training.start_from
    if request.elsewhere is None or request.start is not None or not isinstance(source, Path):
        return request
    from ..engine.checkpoint import load_model

    return replace(request, start=load_model(source))


def train(request: Request, job: Job) -> Generator[Told, Command | Hold | None, Trained]:
    """The engine's events; after each preview how good it is, where that is known.

    A STOP before the first of them, while a cluster has no worker to spare, raises TrainingError.
    """
    from ..engine.metrics import score

    checkpoint, problem = _keeping(request)
    if problem:
        yield Unsaved(0, problem)
    if request.elsewhere is not None:
        yield Stage(f"Connecting to the cluster at {request.elsewhere.name} ...")
    has_started = False
    with closing(_events(request, job, checkpoint)) as training:
        try:
            event = next(training)
            while True:
                command = yield event
                has_started = has_started or isinstance(event, Started)
                if command is Command.STOP and not has_started:
                    raise TrainingError(NOTHING_LEARNT)
                if isinstance(event, Previewed) and job.truth[0] is not None:
                    scores = score(event.imputed, truth=job.truth[0], sparse=job.sparse[0])
                    command = last_command(command, (yield LiveScores(event.step, scores)) or command)
                event = training.send(command)
        except StopIteration as end:
            trained = end.value
            if request.elsewhere is not None:  # what follows is computed here, on the device that was chosen for it
                trained = replace(trained, config=trained.config.changed(device=job.config.device))
            return trained


def _events(
    request: Request, job: Job, checkpoint: Path | None
) -> Generator[Event | Waiting, Command | Hold | None, Trained]:
    chosen = dict(
        preview_every_s=PREVIEW_EVERY_S,
        start=request.start,
        checkpoint=checkpoint,
        checkpoint_every_s=request.keep_every_s,
    )
    if request.elsewhere is not None:
        from ..engine.remote_training import train_on_cluster

        place, config = request.elsewhere, job.config.changed(device="auto")  # the chosen one is of this computer
        return train_on_cluster(list(job.sparse), config, place.address, tls=place.tls, **chosen)
    from ..engine.training import train as train_here

    return train_here(list(job.sparse), job.config, resume=request.resumes, **chosen)


def _keeping(request: Request) -> tuple[Path | None, str]:
    """The file that the training is kept in, or why it is kept nowhere: a reason to tell, not to fail."""
    kept = request.kept
    if kept is None:
        return None, ""
    if not request.resumes:
        record = Record(
            request.slide, request.slide_name, request.mode.value, tuple(each.gene for each in request.maps), request.config,
            request.regions, request.painted, request.edited_tissue, request.start, request.waiting, request.size_um,
        )  # fmt: skip
        try:
            kept.write(record)
        except S2SSTError as error:
            return None, f"{error} Training goes on, and would be lost in a crash."
    return kept.checkpoint, ""
