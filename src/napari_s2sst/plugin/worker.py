"""Turn one run (counts and settings) into a Result, in a napari thread that tells what it does and can be stopped.

The engine's training generator runs inside; then imputing and scoring, in the same thread, so that the window never
waits. napari's worker swallows every RuntimeError, and a GPU that is out of memory raises one: all of those leave here
as a TrainingError with a sentence.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from napari.qt.threading import GeneratorWorker

from ..engine.config import RunConfig
from ..engine.errors import S2SSTError, TrainingError
from ..engine.events import Command, Event
from ..engine.maps import GeneMap
from ..engine.region import Region
from ..engine.run import Job, Result, complete
from ..engine.sampling import refine, sample
from .session import Mode

PREVIEW_EVERY_S = 2.0
"""Imputing a preview costs training time, and a map sharpens no faster than this."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """What goes on before and after the training, for the progress line."""

    text: str


@dataclass(frozen=True, eq=False)
class Request:
    """One run, as asked for in the window."""

    gene_map: GeneMap
    """Counts, already restricted to the regions."""
    config: RunConfig
    mode: Mode
    slide: Path
    regions: tuple[Region, ...] = ()


def sentence(error: BaseException) -> str:
    """What a user reads of an error: one sentence, no traceback."""
    if isinstance(error, S2SSTError):
        return str(error)
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no further explanation"
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return "The memory was not enough. Choose the device CPU, the preset Fast, larger bins, or a smaller region."
    return f"Something went wrong that should not ({type(error).__name__}: {text}). The log has the details."


def job_of(request: Request) -> Job:
    """The measured bins and, in Check mode, the truth on the same grid. Raises SamplingError."""
    choice, gene_map = request.config.sampling, request.gene_map
    if request.mode is Mode.FILL_IN:
        sparse, truth = refine(gene_map, choice.stride), None
    else:
        sparse, truth = sample(gene_map, choice.stride, choice.phase), gene_map
    return Job(request.config, (sparse,), (truth,), request.regions, request.slide.name, 0.0)


def run(request: Request) -> Generator[Event | Stage, Command | None, Result]:
    """Train, impute and score; see the module's text. Raises S2SSTError only."""
    try:
        return (yield from _run(request))
    except S2SSTError:
        raise
    except Exception as error:
        log.exception("a run failed")
        raise TrainingError(sentence(error)) from error


def _run(request: Request) -> Generator[Event | Stage, Command | None, Result]:
    yield Stage("Getting ready ...")
    from ..engine.imputation import impute
    from ..engine.training import train

    job = job_of(request)
    trained = yield from train(list(job.sparse), job.config, preview_every_s=PREVIEW_EVERY_S)
    gene = job.sparse[0].gene
    if request.mode is Mode.CHECK:
        yield Stage(f"Imputing {gene} and comparing with the classical methods ...")
        return complete(job, trained)
    yield Stage(f"Imputing {gene} ...")
    began = time.perf_counter()
    imputed = impute(trained, job.sparse[0])
    return Result(job, trained, (imputed,), {gene: {}}, time.perf_counter() - began, 0.0)


Run = Callable[[Request], Generator[Event | Stage, Command | None, Result]]


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
