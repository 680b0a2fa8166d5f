"""What the window has done in the background: plain functions of values, no Qt, nothing kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...engine.config import RunConfig
from ...engine.errors import CheckpointError, ConfigError, S2SSTError
from ...engine.maps import GeneMap, SparseMap
from ...engine.reports.log import hide_name, hide_path
from ...engine.sampling.regions import Region, restrict
from ..session import Mode
from ..viewer.layers import LayerData, slide_layers

if TYPE_CHECKING:
    from ...engine.export.choice import ExportChoice
    from ...engine.network.model import Trained
    from ...engine.runs.run import CountedJob, Result
    from ...engine.runs.saved_run import Interrupted
    from ...engine.scores.diagnostics import Diagnostics
    from ...engine.scores.regions import RegionRow
    from ...engine.slides.slide import Slide


@dataclass(frozen=True, eq=False)
class OpenedSlide:
    """A slide, and what is slow to find out about it."""

    slide: Slide
    layers: list[LayerData]
    genes: dict[str, int]


def load_slide(path: Path, size_um: float | None = None, *, known: bool = False) -> OpenedSlide:
    """Read what the window shows of a slide; ``known``: its layers are in the viewer already. Raises BundleError.

    ``size_um`` is what its user says of its pixels, bins or unit, where no file tells.
    """
    from ...engine.slides.opening import open_slide

    hide_path(path, "the slide")
    slide = open_slide(path, size_um)
    hide_name(slide.name, "the slide's name")
    genes = dict(slide.genes)
    return OpenedSlide(slide, [] if known else slide_layers(slide), genes)


def open_sample(known: Sequence[Path]) -> OpenedSlide:
    """The simulated slide, written into the user's cache folder when it is not there yet."""
    from ..viewer.sample_data import sample_slide_folder

    folder = sample_slide_folder()
    return load_slide(folder, known=folder in known)


Edited = Callable[[GeneMap], GeneMap]
"""What was painted and erased of the tissue, put into a map."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Counts of the genes that were asked for."""

    maps: tuple[GeneMap, ...]
    """Inside the regions."""
    whole: GeneMap
    """The first one on the whole slide, with the tissue as it was edited."""


def count_genes(
    slide: Slide, genes: Sequence[str], config: RunConfig, regions: tuple[Region, ...], edited: Edited
) -> Counted:
    """Counts of some genes in one pass, in the edited tissue, inside the regions.

    Raises BundleError (unknown gene) and RegionError (no tissue in them).
    """
    for number, region in enumerate(regions, start=1):
        hide_name(region.name, f"region {number}")
    counts = slide.gene_maps(list(genes), bin_um=config.grid.bin_um, min_qv=config.grid.min_qv)
    whole = [edited(gene_map) for gene_map in counts]
    return Counted(tuple(restrict(gene_map, regions) if regions else gene_map for gene_map in whole), whole[0])


@dataclass(frozen=True, eq=False)
class Recalled:
    """Counts, weights and settings that a training that was interrupted goes on with."""

    counted: Counted
    """Its genes, then those that were waiting."""
    start: Trained | None
    config: RunConfig
    """On the best device there is, if the one it was on is gone."""


def recall(interrupted: Interrupted, slide: Slide, edited: Edited) -> Recalled:
    """Count an interrupted training's genes as they were counted. Raises CheckpointError where the slide is not the same."""
    from ...engine.device import choose_device
    from ...engine.provenance import sparse_hash
    from ...engine.runs.run import CountedJob
    from ...engine.runs.saved_run import named

    record = interrupted.record
    problem = f"The training of {named(record.genes)} can't go on:"
    try:
        counted = count_genes(slide, (*record.genes, *record.waiting), record.config, record.regions, edited)
        maps, fill_in = counted.maps[: len(record.genes)], Mode(record.mode) is Mode.FILL_IN
        job = CountedJob(maps=maps, config=record.config, fill_in=fill_in, images=slide.images)
        input_hash = sparse_hash(job.prepared().sparse)
        start = interrupted.saved_run.start()
    except S2SSTError as error:
        raise CheckpointError(f"{problem} {error}") from error
    if input_hash != interrupted.unfinished.input_sha256:
        raise CheckpointError(f"{problem} the counts of {record.slide_name} are not those it began with.")
    config = record.config
    try:
        choose_device(config.device)
    except ConfigError:
        config = config.changed(device="auto")
    return Recalled(counted, start, config)


def impute_instantly(counted: CountedJob) -> Result:
    """Impute with the weights that come with the program, without looking at anything first. Raises S2SSTError.

    Image and other genes take part if what they tell is known already.
    """
    import torch

    from ...engine.imputing.impute import impute_with
    from ...engine.network.model import load_model, shipped_model
    from ...engine.runs.run import result_of

    job, config = counted.with_known().prepared(), counted.config
    start = load_model(shipped_model(config.sampling.stride))
    # The map that is judged, some seconds later, has all symmetries.
    quick = config.imputation.model_copy(update={"symmetries": 1})
    imputed = impute_with(
        start.network(torch.device("cpu")), job.sparse[0], quick, kind=config.grid.normalisation,
        precision=config.training.precision,
    )  # fmt: skip
    return result_of(job, start, (imputed,))


def score_instant(counted: CountedJob) -> Result:
    """Impute with an uncertainty stretched to fit held-out bins, and score beside the classical methods."""
    from ...engine.runs.run import complete
    from ...engine.training.train import fit

    job = counted.prepared()
    return complete(job, fit(job.sparse, job.config))


@dataclass(frozen=True, eq=False)
class Judged:
    """Judgement of a result beyond its scores, for the results page."""

    diagnostics: Diagnostics | None
    regions: tuple[RegionRow, ...]


def judge(
    regions: tuple[Region, ...], sparse: SparseMap, imputed: GeneMap, truth: GeneMap | None, scores: Any
) -> Judged:
    """Judge how errors are spread, whether the uncertainty is honest, and each region by itself."""
    from ...engine.scores.diagnostics import diagnose
    from ...engine.scores.regions import region_rows

    diagnostics = None if truth is None or not scores else diagnose(sparse, imputed, truth, scores)
    return Judged(diagnostics, tuple(region_rows(regions, sparse=sparse, imputed=imputed, truth=truth)))


@dataclass(frozen=True)
class Written:
    """Files and tables that an export wrote."""

    files: list[Path]
    tables: list[str]
    """Names of new tables in the SpatialData store, if one was chosen."""


def write_files(folder: Path, results: Sequence[Result], choice: ExportChoice, slide: Path) -> Written:
    """The chosen files of some runs, then their maps in the chosen store. Raises S2SSTError.

    What is wrong with the store is found out before anything is written.
    """
    from ...engine.runs.write import put_into_store, write_results

    hide_path(folder, "the results' folder")
    store = None
    if choice.store is not None:
        from ...engine.export.spatialdata_tables import check_store

        hide_path(choice.store, "the store")
        own = slide.absolute() == choice.store.absolute()
        store = check_store(choice.store, unit_um=results[0].job.size_um if own else None)
    command = "napari: S2S-ST imputation"
    files = write_results(folder, results, command, choice, slide_paths=[slide] * len(results))
    tables = [] if store is None else [put_into_store(store, result, command, slide)[1] for result in results]
    return Written(files, tables)


def write_model(path: Path, model: Trained) -> Path:
    """Raises ExportError."""
    from ...engine.network.model import save_model

    hide_path(path, "the model's file")
    return save_model(path, model)


def read_model(path: Path) -> Trained:
    """Raises CheckpointError."""
    from ...engine.network.model import load_model

    hide_path(path, "the model's file")
    return load_model(path)


def find_devices() -> list[tuple[str, str]]:
    """(name, label), best first. Imports torch and whatever a run needs, which takes seconds: before Train, not at it."""
    from ...engine.device import devices
    from ...engine.training import train as training  # noqa: F401

    return devices()
