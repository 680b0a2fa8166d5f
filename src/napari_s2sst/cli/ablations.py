"""`s2sst ablations`: the paper's ablations on one slide -> a table on the terminal and a CSV file."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..engine.config import GridConfig, RunConfig, TrainingConfig
from ..engine.errors import ConfigError
from .comparing import (
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

    from ..engine.benchmark.benchmark import Outcome
    from ..engine.runs.run import Job
    from ..engine.slides.slide import Slide


def ablations(
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="The table: a row for each variant, gene and seed.")],
    slide: SlideArgument = None,
    hest: HestOption = None,
    gene: GeneOption = None,
    preset: Annotated[str, typer.Option(help="What the variants are of: paper, fast, balanced.")] = "paper",
    only: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="all, table2, cascades, hab, or names with commas between: no natural images, no data consistency, neither, "
            "1 cascade, 2 cascades, ..., no HAB. The full network is always trained.",
        ),
    ] = "all",
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimiser steps of each training; the same for all.")
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Time limit of each training; slow variants get fewer steps.", show_default="the preset's"),
    ] = None,
    seeds: Annotated[str, typer.Option(metavar="0,1,2", help="Trainings of each variant, one a seed.")] = "0",
    bin_um: Annotated[
        float | None,
        typer.Option(help=GridConfig.model_fields["bin_um"].description, show_default="20, or the file's own"),
    ] = None,
    stride: StrideOption = 2,
    device: DeviceOption = "auto",
    normalisation: NormalisationOption = "log1p",
    images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help=TrainingConfig.model_fields["images"].description, show_default=False),
    ] = None,
) -> None:
    """Train the network with single parts left out: natural images, data consistency, cascades, attention (HAB).

    Redoes Table 2 and Fig. 5 of the paper. Every variant is trained anew for every gene and seed, and every one from random
    weights, whatever the preset says: the shipped weights fit one network only, so that only then all are alike.
    Without --steps or --seconds the preset paper takes hours for each.
    """
    from ..engine.benchmark.ablations import choose_variants, full_run, same_as_full

    check_limits(seconds, steps)
    trainings = read_seeds(seeds)
    if images is not None and not images.is_dir():
        raise ConfigError(f"{images} is not a folder. Give --images a folder of pictures, or leave it out.")
    full = full_run(
        preset, stride=stride, bin_um=bin_um, device=device, normalisation=normalisation, seconds=seconds, steps=steps,
        images=images,
    )  # fmt: skip
    runs = choose_variants(only, full)
    check_place(out)
    opened, config = open_input(slide, hest, full, bin_um)
    runs = {name: variant.changed(bin_um=config.grid.bin_um) for name, variant in runs.items()}
    if not gene:
        some = " --gene ".join(list(opened.genes)[:2])
        raise ConfigError(f"Choose genes with --gene, as in --gene {some}; each is trained alone.")
    job = measured_job(opened, list(dict.fromkeys(gene)), config)
    _run(opened, job, runs, trainings, out, same_as_full(full))


def _run(
    slide: Slide, job: Job, runs: dict[str, RunConfig], seeds: Sequence[int], out: Path, same: Sequence[str]
) -> None:
    from rich.console import Console

    from ..engine.benchmark.ablations import ablate, rows
    from ..engine.device import choose_device
    from .terminal import clock, say

    choose_device(job.config.device)
    notes, results = Console(stderr=True), Console()
    first, trainings = job.sparse[0], len(runs) * len(seeds) * len(job.sparse)
    say(notes, f"{slide.name}: {first.shape[0]} x {first.shape[1]} bins of {first.bin_um:g} um, "
               f"{int(first.measured.sum()):,} of {int(first.tissue.sum()):,} bins measured; {trainings} trainings")  # fmt: skip
    for name in same:
        say(
            notes,
            f"{name} is left out: it is what the preset {job.config.preset_name} has already, so full stands for it.",
        )
    if job.config.preset_name == "paper" and job.config.training.steps is None and job.config.training.seconds is None:
        say(notes, "Each of the paper's trainings takes hours unless --steps or --seconds limits it.")
    began, numbers = time.monotonic(), count(1)

    def tell(variant: str, gene: str, seed: int) -> None:
        past = clock(time.monotonic() - began)
        say(notes, f"{past}  {next(numbers)} of {trainings}: {variant}, {gene}, seed {seed}")

    # Each is written at once: one that is stopped after hours leaves what it has.
    outcomes = collect(ablate(job, runs, seeds, on_start=tell), out, rows, lambda outcome: True)
    show(results, outcomes)
    say(results, f"The table is in {out}")


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Scores on unmeasured bins, gene by gene: means over seeds, and how far the MAE is from the full network's."""
    from rich.text import Text

    from .terminal import SCORE_COLUMNS, say

    for gene in dict.fromkeys(outcome.gene for outcome in outcomes):
        say(console, f"{gene}, unmeasured bins", style="bold")
        table = table_of("variant", (*SCORE_COLUMNS, "to full", "s", "weights"))
        full = None
        for variant in dict.fromkeys(outcome.method for outcome in outcomes):
            own = [outcome for outcome in outcomes if (outcome.method, outcome.gene) == (variant, gene)]
            scores = [_mean([getattr(outcome.scores, field) for outcome in own]) for field, _ in SCORE_COLUMNS.values()]
            full = scores[0] if full is None else full
            table.add_row(
                Text(variant), *(f"{value:.4f}" if math.isfinite(value) else "-" for value in scores),
                f"{scores[0] / full - 1:+.1%}" if full and math.isfinite(full) else "-",
                f"{_mean([outcome.train_s for outcome in own]):.1f}", f"{own[0].parameters / 1e6:.2f} M",
            )  # fmt: skip
        console.print(table)
    seeds, steps = len({outcome.seed for outcome in outcomes}), sorted({outcome.steps for outcome in outcomes})
    if seeds > 1:
        say(console, f"Means over {seeds} seeds.")
    ends = " to ".join(f"{number:,}" for number in dict.fromkeys((steps[0], steps[-1])))
    say(console, f"All trained from random weights, {ends} step{'s' * (ends != '1')}. "
                 "to full: MAE against the full network's, above 0 % is worse. s: of the training.")  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
