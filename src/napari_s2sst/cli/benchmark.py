"""`s2sst benchmark`: all methods on the same sparse input -> a table on the terminal and a CSV file."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine.config import PRESETS, GridConfig, RunConfig
from ..engine.errors import ConfigError
from .comparing import (
    SAVE_EVERY_S,
    DeviceOption,
    GeneOption,
    HestOption,
    NormalisationOption,
    SlideArgument,
    StrideOption,
    check_place,
    collect,
    measured_job,
    open_input,
    read_seeds,
    table_of,
)
from .options import check_limits

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine.benchmark.benchmark import Outcome, Summary
    from ..engine.runs.run import Job
    from ..engine.slides.slide import Slide

MAX_GENES_SHOWN = 12
"""With more, only their mean is printed; the file has all of them."""

ALL_BINS = {"MAE": ("mae", min), "PCC": ("pcc", max), "SSIM": ("ssim", max)}
"""Heading -> the field of Scores, and which of two values is the better."""


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
    stride: StrideOption = 2,
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
    device: DeviceOption = "auto",
    normalisation: NormalisationOption = "log1p",
) -> None:
    """Compare all methods on the same sparse input: scores, seconds, memory; the truth is the slide itself.

    "all" includes the paper's method as published: hours a gene unless --seconds or --steps limits it, and much memory.
    """
    from ..engine.benchmark.benchmark import PANEL_METHODS, choose_methods
    from ..engine.runs.run import prepare
    from .inputs import choose_genes

    chosen = choose_methods(methods)
    check_limits(seconds, steps)
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


def _run(slide: Slide, job: Job, methods: tuple[str, ...], out: Path, limits: dict[str, Any]) -> None:
    from rich.console import Console

    from ..engine.benchmark.benchmark import NEEDS_HOURS, WITH_IMAGE, benchmark, rows
    from ..engine.benchmark.colour import colour_map
    from .terminal import clock, say

    notes, results = Console(stderr=True), Console()
    first = job.sparse[0]
    say(notes, f"{slide.name}: {len(job.sparse)} genes, {first.shape[0]} x {first.shape[1]} bins of {first.bin_um:g} um, "
               f"{int(first.measured.sum()):,} of {int(first.tissue.sum()):,} tissue bins measured")  # fmt: skip
    colour = colour_map(slide.images, job.truth[0]) if WITH_IMAGE in methods and slide.images else None
    if WITH_IMAGE in methods and colour is None:
        say(notes, f"{WITH_IMAGE} is left out: there is no morphology image here.")
    if set(methods) & set(NEEDS_HOURS):
        say(notes, "The paper's method takes hours for each gene unless --seconds or --steps limits it. "
                   "Without a GPU it needs more than 24 GB of memory.")  # fmt: skip
    began, method = time.monotonic(), None

    def tell(outcome: Outcome) -> bool:
        """Say what runs where that is new or took long; whether it was said."""
        nonlocal method
        if outcome.method == method and outcome.train_s <= SAVE_EVERY_S:
            return False
        method = outcome.method
        gene = f", {outcome.gene}" if outcome.train_s else ""
        say(notes, f"{clock(time.monotonic() - began)}  {method}{gene}")
        return True

    outcomes = collect(benchmark(job, methods, colour=colour, **limits), out, rows, tell)
    show(results, outcomes)
    say(results, f"The table is in {out}")


def show(console: Console, outcomes: list[Outcome]) -> None:
    """Scores on unmeasured bins gene by gene, then the means over genes, on unmeasured and on all tissue bins."""
    from ..engine.benchmark.benchmark import summary
    from .terminal import SCORE_COLUMNS, say

    genes = list(dict.fromkeys(outcome.gene for outcome in outcomes))
    if 1 < len(genes) <= MAX_GENES_SHOWN:
        for gene in genes:
            say(console, f"{gene}, unmeasured bins (* best of its column)", style="bold")
            _show_means(console, summary([outcome for outcome in outcomes if outcome.gene == gene]), SCORE_COLUMNS)
    name = genes[0] if len(genes) == 1 else f"mean of {len(genes)} genes"
    means = summary(outcomes)
    for where, columns in (("unmeasured bins", SCORE_COLUMNS), ("all tissue bins", ALL_BINS)):
        say(console, f"{name}, {where} (* best of its column)", style="bold")
        _show_means(console, means, columns)
        for method, summed_up in means.items():
            if summed_up.seeds > 1:
                spread = ", ".join(
                    f"{heading} {summed_up.spread[field]:.4f}" for heading, (field, _) in columns.items()
                )
                say(console, f"{method}: standard deviation over {summed_up.seeds} seeds {spread}")
    say(console, "90%: unmeasured bins inside the predicted 90 % interval. s: wall seconds for one gene, its share of a "
                 "training included. MB: peak memory of the whole process.")  # fmt: skip
    say(
        console,
        "The information limit looks at the truth and is no method: bins predicted from their dense neighbours.",
    )


def _show_means(console: Console, means: dict[str, Summary], columns: dict[str, Any]) -> None:
    from rich.text import Text

    from ..engine.benchmark.limit import LIMIT

    table = table_of("method", (*columns, "90%", "s", "MB"))
    methods = [summed_up.mean for name, summed_up in means.items() if name != LIMIT]
    for method, summed_up in means.items():
        cells = []
        for field, better in columns.values():
            value = summed_up.mean[field]
            best = better((mean[field] for mean in methods if math.isfinite(mean[field])), default=None)
            is_best = method != LIMIT and value == best
            cells.append(Text(_number(value, ".4f") + "* "[not is_best], style="bold green" if is_best else ""))
        coverage = math.nan if columns is ALL_BINS else summed_up.mean["coverage"]
        costs = (_number(coverage, ".0%"), _number(summed_up.seconds, ".2f"), _number(summed_up.peak_mb, ".0f"))
        table.add_row(Text(method), *cells, *(Text(cost) for cost in costs))
    console.print(table)


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "-"
