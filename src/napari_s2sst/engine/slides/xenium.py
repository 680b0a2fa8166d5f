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
      cells.parquet                        for the number of cells, where the manifest has none; and for how far they reach,
                                           by which transcripts in pixels are noticed where no image tells
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BundleError
from ..files import PACKED, local_path
from ..pictures.stains import StainImage, find_morphology, open_stains, read_pixel_size_um
from ..transcripts.cache import cache_for
from ..transcripts.table import FILE_NAMES, TranscriptTable
from .slide import TranscriptSlide, fill_in_pixels, is_length

MANIFEST = "experiment.xenium"
PIXEL_UM = 0.2125
"""Of every Xenium so far (10x, "Understanding Xenium Outputs")."""
ALIKE = 0.1
"""Cells end where transcripts do, but for a cell or two."""
MIN_CELLS = 20
"""Fewer may lie anywhere."""
_CENTRES = ("y_centroid", "x_centroid")
_BESIDE_TRANSCRIPTS = ("cells.parquet", "cells.csv.gz", "cell_feature_matrix.h5", "morphology_focus")


@dataclass(frozen=True, eq=False, kw_only=True)
class Bundle(TranscriptSlide):
    """An opened Xenium folder. Nothing large is in memory; maps and pixels are read when asked for."""

    manifest: dict[str, Any] = field(default_factory=dict)
    """experiment.xenium as it stands; empty without one."""

    @property
    def name(self) -> str:
        return self._stated("region_name") or self.path.name

    @property
    def version(self) -> str:
        """The instrument's software, such as ``xenium-3.0.0.15``. For show only: files differ within a version."""
        return self._stated("analysis_sw_version") or "unknown"

    @property
    def software(self) -> str:
        """``Xenium 3.0.0.15`` of the instrument's ``xenium-3.0.0.15``."""
        version = self._stated("analysis_sw_version") or ""
        name, dash, number = version.partition("-")
        return f"Xenium {number}" if dash and name.casefold() == "xenium" else version

    @property
    def tissue_type(self) -> str | None:
        return self._stated("panel_tissue_type")

    @property
    def organism(self) -> str | None:
        return self._stated("panel_organism")

    @property
    def panel_name(self) -> str | None:
        return self._stated("panel_name")

    @cached_property
    def num_cells(self) -> int | None:
        stated = self.manifest.get("num_cells")
        if isinstance(stated, int) and not isinstance(stated, bool):
            return stated
        try:
            return pq.read_metadata(self.path / "cells.parquet").num_rows
        except (OSError, pa.ArrowException):
            return None

    @cached_property
    def pixel_size_um(self) -> float | None:
        """Size of the morphology image's pixel: from the manifest, else the image, else as given to :func:`open_xenium`.

        None where nobody says; it is never assumed.
        """
        stated = self.manifest.get("pixel_size")
        if is_length(stated):
            return float(stated)
        try:
            of_image = read_pixel_size_um(find_morphology(self.path))
        except BundleError:  # an incomplete image; `images` says what is wrong with it
            of_image = None
        return of_image or self.given_um

    @cached_property
    def images(self) -> tuple[StainImage, ...]:
        """One for each stain; empty without a morphology image. Raises :class:`BundleError` when a file is missing."""
        return open_stains(find_morphology(self.path), self.pixel_size_um)

    def _check_extent(self, extent_um: tuple[float, float, float, float]) -> None:
        try:
            image = next(iter(self.images), None)
        except BundleError:  # an incomplete image; whoever draws it says what is wrong with it
            image = None
        if image is not None and image.pixel_size_um is not None and fill_in_pixels(extent_um[2:], image):
            rows, columns = image.shape_px
            raise BundleError(
                f"By {self.transcripts.path} the transcripts reach y {extent_um[2]:,.0f} and x {extent_um[3]:,.0f} um, but the "
                f"morphology image ends at {rows * image.pixel_size_um:,.0f} and {columns * image.pixel_size_um:,.0f} um, being "
                f"{rows:,} x {columns:,} pixels: the table is in pixels. Multiply x_location and y_location by "
                f"{image.pixel_size_um:g}, or copy it from the instrument again."
            )
        cells_um, pixel_um = cells_reach_um(self.path), self.pixel_size_um or PIXEL_UM
        if cells_um is not None and lie_in_pixels(extent_um[2:], cells_um, pixel_um):
            raise BundleError(
                f"By {self.transcripts.path} the transcripts reach y {extent_um[2]:,.0f} and x {extent_um[3]:,.0f} um, but by "
                f"cells.parquet the cells end at {cells_um[0]:,.0f} and {cells_um[1]:,.0f} um: the table is in pixels. Multiply "
                f"x_location and y_location by {pixel_um:g}, or copy it from the instrument again."
            )

    def _stated(self, key: str) -> str | None:
        text = self.manifest.get(key)
        return text.strip() or None if isinstance(text, str) else None


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

    ``pixel_size_um``, um a pixel of the morphology image, is taken where neither experiment.xenium nor the image tells it.
    Raises :class:`BundleError` when there is no such folder, it is no Xenium folder, it has no transcripts, or the given pixel
    size is no length.
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
    transcripts = replace(table, cache=cache_for(table.path))
    return Bundle(path=path, transcripts=transcripts, given_um=pixel_size_um, manifest=manifest or {})


def _meant_instead(folder: Path) -> str:
    """A sentence that names the Xenium folder or the packed file inside a folder that is none."""
    try:
        inside = sorted(folder.iterdir())[:200]
    except OSError:
        return ""
    slide = next((path.name for path in inside if path.is_dir() and is_xenium(path)), None)
    packed = next((path.name for path in inside if path.name.lower().endswith(PACKED)), None)
    if slide:
        return f" The folder {slide} in it is one."
    return f" Unpack {packed} in it first." if packed else ""


def read_json(path: Path) -> dict[str, Any] | None:
    """The file's object; None without the file. Raises :class:`BundleError` when it is anything else."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} can't be read as JSON ({error}). Copy it from the instrument again.") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} does not hold what a Xenium writes there. Copy it from the instrument again.")
    return content


def read_panel(path: Path) -> dict[str, bool]:
    """Name -> is it a gene, as far as gene_panel.json tells; 10x nests it as payload.targets[].type."""
    panel: dict[str, bool] = {}
    payload = (read_json(path) or {}).get("payload")
    targets = payload.get("targets") if isinstance(payload, dict) else None
    for target in targets if isinstance(targets, list) else ():
        kind = target.get("type") if isinstance(target, dict) else None
        data = kind.get("data") if isinstance(kind, dict) else None
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            panel[data["name"]] = kind.get("descriptor") == "gene"
    return panel


def cells_reach_um(folder: Path) -> tuple[float, float] | None:
    """The largest (y, x) of the cells' centres, from the statistics in cells.parquet; None where nothing is told."""
    try:
        metadata = pq.read_metadata(folder / "cells.parquet")
    except (OSError, ValueError, pa.ArrowException):
        return None
    ends: dict[str, list[float]] = {name: [] for name in _CENTRES}
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            stored = column.statistics
            if column.path_in_schema in ends and stored is not None and stored.has_min_max:
                if not isinstance(stored.max, int | float):
                    return None
                ends[column.path_in_schema].append(float(stored.max))
    if metadata.num_rows < MIN_CELLS or any(len(largest) != metadata.num_row_groups for largest in ends.values()):
        return None
    y, x = map(max, ends.values())
    return (y, x) if 0 < y < math.inf and 0 < x < math.inf else None


def lie_in_pixels(ends_um: tuple[float, float], cells_um: tuple[float, float], pixel_um: float) -> bool:
    """Whether transcripts that reach to (y, x) end with the cells when they are counted in pixels, and only then."""
    if abs(pixel_um - 1) < 2 * ALIKE:
        return False
    return all(abs(end * pixel_um / cells - 1) < ALIKE for end, cells in zip(ends_um, cells_um, strict=True))
