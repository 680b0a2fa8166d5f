"""Turn one run (counts and settings) into a Result, in a napari thread that tells what it does and can be stopped.

The engine's training generator runs inside; then imputing and scoring, gene by gene in the same thread, so that the window
never waits. napari's worker swallows every RuntimeError, and a GPU that is out of memory raises one: all of those leave here
as a TrainingError with a sentence.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...engine.errors import S2SSTError, TrainingError
from ...engine.events import Command, Event, Hold, Previewed, Started, Unsaved, Waiting, last_command
from ...engine.runs.kept import Record
from .request import LiveScores, Request, Stage, Told

if TYPE_CHECKING:
    from ...engine.network.model import Trained
    from ...engine.runs.run import Job


import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from napari.qt.threading import GeneratorWorker

from ...engine.maps import SparseMap
from ...engine.sampling.image import with_image
from ...engine.sampling.lattice import refine, sample
from ...engine.sampling.panel import with_panel
from ..session import Mode

if TYPE_CHECKING:
    from ...engine.network.model import Trained
    from ...engine.runs.run import Job, Result


# ---- The training of a run, on this computer or on a cluster: the same events, and scores of each preview.

PREVIEW_EVERY_S = 2.0
"""Imputing a preview costs training time, and a map sharpens no faster than this."""

NOTHING_LEARNT = "Stopped before a worker of the cluster took the first step, so nothing was learnt."


def begun_with(request: Request) -> Request:
    """The same with its first weights at hand, where the cluster may not see their file. Raises CheckpointError."""
    source = request.config.training.start_from
    if request.elsewhere is None or request.start is not None or not isinstance(source, Path):
        return request
    from ...engine.network.model import load_model

    return replace(request, start=load_model(source))


def train(request: Request, job: Job) -> Generator[Told, Command | Hold | None, Trained]:
    """The engine's events; after each preview how good it is, where that is known.

    A STOP before the first of them, while a cluster has no worker to spare, raises TrainingError.
    """
    from ...engine.scores.metrics import score

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
        from ...engine.cluster.remote import train_on_cluster

        place, config = request.elsewhere, job.config.changed(device="auto")  # the chosen one is of this computer
        return train_on_cluster(list(job.sparse), config, place.address, tls=place.tls, **chosen)
    from ...engine.training.train import train as train_here

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


log = logging.getLogger(__name__)


def sentence(error: BaseException) -> str:
    """What a user reads of an error: one sentence, no traceback."""
    if isinstance(error, S2SSTError):
        return str(error)
    text = str(error).strip().splitlines()[0] if str(error).strip() else "no further explanation"
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return "The memory was not enough. Choose the device CPU, the preset Fast, larger bins, or a smaller region."
    return f"Something went wrong that should not ({type(error).__name__}: {text}). The log has the details."


def about(request: Request) -> str:
    """What a log should hold of a run that failed; no data of its slide."""
    from ...engine.reports.report import processors, settings_text

    shapes = f"{len(request.maps)} maps of {' x '.join(map(str, request.maps[0].shape))} bins, {request.mode.value}"
    told = {**processors(), "run": shapes, "settings": settings_text(request.config)}
    return "\n".join(["it ran with", *(f"    {name}: {value}" for name, value in told.items())])


def sparse_of(request: Request) -> tuple[SparseMap, ...]:
    """The measured bins of every gene. Raises SamplingError."""
    choice, maps = request.config.sampling, request.maps
    if request.mode is Mode.FILL_IN:
        found = [refine(each, choice.stride) for each in maps]
    else:
        found = [sample(each, choice.stride, choice.phase) for each in maps]
    return tuple(found)


def seen_of(request: Request) -> tuple[SparseMap, ...]:
    """The same with what image and other genes tell, which takes seconds. Raises SamplingError and BundleError."""
    sparse, config = sparse_of(request), request.config
    if config.imputation.image:
        sparse = with_image(sparse, request.images)
    if config.imputation.panel and request.panel is not None:
        filled_in = request.mode is Mode.FILL_IN
        sparse = with_panel(sparse, request.panel, min_qv=config.grid.min_qv, filled_in=filled_in)
    return tuple(sparse)


def job_of(request: Request) -> Job:
    """The measured bins and, in Check mode, the truth on the same grid. Raises SamplingError."""
    from ...engine.runs.run import Job

    sparse, maps = seen_of(request), request.maps
    truth = (None,) * len(maps) if request.mode is Mode.FILL_IN else maps
    return Job(
        request.config, sparse, truth, request.regions, request.slide.name, 0.0, request.start, request.edited_tissue,
        request.size_um,
    )  # fmt: skip


def run(request: Request) -> Generator[Told, Command | Hold | None, Result]:
    """Train, impute and score; see the module's text. Raises S2SSTError only."""
    try:
        return (yield from _run(request))
    except S2SSTError as error:
        log.warning("a run ended: %s", error, exc_info=error)
        log.warning("%s", about(request))
        raise
    except Exception as error:
        log.exception("a run failed")
        log.error("%s", about(request))
        raise TrainingError(sentence(error)) from error


def _run(request: Request) -> Generator[Told, Command | Hold | None, Result]:
    yield Stage("Getting ready ...")
    request = begun_with(request)
    job = job_of(request)
    trained = (yield from train(request, job)) if request.trains else request.start
    return (yield from _completing(job, trained))


def _completing(job: Job, trained: Trained) -> Generator[Told, Command | Hold | None, Result]:
    """Impute and score one gene after the other; a STOP keeps those that are done."""
    from ...engine.runs.run import Result, complete

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


Run = Callable[[Request], Generator[Told, Command | Hold | None, Any]]
"""Returns a Result."""


class RunWorker(GeneratorWorker):
    """A run in a thread: ``yielded`` events, ``returned`` a Result, or ``errored`` with a sentence.

    Stop is :meth:`stop`, so that the generator returns the weights; ``quit`` would throw them away.
    """

    def __init__(self, request: Request, what: Run = run) -> None:
        super().__init__(what, request)
        self._kept, self.is_elsewhere = request.kept, request.elsewhere is not None
        self._leave: Callable[[], None] | None = None
        self._over = False

    def run(self) -> None:
        """Called in the thread. What is left is let go of when no more steps are taken: they would write it anew."""
        try:
            super().run()
        except RuntimeError:  # the window has gone and taken the signals along; raised further it would end the program
            log.warning("a run ended after its window", exc_info=True)
        try:
            self._gen.close()  # of a run that was left: a cluster would train on
        except Exception:
            log.warning("a run that was left did not end well", exc_info=True)
        self._over = True
        if self._leave is not None:
            self._leave()

    def leave(self, *, keep: bool) -> None:
        """End without a result: what is kept of the training is offered again, or removed."""
        if self._kept is not None:
            self._leave = self._kept.release if keep else self._kept.remove
            if self._over:
                self._leave()
        self.quit()
        self.resume()

    def hold(self, rests: bool) -> None:
        """Of a training elsewhere: it would take its steps whether it is listened to or not."""
        self.send(Hold.PAUSE if rests else Hold.RESUME)

    def stop(self) -> None:
        """Only when the session can. A paused worker is woken, as it reads nothing in its sleep."""
        self.send(Command.STOP)
        self.resume()

    def _relay_error(self, exc: Exception) -> None:
        """napari would show a traceback; the dock shows the sentence."""

    def _relay_warning(self, show_warn_args: tuple) -> None:
        """napari would pop up every deprecation in a library."""
        log.warning("%s", show_warn_args[0])
