"""Turn a Xenium's cell or nucleus boundaries into outlines, found by where they are: those of a view in a millisecond.

What is read: ``cell_boundaries`` or ``nucleus_boundaries``, one row a vertex, as .parquet, .csv.gz or .csv, with the columns
``cell_id`` (string, binary or integer), ``vertex_x``, ``vertex_y`` (um) and, since Xenium 3, ``label_id``, which tells the
nuclei of one cell apart. A ring's rows stand together and its last vertex repeats the first, or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import BundleError

BoundaryKind = Literal["cell", "nucleus"]
SUFFIXES = (".parquet", ".csv.gz", ".csv")
"""In order of preference."""
_NEEDED = ("cell_id", "vertex_x", "vertex_y")


@dataclass(frozen=True, eq=False)
class Boundaries:
    """Closed outlines, one after the other."""

    vertices_um: np.ndarray
    """(vertices, 2) float32 (y, x). A ring's first vertex is not repeated at its end."""
    offsets: np.ndarray
    """(outlines + 1,) int64: outline k has the vertices ``offsets[k]`` to ``offsets[k + 1]``, at least 3."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def boxes_um(self) -> np.ndarray:
        """(4, outlines) float32: the smallest y and x, the largest y and x of each outline. The index."""
        if not len(self):
            return np.zeros((4, 0), np.float32)
        low = np.minimum.reduceat(self.vertices_um, self.offsets[:-1])
        high = np.maximum.reduceat(self.vertices_um, self.offsets[:-1])
        return np.ascontiguousarray(np.hstack([low, high]).T)

    def within(self, rectangle_um: tuple[float, float, float, float]) -> np.ndarray:
        """(n,) numbers of the outlines whose box touches ``rectangle_um`` = (y0, x0, y1, x1)."""
        y0, x0, y1, x1 = rectangle_um
        top, left, bottom, right = self.boxes_um
        return np.flatnonzero((bottom >= y0) & (top <= y1) & (right >= x0) & (left <= x1))

    def edges_um(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Start and end, (edges, 2) float32 (y, x) each, of all edges of some outlines, closed."""
        first, length = self.offsets[:-1][which], np.diff(self.offsets)[which]
        ends = np.cumsum(length)
        total = int(ends[-1]) if len(ends) else 0
        # Each outline's vertices in turn: its first one, and 1 more for each that follows.
        start = np.arange(total) + np.repeat(first - (ends - length), length)
        stop = start + 1
        stop[ends - 1] = first
        return self.vertices_um[start], self.vertices_um[stop]


def find_boundaries(folder: Path, kind: BoundaryKind) -> Path | None:
    """The folder's file of cell or nucleus boundaries, Parquet before CSV; None without one."""
    paths = (folder / f"{kind}_boundaries{suffix}" for suffix in SUFFIXES)
    return next((path for path in paths if path.is_file()), None)


def read_boundaries(path: Path) -> Boundaries:
    """Read all outlines of a file into memory, some 100 bytes a cell. Raises :class:`BundleError` when it is broken."""
    try:
        table = _read(path)
        missing = [name for name in _NEEDED if name not in table.column_names]
        if missing:
            raise BundleError(
                f"{path} has no column {' nor '.join(missing)}; it has {', '.join(table.column_names) or 'nothing'}. "
                "Copy the boundaries from the instrument again."
            )
        yx_um = np.column_stack([_floats(table[name]) for name in ("vertex_y", "vertex_x")])
        keys = np.column_stack([_codes(table[name]) for name in ("cell_id", "label_id") if name in table.column_names])
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        raise BundleError(
            f"{path} can't be read as a table of boundaries ({reason}). Copy it from the instrument again."
        ) from None
    finite = np.isfinite(yx_um).all(axis=1)
    if len(yx_um) and not finite.any():
        raise BundleError(f"{path} holds no coordinates that are numbers. Copy it from the instrument again.")
    return _outlines(yx_um[finite], keys[finite]) if not finite.all() else _outlines(yx_um, keys)


def _read(path: Path) -> pa.Table:
    wanted = (*_NEEDED, "label_id")
    if path.suffix == ".parquet":
        names = pq.read_schema(path).names
        # A cell's name stands in a dozen rows: codes into a list of names are read, and no name twice.
        return pq.read_table(path, columns=[name for name in wanted if name in names], read_dictionary=["cell_id"])
    kinds = dict.fromkeys(("vertex_x", "vertex_y"), pa.float32())
    kinds["cell_id"] = pa.dictionary(pa.int32(), pa.string())
    table = pa.csv.read_csv(path, convert_options=pa.csv.ConvertOptions(column_types=kinds))
    return table.select([name for name in wanted if name in table.column_names])


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    """(n,) float32, NaN where there is nothing."""
    return column.cast(pa.float32(), safe=False).combine_chunks().to_numpy(zero_copy_only=False)


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """(n,) int64, the same for rows of the same name or number."""
    if pa.types.is_integer(column.type) and not column.null_count:
        return column.combine_chunks().to_numpy(zero_copy_only=False).astype(np.int64)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    merged = pa.concat_arrays(column.unify_dictionaries().chunks) if column.num_chunks else None
    return np.zeros(0, np.int64) if merged is None else merged.indices.fill_null(-1).to_numpy(False).astype(np.int64)


def _outlines(yx_um: np.ndarray, keys: np.ndarray) -> Boundaries:
    """Rings of (n, 2) vertices with (n, 1 or 2) keys: a ring is a run of rows with the same keys."""
    if not len(keys):
        return Boundaries(yx_um, np.zeros(1, np.int64))
    starts = _starts(keys)
    if len(np.unique(keys[starts], axis=0)) < len(starts):
        # Someone wrote the table in another order; the vertices of a ring are taken to have kept theirs.
        order = np.lexsort(keys.T)
        yx_um, keys = yx_um[order], keys[order]
        starts = _starts(keys)
    ends = np.append(starts[1:], len(yx_um)).astype(np.int64)
    last = ends - 1
    repeats = (last > starts) & (yx_um[last] == yx_um[starts]).all(axis=1)
    length = ends - starts - repeats
    kept = np.ones(len(yx_um), bool)
    kept[last[repeats]] = False
    thin = length < 3
    for start, end in zip(starts[thin], ends[thin], strict=True):
        kept[start:end] = False
    return Boundaries(yx_um[kept], np.concatenate([[0], np.cumsum(length[~thin])]).astype(np.int64))


def _starts(keys: np.ndarray) -> np.ndarray:
    """Rows at which another ring begins."""
    return np.flatnonzero(np.append(True, (keys[1:] != keys[:-1]).any(axis=1)))
