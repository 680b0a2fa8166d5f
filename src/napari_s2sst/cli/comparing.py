"""What `s2sst benchmark` and `s2sst ablations` share: options, the one sparse input, the table that grows as outcomes come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine.config import RunConfig, SamplingConfig
from ..engine.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from rich.table import Table

    from ..engine.benchmark.benchmark import Outcome
    from ..engine.runs.run import Job
    from ..engine.slides.slide import Slide

SAVE_EVERY_S = 10.0
"""The file is written anew so often while outcomes come quickly: a long run that is stopped leaves what it has."""

SlideArgument = Annotated[
    Path | None, typer.Argument(metavar="[BUNDLE|FILE.npz]", help="A Xenium output folder or a count cube.")
]
HestOption = Annotated[
    Path | None,
    typer.Option(
        "--hest", metavar="FILE.h5ad", help="A sample of HEST-1k instead: its Xenium pseudo-spots, bins of 100 um.",
        show_default=False,
    ),
]  # fmt: skip
GeneOption = Annotated[
    list[str] | None, typer.Option("--gene", metavar="NAME", help="A gene; may be given again.", show_default=False)
]
StrideOption = Annotated[int, typer.Option(help=SamplingConfig.model_fields["stride"].description)]
DeviceOption = Annotated[str, typer.Option(help=RunConfig.model_fields["device"].description)]
NormalisationOption = Annotated[str, typer.Option(help="log1p, median-log1p or none.")]


def open_input(
    slide: Path | None, hest: Path | None, config: RunConfig, bin_um: float | None
) -> tuple[Slide, RunConfig]:
    """The slide, whatever kind of file it is in, and the config with the bin size of one that has its own."""
    from ..engine.slides.opening import kind_of
    from .inputs import slide_from_options

    if (slide is None) == (hest is None):
        raise ConfigError(
            "Give a Xenium folder or a count cube, or a HEST-1k sample with --hest FILE.h5ad, and not both."
        )
    if slide is None:
        return slide_from_options(None, None, config, bin_um, None, hest)
    kind = kind_of(slide)
    if kind == "spots":
        raise ConfigError(f"{slide} is no Xenium folder and no count cube; give a HEST-1k sample as --hest {slide}.")
    is_cube = kind == "cube"
    return slide_from_options(None if is_cube else slide, slide if is_cube else None, config, bin_um, None)


def read_seeds(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f"--seeds can't be {text!r}; give whole numbers with commas between, such as 0,1,2.")
    return tuple(dict.fromkeys(int(part) for part in parts))


def check_place(out: Path) -> None:
    """Check the place before anything is computed, not after hours. Raises ExportError."""
    from ..engine.files import check_output_folder

    if out.is_dir():
        raise ExportError(f"{out} is a folder. Give --out the name of a file, such as {out / 'table.csv'}.")
    check_output_folder(out.parent)


def measured_job(opened: Slide, genes: list[str], config: RunConfig) -> Job:
    """The genes' maps and their lattices; genes that no measured bin has a transcript of are left out, and named."""
    from dataclasses import replace

    from rich.console import Console

    from ..engine.runs.run import prepare
    from .terminal import say

    notes = Console(stderr=True)
    job = prepare(opened, genes, config)
    empty = [sparse.gene for sparse in job.sparse if not sparse.values[sparse.measured].any()]
    if len(empty) == len(job.sparse):
        raise ConfigError(
            f"No measured bin has a transcript of {', '.join(empty[:5])}. Choose other genes or larger bins."
        )
    if opened.bin_is_assumed:
        say(notes, f"{opened.name} does not say how large its bins are: {opened.bin_um:g} um, {opened.bin_said_by}.")
    if empty:
        say(notes, f"Left out, without a transcript in any measured bin: {', '.join(empty)}")
        pairs = [pair for pair in zip(job.sparse, job.truth, strict=True) if pair[0].gene not in empty]
        job = replace(job, sparse=tuple(sparse for sparse, _ in pairs), truth=tuple(truth for _, truth in pairs))
    return job


def collect(
    outcomes: Iterable[Outcome],
    out: Path,
    rows: Callable[[Sequence[Outcome]], list[dict[str, Any]]],
    on_outcome: Callable[[Outcome], bool],
) -> list[Outcome]:
    """All outcomes; the file is written anew on the way, at the latest where ``on_outcome`` says that one cost much."""
    from ..engine.export.tables import write_scores_csv

    collected: list[Outcome] = []
    saved = time.monotonic()
    for outcome in outcomes:
        collected.append(outcome)
        if on_outcome(outcome) or time.monotonic() - saved > SAVE_EVERY_S:
            saved = time.monotonic()
            write_scores_csv(out, rows(collected))
    write_scores_csv(out, rows(collected))
    return collected


def table_of(first: str, others: Iterable[str]) -> Table:
    """A table with a column of names and columns of figures."""
    from rich.table import Table

    table = Table()
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
