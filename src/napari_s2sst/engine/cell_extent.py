"""A bundle's cells -> how far they reach, by which transcripts in pixels are noticed where no image tells."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

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
