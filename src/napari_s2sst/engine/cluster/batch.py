"""Jobs for many slides and genes -> their missing results, one part after the other or by many workers, as a generator of events.

Each part is trained, imputed, scored and written on its own as soon as it is ready, so whatever ends the batch leaves what was
finished, and the same call does the rest. Where a worker sees the folder of results it writes there itself; else what it made
travels back and is written here.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import CHECKPOINT_EVERY_S
from ..errors import S2SSTError, sentence
from ..events import Command
from ..files import check_output_folder
from ..training.checkpoint import CHECKPOINT_NAME
from .events import BatchEvent, BatchResult, PartDone, PartFailed, PartStarted, PartTold, Planned
from .jobs import SlideJob, check_folders
from .plan import ATTEMPTS, Part, Plan, identity_of, open_job, plan, prepare_part, remove_if_empty

if TYPE_CHECKING:
    from ..runs.execute import Output
    from ..runs.run import Job
    from ..slides.slide import Slide
    from .connect import Tls
    from .pool import Assignment, WorkerPool

PART_TOLD_EVERY_S = 1.0
"""So often a worker tells how far it is; hundreds of them share one scheduler."""

FAREWELL_S = 10.0
"""So long a stopped batch waits for what its workers still have to say."""

Batch = Generator[BatchEvent, Command | None, BatchResult]


def run_jobs(
    jobs: Sequence[SlideJob],
    *,
    workers: int | None = None,
    cluster: str | None = None,
    tls: Tls | None = None,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
    command: str = "",
) -> Batch:
    """Do what is missing of the jobs; yields events and returns :class:`BatchResult`.

    ``cluster`` is the address of a Dask scheduler; ``workers`` that many processes on this computer, reachable from nowhere
    else. With neither, as many as its cores, GPUs and memory are good for; where that is one, or Dask is not installed, this
    process does the work itself. A program that starts workers needs the usual ``if __name__ == "__main__":``.

    Send :attr:`Command.STOP` to end: finished results stay, the others keep a checkpoint, and the same call goes on from
    there. Closing the generator does the same. ``command`` is told in the records.

    Raises :class:`ConfigError` and the errors of reading a slide before anything is written; :class:`ClusterError` when the
    cluster can't be reached or is lost, :class:`ExportError` when nothing can be written to a folder of results. What fails
    for one part is an event, and after three times it is given up.
    """
    check_folders(jobs)
    missing = plan(jobs)
    for folder in dict.fromkeys(part.job.out for part in missing.parts):
        check_output_folder(folder)
    from .connect import has_dask, usual_workers

    if missing.parts and cluster is None and workers is None:
        workers = min(usual_workers(), len(missing.parts)) if has_dask() else 1
        workers = None if workers == 1 else workers
    if not missing.parts or (cluster is None and workers is None):
        yield Planned(missing, 1)
        return (yield from _here(missing, checkpoint_every_s, command))
    from .pool import WorkerPool

    with WorkerPool(workers, cluster, tls) as pool, _tokens(missing, pool.token):
        return (yield from _by_pool(missing, pool, checkpoint_every_s, command))


class _Tally:
    """Tally of the parts that are done, failed and left."""

    def __init__(self, missing: Plan) -> None:
        self.missing = missing
        self.done: list[PartDone] = []
        self.failed: list[PartFailed] = []
        self.is_stopped = False

    def hear(self, command: Command | None) -> None:
        self.is_stopped = self.is_stopped or command is Command.STOP

    def add(self, event: BatchEvent) -> BatchEvent:
        if isinstance(event, PartDone):
            self.done.append(event)
        elif isinstance(event, PartFailed) and event.is_final:
            self.failed.append(event)
        return event

    def result(self) -> BatchResult:
        over = {id(event.part) for event in [*self.done, *self.failed]}
        left = tuple(part for part in self.missing.parts if id(part) not in over)
        return BatchResult(tuple(self.done), tuple(self.failed), left, self.missing.genes_done)


class _Slides:
    """The slide that parts are read from, opened once for all that follow each other."""

    def __init__(self) -> None:
        self._of: Path | None = None
        self._slide: Slide | None = None

    def prepared(self, part: Part) -> Job:
        """The part, as a job. Raises as opening and preparing do."""
        if self._of != part.job.slide:
            self._slide, self._of = open_job(part.job)[0], part.job.slide
        return prepare_part(part, self._slide)


def _here(missing: Plan, every_s: float, command: str) -> Batch:
    """All parts in this process."""
    from .part import ADVICE, this_process

    tally, slides = _Tally(missing), _Slides()
    for part in missing.parts:
        for attempt in range(1, ATTEMPTS + 1):
            if tally.is_stopped:
                return tally.result()
            try:
                tally.hear((yield PartStarted(part, "this process", os.getpid(), attempt)))
                ended = yield from _one_here(part, slides, tally, every_s, command, this_process())
            except Exception as error:
                is_final = attempt == ATTEMPTS
                remove_if_empty(part.folder)
                tally.hear((yield tally.add(PartFailed(part, sentence(error, ADVICE), attempt, is_final))))
                continue
            if ended is not None:
                tally.hear((yield tally.add(ended)))
            break
    return tally.result()


def _one_here(
    part: Part, slides: _Slides, tally: _Tally, every_s: float, command: str, worker: str
) -> Generator[BatchEvent, Command | None, PartDone | None]:
    from .part import Abandoned, finish, work

    began = time.time()
    part.folder.mkdir(exist_ok=True)
    job, checkpoint = slides.prepared(part), part.folder / CHECKPOINT_NAME
    steps = work(job, checkpoint=checkpoint, every_s=every_s, output=output_of(part, command))
    try:
        event = next(steps)
        while True:
            tally.hear((yield PartTold(part, event)))
            event = steps.send(Command.STOP if tally.is_stopped else None)
    except StopIteration as end:
        result, files = end.value
        facts = finish(result, files, identity_of(part), part.folder, worker=worker, began=began)
        return PartDone(part, files, facts)
    except Abandoned:
        return None


def output_of(part: Part, command: str) -> Output:
    """Place of the files of a part."""
    from ..runs.execute import Output

    return Output(folder=part.folder, command=command, slide_path=part.job.slide)


def _by_pool(missing: Plan, pool: WorkerPool, every_s: float, command: str) -> Batch:
    """All parts by workers; a few more than there are workers are under way, so that none waits for its input."""
    tally, slides = _Tally(missing), _Slides()
    waiting = iter(missing.parts)
    of: dict[str, Part] = {}
    tally.hear((yield Planned(missing, pool.size)))
    is_drained = False
    while not tally.is_stopped and not (is_drained and not pool.busy):
        room = pool.size + max(1, pool.size // 4) - pool.busy  # one, where the workers are still on their way
        while room > 0 and not is_drained:
            part = next(waiting, None)
            if part is None:
                is_drained = True
                break
            try:
                job = None if part.job.genes_per_task is None else slides.prepared(part)
                of[pool.send(order_for(part, job, every_s, command)).id] = part
                room -= 1
            except S2SSTError as error:
                tally.hear((yield tally.add(PartFailed(part, str(error), 1, is_final=True))))
        for update in pool.updates():
            for event in _events(of[update.assignment.id], update.assignment, update.kind, update.value, command):
                tally.hear((yield tally.add(event)))
            if update.assignment.is_over:
                of.pop(update.assignment.id, None)
    if tally.is_stopped:
        yield from _ending(of, pool, tally, command)
    return tally.result()


def _ending(
    of: dict[str, Part], pool: WorkerPool, tally: _Tally, command: str
) -> Generator[BatchEvent, Command | None, None]:
    """Let workers keep what they have learnt; those that take long do so on their own, or have done so a while ago."""
    pool.dismiss()
    until = time.monotonic() + FAREWELL_S
    while pool.busy and time.monotonic() < until:
        for update in pool.updates():
            if update.kind == "done":
                for event in _events(of[update.assignment.id], update.assignment, update.kind, update.value, command):
                    yield tally.add(event)


def _events(part: Part, assignment: Assignment, kind: str, value: Any, command: str) -> Iterator[BatchEvent]:
    match kind:
        case "begun":
            yield PartStarted(part, assignment.worker, assignment.process, assignment.attempts)
        case "event":
            yield PartTold(part, value)
        case "failed" | "given up":
            remove_if_empty(part.folder)
            yield PartFailed(part, value, assignment.attempts, is_final=kind == "given up")
        case "done":
            try:
                files, facts = land(part, value, command)
            except S2SSTError as error:
                yield PartFailed(part, str(error), assignment.attempts, is_final=True)
            else:
                yield PartDone(part, files, facts)


def order_for(part: Part, job: Job | None, every_s: float, command: str) -> dict[str, Any]:
    """Order that a worker gets for a part: its prepared ``job``, or, without one, where the whole slide is."""
    from .wire import trained_bytes

    order = {
        "kind": "part",
        "identity": identity_of(part),
        "folder": part.folder.resolve(),
        "slide": part.job.slide.resolve(),
        "every_s": every_s,
        "tell_every_s": PART_TOLD_EVERY_S,
        "command": command,
    }
    if job is None:
        own = part.job
        regions = None if own.regions is None else own.regions.resolve()
        slide_job = {"slide": own.slide.resolve(), "out": own.out.resolve(), "config": own.config, "regions": regions}
        return order | {"slide_job": slide_job | {"fill_in": own.fill_in, "genes": part.genes}}
    start = None if job.start is None else trained_bytes(job.start)
    return order | {"job": job.fields(), "start": start}


def land(part: Part, answer: Mapping[str, Any], command: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The files and facts of a part that a worker wrote, or that are written here from what it sent."""
    if "files" in answer:
        return answer["files"], answer["facts"]
    from ..runs.run import result_of
    from .part import finish
    from .wire import trained_from

    arrived = answer["result"]
    result = result_of(
        prepare_part(part),
        trained_from(arrived["trained"]),
        arrived["imputed"],
        arrived["scores"],
        impute_s=arrived["impute_s"],
        score_s=arrived["score_s"],
    )
    part.folder.mkdir(exist_ok=True)
    files = tuple(path.name for path in output_of(part, command).write(result))
    facts = finish(result, files, identity_of(part), part.folder, worker=answer["worker"], began=answer["began"])
    return files, facts


@contextlib.contextmanager
def _tokens(missing: Plan, token: str) -> Iterator[None]:
    """An empty file in every folder of results, by which workers see that it is the same folder."""
    files = [folder / f".s2sst-{token}" for folder in dict.fromkeys(part.job.out for part in missing.parts)]
    try:
        for file in files:
            file.write_bytes(b"")
        yield
    finally:
        for file in files:
            with contextlib.suppress(OSError):
                file.unlink()
