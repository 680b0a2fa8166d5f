"""Execute a run: prepare, train, impute, score and write, as one generator of events that can be sent commands.

The command line, the window and a worker of a batch all listen to :func:`execute`; what they do differently is when they
send a STOP, when they stop listening, and what becomes of the files. A checkpoint stays until whoever listens removes it:
only it knows when the result is safe.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import CHECKPOINT_EVERY_S, RunConfig
from ..errors import CheckpointError, S2SSTError, TrainingError
from ..events import Command, Event, Hold, Previewed, Recovered, Started, Unsaved, Waiting, last_command
from ..maps import SparseMap
from .events import LiveScores, RunEvent, Stage, Written
from .run import Job, Result, completing

if TYPE_CHECKING:
    from ..network.model import Trained
    from .saved_run import Record, SavedRun

NOTHING_LEARNT = "Stopped before a worker of the cluster took the first step, so nothing was learnt."

Training = Generator[Event | Waiting, Command | Hold | None, "Trained"]


@dataclass(frozen=True)
class Elsewhere:
    """Another computer, or many, that trains."""

    name: str
    """As a user knows it."""
    train: Callable[..., Training]
    """Called as :func:`~.training.train.train` is, without ``resume``; may tell :class:`Waiting`, too."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TrainingPlan:
    """Plan of a training, beyond the job's settings: where it happens, is kept, begins and ends."""

    checkpoint: Path | None = None
    """The file that the training is kept in; None: nowhere, unless there is a ``saved_run``."""
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    resume: bool = False
    """Go on from the checkpoint, if it is there."""
    or_anew: bool = False
    """Begin anew where the checkpoint is of no use, and say so, instead of raising."""
    stop_at: int | None = None
    """Stop after so many steps, as by hand."""
    preview_every_s: float | None = None
    elsewhere: Elsewhere | None = None
    """None: it trains in this process."""
    saved_run: SavedRun | None = None
    """A place from which a window offers the training after a crash; it has a checkpoint of its own."""
    record: Callable[[Job], Record] | None = None
    """What is written there before the training begins, unless it goes on from there. Needed with ``saved_run``."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """Place of a run's files."""

    folder: Path
    command: str = ""
    """Told in run.json."""
    slide_path: Path | None = None
    """Told there too, where somebody knows it."""

    def write(self, result: Result) -> tuple[Path, ...]:
        """The files that the command line writes. Raises :class:`ExportError`."""
        from .write import write_result

        return tuple(write_result(self.folder, result, command=self.command, slide_path=self.slide_path))


def execute(
    job: Job | Callable[[], Job],
    training: TrainingPlan | None,
    *,
    keep_in: Path | None = None,
    output: Output | None = None,
) -> Generator[RunEvent, Command | Hold | None, Result]:
    """Do a run; yields :data:`RunEvent` and returns its :class:`Result`.

    ``job`` is prepared, or a function that prepares it and takes its time. ``training`` None: the job's first model imputes as
    it is. ``keep_in`` is a folder for maps that are too many for the memory (see :func:`~.run.completing`). With an ``output``
    the files are written, and :class:`Written` is the last event.

    In order: :class:`Stage` where something is prepared or connected to; the training's own events from :class:`Started` to
    :class:`Finished`, each preview followed by :class:`LiveScores` where the truth is known; :class:`Imputing` for each gene;
    :class:`Written`. A STOP while it trains keeps what was learnt, and one in answer to :class:`Imputing` the genes that are
    done; who wants nothing of it closes the generator.

    Raises what preparing, :func:`~.training.train.train` and :func:`~.write.write_result` raise.
    """
    if callable(job):
        yield Stage("Getting ready ...")
        job = job()
    trained = job.start if training is None else (yield from _trained(job, training))
    result = yield from completing(job, trained, keep_in=keep_in)
    if output is not None:
        yield Written(output.write(result))
    return result


def train_or_resume(maps: Sequence[SparseMap], config: RunConfig, *, checkpoint: Path, **how: Any) -> Training:
    """:func:`~.training.train.train` from its checkpoint where there is one of the same training, else from its first step.

    Where the checkpoint is of no use, a :class:`Recovered` after the first event says why. ``how`` as there.
    """
    from ..training.checkpoint import unfinished
    from ..training.train import train

    unusable = ""
    try:
        unfinished(checkpoint)
        events = train(maps, config, checkpoint=checkpoint, resume=True, **how)
        event = next(events)
    except CheckpointError as error:  # of other settings, or damaged; where the fault is a model's, it is raised again
        unusable = str(error)
        events = train(maps, config, checkpoint=checkpoint, resume=False, **how)
        event = next(events)
    try:
        command = yield event
        if unusable:
            command = last_command(command, (yield Recovered(0, f"{unusable} It begins anew.")) or command)
        while True:
            command = yield events.send(command)
    except StopIteration as end:
        return end.value


def _trained(job: Job, plan: TrainingPlan) -> Generator[RunEvent, Command | Hold | None, Trained]:
    """The training's events, with scores of each preview. A STOP before the first of them raises :class:`TrainingError`."""
    from ..scores.metrics import score

    checkpoint, problem = _place(job, plan)
    if problem:
        yield Unsaved(0, problem)
    if plan.elsewhere is not None:
        yield Stage(f"Connecting to the cluster at {plan.elsewhere.name} ...")
    has_started = False
    with closing(_training(job, plan, checkpoint)) as training:
        try:
            event = next(training)
            while True:
                command = yield event
                has_started = has_started or isinstance(event, Started)
                if command is Command.STOP and not has_started:  # a cluster has no worker to spare
                    raise TrainingError(NOTHING_LEARNT)
                if isinstance(event, Previewed) and job.truth[0] is not None:
                    scores = score(event.imputed, truth=job.truth[0], sparse=job.sparse[0])
                    command = last_command(command, (yield LiveScores(event.step, scores)) or command)
                event = training.send(command)
        except StopIteration as end:
            trained = end.value
    if plan.elsewhere is not None:  # what follows is computed here, on the device that was chosen for it
        trained = replace(trained, config=trained.config.changed(device=job.config.device))
    return trained


def _training(job: Job, plan: TrainingPlan, checkpoint: Path | None) -> Training:
    how: dict[str, Any] = dict(
        preview_every_s=plan.preview_every_s,
        start=job.start,
        checkpoint=checkpoint,
        checkpoint_every_s=plan.checkpoint_every_s,
    )
    if plan.elsewhere is not None:
        return plan.elsewhere.train(
            job.sparse, job.config.changed(device="auto"), **how
        )  # the chosen one is of this computer
    from ..training.train import stopping_at, train

    if plan.or_anew:
        training = train_or_resume(job.sparse, job.config, **how)
    else:
        training = train(job.sparse, job.config, resume=plan.resume, **how)
    return training if plan.stop_at is None else stopping_at(plan.stop_at, training)


def _place(job: Job, plan: TrainingPlan) -> tuple[Path | None, str]:
    """The file that the training is kept in, or why it is kept nowhere: a reason to tell, not to fail."""
    if plan.saved_run is None:
        return plan.checkpoint, ""
    if not plan.resume:
        try:
            plan.saved_run.write(plan.record(job))
        except S2SSTError as error:
            return None, f"{error} Training goes on, and would be lost in a crash."
    return plan.saved_run.checkpoint, ""
