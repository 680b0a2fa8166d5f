"""`s2sst impute`: train on one slide, impute, score -> files; every setting of a run can be said here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ..engine.config import CHECKPOINT_EVERY_S, PRESETS, GridConfig, RunConfig, SamplingConfig, TrainingConfig
from .batch import (
    ClusterOption,
    PerTaskOption,
    TlsCaOption,
    TlsCertOption,
    TlsKeyOption,
    WorkersOption,
    impute_by_workers,
)
from .inputs import IntoOption, SizeOption, read_model, read_tissue, store_for
from .options import ConfigOptions, GeneOptions, ImputeOptions, RunOptions, SlideOptions, WorkerOptions


def _help(part: type, field: str) -> str:
    return part.model_fields[field].description


def impute(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results; made if need be.")],
    folder: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A Xenium or SpatialData folder.")] = None,
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
    ] = CHECKPOINT_EVERY_S,
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
    options = ImputeOptions(
        slide=SlideOptions(
            folder=folder, map_file=map_file, hest=hest, bin_um=bin_um, min_qv=min_qv, size_um=size_um
        ),
        genes=GeneOptions(gene=gene or [], genes_file=genes_file, all_genes=all_genes),
        config=ConfigOptions(
            preset=preset, stride=stride, seconds=seconds, steps=steps, device=device, seed=seed, bin_um=bin_um,
            min_qv=min_qv, normalisation=normalisation, images=images, settings=settings or (),
        ),
        run=RunOptions(
            out=out, fill_in=fill_in, region=region, tissue=tissue, model=model, stop_at=stop_at, resume=resume,
            checkpoint_every_s=checkpoint_every, into=into,
        ),
        workers=WorkerOptions(
            workers=workers, cluster=cluster, genes_per_task=genes_per_task, tls_ca=tls_ca, tls_cert=tls_cert,
            tls_key=tls_key,
        ),
    )  # fmt: skip
    raise typer.Exit(_impute(options, context.obj))


def _impute(options: ImputeOptions, command: str) -> int:
    """Check everything, then do it; returns the exit status. Raises S2SSTError."""
    config, run = options.run_config(), options.run
    if options.workers.are_wanted:
        return impute_by_workers(options, config, command)
    options.workers.check_unwanted()
    store = store_for(run.into, options.slide.folder, options.slide.size_um)
    slide, config = options.slide.open(config)
    genes = options.genes.chosen(slide)
    from ..engine.runs.run import prepare
    from ..engine.sampling.regions import read_regions

    regions = () if run.region is None else read_regions(run.region)
    job = prepare(slide, genes, config, regions, fill_in=run.fill_in, tissue=read_tissue(run.tissue))
    if run.model is not None:
        job = replace(job, start=read_model(run.model, job.config, genes))
    from .impute_here import impute_here

    return impute_here(slide.name, job, run, command, store)
