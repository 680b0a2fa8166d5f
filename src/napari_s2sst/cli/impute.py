"""`s2sst impute`: train on one slide, impute, score -> files; every setting of a run can be said here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine.config import PRESETS, GridConfig, RunConfig, SamplingConfig, TrainingConfig
from ..engine.errors import ConfigError, S2SSTError
from .batch import (
    ClusterOption,
    PerTaskOption,
    TlsCaOption,
    TlsCertOption,
    TlsKeyOption,
    WorkersOption,
    impute_by_workers,
)
from .info import SizeOption
from .inputs import IntoOption, put_into, read_model, read_tissue, store_for

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine.runs.run import Job


OPTIONS = {
    "stride": "--stride", "seconds": "--seconds", "steps": "--steps", "device": "--device", "seed": "--seed",
    "bin_um": "--bin-um", "min_qv": "--min-qv", "normalisation": "--normalisation", "images": "--images",
}  # fmt: skip
"""Settings that have an option of their own; all others are set with --set."""


def _help(part: type, field: str) -> str:
    return part.model_fields[field].description


def impute(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results; made if need be.")],
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A Xenium or SpatialData folder.")] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", metavar="FILE.npz", help="A count cube instead of a Xenium folder.")
    ] = None,
    hest: Annotated[
        Path | None, typer.Option(metavar="FILE.h5ad", help="A sample of HEST-1k instead, bins of 100 um.")
    ] = None,
    gene: Annotated[list[str] | None, typer.Option(metavar="NAME", help="A gene; may be given again.")] = None,
    genes_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A text file with one gene a line.")] = None,
    all_genes: Annotated[bool, typer.Option("--all-genes", help="Every gene of the slide.")] = False,
    bin_um: Annotated[
        float | None, typer.Option(help=_help(GridConfig, "bin_um"), show_default="20, or the map file's own")
    ] = None,
    stride: Annotated[int, typer.Option(help=_help(SamplingConfig, "stride"))] = 2,
    fill_in: Annotated[
        bool, typer.Option("--fill-in", help="Take every bin as measured and impute a finer grid; no scores.")
    ] = False,
    region: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Only these polygons: GeoJSON in um, or a selection CSV of Xenium Explorer."),
    ] = None,
    tissue: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npy", help="Where the tissue is, (rows, columns) of booleans, instead of what is found."
        ),
    ] = None,
    preset: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}.")] = "fast",
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE.safetensors", help="Impute with this model as it is, without any training."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(help=_help(TrainingConfig, "seconds"), show_default="the preset's")
    ] = None,
    steps: Annotated[int | None, typer.Option(help=_help(TrainingConfig, "steps"))] = None,
    stop_at: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="Stop after N of the --steps, as though stopped by hand; the rate follows --steps."
        ),
    ] = None,
    device: Annotated[str, typer.Option(help=_help(RunConfig, "device"))] = "auto",
    seed: Annotated[int, typer.Option(help=_help(RunConfig, "seed"))] = 0,
    min_qv: Annotated[float | None, typer.Option(help=_help(GridConfig, "min_qv"), show_default="20")] = None,
    normalisation: Annotated[str, typer.Option(help="log1p, median-log1p or none.")] = "log1p",
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help=_help(TrainingConfig, "images"), show_default=False)
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from DIR/checkpoint.safetensors, which a run that was ended leaves, if any."
        ),
    ] = False,
    checkpoint_every: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="How often that file is written anew.")
    ] = 30.0,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting by its name in run.json, its value as there, such as learning_rate=0.001 or "
            "betas=[0.9,0.99]; may be given again.",
        ),
    ] = None,
    into: IntoOption = None,
    size_um: SizeOption = None,
    workers: WorkersOption = None,
    cluster: ClusterOption = None,
    genes_per_task: PerTaskOption = None,
    tls_ca: TlsCaOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
) -> None:
    """Train on one slide's measured bins, impute the others, and score them against the classical methods.

    Ctrl-C while training stops it, keeps what was learnt, writes the results and ends with status 130; pressed twice, it
    ends at once and nothing is written. SIGTERM (status 143) and a closed terminal (129) do the same, but leave the
    checkpoint, from which the same command with --resume goes on to the end, as after a crash.

    With --workers or --cluster the genes are shared out: 16 train one network, and DIR has a folder for them. What is done
    already is not done again, and what was begun goes on. Exit status 3: some failed three times, the others are kept.
    """
    options = locals()
    config = _run_config(options)
    if workers is not None or cluster is not None:
        raise typer.Exit(impute_by_workers(options, config, context.obj))
    if any((genes_per_task, tls_ca, tls_cert, tls_key)):
        raise ConfigError(
            "--genes-per-task and --tls-... are for --workers and --cluster; give one of these, or leave them out."
        )
    store = store_for(into, bundle, size_um)
    from .inputs import choose_genes, slide_from_options

    slide, config = slide_from_options(bundle, map_file, config, bin_um, min_qv, hest, size_um)
    genes = choose_genes(slide, gene or [], genes_file, all_genes)
    from ..engine.runs.run import prepare
    from ..engine.sampling.regions import read_regions

    regions = () if region is None else read_regions(region)
    job = prepare(slide, genes, config, regions, fill_in=fill_in, tissue=read_tissue(tissue))
    if model is not None:
        job = replace(job, start=read_model(model, job.config, genes))
    raise typer.Exit(_run(slide.name, job, out, context.obj, stop_at, store, resume=resume, every_s=checkpoint_every))


def _run_config(options: dict[str, Any]) -> RunConfig:
    """The run's settings, checked before anything is opened."""
    if options["seconds"] is not None and options["steps"] is not None:
        raise ConfigError("--seconds and --steps exclude each other; give one of them.")
    if options["preset"] == "instant" and (options["seconds"] or options["steps"]):
        raise ConfigError(
            "The preset instant trains nothing, so it takes no --seconds or --steps; choose fast to train."
        )
    if options["stop_at"] is not None and (options["steps"] is None or options["stop_at"] > options["steps"]):
        raise ConfigError(
            "--stop-at N says where a training of --steps M ends early, so it needs --steps of N or more."
        )
    trains = ("seconds", "steps", "stop_at", "settings", "images", "resume")
    if options["model"] is not None and any(options[name] for name in trains):
        raise ConfigError(
            "--model imputes with a model as it is, so it takes no --steps, --seconds, --images, --resume or --set."
        )
    others = read_settings(options["settings"] or ())
    config = RunConfig.preset(options["preset"], **{name: options[name] for name in OPTIONS}, **others)
    if options["images"] is not None and not options["images"].is_dir():
        raise ConfigError(f"{options['images']} is not a folder. Give --images a folder of pictures, or leave it out.")
    return config


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` texts -> settings. A value is JSON, as in run.json; what is no JSON is text. Raises ConfigError."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"--set {text} is no NAME=VALUE; write, for example, --set learning_rate=0.001.")
        if name in OPTIONS:
            raise ConfigError(f"--set {text} can't be: {name} has an option of its own, {OPTIONS[name]}.")
        if name in found:
            raise ConfigError(f"--set gives {name} twice; give it once.")
        if name in ("name", "preset_name"):
            raise ConfigError(f"--set {text} can't be: choose the preset with --preset.")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
        if found[name] is None:
            raise ConfigError(f"--set {text} gives no value; leave it out to keep the preset's.")
    return found


def _run(
    name: str, job: Job, out: Path, command: str, stop_at: int | None, store: Any, *, resume: bool, every_s: float
) -> int:
    """Train, impute, write and tell; returns the exit status."""
    from rich.console import Console

    from ..engine.device import choose_device
    from ..engine.export.tables import check_output_folder
    from ..engine.runs.run import complete, write_result
    from ..engine.training.checkpoint import CHECKPOINT_NAME, remove_checkpoint
    from ..engine.training.train import stopping_at, train
    from .terminal import UNREAD, Interrupt, follow, imputing, say, show_scores

    choose_device(job.config.device)
    was_there = out.exists()
    folder = check_output_folder(out)
    checkpoint = folder / CHECKPOINT_NAME

    notes, results = Console(stderr=True), Console()
    first = job.sparse[0]
    say(notes, f"{name}: {first.shape[0]} x {first.shape[1]} bins of {first.bin_um:g} um, "
               f"{int(first.measured.sum()):,} of {int(first.tissue.sum()):,} tissue bins measured")  # fmt: skip
    if any(path.name != CHECKPOINT_NAME for path in folder.iterdir()):
        say(notes, f"{folder} has files already; those of the same name are replaced, the others stay.")
    with Interrupt(notes) as interrupt:
        try:
            if job.start is None:
                _say_checkpoint(notes, checkpoint, resume=resume)
                events = train(job.sparse, job.config, checkpoint=checkpoint, resume=resume, checkpoint_every_s=every_s)
                trained = follow(events if stop_at is None else stopping_at(stop_at, events), notes, interrupt)
            else:
                trained = job.start
        except BaseException:
            if not was_there:
                with contextlib.suppress(OSError):  # not empty: there is a checkpoint, or somebody else uses it
                    folder.rmdir()
            raise
    try:
        result = complete(job, trained, imputing(notes, len(job.sparse)), keep_in=folder)
        paths = write_result(folder, result, command=command)
        put_into(store, result, command, results)
    except S2SSTError as error:
        if job.start is not None or not checkpoint.is_file():
            raise
        kept = f"The training is kept in {checkpoint}; the same command with --resume goes on from there."
        raise type(error)(f"{error} {kept}") from error
    if job.start is None and (interrupt.was_wished or not interrupt.pressed):
        remove_checkpoint(checkpoint)

    with contextlib.suppress(*UNREAD):
        if result.scores:
            show_scores(results, result.scores)
        else:
            say(results, "Every bin was measured, so nothing is known of the bins between and there are no scores.")
    say(results, f"Results are in {folder}:")
    shown = [path.name for path in paths]
    for name in shown if len(shown) <= 20 else [*shown[:10], f"... and {len(shown) - 14} more", *shown[-4:]]:
        say(results, f"  {name}")
    say(results, f"The picture: {next(path for path in paths if path.suffix == '.png')}")
    if checkpoint.is_file() and job.start is None:
        say(
            notes, f"The training was stopped before its end; the same command with --resume goes on from {checkpoint}."
        )
    return interrupt.status


def _say_checkpoint(console: Console, path: Path, *, resume: bool) -> None:
    """Whether there is a training to go on from, and what becomes of it."""
    from ..engine.errors import CheckpointError
    from ..engine.training.checkpoint import unfinished
    from .terminal import say

    if resume:
        if not path.is_file():
            say(console, f"There is no checkpoint at {path}, so the training begins with its first step.")
        return
    with contextlib.suppress(CheckpointError):  # what can't be read is of no use to anybody
        if left := unfinished(path):
            of = "" if left.steps is None else f" of {left.steps:,}"
            where = (
                f"{path} holds a training on {', '.join(left.genes[:5])} that was ended after step {left.step:,}{of}"
            )
            say(console, f"{where}. It is not used, and will be replaced; stop now and add --resume to go on from it.")
