"""`s2sst batch` and `s2sst impute --workers | --cluster`: many slides and genes -> a folder of results for each part.

Exit status 0 when all is done, 3 when some parts failed and the others are kept, and `impute`'s others: 2, 129, 130, 143.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine.config import CHECKPOINT_EVERY_S, RunConfig
from ..engine.errors import ConfigError
from .options import ImputeOptions, WorkerOptions

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine.cluster.connect import Tls
    from ..engine.cluster.jobs import SlideJob
    from ..engine.cluster.plan import Part, Plan

FAILED_SOME = 3
"""Exit status: some parts failed three times, the others are done."""

SHOWN = 12
"""Parts that are listed, and shown at work; the others are counted."""

WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="So many processes on this computer, reachable from nowhere else.", show_default=False
    ),
]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT", help="The scheduler of a Dask cluster; tls://... is encrypted.", show_default=False
    ),
]
PerTaskOption = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="With workers: genes that share one network and one task.", show_default="16"
    ),
]
TlsCaOption = Annotated[
    Path | None, typer.Option(metavar="FILE.pem", help="With tls://: who signed the certificates.", show_default=False)
]
TlsCertOption = Annotated[
    Path | None, typer.Option(metavar="FILE.pem", help="With tls://: this program's certificate.", show_default=False)
]
TlsKeyOption = Annotated[
    Path | None, typer.Option(metavar="FILE.pem", help="With tls://: the certificate's key.", show_default=False)
]


def batch(
    context: typer.Context,
    jobs_file: Annotated[Path, typer.Argument(metavar="JOBS.toml", help="What to do with each slide.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and say what is missing; do nothing.")
    ] = False,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How often an unfinished part is saved.")
    ] = CHECKPOINT_EVERY_S,
) -> None:
    """Impute many genes of many slides; what is done already is not done again.

    The file has a [[job]] for each slide, with slide, out, and genes, genes_file or all_genes = true; and, there or for all under
    [defaults], any of name, preset, bin_um, stride, regions, fill_in, genes_per_task (16; "all" lets a worker read the whole
    slide), seconds, steps, device, seed, min_qv, normalisation, images, and others in [job.settings]. Paths begin at its folder.

    Ctrl-C ends the workers and keeps what is finished; the same command goes on. Exit status 3: some parts failed three times.
    """
    from ..engine.cluster.jobs import read_jobs

    by = WorkerOptions(workers=workers, cluster=cluster, tls_ca=tls_ca, tls_cert=tls_cert, tls_key=tls_key)
    tls = by.tls()
    jobs = read_jobs(jobs_file)
    if dry_run:
        from rich.console import Console

        from ..engine.cluster.plan import plan

        _show_plan(Console(), plan(jobs))
        return
    raise typer.Exit(run_batch(jobs, workers, cluster, tls, checkpoint_every, context.obj))


def impute_by_workers(options: ImputeOptions, config: RunConfig, command: str) -> int:
    """`s2sst impute` with --workers or --cluster; returns the exit status."""
    from ..engine.cluster.jobs import GENES_PER_TASK, SlideJob

    run, workers = options.run, options.workers
    not_by_workers = {
        "--tissue": run.tissue, "--model": run.model, "--stop-at": run.stop_at, "--into": run.into,
        "--size-um": options.slide.size_um,
    }  # fmt: skip
    for option, value in not_by_workers.items():
        if value is not None:
            raise ConfigError(f"{option} can't be used with --workers or --cluster; leave it out.")
    tls = workers.tls()
    slide, _ = options.slide.open(config)
    job = SlideJob(
        slide=options.slide.path,
        out=run.out,
        genes=tuple(options.genes.chosen(slide)),
        config=config,
        regions=run.region,
        fill_in=run.fill_in,
        genes_per_task=workers.genes_per_task or GENES_PER_TASK,
        bin_um=options.slide.bin_um,
    )
    return run_batch([job], workers.workers, workers.cluster, tls, run.checkpoint_every_s, command)


def run_batch(
    jobs: Sequence[SlideJob],
    workers: int | None,
    cluster: str | None,
    tls: Tls | None,
    every_s: float,
    command: str,
) -> int:
    """Run, show how far it is, and tell what became of it; returns the exit status."""
    from rich.console import Console

    from ..engine.cluster.batch import run_jobs
    from ..engine.events import Command
    from .terminal import UNREAD, Interrupt, say

    notes, results = Console(stderr=True), Console()
    if cluster is not None and cluster.startswith("tcp://") and not cluster.startswith("tcp://127."):
        say(notes, f"{cluster} is neither encrypted nor guarded; with TLS it is (see docs/scaling.md).")
    with Interrupt(Console(quiet=True)) as interrupt, _Progress(notes) as progress:
        events = run_jobs(jobs, workers=workers, cluster=cluster, tls=tls, checkpoint_every_s=every_s, command=command)
        try:
            event, was_told = next(events), False
            while True:
                with contextlib.suppress(*UNREAD):
                    progress.show(event)
                if interrupt.pressed and not was_told:
                    was_told = True
                    say(
                        notes,
                        "Stopping: finished results stay, and each part under way is kept. The same again ends at once.",
                    )
                event = events.send(Command.STOP if interrupt.pressed else None)
        except StopIteration as end:
            result = end.value
    for failed in result.failed:
        say(notes, f"Failed: {failed.part.title}: {failed.why}")
    say(results, f"{_count(len(result.done), 'part')} done, {len(result.failed)} failed, {len(result.left)} left; "
                 f"{result.genes_done_before:,} genes were done before.")  # fmt: skip
    for folder in dict.fromkeys(job.out for job in jobs):
        say(results, f"  {folder}")
    if result.left or result.failed:
        say(notes, "The same command does what is missing.")
    return interrupt.status or (FAILED_SOME if result.failed else 0)


def _show_plan(console: Console, plan: Plan) -> None:
    from .terminal import say

    genes = sum(len(part.genes) for part in plan.parts)
    say(console, f"{_count(len(plan.parts), 'part')} missing, {genes:,} genes of {_count(len(plan.jobs), 'job')}; "
                 f"{plan.genes_done:,} genes are done.")  # fmt: skip
    for part in plan.parts[:SHOWN]:
        why = f" (again: {part.why})" if part.why else ""
        say(console, f"  {part.title} -> {part.folder}{why}")
    if len(plan.parts) > SHOWN:
        say(console, f"  and {len(plan.parts) - SHOWN:,} more")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class _Progress:
    """Progress of a batch: on a terminal a bar and what each worker does, elsewhere a line for each part."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Any = None
        self._total = self._over = 0
        self._now: dict[int, tuple[Part, str]] = {}
        self._began = time.monotonic()

    def __enter__(self) -> _Progress:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(console=self._console, refresh_per_second=5, transient=True).__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*error)

    def show(self, event: Any) -> None:
        from ..engine.cluster.events import PartDone, PartFailed, PartStarted, PartTold, Planned
        from ..engine.events import Recovered, Stepped, Unsaved
        from ..engine.runs.events import Imputing
        from .terminal import say

        match event:
            case Planned(plan=plan, workers=workers):
                self._total = len(plan.parts)
                by = f" by {_count(workers, 'worker')}" if plan.parts else ""
                done = f"; {plan.genes_done:,} genes are done" if plan.genes_done else ""
                say(self._console, f"{_count(self._total, 'part')} to do{by}{done}")
                for sentence in plan.again[:SHOWN]:
                    say(self._console, f"Again: {sentence}")
            case PartStarted(part=part, worker=worker, attempt=attempt):
                self._now[id(part)] = (part, "begins")
                if attempt > 1:
                    say(self._console, f"{part.title}: attempt {attempt}, {worker}")
            case PartTold(part=part, event=Stepped() as stepped):
                steps = f"step {stepped.step:,}" + (f"/{stepped.steps:,}" if stepped.steps else "")
                self._now[id(part)] = (part, f"{steps}, loss {stepped.loss:.4f}")
            case PartTold(part=part, event=Imputing(gene=gene, number=number, total=total)):
                self._now[id(part)] = (part, f"imputing {gene} ({number} of {total})")
            case PartTold(part=part, event=Recovered(what=problem) | Unsaved(why=problem)):
                say(self._console, f"{part.title}: {problem}")
            case PartDone(part=part, facts=facts):
                self._end(part)
                mae = facts.get("mae_unmeasured")
                error = "" if mae is None or not math.isfinite(mae) else f", MAE {mae:.4f} on unmeasured bins"
                say(self._console, f"{self._over} of {self._total}  {part.title}: {facts['seconds']:.0f} s{error}")
            case PartFailed(part=part, why=why, attempt=attempt, is_final=is_final):
                if is_final:
                    self._end(part)
                say(self._console, f"{part.title} failed{' for good' if is_final else ''} (attempt {attempt}): {why}")
        if self._live is not None:
            self._draw()

    def _end(self, part: Part) -> None:
        self._now.pop(id(part), None)
        self._over += 1

    def _draw(self) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        from .terminal import clock

        bar = Table.grid(padding=(0, 1))
        so_far = f"{self._over} of {self._total} parts, {clock(time.monotonic() - self._began)}"
        bar.add_row(ProgressBar(total=max(1, self._total), completed=self._over, width=40), so_far)
        working = [Text(f"  {part.title}: {what}") for part, what in list(self._now.values())[:SHOWN]]
        self._live.update(Group(bar, *working))
