"""Options and arguments of the commands -> what the engine takes: a slide, genes, a tissue, a model, a store to write into."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..engine.config import RunConfig
from ..engine.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from ..engine.network.model import Trained
    from ..engine.slides.slide import Slide
    from ..engine.slides.spatialdata_slide import SpatialDataSlide

SizeOption = Annotated[
    float | None,
    typer.Option(
        "--size-um",
        metavar="UM",
        help="Where no file tells: the side of a pixel of a Xenium folder's image, of a bin of a table of counts, or how many "
        "um 1 in x and y of a SpatialData store's points is.",
        show_default=False,
    ),
]
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
    from ..engine.export.spatialdata_tables import check_store

    own = slide is not None and slide.absolute() == into.absolute()
    return check_store(into, unit_um=size_um if own else None)


def put_into(store: SpatialDataSlide | None, result: Any, command: str, console: Console) -> None:
    """Write a run's result into the store, if there is one, and say where it is. Raises ExportError."""
    if store is None:
        return
    from ..engine.runs.write import put_into_store
    from .terminal import say

    labels, table = put_into_store(store, result, command)
    say(console, f"{store.store} has it as the table {table}, on the bins {labels}.")


def read_tissue(path: Path | None) -> np.ndarray | None:
    """(rows, columns) booleans of an .npy file. Raises RegionError."""
    import numpy as np

    from ..engine.errors import RegionError

    if path is None:
        return None
    try:
        tissue = np.load(path, mmap_mode="r", allow_pickle=False)  # so that no more is believed in than the file has
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise RegionError(f"The tissue {path} can't be read: {error}. Give a file that numpy.save wrote.") from None
    if not isinstance(tissue, np.ndarray) or tissue.ndim != 2 or tissue.dtype != bool:
        raise RegionError(f"The tissue {path} is not one (rows, columns) array of booleans. Save it with numpy.save.")
    return np.array(tissue)


def read_model(path: Path, config: RunConfig, genes: Sequence[str]) -> Trained:
    """The model, if it fits the maps. Raises CheckpointError."""
    from ..engine.errors import CheckpointError
    from ..engine.network.model import load_model

    trained = load_model(path)
    theirs = (trained.stride, trained.config.grid.normalisation)
    ours = (config.sampling.stride, config.grid.normalisation)
    if theirs != ours:
        raise CheckpointError(
            f"{path} is for a stride of {theirs[0]} and {theirs[1]} values, and these maps of {genes[0]} have a stride of "
            f"{ours[0]} and {ours[1]} values. Give --stride {theirs[0]} --normalisation {theirs[1]}."
        )
    return trained


def choose_genes(slide: Slide, genes: list[str], genes_file: Path | None, all_genes: bool) -> list[str]:
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


def slide_from_options(
    folder: Path | None,
    map_file: Path | None,
    config: RunConfig,
    bin_um: float | None,
    min_qv: float | None,
    hest: Path | None = None,
    size_um: float | None = None,
) -> tuple[Slide, RunConfig]:
    """The slide that an argument, --map or --hest names, and the config with the bins of one that has its own.

    Raises ConfigError where two are named or options contradict the slide, BundleError where it can't be read.
    """
    from ..engine.slides.opening import open_slide

    if sum(path is not None for path in (folder, map_file, hest)) != 1:
        raise ConfigError(
            "Give a Xenium folder, or a count cube with --map FILE.npz, or a HEST-1k sample with --hest FILE.h5ad, and only "
            "one of them."
        )
    if folder is not None:
        return open_slide(folder, size_um, kind="folder"), config
    path, option = (map_file, "--map") if map_file is not None else (hest, "--hest")
    slide = open_slide(path, size_um, kind="cube" if map_file is not None else "spots")
    if min_qv is not None:
        raise ConfigError(f"--min-qv can't be used with {option}: {path.name} has no single transcripts.")
    if size_um is not None and size_um != slide.bin_um:
        raise ConfigError(
            f"{path} says that its bins are of {slide.bin_um:g} um, not {size_um:g}; leave --size-um out."
        )
    if bin_um is not None and bin_um != slide.bin_um:
        raise ConfigError(f"{path} has bins of {slide.bin_um:g} um, not {bin_um:g}; leave --bin-um out.")
    return slide, config.changed(bin_um=slide.bin_um)
