"""A slide of any kind -> the answers that runs, windows and exports ask of it: name, genes, maps, pictures, sizes.

:class:`Slide` is the one type; whatever a kind of file does not tell keeps the answer that stands here. There are two sorts::

    TranscriptSlide     single transcripts, counted in bins of the size that is asked for: Xenium, SpatialData
    FixedBins           counts in bins of the file's own: a count cube, the spots of an .h5ad
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..maps import GeneMap
from ..pictures.stains import StainImage
from ..transcripts.grid import Grid
from ..transcripts.panel import MapsOnDemand
from ..transcripts.table import MIN_QV, TranscriptTable, no_such_gene
from ..transcripts.tissue import tissue_mask

DENSE_BYTES = 256_000_000
"""Maps larger than this together are made one by one, when they are asked for."""
KEPT_GRIDS = 4
"""Totals and tissue of so many (bin size, quality) pairs are remembered."""


class Slide(ABC):
    """An opened slide. Cheap to hold: maps and pixels are read when asked for."""

    path: Path
    """The file or folder, as it was given."""
    name: str
    genes: dict[str, int]
    """Gene -> how often it was counted, most frequent first. Controls are left out."""
    images: tuple[StainImage, ...] = ()
    """One for each stain. Raises :class:`BundleError` where an image is incomplete."""
    transcripts: TranscriptTable | None = None
    """The single transcripts; None where there are only counts in bins."""

    bin_um: float | None = None
    """Side of the bins that the file comes with; None where any size may be chosen."""
    shape: tuple[int, int] | None = None
    """(rows, columns) of these bins."""
    bin_is_assumed: bool = False
    """Nothing says how large a bin is, so ``bin_um`` is the method's usual one."""
    bin_said_by: str = ""
    """Who says how large a bin is, such as ``by microns_per_pixel of its scalefactors``."""
    um_said_by: str = ""
    """Who says what a um is, such as ``by the coordinate system microns``."""
    pixel_size_um: float | None = None
    """Of the picture that belongs to it; None without one, and where nobody says. It is never assumed."""
    given_um: float | None = None
    """Size of a pixel, a bin or the unit as the user said it, for where no file tells."""

    version: str | None = None
    """What made the file. For show only: files differ within a version."""
    software: str = ""
    """The instrument's, such as ``Xenium 3.0.0.15``; "" where it has been through none."""
    panel_name: str | None = None
    organism: str | None = None
    tissue_type: str | None = None
    num_cells: int | None = None
    num_transcripts: int | None = None
    """Of every quality and kind, controls included; None where spots hold counts of other molecules."""
    store: Path | None = None
    """The SpatialData store that it is in, which results may be written into."""

    @property
    @abstractmethod
    def extent_um(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) of what was counted, in um from the slide's corner. Raises :class:`BundleError` without any."""

    @abstractmethod
    def gene_maps(self, genes: Iterable[str], bin_um: float = 20.0, min_qv: float = MIN_QV) -> Sequence[GeneMap]:
        """Counts of many genes, in the order asked for, on one grid with one tissue. A control's name is known too.

        Maps too large to be held together are each made when asked for. Bins and quality change nothing where the file has
        its own; the maps' ``bin_um`` tells the truth. Raises :class:`BundleError` on an unknown gene or absurd bin size.
        """

    @abstractmethod
    def summary(self) -> str:
        """One line of what and how much it holds."""

    def gene_map(self, gene: str, bin_um: float = 20.0, min_qv: float = MIN_QV) -> GeneMap:
        """Counts of one gene; as :meth:`gene_maps`."""
        return self.gene_maps([gene], bin_um, min_qv)[0]

    @property
    def size_mm(self) -> tuple[float, float]:
        """(height, width)."""
        y0, x0, y1, x1 = self.extent_um
        return ((y1 - y0) / 1000, (x1 - x0) / 1000)


@dataclass(frozen=True, eq=False, kw_only=True)
class TranscriptSlide(Slide):
    """A slide of single transcripts."""

    path: Path
    transcripts: TranscriptTable = field()  # or the base's None would be its default
    given_um: float | None = None
    _grids: dict[tuple[float, float], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    @abstractmethod
    def _check_extent(self, extent_um: tuple[float, float, float, float]) -> None:
        """Raises :class:`BundleError` where the transcripts are plainly not in um."""

    @cached_property
    def extent_um(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) of the transcripts, from the corner of the morphology image.

        Raises :class:`BundleError` when there are none, or they are plainly in pixels.
        """
        extent_um = self.transcripts.extent_um
        self._check_extent(extent_um)
        return extent_um

    @cached_property
    def genes(self) -> dict[str, int]:
        """Gene -> transcripts with qv >= 20, most frequent first. Controls are left out."""
        survey = self.transcripts.survey
        counted = zip(survey.names, survey.counts.tolist(), survey.is_gene.tolist(), strict=True)
        genes = [(name, count) for name, count, is_gene in counted if is_gene]
        return dict(sorted(genes, key=lambda gene: (-gene[1], gene[0])))

    @property
    def num_transcripts(self) -> int:
        """Rows of the transcript table, of every quality, controls included."""
        return self.transcripts.rows

    def summary(self) -> str:
        """One line: ``Human Bone marrow, 10.2 x 3.6 mm, 1.34 M transcripts``."""
        height, width = self.size_mm
        n = self.num_transcripts
        amount = f"{n / 1e6:.2f} M" if n >= 1e6 else f"{n:,}"
        digits = 1 if min(height, width) >= 1 else 2
        what = " ".join(filter(None, (self.organism, self.tissue_type)))
        size = f"{width:.{digits}f} x {height:.{digits}f} mm"
        return ", ".join(filter(None, (what, size, f"{amount} transcripts")))

    def gene_maps(self, genes: Iterable[str], bin_um: float = 20.0, min_qv: float = MIN_QV) -> Sequence[GeneMap]:
        """Counts of many genes in one pass over the transcripts, in the order asked for.

        All maps of a bin size share one grid, one tissue mask and one array of totals. A control's name is counted too. Of
        a large panel each map is made anew whenever it is asked for, and nothing but its counts without empty bins is kept.
        Raises :class:`BundleError` on an unknown gene or absurd bin size.
        """
        wanted = list(genes)
        known = self.transcripts.survey.code
        for gene in wanted:
            if gene not in known:
                raise no_such_gene(gene, self.genes, self.name)
        grid = Grid.over(self.extent_um, bin_um)
        distinct = list(dict.fromkeys(wanted))
        remembered = self._grids.get((float(bin_um), float(min_qv)))
        panel, totals = self.transcripts.count(distinct, grid, min_qv=min_qv, totals=remembered is None)
        if remembered is None:
            # float32 as a GeneMap holds it, so that many maps share one array.
            remembered = (totals.astype(np.float32), tissue_mask(totals, bin_um))
            while len(self._grids) >= KEPT_GRIDS:
                self._grids.pop(next(iter(self._grids)), None)
            self._grids[(float(bin_um), float(min_qv))] = remembered
        totals, tissue = remembered
        slot = {gene: number for number, gene in enumerate(distinct)}
        maps = MapsOnDemand(
            panel=panel,
            genes=tuple(wanted),
            slots=tuple(slot[gene] for gene in wanted),
            tissue=tissue,
            totals=totals,
            bin_um=grid.bin_um,
            origin_um=grid.origin_um,
        )
        if 4 * grid.size * len(distinct) > DENSE_BYTES:
            return maps
        made = {gene: maps[wanted.index(gene)] for gene in distinct}
        return [made[gene] for gene in wanted]


class FixedBins(Slide):
    """A slide on a grid that is what it is. Maps start at (0, 0) um."""

    names: tuple[str, ...]
    """Everything that has counts, controls included, in the file's order."""
    bin_um: float
    shape: tuple[int, int]

    @abstractmethod
    def counts_on_grid(self, name: str) -> np.ndarray:
        """(rows, columns) float32 counts of one of the names."""

    @abstractmethod
    def totals_and_tissue(self) -> tuple[np.ndarray, np.ndarray]:
        """(rows, columns) each: counts of all genes, where the tissue is."""

    @property
    def extent_um(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1), the outer edges of the bins."""
        return (0.0, 0.0, self.shape[0] * self.bin_um, self.shape[1] * self.bin_um)

    def gene_map(self, gene: str, bin_um: float | None = None, min_qv: float | None = None) -> GeneMap:
        """Counts of one gene; as :meth:`gene_maps`."""
        return self.gene_maps([gene], bin_um, min_qv)[0]

    def gene_maps(
        self, genes: Iterable[str], bin_um: float | None = None, min_qv: float | None = None
    ) -> Sequence[GeneMap]:
        """Counts of many genes, in the order asked for; a control's name is known too.

        The bins are what they are: ``bin_um`` and ``min_qv`` are there because any slide may be asked for them, and change
        nothing. The maps' own ``bin_um`` tells the truth. Maps too large to be held together are each made when asked for.
        Raises :class:`BundleError` on an unknown gene.
        """
        wanted, known = list(genes), set(self.names)
        for gene in wanted:
            if gene not in known:
                raise no_such_gene(gene, self.genes, self.name)
        maps = MapsOfBins(self, tuple(wanted))
        return maps if 4 * math.prod(self.shape) * len(wanted) > DENSE_BYTES else list(maps)


@dataclass(frozen=True, eq=False)
class MapsOfBins(Sequence[GeneMap]):
    """Maps of some genes, each made when it is asked for, and none kept."""

    slide: FixedBins
    genes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.genes)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        slide, gene = self.slide, self.genes[index]
        totals, tissue = slide.totals_and_tissue()
        return GeneMap(slide.counts_on_grid(gene), tissue, gene=gene, bin_um=slide.bin_um, totals=totals)


def fill_in_pixels(ends_um: tuple[float, float], image: StainImage) -> bool:
    """Whether the transcripts' largest (y, x) fills the image counted in pixels, and lies far off it counted in um."""
    ends = list(zip(ends_um, image.shape_px, strict=True))
    beyond = all(end > 1.2 * length * image.pixel_size_um for end, length in ends)
    return beyond and all(0.6 * length < end <= 1.02 * length for end, length in ends)


def is_length(value: Any) -> bool:
    """Whether it is a number above 0, as every length is."""
    try:
        return isinstance(value, int | float) and value is not True and math.isfinite(value) and value > 0
    except OverflowError:  # an integer of 400 digits
        return False
