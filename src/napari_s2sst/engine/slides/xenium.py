"""Turn the folder that a Xenium instrument wrote into a :class:`Bundle`: genes, gene maps and stains.

What is read of it; all else is left alone, and which of it exists decides, not the version::

    output-XETG.../
      experiment.xenium                    JSON: names, version, pixel size; may be missing
      gene_panel.json                      genes and controls, where the transcripts do not tell
      transcripts.parquet | .csv.gz | .csv one row a transcript
      morphology_focus/                    Xenium 2 and later: one file a stain
        morphology_focus_0000.ome.tif ...  or, from 4.0, ch0000_dapi.ome.tif ...
      morphology_focus.ome.tif             Xenium 1
      morphology_mip.ome.tif               Xenium 1; second choice
      morphology.ome.tif                   the focal stack; last choice
      cells.parquet                        for the number of cells, where the manifest has none
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BundleError
from ..files import PACKED, local_path
from ..maps import GeneMap
from ..pictures.stains import StainImage, find_morphology, open_stains, read_pixel_size_um
from ..transcripts.cache import cache_for
from ..transcripts.grid import Grid, tissue_mask
from ..transcripts.panel import MapsOnDemand
from ..transcripts.table import FILE_NAMES, MIN_QV, TranscriptTable, no_such_gene
from .xenium_files import MANIFEST, PIXEL_UM, cells_reach_um, is_length, lie_in_pixels, read_json, read_panel

DENSE_BYTES = 256_000_000
"""Maps larger than this together are made one by one, when they are asked for."""
KEPT_GRIDS = 4
"""Totals and tissue of so many (bin size, quality) pairs are remembered."""
_BESIDE_TRANSCRIPTS = ("cells.parquet", "cells.csv.gz", "cell_feature_matrix.h5", "morphology_focus")


@dataclass(frozen=True, eq=False)
class Bundle:
    """An opened Xenium folder. Nothing large is in memory; maps and pixels are read when asked for."""

    path: Path
    manifest: dict[str, Any]
    """experiment.xenium as it stands; empty without one."""
    transcripts: TranscriptTable
    given_um: float | None = None
    """What the user says; it serves where neither the manifest nor the image tells."""
    _grids: dict[tuple[float, float], tuple[np.ndarray, np.ndarray]] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        return self._said("region_name") or self.path.name

    @property
    def version(self) -> str:
        """The instrument's software, such as ``xenium-3.0.0.15``. For show only: files differ within a version."""
        return self._said("analysis_sw_version") or "unknown"

    @property
    def tissue_type(self) -> str | None:
        return self._said("panel_tissue_type")

    @property
    def organism(self) -> str | None:
        return self._said("panel_organism")

    @property
    def panel_name(self) -> str | None:
        return self._said("panel_name")

    @cached_property
    def num_cells(self) -> int | None:
        said = self.manifest.get("num_cells")
        if isinstance(said, int) and not isinstance(said, bool):
            return said
        try:
            return pq.read_metadata(self.path / "cells.parquet").num_rows
        except (OSError, pa.ArrowException):
            return None

    @cached_property
    def pixel_size_um(self) -> float | None:
        """Of the morphology image: from the manifest, else from the image, else as given to :func:`open_xenium`.

        None where nobody says; it is never assumed.
        """
        said = self.manifest.get("pixel_size")
        if is_length(said):
            return float(said)
        try:
            stated = read_pixel_size_um(find_morphology(self.path))
        except BundleError:  # an incomplete image; `images` says what is wrong with it
            stated = None
        return stated or self.given_um

    @cached_property
    def images(self) -> tuple[StainImage, ...]:
        """One for each stain; empty without a morphology image. Raises :class:`BundleError` when a file is missing."""
        return open_stains(find_morphology(self.path), self.pixel_size_um)

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

    @property
    def extent_um(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) of the transcripts, from the corner of the morphology image.

        Raises :class:`BundleError` when there are none, or they are plainly in pixels.
        """
        return self._checked_extent_um

    @cached_property
    def _checked_extent_um(self) -> tuple[float, float, float, float]:
        extent = self.transcripts.extent_um
        try:
            image = next(iter(self.images), None)
        except BundleError:  # an incomplete image; whoever draws it says what is wrong with it
            image = None
        if image is not None and image.pixel_size_um is not None and _in_pixels(extent[2:], image):
            rows, columns = image.shape_px
            raise BundleError(
                f"By {self.transcripts.path} the transcripts reach y {extent[2]:,.0f} and x {extent[3]:,.0f} um, but the "
                f"morphology image ends at {rows * image.pixel_size_um:,.0f} and {columns * image.pixel_size_um:,.0f} um, being "
                f"{rows:,} x {columns:,} pixels: the table is in pixels. Multiply x_location and y_location by "
                f"{image.pixel_size_um:g}, or copy it from the instrument again."
            )
        cells_um, pixel_um = cells_reach_um(self.path), self.pixel_size_um or PIXEL_UM
        if cells_um is not None and lie_in_pixels(extent[2:], cells_um, pixel_um):
            raise BundleError(
                f"By {self.transcripts.path} the transcripts reach y {extent[2]:,.0f} and x {extent[3]:,.0f} um, but by "
                f"cells.parquet the cells end at {cells_um[0]:,.0f} and {cells_um[1]:,.0f} um: the table is in pixels. Multiply "
                f"x_location and y_location by {pixel_um:g}, or copy it from the instrument again."
            )
        return extent

    @property
    def size_mm(self) -> tuple[float, float]:
        """(height, width)."""
        y0, x0, y1, x1 = self.extent_um
        return ((y1 - y0) / 1000, (x1 - x0) / 1000)

    def summary(self) -> str:
        """One line: ``Human Bone marrow, 10.2 x 3.6 mm, 1.34 M transcripts``."""
        height, width = self.size_mm
        n = self.num_transcripts
        amount = f"{n / 1e6:.2f} M" if n >= 1e6 else f"{n:,}"
        digits = 1 if min(height, width) >= 1 else 2
        what = " ".join(filter(None, (self.organism, self.tissue_type)))
        size = f"{width:.{digits}f} x {height:.{digits}f} mm"
        return ", ".join(filter(None, (what, size, f"{amount} transcripts")))

    def gene_map(self, gene: str, bin_um: float = 20.0, min_qv: float = MIN_QV) -> GeneMap:
        """Counts of one gene on the whole slide. Raises :class:`BundleError` on an unknown gene or absurd bin size."""
        return self.gene_maps([gene], bin_um, min_qv)[0]

    def gene_maps(self, genes: Iterable[str], bin_um: float = 20.0, min_qv: float = MIN_QV) -> Sequence[GeneMap]:
        """The same for many genes in one pass over the transcripts, in the order asked for.

        All maps of a bin size share one grid, one tissue mask and one array of totals. A control's name is counted too. Of
        a large panel each map is made anew whenever it is asked for, and nothing but its counts without empty bins is kept.
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
        slots = tuple(slot[gene] for gene in wanted)
        maps = MapsOnDemand(panel, tuple(wanted), slots, tissue, totals, grid.bin_um, grid.origin_um)
        if 4 * grid.size * len(distinct) > DENSE_BYTES:
            return maps
        made = {gene: maps[wanted.index(gene)] for gene in distinct}
        return [made[gene] for gene in wanted]

    def _said(self, key: str) -> str | None:
        said = self.manifest.get(key)
        return said.strip() or None if isinstance(said, str) else None


def is_xenium(path: str | Path) -> bool:
    """Whether to try :func:`open_xenium` on this path. Looks at names only and never raises."""
    try:
        path = Path(path)
        if path.is_file():
            return path.name == MANIFEST
        if (path / MANIFEST).is_file():
            return True
        # A table of transcripts alone might be anyone's; with cells or a morphology image beside it, it is Xenium's.
        return any((path / name).is_file() for name in FILE_NAMES) and (
            any((path / name).exists() for name in _BESIDE_TRANSCRIPTS) or bool(find_morphology(path))
        )
    except (OSError, ValueError, TypeError):
        return False


def open_xenium(path: str | Path, pixel_size_um: float | None = None) -> Bundle:
    """Open the folder that a Xenium instrument wrote, or its experiment.xenium.

    ``pixel_size_um`` of the morphology image is taken where neither experiment.xenium nor the image tells it. Raises
    :class:`BundleError` when there is no such folder, it is no Xenium folder, or it has no transcripts.
    """
    path = local_path(path, "the folder that the instrument wrote")
    if pixel_size_um is not None and not is_length(pixel_size_um):
        raise BundleError(f"The pixel size is {pixel_size_um} um; give one above 0, such as 0.2125.")
    if not path.exists():
        raise BundleError(f"There is no folder {path}. Choose the folder that the instrument wrote.")
    if path.is_file():
        if path.name != MANIFEST:
            raise BundleError(f"{path} is a file. Choose the folder that the instrument wrote, or its {MANIFEST}.")
        path = path.parent
    elif not path.is_dir():
        raise BundleError(f"{path} is neither a folder nor a file. Choose the folder that the instrument wrote.")
    manifest = read_json(path / MANIFEST)
    table = TranscriptTable.find(path)
    if table is None and manifest is None:
        raise BundleError(
            f"{path} has neither {MANIFEST} nor {FILE_NAMES[0]}, so it is not a Xenium output folder. "
            f"Choose the folder that the instrument wrote, usually named output-XETG...{_meant_instead(path)}"
        )
    if table is None:
        raise BundleError(
            f"{path} has no transcripts: neither {' nor '.join(FILE_NAMES[:2])} is there. "
            "Copy one of them from the instrument into this folder."
        )
    if not table.tells_genes:
        table = replace(table, panel=read_panel(path / "gene_panel.json"))
    return Bundle(path, manifest or {}, replace(table, cache=cache_for(table.path)), pixel_size_um)


def _meant_instead(folder: Path) -> str:
    """A sentence that names the Xenium folder or the packed file inside a folder that is none."""
    try:
        inside = sorted(folder.iterdir())[:200]
    except OSError:
        return ""
    slide = next((each.name for each in inside if each.is_dir() and is_xenium(each)), None)
    packed = next((each.name for each in inside if each.name.lower().endswith(PACKED)), None)
    if slide:
        return f" The folder {slide} in it is one."
    return f" Unpack {packed} in it first." if packed else ""


def _in_pixels(ends_um: tuple[float, float], image: StainImage) -> bool:
    """Whether the largest (y, x) fills the image counted in pixels, and lies far off it counted in um."""
    ends = list(zip(ends_um, image.shape_px, strict=True))
    beyond = all(end > 1.2 * length * image.pixel_size_um for end, length in ends)
    return beyond and all(0.6 * length < end <= 1.02 * length for end, length in ends)
