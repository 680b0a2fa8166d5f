"""A whole run: an opened slide and a config -> sparse maps -> a trained network -> imputed maps, scores and files.

job = prepare(slide, genes, config)                 # reads the slide; everything that can fail fails here
trained = train(job.sparse, job.config) ...         # the caller's, who wants its events
result = complete(job, trained)                     # imputes and scores every gene
paths = write_result(folder, result, command=...)   # every file is written beside its place and moved there
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import RunConfig
from ..errors import RegionError, SamplingError
from ..maps import GeneMap, SparseMap
from ..provenance import OURS
from ..sampling.image import with_image
from ..sampling.lattice import SparseOnDemand, check_lattice, refine, sample
from ..sampling.panel import coexpression
from ..sampling.regions import Region, restrict
from ..transcripts.grid import Grid
from ..transcripts.panel import MapsOnDemand
from .maps_on_disk import ARRAYS, HELD_BYTES, MapsInFile
from .write import describe, export_item, score_rows, write_result, write_results

if TYPE_CHECKING:
    from ..network.model import Trained
    from ..scores.metrics import Scores
    from ..slides.slide import Slide


__all__ = [
    "OURS", "Job", "Result", "check_sampling", "complete", "describe", "export_item", "prepare", "score_rows",
    "write_result", "write_results",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Job:
    """A run that can start: what was measured of every gene, and what is known of the rest."""

    config: RunConfig
    sparse: Sequence[SparseMap]
    """One map a gene; of a large panel each is made when it is asked for, here and in ``truth``."""
    truth: Sequence[GeneMap | None]
    """Counts of every bin; only scoring and export look at them. None where nobody knows them."""
    regions: tuple[Region, ...]
    input_name: str
    read_s: float
    """Seconds that reading took."""
    start: Trained | None = None
    """The model in memory that the training began with, or that imputed without any; the script writes it to a file."""
    edited_tissue: bool = False
    """The tissue is not what the slide's transcripts say, but what somebody made of it."""
    size_um: float | None = None
    """The slide's pixel, bin or unit in um as somebody said it, where no file does; the script says it again."""


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run."""

    job: Job
    trained: Trained
    imputed: Sequence[GeneMap]
    """One map a gene, in memory or, where they are many, in a file."""
    scores: dict[str, dict[str, Scores]]
    """Gene -> method -> scores, the network's first; empty where the truth is unknown."""
    impute_s: float
    score_s: float
    finished_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def prepare(
    slide: Slide,
    genes: Sequence[str],
    config: RunConfig,
    regions: Iterable[Region] = (),
    *,
    fill_in: bool = False,
    tissue: np.ndarray | None = None,
) -> Job:
    """Read the genes' maps, keep the regions, take the lattice.

    ``tissue`` (rows, columns), True inside, takes the place of what the transcripts say. With ``fill_in`` every bin counts
    as measured and the grid becomes S times finer; then there is no truth.
    Raises :class:`BundleError` for an unknown gene or an unreadable slide, :class:`RegionError` when no tissue is
    left, :class:`SamplingError` when the lattice does not fit.
    """
    began = time.perf_counter()
    regions = tuple(regions)
    grid, sampling = config.grid, config.sampling
    if not fill_in:
        check_sampling(slide, config)
    maps = slide.gene_maps(list(genes), bin_um=grid.bin_um, min_qv=grid.min_qv)
    maps = _inside(maps, tissue, regions)
    if regions and not maps[0].tissue.any():
        names = ", ".join(region.name for region in regions)
        raise RegionError(
            f"No tissue of {slide.name} lies in the region {names}. Regions are in um, (x, y), "
            "with (0, 0) at the slide's upper left corner."
        )

    def measured(gene_map: GeneMap) -> SparseMap:
        return refine(gene_map, sampling.stride) if fill_in else sample(gene_map, sampling.stride, sampling.phase)

    images = slide.images if config.imputation.image else ()
    on_demand = isinstance(maps, MapsOnDemand)
    sparse = with_image([measured(gene_map) for gene_map in (maps[:1] if on_demand else maps)], images)
    told = coexpression(sparse[0], slide, min_qv=grid.min_qv, filled_in=fill_in) if config.imputation.panel else None
    finished = (lambda each: each) if told is None else told.beside
    if on_demand:
        take = np.s_[:, :] if fill_in else tuple(slice(each, None, sampling.stride) for each in sampling.phase)
        sparse = SparseOnDemand(maps, sparse[0], take, finished)
    else:
        sparse = tuple(map(finished, sparse))
    truth = (None,) * len(maps) if fill_in else maps
    return Job(
        config, sparse, truth, regions, slide.path.name, time.perf_counter() - began,
        edited_tissue=tissue is not None, size_um=slide.given_um,
    )  # fmt: skip


def _inside(maps: Sequence[GeneMap], tissue: np.ndarray | None, regions: tuple[Region, ...]) -> Sequence[GeneMap]:
    """The same maps with this tissue, inside the regions; on demand what is on demand."""

    def inside(gene_map: GeneMap) -> GeneMap:
        gene_map = gene_map if tissue is None else _with_tissue(gene_map, tissue)
        return restrict(gene_map, regions) if regions else gene_map

    if isinstance(maps, MapsOnDemand):
        first = inside(maps[0])
        return replace(maps, tissue=first.tissue, context=first.context)
    return tuple(map(inside, maps))


def _with_tissue(gene_map: GeneMap, tissue: np.ndarray) -> GeneMap:
    if tissue.shape != gene_map.shape:
        raise RegionError(
            f"The tissue has {' x '.join(map(str, tissue.shape))} bins and the slide {gene_map.shape[0]} x {gene_map.shape[1]}; "
            "give a tissue of the same slide and bin size."
        )
    return replace(gene_map, tissue=np.asarray(tissue, bool))


def check_sampling(slide: Slide, config: RunConfig) -> None:
    """Refuse a lattice that can't fit the slide before anything large is read; raises :class:`SamplingError`."""
    extent = y0, x0, y1, x1 = slide.extent_um
    shape = Grid.over(extent, config.grid.bin_um).shape
    if min(shape) < 2:
        raise SamplingError(
            f"Bins of {config.grid.bin_um:g} um leave only {shape[0]} x {shape[1]} of them on a slide of "
            f"{y1 - y0:.0f} x {x1 - x0:.0f} um. Choose smaller bins."
        )
    check_lattice(shape, config.sampling.stride, config.sampling.phase)


def complete(
    job: Job,
    trained: Trained,
    on_gene: Callable[[int, str], None] | None = None,
    *,
    keep_in: Path | None = None,
) -> Result:
    """Impute every gene with the network and, where the truth is known, score it beside the classical methods.

    ``on_gene(index, gene)`` is called before each gene. Maps that are too many for the memory are kept in a file in the
    folder ``keep_in``, if that is given; raises :class:`ExportError` where there is no room.
    """
    from ..classical.methods import METHODS, interpolate
    from ..imputing.impute import impute
    from ..scores.metrics import score

    kind = job.config.grid.normalisation
    needed = len(ARRAYS) * 4 * job.sparse[0].tissue.size * len(job.sparse)
    imputed: list[GeneMap] | MapsInFile = MapsInFile(keep_in) if keep_in and needed > HELD_BYTES else []
    scores = {}
    impute_s = score_s = 0.0
    for index, (sparse, truth) in enumerate(zip(job.sparse, job.truth, strict=True)):
        if on_gene is not None:
            on_gene(index, sparse.gene)
        began = time.perf_counter()
        ours = impute(trained, sparse)
        imputed.append(ours)
        impute_s += time.perf_counter() - began
        if truth is None:
            continue
        began = time.perf_counter()
        estimates = {OURS: ours}
        estimates |= {method: interpolate(sparse, method=method, normalisation=kind) for method in METHODS}
        scores[sparse.gene] = {
            method: score(estimate, truth=truth, sparse=sparse) for method, estimate in estimates.items()
        }
        score_s += time.perf_counter() - began
    found = tuple(imputed) if isinstance(imputed, list) else imputed
    return Result(job, trained, found, scores, impute_s, score_s)
