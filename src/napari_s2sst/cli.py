"""The command line `s2sst`: arguments -> the engine's calls -> a progress bar, a table, files.

Exit status 0; 2 with one line on standard error; 3 when parts of a batch failed and the others are done; 129 when the
terminal was closed, 130 when stopped with Ctrl-C, 143 on SIGTERM, all three with what is finished kept.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from . import __version__
from .cli_ablations import ablations
from .cli_batch import batch
from .cli_benchmark import benchmark
from .cli_impute import INTERRUPTED, impute
from .cli_info import info
from .engine.config import RunConfig
from .engine.errors import ConfigError, S2SSTError

app = typer.Typer(
    name="s2sst",
    help="Fill in spatial transcriptomics measured at every S-th bin: train on one slide, impute the bins between.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

BAD_INPUT = 2


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


def open_slide(
    bundle: Path | None,
    map_file: Path | None,
    config: RunConfig,
    bin_um: float | None,
    min_qv: float | None,
    hest: Path | None = None,
    size_um: float | None = None,
) -> tuple[Any, RunConfig]:
    """The slide, and the config with the bin size of a file that has one of its own."""
    from .engine.unknown_size import open_with_size

    if sum(each is not None for each in (bundle, map_file, hest)) != 1:
        raise ConfigError(
            "Give a Xenium folder, or a count cube with --map FILE.npz, or a HEST-1k sample with --hest FILE.h5ad, and only "
            "one of them."
        )
    if bundle is not None:
        from .engine.slide_kinds import open_slide_folder

        return open_slide_folder(bundle) if size_um is None else open_with_size(bundle, size_um), config
    from .engine.count_cube import open_count_cube
    from .engine.hest import open_hest

    path = map_file or hest
    option = "--map" if map_file is not None else "--hest"
    if size_um is not None:
        cube = open_with_size(path, size_um)
    else:
        cube = open_count_cube(path) if map_file is not None else open_hest(path)
    if min_qv is not None:
        raise ConfigError(f"--min-qv can't be used with {option}: {path.name} has no single transcripts.")
    if size_um is not None and size_um != cube.bin_um:
        raise ConfigError(f"{path} says that its bins are of {cube.bin_um:g} um, not {size_um:g}; leave --size-um out.")
    if bin_um is not None and bin_um != cube.bin_um:
        raise ConfigError(f"{path} has bins of {cube.bin_um:g} um, not {bin_um:g}; leave --bin-um out.")
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


app.command()(info)
app.command()(impute)
app.command()(batch)
app.command()(benchmark)
app.command()(ablations)


@app.command()
def view(
    path: Annotated[
        Path | None,
        typer.Argument(
            metavar="[PATH]",
            help="A Xenium output folder, a SpatialData store, or a result: imputed.h5ad, GENE.ome.tif, or saved layers.",
        ),
    ] = None,
    gene: Annotated[
        list[str] | None, typer.Option("--gene", help="Of a result with many genes, show this one; may be repeated.")
    ] = None,
) -> None:
    """Open napari with the plugin's window, and a slide or a result where one is given."""
    is_file = path is not None and path.name.lower().endswith((".h5ad", ".ome.tif", ".ome.tiff"))
    if gene and not is_file:
        raise ConfigError(
            "--gene chooses genes of a result (imputed.h5ad); leave it out here and choose in the window."
        )
    if path is not None:  # our errors are clearer than napari's
        from .engine.import_result import is_result, read_result
        from .engine.slide_kinds import open_slide_folder

        if not is_file:
            open_slide_folder(path)
        elif gene or not is_result(path):
            read_result(path, gene or None)
    if sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    ):
        raise S2SSTError("There is no screen here (DISPLAY is not set), so no window can open. Use s2sst impute.")
    try:
        import napari
        import qtpy  # noqa: F401  raises where no Qt binding is installed
    except Exception as error:
        raise S2SSTError(f'napari can\'t start: {error}. Install it with: pip install "napari-s2sst[all]"') from None

    from napari.layers import Layer

    from .plugin.display import scale_bar_of
    from .plugin.reader import read_results

    results = read_results(path, gene or None) if is_file else []
    viewer = napari.Viewer()
    viewer.window.add_plugin_dock_widget("napari-s2sst")
    if path is not None and not is_file:
        viewer.open(str(path), plugin="napari-s2sst")
    for data in results:
        viewer.add_layer(Layer.create(*data))
        scale_bar_of(viewer).visible = True
    napari.run()
