"""A whole run: an opened slide and a config -> sparse maps -> a trained network -> imputed maps, scores and files.

job = prepare(slide, genes, config)                 # reads the slide; everything that can fail fails here
trained = train(job.sparse, job.config) ...         # the caller's, who wants its events
result = complete(job, trained)                     # imputes and scores every gene
paths = write_result(folder, result, command=...)   # every file is written beside its place and moved there
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from shapely.geometry import mapping

from .config import RunConfig
from .errors import RegionError, SamplingError
from .grid import Grid
from .maps import GeneMap, SparseMap
from .region import Region, restrict
from .sampling import check_lattice, refine, sample

if TYPE_CHECKING:
    from .metrics import Scores
    from .trained import Trained

OURS = "CDCIN"
"""The network's name in tables, beside those of the classical methods."""


class Slide(Protocol):
    """What a run asks of its input: a Xenium bundle and a count cube both answer."""

    name: str

    @property
    def path(self) -> Path: ...
    @property
    def genes(self) -> dict[str, int]: ...
    def gene_maps(self, genes: Sequence[str], bin_um: float = ..., min_qv: float = ...) -> list[GeneMap]: ...


@dataclass(frozen=True, eq=False)
class Job:
    """A run that can start: what was measured of every gene, and what is known of the rest."""

    config: RunConfig
    sparse: tuple[SparseMap, ...]
    truth: tuple[GeneMap | None, ...]
    """Counts of every bin, one map a gene; only scoring and export look at them. None where nobody knows them."""
    regions: tuple[Region, ...]
    input_name: str
    read_s: float
    """Seconds that reading took."""


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run."""

    job: Job
    trained: Trained
    imputed: tuple[GeneMap, ...]
    scores: dict[str, dict[str, Scores]]
    """Gene -> method -> scores, the network's first; empty where the truth is unknown."""
    impute_s: float
    score_s: float
    finished_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def prepare(
    slide: Slide, genes: Sequence[str], config: RunConfig, regions: Iterable[Region] = (), *, fill_in: bool = False
) -> Job:
    """Read the genes' maps, keep the regions, take the lattice.

    With ``fill_in`` every bin counts as measured and the grid becomes S times finer; then there is no truth.
    Raises :class:`BundleError` for an unknown gene or an unreadable slide, :class:`RegionError` when no tissue is
    left, :class:`SamplingError` when the lattice does not fit.
    """
    began = time.perf_counter()
    regions = tuple(regions)
    grid, sampling = config.grid, config.sampling
    if not fill_in:
        check_sampling(slide, config)
    truth: list[GeneMap | None] = slide.gene_maps(list(genes), bin_um=grid.bin_um, min_qv=grid.min_qv)
    if regions:
        truth = [restrict(gene_map, regions) for gene_map in truth]
        if not truth[0].tissue.any():
            names = ", ".join(region.name for region in regions)
            raise RegionError(
                f"No tissue of {slide.name} lies in the region {names}. Regions are in um, (x, y), "
                "with (0, 0) at the slide's upper left corner."
            )
    if fill_in:
        sparse = [refine(gene_map, sampling.stride) for gene_map in truth]
        truth = [None] * len(sparse)
    else:
        sparse = [sample(gene_map, stride=sampling.stride, phase=sampling.phase) for gene_map in truth]
    return Job(config, tuple(sparse), tuple(truth), regions, Path(slide.path).name, time.perf_counter() - began)


def check_sampling(slide: Slide, config: RunConfig) -> None:
    """Refuse a lattice that can't fit the slide before anything large is read; raises :class:`SamplingError`."""
    extent = getattr(slide, "extent_um", None)
    if extent is None:
        return
    y0, x0, y1, x1 = extent
    shape = Grid.over(extent, config.grid.bin_um).shape
    if min(shape) < 2:
        raise SamplingError(
            f"Bins of {config.grid.bin_um:g} um leave only {shape[0]} x {shape[1]} of them on a slide of "
            f"{y1 - y0:.0f} x {x1 - x0:.0f} um. Choose smaller bins."
        )
    check_lattice(shape, config.sampling.stride, config.sampling.phase)


def complete(job: Job, trained: Trained, on_gene: Callable[[int, str], None] | None = None) -> Result:
    """Impute every gene with the network and, where the truth is known, score it beside the classical methods.

    ``on_gene(index, gene)`` is called before each gene.
    """
    from .baselines import METHODS, interpolate
    from .imputation import impute
    from .metrics import score

    kind = job.config.grid.normalisation
    imputed, scores = [], {}
    impute_s = score_s = 0.0
    for index, (sparse, truth) in enumerate(zip(job.sparse, job.truth, strict=True)):
        if on_gene is not None:
            on_gene(index, sparse.gene)
        began = time.perf_counter()
        imputed.append(impute(trained, sparse))
        impute_s += time.perf_counter() - began
        if truth is None:
            continue
        began = time.perf_counter()
        estimates = {OURS: imputed[-1]}
        estimates |= {method: interpolate(sparse, method=method, normalisation=kind) for method in METHODS}
        scores[sparse.gene] = {
            method: score(estimate, truth=truth, sparse=sparse) for method, estimate in estimates.items()
        }
        score_s += time.perf_counter() - began
    return Result(job, trained, tuple(imputed), scores, impute_s, score_s)


def score_rows(result: Result) -> list[dict[str, Any]]:
    """One row a gene and method: the names, then every field of Scores."""
    return [
        {"gene": gene, "method": method, **asdict(scores)}
        for gene, methods in result.scores.items()
        for method, scores in methods.items()
    ]


def write_result(folder: Path, result: Result, command: str = "") -> list[Path]:
    """Write every file of a run and return their paths, in the order of the contract.

    Files of the same names are replaced, each as a whole; others are left alone. Raises :class:`ExportError`.
    """
    from .checkpoint import save_model
    from .export import (
        check_output_folder,
        safe_name,
        write_h5ad,
        write_losses_csv,
        write_ome_tiff,
        write_run_json,
        write_scores_csv,
    )
    from .figure import write_figure

    folder, job = check_output_folder(folder), result.job
    began = time.perf_counter()
    run = describe(result, command)
    paths = [folder / "imputed.h5ad"]
    write_h5ad(
        paths[0], sparse=list(job.sparse), imputed=list(result.imputed), regions=list(job.regions) or None, run=run
    )
    for sparse, imputed, truth in zip(job.sparse, result.imputed, job.truth, strict=True):
        image, figure = (folder / f"{safe_name(sparse.gene)}{end}" for end in (".ome.tif", ".png"))
        write_ome_tiff(image, sparse=sparse, imputed=imputed, truth=truth, run=run)
        write_figure(figure, sparse=sparse, imputed=imputed, truth=truth, scores=result.scores.get(sparse.gene))
        paths += [image, figure]
    tables = [folder / name for name in ("scores.csv", "losses.csv", "model.safetensors", "run.json")]
    write_scores_csv(tables[0], score_rows(result))
    write_losses_csv(tables[1], result.trained.losses)
    save_model(tables[2], result.trained)
    run["seconds"]["writing"] = round(time.perf_counter() - began, 3)
    write_run_json(tables[3], run)
    return paths + tables


def describe(result: Result, command: str = "") -> dict[str, Any]:
    """Everything needed to repeat the run, as plain values for JSON."""
    job, trained = result.job, result.trained
    return {
        "program": "napari-s2sst",
        "versions": versions(),
        "command": command,
        "finished_at": result.finished_at,
        "input": {"name": job.input_name, "sparse_sha256": sparse_hash(job.sparse)},
        "genes": [sparse.gene for sparse in job.sparse],
        "regions": [{"name": region.name, "polygon_um": mapping(region.polygon)} for region in job.regions],
        "mode": "fill in" if job.truth[0] is None else "check",
        "seed": trained.config.seed,
        "steps": trained.steps,
        "device": trained.device,
        "held_out_mae": {OURS: trained.held_out_mae, **trained.classical},
        "seconds": {
            "reading": round(job.read_s, 3),
            "training": round(trained.seconds, 3),
            "imputing": round(result.impute_s, 3),
            "scoring": round(result.score_s, 3),
        },
        "config": trained.config.model_dump(mode="json"),
    }


def sparse_hash(maps: Iterable[SparseMap]) -> str:
    """SHA-256 of what training was given: the same for the same measured bins, whatever file they came from."""
    digest = hashlib.sha256()
    for sparse in maps:
        digest.update(
            repr((sparse.gene, sparse.shape, sparse.stride, tuple(sparse.phase), float(sparse.bin_um))).encode()
        )
        for array in (sparse.values, sparse.measured, sparse.tissue, sparse.totals):
            if array is not None:
                digest.update(array.tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide the numbers."""
    found = {"python": platform.python_version()}
    for name in ("napari-s2sst", "torch", "numpy", "scipy", "scikit-image", "pyarrow"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that was never installed
            found[name] = "unknown"
    return found
