"""Turn one run (counts and settings) into a Result, in a napari thread that tells what it does and can be stopped.

The engine's training generator runs inside; then imputing and scoring, gene by gene in the same thread, so that the window
never waits. napari's worker swallows every RuntimeError, and a GPU that is out of memory raises one: all of those leave here
as a TrainingError with a sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker

from ..engine.config import RunConfig
from ..engine.errors import S2SSTError, TrainingError
from ..engine.events import Command, Event, Previewed, last_command
from ..engine.maps import GeneMap, SparseMap
from ..engine.region import Region
from ..engine.sampling import refine, sample
from .session import Mode

if TYPE_CHECKING:
    from ..engine.metrics import Scores
    from ..engine.run import Job, Result
    from ..engine.trained import Trained

PREVIEW_EVERY_S = 2.0
"""Imputing a preview costs training time, and a map sharpens no faster than this."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """What goes on before and after the training, for the progress line."""

    text: str
    done: int = 0
    of: int = 1
    """Parts of equal length, when there are several."""


@dataclass(frozen=True)
class LiveScores:
    """How a preview compares with what was counted in the hidden bins."""

    step: int
    scores: Scores


Told = Event | Stage | LiveScores


@dataclass(frozen=True, eq=False)
class Request:
    """One run, as asked for in the window."""

    maps: tuple[GeneMap, ...]
    """Counts of the genes that share a network, already restricted to the regions."""
    config: RunConfig
    mode: Mode
    slide: Path
    regions: tuple[Region, ...] = ()
    start: Trained | None = None
    """Weights at hand to begin with, instead of what the config says."""
    trains: bool = True
    """False: impute with ``start`` as it is."""
    edited_tissue: bool = False
    """Somebody painted on the tissue that was found."""


def sentence(error: BaseException) -> str:
    """What a user reads of an error: one sentence, no traceback."""
    if isinstance(error, S2SSTError):
        return str(error)
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no further explanation"
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return "The memory was not enough. Choose the device CPU, the preset Fast, larger bins, or a smaller region."
    return f"Something went wrong that should not ({type(error).__name__}: {text}). The log has the details."


def sparse_of(request: Request) -> tuple[SparseMap, ...]:
    """The measured bins of every gene. Raises SamplingError."""
    choice, maps = request.config.sampling, request.maps
    if request.mode is Mode.FILL_IN:
        return tuple(refine(each, choice.stride) for each in maps)
    return tuple(sample(each, choice.stride, choice.phase) for each in maps)


def job_of(request: Request) -> Job:
    """The measured bins and, in Check mode, the truth on the same grid. Raises SamplingError."""
    from ..engine.run import Job

    sparse, maps = sparse_of(request), request.maps
    truth = (None,) * len(maps) if request.mode is Mode.FILL_IN else maps
    return Job(
        request.config, sparse, truth, request.regions, request.slide.name, 0.0, request.start, request.edited_tissue
    )


def run(request: Request) -> Generator[Told, Command | None, Result]:
    """Train, impute and score; see the module's text. Raises S2SSTError only."""
    try:
        return (yield from _run(request))
    except S2SSTError:
        raise
    except Exception as error:
        log.exception("a run failed")
        raise TrainingError(sentence(error)) from error


def _run(request: Request) -> Generator[Told, Command | None, Result]:
    yield Stage("Getting ready ...")
    job = job_of(request)
    trained = (yield from _training(request, job)) if request.trains else request.start
    return (yield from _completing(job, trained))


def _training(request: Request, job: Job) -> Generator[Told, Command | None, Trained]:
    """The engine's events; after each preview how good it is, where that is known."""
    from ..engine.metrics import score
    from ..engine.training import train

    training = train(list(job.sparse), job.config, preview_every_s=PREVIEW_EVERY_S, start=request.start)
    try:
        event = next(training)
        while True:
            command = yield event
            if isinstance(event, Previewed) and job.truth[0] is not None:
                scores = score(event.imputed, truth=job.truth[0], sparse=job.sparse[0])
                command = last_command(command, (yield LiveScores(event.step, scores)) or command)
            event = training.send(command)
    except StopIteration as end:
        return end.value


def _completing(job: Job, trained: Trained) -> Generator[Told, Command | None, Result]:
    """Impute and score one gene after the other; a STOP keeps those that are done."""
    from ..engine.run import Result, complete

    parts: list[Result] = []
    for number, (sparse, truth) in enumerate(zip(job.sparse, job.truth, strict=True), start=1):
        of = f" ({number} of {len(job.sparse)})" if len(job.sparse) > 1 else ""
        also = "" if truth is None else " and comparing with the classical methods"
        command = yield Stage(f"Imputing {sparse.gene}{of}{also} ...", number - 1, len(job.sparse))
        if command is Command.STOP and parts:
            break
        parts.append(complete(replace(job, sparse=(sparse,), truth=(truth,)), trained))
    done = len(parts)
    return Result(
        replace(job, sparse=job.sparse[:done], truth=job.truth[:done]),
        trained,
        tuple(part.imputed[0] for part in parts),
        {part.job.sparse[0].gene: part.scores.get(part.job.sparse[0].gene, {}) for part in parts},
        sum(part.impute_s for part in parts),
        sum(part.score_s for part in parts),
    )


Run = Callable[[Request], Generator[Told, Command | None, Any]]
"""Returns a Result."""


class RunWorker(GeneratorWorker):
    """A run in a thread: ``yielded`` events, ``returned`` a Result, or ``errored`` with a sentence.

    Stop is :meth:`stop`, so that the generator returns the weights; ``quit`` would throw them away.
    """

    def __init__(self, request: Request, what: Run = run) -> None:
        super().__init__(what, request)

    def stop(self) -> None:
        """Only after Started. A paused worker is woken, as it reads nothing in its sleep."""
        self.send(Command.STOP)
        self.resume()

    def _relay_error(self, exc: Exception) -> None:
        """napari would show a traceback; the dock shows the sentence."""

    def _relay_warning(self, show_warn_args: tuple) -> None:
        """napari would pop up every deprecation in a library."""
        log.warning("%s", show_warn_args[0])
