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
from typing import Annotated

import typer

from .. import __version__
from ..engine.errors import ConfigError, S2SSTError
from .ablations import ablations
from .batch import batch
from .benchmark import benchmark
from .impute import impute
from .info import info

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
    from ..engine.simulated.slide import write_sample_slide

    path = write_sample_slide(folder)
    print(f"The sample slide is in {path}")


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
    from ..engine.export.reading import is_named_as_result

    is_file = path is not None and is_named_as_result(path)
    if gene and not is_file:
        raise ConfigError(
            "--gene chooses genes of a result (imputed.h5ad); leave it out here and choose in the window."
        )
    if path is not None:  # our errors are clearer than napari's
        from ..engine.export.reading import is_result, read_result
        from ..engine.slides.opening import open_slide

        if not is_file:
            open_slide(path, kind="folder")
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

    from ..plugin.viewer.canvas import scale_bar_of
    from ..plugin.viewer.reader import read_results

    results = read_results(path, gene or None) if is_file else []
    viewer = napari.Viewer()
    viewer.window.add_plugin_dock_widget("napari-s2sst")
    if path is not None and not is_file:
        viewer.open(str(path), plugin="napari-s2sst")
    for data in results:
        viewer.add_layer(Layer.create(*data))
        scale_bar_of(viewer).visible = True
    napari.run()
