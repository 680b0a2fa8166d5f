"""An opened slide, or counts of its genes -> a job; a job and its network -> a result.

    job = prepare(slide, genes, config)        # reads the slide; everything that can fail fails here
    result = complete(job, trained)            # imputes and scores every gene

:mod:`.execute` does all of it and the training between, and tells of it. Nothing else builds a :class:`Job` or a
:class:`Result`.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import RunConfig
from ..errors import RegionError, SamplingError
from ..events import Command, Hold
from ..maps import GeneMap, SparseMap
from ..provenance import OURS
from ..sampling.image import is_known as image_is_known
from ..sampling.image import with_image
from ..sampling.lattice import SparseOnDemand, check_lattice, refine, sample
from ..sampling.panel import coexpression
from ..sampling.panel import is_known as panel_is_known
from ..sampling.regions import Region, restrict
from ..transcripts.grid import Grid
from ..transcripts.panel import MapsOnDemand
from .events import Imputing
from .maps_on_disk import held_maps

if TYPE_CHECKING:
    from ..network.model import Trained
    from ..pictures.stains import StainImage
    from ..scores.metrics import Scores
    from ..slides.slide import Slide


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """A run that can start: what was measured of every gene, and what is known of the rest."""

    config: RunConfig
    sparse: Sequence[SparseMap]
    """One map a gene; of a large panel each is made when it is asked for, here and in ``truth``."""
    truth: Sequence[GeneMap | None]
    """Counts of every bin; only scoring and export look at them. None where nobody knows them."""
    regions: tuple[Region, ...]
    input_name: str
    read_s: float = 0.0
    """Seconds that reading took; 0 where the counts were there already."""
    start: Trained | None = None
    """The model in memory that the training began with, or that imputed without any; the script writes it to a file."""
    edited_tissue: bool = False
    """The tissue is not what the slide's transcripts say, but what somebody made of it."""
    size_um: float | None = None
    """The slide's pixel, bin or unit in um as somebody said it, where no file does; the script says it again."""

    def first(self, genes: int) -> Job:
        """This job with its first ``genes`` genes only."""
        return (
            self if genes == len(self.sparse) else replace(self, sparse=self.sparse[:genes], truth=self.truth[:genes])
        )

    def fields(self) -> dict[str, Any]:
        """All but ``start``, by name: what travels to another process, where :func:`job_from` takes it."""
        return {part.name: getattr(self, part.name) for part in fields(self) if part.name != "start"}


@dataclass(frozen=True, eq=False, kw_only=True)
class Result:
    """A finished run."""

    job: Job
    trained: Trained
    imputed: Sequence[GeneMap]
    """One map a gene, in memory or, where they are many, in a file that goes with this object."""
    scores: dict[str, dict[str, Scores]]
    """Gene -> method -> scores, the network's first; no method where the truth is unknown."""
    impute_s: float
    score_s: float
    finished_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


@dataclass(frozen=True, eq=False, kw_only=True)
class CountedJob:
    """Counts of the genes that share a network, and what else a job is prepared from."""

    maps: Sequence[GeneMap]
    """Inside the regions, in the tissue as it was edited; of a large panel each is made when it is asked for."""
    config: RunConfig
    fill_in: bool = False
    """Every bin counts as measured and the grid becomes S times finer; then there is no truth."""
    regions: tuple[Region, ...] = ()
    start: Trained | None = None
    edited_tissue: bool = False
    input_name: str = ""
    images: Sequence[StainImage] = ()
    """The slide's stains, for settings that look at them."""
    panel: Slide | None = None
    """The opened slide, for settings that look at its other genes."""
    size_um: float | None = None

    def measured(self, genes: int | None = None) -> list[SparseMap]:
        """Bins that the lattice keeps of the first genes, or all, without looking at image or other genes; quick.

        Raises :class:`SamplingError`.
        """
        sampling = self.config.sampling
        if self.fill_in:
            return [refine(gene_map, sampling.stride) for gene_map in self.maps[:genes]]
        return [sample(gene_map, sampling.stride, sampling.phase) for gene_map in self.maps[:genes]]

    def with_known(self) -> CountedJob:
        """This job without what would take seconds to look at: image and other genes count where they were looked at before."""
        (first,), min_qv = self.measured(1), self.config.grid.min_qv
        images = self.images if image_is_known([first], self.images) else ()
        is_counted = self.panel is not None and panel_is_known(first, self.panel, min_qv=min_qv, filled_in=self.fill_in)
        return replace(self, images=images, panel=self.panel if is_counted else None)

    def starting_with(self, start: Trained | None) -> CountedJob:
        """This job with these first weights."""
        return replace(self, start=start)

    def prepared(self) -> Job:
        """Take the lattice, and look at image and other genes where the settings want that, which takes seconds.

        Raises :class:`SamplingError` when the lattice does not fit, :class:`BundleError` where the slide can't be read.
        """
        config, on_demand = self.config, isinstance(self.maps, MapsOnDemand)
        images = self.images if config.imputation.image else ()
        sparse = with_image(self.measured(1 if on_demand else None), images)
        others = None
        if config.imputation.panel and self.panel is not None:
            others = coexpression(sparse[0], self.panel, min_qv=config.grid.min_qv, filled_in=self.fill_in)
        finished = (lambda sparse_map: sparse_map) if others is None else others.beside
        if on_demand:
            sampling = config.sampling
            take = np.s_[:, :] if self.fill_in else tuple(slice(row, None, sampling.stride) for row in sampling.phase)
            sparse = SparseOnDemand(self.maps, sparse[0], take, finished)
        else:
            sparse = tuple(map(finished, sparse))
        return Job(
            config=config,
            sparse=sparse,
            truth=(None,) * len(self.maps) if self.fill_in else self.maps,
            regions=self.regions,
            input_name=self.input_name,
            start=self.start,
            edited_tissue=self.edited_tissue,
            size_um=self.size_um,
        )


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
    regions, grid = tuple(regions), config.grid
    if not fill_in:
        check_sampling(slide, config)
    maps = _inside(slide.gene_maps(list(genes), bin_um=grid.bin_um, min_qv=grid.min_qv), tissue, regions)
    if regions and not maps[0].tissue.any():
        names = ", ".join(region.name for region in regions)
        raise RegionError(
            f"No tissue of {slide.name} lies in the region {names}. Regions are in um, (x, y), "
            "with (0, 0) at the slide's upper left corner."
        )
    counted = CountedJob(
        maps=maps,
        config=config,
        fill_in=fill_in,
        regions=regions,
        edited_tissue=tissue is not None,
        input_name=slide.path.name,
        images=slide.images if config.imputation.image else (),
        panel=slide,
        size_um=slide.given_um,
    )
    return replace(counted.prepared(), read_s=time.perf_counter() - began)


def job_from(parts: Mapping[str, Any], start: Trained | None) -> Job:
    """The job whose :meth:`Job.fields` came from another process, with its first model, which travels apart."""
    return Job(**parts, start=start)


def _inside(maps: Sequence[GeneMap], tissue: np.ndarray | None, regions: tuple[Region, ...]) -> Sequence[GeneMap]:
    """The maps with this tissue, inside the regions; on demand what is on demand."""

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


def result_of(
    job: Job,
    trained: Trained,
    imputed: Sequence[GeneMap],
    scores: dict[str, dict[str, Scores]] | None = None,
    *,
    impute_s: float = 0.0,
    score_s: float = 0.0,
) -> Result:
    """The result of a job of which the first genes are imputed, as many as there are maps; the others leave the job."""
    scores = {} if scores is None else scores
    return Result(
        job=job.first(len(imputed)), trained=trained, imputed=imputed, scores=scores, impute_s=impute_s, score_s=score_s
    )


def completing(
    job: Job, trained: Trained, *, keep_in: Path | None = None
) -> Generator[Imputing, Command | Hold | None, Result]:
    """Impute every gene and, where the truth is known, score it beside the classical methods; tells of each gene before it.

    A STOP keeps the genes that are done, one at least. Maps that are too many for the memory are kept in a file without a
    name in the folder ``keep_in``, or, without one, where :func:`.held_maps` finds room; raises :class:`ExportError` where a
    folder has none.
    """
    from ..classical.methods import METHODS, interpolate
    from ..imputing.impute import impute
    from ..scores.metrics import score

    kind, total = job.config.grid.normalisation, len(job.sparse)
    imputed = scores = None
    impute_s = score_s = 0.0
    for number, (sparse, truth) in enumerate(zip(job.sparse, job.truth, strict=True), start=1):
        command = yield Imputing(sparse.gene, number, total, is_scored=truth is not None)
        if imputed is None:  # not before somebody was told that the training is over
            imputed, scores = held_maps(sparse.tissue.size, total, keep_in), {}
        elif command is Command.STOP:
            break
        began = time.perf_counter()
        ours = impute(trained, sparse)
        imputed.append(ours)
        impute_s += time.perf_counter() - began
        began = time.perf_counter()
        scores[sparse.gene] = {}
        if truth is not None:
            estimates = {OURS: ours}
            estimates |= {method: interpolate(sparse, method=method, normalisation=kind) for method in METHODS}
            scores[sparse.gene] = {
                method: score(estimate, truth=truth, sparse=sparse) for method, estimate in estimates.items()
            }
            score_s += time.perf_counter() - began
    maps = tuple(imputed) if isinstance(imputed, list) else imputed
    return result_of(job, trained, maps, scores, impute_s=impute_s, score_s=score_s)


def complete(job: Job, trained: Trained, *, keep_in: Path | None = None) -> Result:
    """:func:`completing`, to its end."""
    genes = completing(job, trained, keep_in=keep_in)
    while True:
        try:
            next(genes)
        except StopIteration as end:
            return end.value
