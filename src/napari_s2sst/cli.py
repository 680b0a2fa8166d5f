"""The command line `s2sst`: arguments -> the engine's calls -> a progress bar, a table, files.

Exit status 0; 2 with one line on standard error; 130 when stopped with Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import __version__
from .cli_ablations import ablations
from .cli_benchmark import benchmark
from .engine.config import PRESETS, GridConfig, RunConfig, SamplingConfig, TrainingConfig
from .engine.errors import ConfigError, S2SSTError

if TYPE_CHECKING:
    from .engine.run import Job

app = typer.Typer(
    name="s2sst",
    help="Fill in spatial transcriptomics measured at every S-th bin: train on one slide, impute the bins between.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

BAD_INPUT = 2
INTERRUPTED = 130
"""What shells report for a program ended by Ctrl-C (128 + SIGINT)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status; every failure is one line on standard error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    try:
        return app(arguments, prog_name="s2sst", standalone_mode=False, obj=shlex.join(["s2sst", *arguments])) or 0
    except KeyboardInterrupt:
        return _complain("stopped at once; results that were not written yet are lost.", INTERRUPTED)
    except S2SSTError as error:
        return _complain(str(error))
    except Exception as error:
        if hasattr(error, "format_message"):  # typer's usage errors; their class has moved between its versions
            where = getattr(getattr(error, "ctx", None), "command_path", "s2sst")
            message = error.format_message()
            return _complain(f"{message}{'' if message.endswith(('.', '?')) else '.'} See {where} --help.")
        if os.environ.get("S2SST_DEBUG"):
            raise
        reason = f"{type(error).__name__}: {error}"
        return _complain(f"something failed that should not: {reason} (S2SST_DEBUG=1 shows where; please report it).")


def _complain(message: str, status: int = BAD_INPUT) -> int:
    print("s2sst:", " ".join(message.split()), file=sys.stderr)
    return status


def _help(part: type, field: str) -> str:
    return part.model_fields[field].description


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def demo(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the slide is written.")]) -> None:
    """Write the embedded sample slide, a complete Xenium bundle."""
    from .engine.sample_slide import write_sample_slide

    path = write_sample_slide(folder)
    print(f"The sample slide is in {path}")


@app.command()
def info(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A Xenium output folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
) -> None:
    """Version, size, images and genes of a slide."""
    from .engine.xenium import open_xenium

    slide = open_xenium(bundle)
    facts = {
        "name": slide.name,
        "version": slide.version,
        "panel": slide.panel_name,
        "organism": slide.organism,
        "tissue": slide.tissue_type,
        "cells": slide.num_cells,
        "transcripts": slide.num_transcripts,
        "size_mm": [round(float(side), 3) for side in slide.size_mm],
        "extent_um": [round(float(edge), 2) for edge in slide.extent_um],
        "pixel_size_um": slide.pixel_size_um,
        "images": [image.name for image in slide.images],
        "genes": dict(slide.genes),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        from rich.console import Console

        from .terminal import show_slide

        show_slide(Console(), facts)


@app.command()
def impute(
    context: typer.Context,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for the results; made if need be.")],
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A Xenium output folder.")] = None,
    map_file: Annotated[
        Path | None, typer.Option("--map", metavar="FILE.npz", help="A count cube instead of a Xenium folder.")
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
    preset: Annotated[str, typer.Option(help=f"{', '.join(PRESETS)}.")] = "fast",
    seconds: Annotated[
        float | None, typer.Option(help=_help(TrainingConfig, "seconds"), show_default="the preset's")
    ] = None,
    steps: Annotated[int | None, typer.Option(help=_help(TrainingConfig, "steps"))] = None,
    device: Annotated[str, typer.Option(help=_help(RunConfig, "device"))] = "auto",
    seed: Annotated[int, typer.Option(help=_help(RunConfig, "seed"))] = 0,
    min_qv: Annotated[float | None, typer.Option(help=_help(GridConfig, "min_qv"), show_default="20")] = None,
    normalisation: Annotated[str, typer.Option(help="log1p, median-log1p or none.")] = "log1p",
    images: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help=_help(TrainingConfig, "images"), show_default=False)
    ] = None,
) -> None:
    """Train on one slide's measured bins, impute the others, and score them against the classical methods.

    Ctrl-C while training stops it, keeps what was learnt, writes the results and ends with status 130;
    pressed twice, it ends at once and nothing is written.
    """
    config = _run_config(locals())
    slide, config = open_slide(bundle, map_file, config, bin_um, min_qv)
    genes = choose_genes(slide, gene or [], genes_file, all_genes)
    from .engine.region import read_regions
    from .engine.run import prepare

    job = prepare(slide, genes, config, () if region is None else read_regions(region), fill_in=fill_in)
    raise typer.Exit(_run(slide.name, job, out, context.obj))


def _run_config(options: dict[str, Any]) -> RunConfig:
    """The run's settings, checked before anything is opened."""
    if options["seconds"] is not None and options["steps"] is not None:
        raise ConfigError("--seconds and --steps exclude each other; give one of them.")
    if options["preset"] == "instant" and (options["seconds"] or options["steps"]):
        raise ConfigError(
            "The preset instant trains nothing, so it takes no --seconds or --steps; choose fast to train."
        )
    names = ("stride", "seconds", "steps", "device", "seed", "bin_um", "min_qv", "normalisation", "images")
    config = RunConfig.preset(options["preset"], **{name: options[name] for name in names})
    if options["images"] is not None and not options["images"].is_dir():
        raise ConfigError(f"{options['images']} is not a folder. Give --images a folder of pictures, or leave it out.")
    return config


def open_slide(
    bundle: Path | None, map_file: Path | None, config: RunConfig, bin_um: float | None, min_qv: float | None
) -> tuple[Any, RunConfig]:
    """The slide, and the config with the bin size of a map file, which has one of its own."""
    if (bundle is None) == (map_file is None):
        raise ConfigError("Give a Xenium folder, or a count cube with --map FILE.npz, and not both.")
    if bundle is not None:
        from .engine.xenium import open_xenium

        return open_xenium(bundle), config
    from .engine.count_cube import open_count_cube

    cube = open_count_cube(map_file)
    if min_qv is not None:
        raise ConfigError("--min-qv can't be used with --map: a count cube has no single transcripts to choose from.")
    if bin_um is not None and bin_um != cube.bin_um:
        raise ConfigError(f"{map_file} has bins of {cube.bin_um:g} um, not {bin_um:g}; leave --bin-um out.")
    return cube, config.changed(bin_um=cube.bin_um)


def choose_genes(slide: Any, genes: list[str], genes_file: Path | None, all_genes: bool) -> list[str]:
    """The genes asked for, each once, in the order given."""
    if all_genes:
        if genes or genes_file is not None:
            raise ConfigError("--all-genes takes every gene; leave --gene and --genes-file out, or leave it out.")
        return list(slide.genes)
    if genes_file is not None:
        try:
            lines = genes_file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"The list of genes {genes_file} can't be read: {error}.") from None
        genes = genes + [line.strip() for line in lines if line.strip()]
    if not genes:
        some = ", ".join(list(slide.genes)[:5])
        raise ConfigError(f"Choose genes with --gene, --genes-file or --all-genes; the most frequent here are {some}.")
    return list(dict.fromkeys(genes))


def _run(name: str, job: Job, out: Path, command: str) -> int:
    """Train, impute, write and tell; returns the exit status."""
    from rich.console import Console

    from .engine.device import choose_device
    from .engine.export import check_output_folder
    from .engine.run import complete, write_result
    from .engine.training import train
    from .terminal import Interrupt, follow, imputing, say, show_scores

    choose_device(job.config.device)
    was_there = out.exists()
    folder = check_output_folder(out)

    notes, results = Console(stderr=True), Console()
    first = job.sparse[0]
    say(notes, f"{name}: {first.shape[0]} x {first.shape[1]} bins of {first.bin_um:g} um, "
               f"{int(first.measured.sum()):,} of {int(first.tissue.sum()):,} tissue bins measured")  # fmt: skip
    if any(folder.iterdir()):
        say(notes, f"{folder} has files already; those of the same name are replaced, the others stay.")
    try:
        with Interrupt(notes) as interrupt:
            trained = follow(train(list(job.sparse), job.config), notes, interrupt)
    except BaseException:
        if not was_there:
            with contextlib.suppress(OSError):  # not empty: somebody else uses it
                folder.rmdir()
        raise
    result = complete(job, trained, imputing(notes, len(job.sparse)))
    paths = write_result(folder, result, command=command)

    if result.scores:
        show_scores(results, result.scores)
    else:
        say(results, "Every bin was measured, so nothing is known of the bins between and there are no scores.")
    say(results, f"Results are in {folder}:")
    shown = [path.name for path in paths]
    for name in shown if len(shown) <= 20 else [*shown[:10], f"... and {len(shown) - 14} more", *shown[-4:]]:
        say(results, f"  {name}")
    say(results, f"The picture: {next(path for path in paths if path.suffix == '.png')}")
    return INTERRUPTED if interrupt.pressed else 0


app.command()(benchmark)
app.command()(ablations)


@app.command()
def view(
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="A Xenium output folder to open.")] = None,
) -> None:
    """Open napari with the plugin's window, and a slide where one is given."""
    from .engine.xenium import open_xenium

    if bundle is not None:
        open_xenium(bundle)  # its error is clearer than napari's
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise S2SSTError("There is no screen here (DISPLAY is not set), so no window can open. Use s2sst impute.")
    try:
        import napari
        import qtpy  # noqa: F401  raises where no Qt binding is installed
    except Exception as error:
        raise S2SSTError(f'napari can\'t start: {error}. Install it with: pip install "napari-s2sst[all]"') from None

    viewer = napari.Viewer()
    viewer.window.add_plugin_dock_widget("napari-s2sst")
    if bundle is not None:
        viewer.open(str(bundle), plugin="napari-s2sst")
    napari.run()
