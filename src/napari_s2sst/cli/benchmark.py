"""`s2sst benchmark`: all methods on the same sparse input -> a table on the terminal and a CSV file."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine.config import PRESETS, GridConfig, RunConfig, SamplingConfig
from ..engine.errors import ConfigError, ExportError

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine.benchmark.benchmark import Outcome
    from ..engine.slides.slide import Slide

SAVE_EVERY_S = 10.0
"""The file is written anew so often while the benchmark runs: a long one that is stopped leaves what it has."""

MAX_GENES_SHOWN = 12
"""With more, only their mean is printed; the file has all of them."""

UNMEASURED = {
    "MAE": ("mae_unmeasured", min), "PCC": ("pcc_unmeasured", max), "SSIM": ("ssim_unmeasured", max),
}  # fmt: skip
ALL_BINS = {"MAE": ("mae", min), "PCC": ("pcc", max), "SSIM": ("ssim", max)}
"""Heading -> the field of Scores, and which of two values is the better."""


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


def benchmark(
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="The table: a row for each gene, method and seed.")],
    slide: SlideArgument = None,
    hest: HestOption = None,
    gene: GeneOption = None,
    genes: Annotated[str, typer.Option(metavar="A,B", help="Genes, with commas between.", show_default=False)] = "",
    genes_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A text file with one gene a line.")] = None,
    all_genes: Annotated[bool, typer.Option("--all-genes", help="Every gene of the slide.")] = False,
    top: Annotated[int | None, typer.Option(metavar="N", min=1, help="The N most frequent genes.")] = None,
    methods: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="all, classical, panel (DIST, BayesSpace), networks, or names with commas between: "
            f"{', '.join(PRESETS)}, kriging, ...",
        ),
    ] = "all",
    stride: Annotated[int, typer.Option(help=SamplingConfig.model_fields["stride"].description)] = 2,
    bin_um: Annotated[
        float | None,
        typer.Option(help=GridConfig.model_fields["bin_um"].description, show_default="20, or the map file's own"),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="Trainings of each network, one a seed.")] = "0",
    seconds: Annotated[
        float | None, typer.Option(help="Time limit of each training.", show_default="the preset's")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Optimiser steps of each training.")] = None,
    one_by_one: Annotated[
        bool, typer.Option("--one-by-one", help="Train anew for every gene; paper always does, the others need not.")
    ] = False,
    panel: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most frequent genes that DIST and BayesSpace learn from.")
    ] = 100,
    device: Annotated[str, typer.Option(help=RunConfig.model_fields["device"].description)] = "auto",
    normalisation: Annotated[str, typer.Option(help="log1p, median-log1p or none.")] = "log1p",
) -> None:
    """Compare all methods on the same sparse input: scores, seconds, memory; the truth is the slide itself.

    "all" includes the paper's method as published: hours a gene unless --seconds or --steps limits it, and much memory.
    """
    from ..engine.benchmark.benchmark import PANEL_METHODS, choose_methods
    from ..engine.runs.run import prepare
    from .inputs import choose_genes

    chosen = choose_methods(methods)
    if seconds is not None and steps is not None:
        raise ConfigError("--seconds and --steps exclude each other; give one of them.")
    trainings = read_seeds(seeds)
    config = RunConfig.preset("fast", stride=stride, bin_um=bin_um, device=device, normalisation=normalisation)
    check_place(out)
    opened, config = open_input(slide, hest, config, bin_um)
    names = [*(gene or []), *(name.strip() for name in genes.split(",") if name.strip())]
    if (top is not None) + all_genes + bool(names or genes_file) != 1:
        some = ",".join(list(opened.genes)[:3])
        raise ConfigError(
            f"Choose the genes in one way: --gene, --genes (as in --genes {some}), --genes-file, --top or --all-genes."
        )
    if top is not None:
        names = list(opened.genes)[:top]
    job = measured_job(opened, choose_genes(opened, names, genes_file, all_genes), config)
    limits = {"seeds": trainings, "seconds": seconds, "steps": steps, "one_by_one": one_by_one}
    if set(chosen) & set(PANEL_METHODS):
        limits["panel"] = prepare(opened, list(opened.genes)[:panel], job.config).sparse
    _run(opened, job, chosen, out, limits)


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
    """Found out before anything is computed, not after hours."""
    from ..engine.files import check_output_folder

    if out.is_dir():
        raise ExportError(f"{out} is a folder. Give --out the name of a file, such as {out / 'table.csv'}.")
    check_output_folder(out.parent)


def measured_job(opened: Slide, genes: list[str], config: RunConfig):
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


def _run(opened: Slide, job: Any, methods: tuple[str, ...], out: Path, limits: dict[str, Any]) -> None:
    from rich.console import Console

    from ..engine.benchmark.benchmark import NEEDS_HOURS, WITH_IMAGE, benchmark, rows
    from ..engine.benchmark.colour import colour_map
    from ..engine.export.tables import write_scores_csv
    from .terminal import clock, say

    notes, results = Console(stderr=True), Console()
    first = job.sparse[0]
    say(notes, f"{opened.name}: {len(job.sparse)} genes, {first.shape[0]} x {first.shape[1]} bins of {first.bin_um:g} um, "
               f"{int(first.measured.sum()):,} of {int(first.tissue.sum()):,} tissue bins measured")  # fmt: skip
    colour = colour_map(opened.images, job.truth[0]) if WITH_IMAGE in methods and opened.images else None
    if WITH_IMAGE in methods and colour is None:
        say(notes, f"{WITH_IMAGE} is left out: there is no morphology image here.")
    if set(methods) & set(NEEDS_HOURS):
        say(notes, "The paper's method takes hours for each gene unless --seconds or --steps limits it. "
                   "Without a GPU it needs more than 24 GB of memory.")  # fmt: skip
    began = saved = time.monotonic()
    outcomes: list[Outcome] = []
    method = None
    for outcome in benchmark(job, methods, colour=colour, **limits):
        outcomes.append(outcome)
        if outcome.method != method or outcome.train_s > SAVE_EVERY_S:
            method, saved = outcome.method, 0.0
            say(
                notes, f"{clock(time.monotonic() - began)}  {method}" + (f", {outcome.gene}" if outcome.train_s else "")
            )
        if time.monotonic() - saved > SAVE_EVERY_S:
            saved = time.monotonic()
            write_scores_csv(out, rows(outcomes))
    write_scores_csv(out, rows(outcomes))
    show(results, outcomes)
    say(results, f"The table is in {out}")


def show(console: Console, outcomes: list[Outcome]) -> None:
    """Scores on unmeasured bins gene by gene, then the means over genes, on unmeasured and on all tissue bins."""
    from ..engine.benchmark.benchmark import summary
    from .terminal import say

    genes = list(dict.fromkeys(outcome.gene for outcome in outcomes))
    if 1 < len(genes) <= MAX_GENES_SHOWN:
        for gene in genes:
            say(console, f"{gene}, unmeasured bins (* best of its column)", style="bold")
            _table(console, summary([outcome for outcome in outcomes if outcome.gene == gene]), UNMEASURED)
    name = genes[0] if len(genes) == 1 else f"mean of {len(genes)} genes"
    means = summary(outcomes)
    for where, columns in (("unmeasured bins", UNMEASURED), ("all tissue bins", ALL_BINS)):
        say(console, f"{name}, {where} (* best of its column)", style="bold")
        _table(console, means, columns)
        for method, each in means.items():
            if each.seeds > 1:
                spread = ", ".join(f"{heading} {each.spread[field]:.4f}" for heading, (field, _) in columns.items())
                say(console, f"{method}: standard deviation over {each.seeds} seeds {spread}")
    say(console, "90%: unmeasured bins inside the predicted 90 % interval. s: wall seconds for one gene, its share of a "
                 "training included. MB: peak memory of the whole process.")  # fmt: skip
    say(
        console,
        "The information limit looks at the truth and is no method: bins predicted from their dense neighbours.",
    )


def _table(console: Console, means: dict[str, Any], columns: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    from ..engine.benchmark.limit import LIMIT

    table = Table()
    table.add_column("method", no_wrap=True)
    for heading in (*columns, "90%", "s", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method, each in means.items():
        cells = []
        for field, better in columns.values():
            others = [
                one.mean[field] for name, one in means.items() if name != LIMIT and math.isfinite(one.mean[field])
            ]
            best = method != LIMIT and each.mean[field] == better(others, default=None)
            cells.append(Text(_number(each.mean[field], ".4f") + "* "[not best], style="bold green" if best else ""))
        coverage = each.mean["coverage"] if columns is UNMEASURED else math.nan
        cost = (_number(coverage, ".0%"), _number(each.seconds, ".2f"), _number(each.peak_mb, ".0f"))
        table.add_row(Text(method), *cells, *(Text(cell) for cell in cost))
    console.print(table)


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
