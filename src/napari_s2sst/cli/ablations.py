"""`s2sst ablations`: the paper's ablations on one slide -> a table on the terminal and a CSV file."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine.config import GridConfig, RunConfig, SamplingConfig, TrainingConfig
from ..engine.errors import ConfigError
from .benchmark import (
    UNMEASURED,
    GeneOption,
    HestOption,
    SlideArgument,
    check_place,
    measured_job,
    open_input,
    read_seeds,
)

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine.benchmark.ablations import Ablation
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
    stride: Annotated[int, typer.Option(help=SamplingConfig.model_fields["stride"].description)] = 2,
    device: Annotated[str, typer.Option(help=RunConfig.model_fields["device"].description)] = "auto",
    normalisation: Annotated[str, typer.Option(help="log1p, median-log1p or none.")] = "log1p",
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

    if seconds is not None and steps is not None:
        raise ConfigError("--seconds and --steps exclude each other; give one of them.")
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
    runs = {name: each.changed(bin_um=config.grid.bin_um) for name, each in runs.items()}
    if not gene:
        some = " --gene ".join(list(opened.genes)[:2])
        raise ConfigError(f"Choose genes with --gene, as in --gene {some}; each is trained alone.")
    job = measured_job(opened, list(dict.fromkeys(gene)), config)
    _run(opened, job, runs, trainings, out, same_as_full(full))


def _run(
    opened: Slide, job: Any, runs: dict[str, RunConfig], seeds: Sequence[int], out: Path, same: Sequence[str]
) -> None:
    from rich.console import Console

    from ..engine.benchmark.ablations import ablate, rows
    from ..engine.device import choose_device
    from ..engine.export.tables import write_scores_csv
    from .terminal import clock, say

    choose_device(job.config.device)
    notes, results = Console(stderr=True), Console()
    first, number = job.sparse[0], len(runs) * len(seeds) * len(job.sparse)
    say(notes, f"{opened.name}: {first.shape[0]} x {first.shape[1]} bins of {first.bin_um:g} um, "
               f"{int(first.measured.sum()):,} of {int(first.tissue.sum()):,} bins measured; {number} trainings")  # fmt: skip
    for name in same:
        say(
            notes,
            f"{name} is left out: it is what the preset {job.config.preset_name} has already, so full stands for it.",
        )
    if job.config.preset_name == "paper" and job.config.training.steps is None and job.config.training.seconds is None:
        say(notes, "Each of the paper's trainings takes hours unless --steps or --seconds limits it.")
    began = time.monotonic()
    outcomes: list[Ablation] = []

    def tell(variant: str, gene: str, seed: int) -> None:
        say(
            notes, f"{clock(time.monotonic() - began)}  {len(outcomes) + 1} of {number}: {variant}, {gene}, seed {seed}"
        )

    for outcome in ablate(job, runs, seeds, on_start=tell):
        outcomes.append(outcome)
        write_scores_csv(out, rows(outcomes))  # one that is stopped after hours leaves what it has
    show(results, outcomes)
    say(results, f"The table is in {out}")


def show(console: Console, outcomes: Sequence[Ablation]) -> None:
    """Scores on unmeasured bins, gene by gene: means over seeds, and how far the MAE is from the full network's."""
    from rich.table import Table
    from rich.text import Text

    from .terminal import say

    for gene in dict.fromkeys(each.gene for each in outcomes):
        say(console, f"{gene}, unmeasured bins", style="bold")
        table = Table()
        table.add_column("variant", no_wrap=True)
        for heading in (*UNMEASURED, "to full", "s", "weights"):
            table.add_column(heading, justify="right", no_wrap=True)
        full = None
        for variant in dict.fromkeys(each.variant for each in outcomes):
            own = [each for each in outcomes if (each.variant, each.gene) == (variant, gene)]
            scores = [_mean([getattr(each.scores, field) for each in own]) for field, _ in UNMEASURED.values()]
            full = scores[0] if full is None else full
            table.add_row(
                Text(variant), *(f"{value:.4f}" if math.isfinite(value) else "-" for value in scores),
                f"{scores[0] / full - 1:+.1%}" if full and math.isfinite(full) else "-",
                f"{_mean([each.train_s for each in own]):.1f}", f"{own[0].parameters / 1e6:.2f} M",
            )  # fmt: skip
        console.print(table)
    seeds, steps = len({each.seed for each in outcomes}), sorted({each.steps for each in outcomes})
    if seeds > 1:
        say(console, f"Means over {seeds} seeds.")
    ends = " to ".join(f"{number:,}" for number in dict.fromkeys((steps[0], steps[-1])))
    say(console, f"All trained from random weights, {ends} step{'s' * (ends != '1')}. "
                 "to full: MAE against the full network's, above 0 % is worse. s: of the training.")  # fmt: skip


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
