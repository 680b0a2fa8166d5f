"""`s2sst impute --into STORE`: the result also becomes elements of a SpatialData store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from .engine.spatialdata_slide import SpatialDataSlide

IntoOption = Annotated[
    Path | None,
    typer.Option(
        "--into",
        metavar="STORE.zarr",
        help="Write the maps into this SpatialData store too, as a new table and its grid of bins; nothing in it is replaced.",
        show_default=False,
    ),
]


def store_for(into: Path | None, slide: Path | None, size_um: float | None) -> SpatialDataSlide | None:
    """The store, if results can be written into it; before anything is computed. Raises S2SSTError.

    ``size_um`` is of the slide, which may be another one.
    """
    if into is None:
        return None
    from .engine.spatialdata_result import check_store

    own = slide is not None and slide.absolute() == into.absolute()
    return check_store(into, unit_um=size_um if own else None)


def put_into(store: SpatialDataSlide | None, result: Any, command: str, console: Console) -> None:
    """Write a run's result into the store, if there is one, and say where it is. Raises ExportError."""
    if store is None:
        return
    from .engine.run_files import put_into_store
    from .terminal import say

    labels, table = put_into_store(store, result, command)
    say(console, f"{store.store} has it as the table {table}, on the bins {labels}.")
