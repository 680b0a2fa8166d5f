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


def store_for(into: Path | None, unit_um: float | None) -> SpatialDataSlide | None:
    """The store, if results can be written into it; before anything is computed. Raises S2SSTError."""
    if into is None:
        return None
    from .engine.spatialdata_result import check_store

    return check_store(into, unit_um=unit_um)


def put_into(store: SpatialDataSlide | None, result: Any, command: str, console: Console) -> None:
    """Write a run's result into the store, if there is one, and say where it is. Raises ExportError."""
    if store is None:
        return
    from .engine.run import describe
    from .engine.spatialdata_result import write_into
    from .terminal import say

    job = result.job
    labels, table = write_into(
        store, sparse=list(job.sparse), imputed=list(result.imputed), truth=job.truth,
        regions=list(job.regions) or None, run=describe(result, command),
    )  # fmt: skip
    say(console, f"{store.store} has it as the table {table}, on the bins {labels}.")
