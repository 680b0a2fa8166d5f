"""A bundle's cells -> how far they reach, by which transcripts in pixels are noticed where no image tells."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BundleError

PIXEL_UM = 0.2125
"""Of every Xenium so far (10x, "Understanding Xenium Outputs")."""
ALIKE = 0.1
"""Cells end where transcripts do, but for a cell or two."""
MIN_CELLS = 20
"""Fewer may lie anywhere."""
_CENTRES = ("y_centroid", "x_centroid")


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
    if metadata.num_rows < MIN_CELLS or any(len(each) != metadata.num_row_groups for each in ends.values()):
        return None
    y, x = (max(each) for each in ends.values())
    return (y, x) if 0 < y < math.inf and 0 < x < math.inf else None


def lie_in_pixels(ends_um: tuple[float, float], cells_um: tuple[float, float], pixel_um: float) -> bool:
    """Whether transcripts that reach to (y, x) end with the cells when they are counted in pixels, and only then."""
    if abs(pixel_um - 1) < 2 * ALIKE:
        return False
    return all(abs(end * pixel_um / cells - 1) < ALIKE for end, cells in zip(ends_um, cells_um, strict=True))


# ---- Turn a bundle's JSON files, experiment.xenium and gene_panel.json, into what they say; whatever they hold, one clear error.

MANIFEST = "experiment.xenium"


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


def is_length(said: Any) -> bool:
    """Whether it is a number above 0, as every length is."""
    try:
        return isinstance(said, int | float) and said is not True and math.isfinite(said) and said > 0
    except OverflowError:  # an integer of 400 digits
        return False
