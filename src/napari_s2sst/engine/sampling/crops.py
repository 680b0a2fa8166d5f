"""A sparse map -> the parts of it that hold tissue, with a margin: a small region costs little.

Glass between two parts, or around one, tells the network nothing: its estimate inside the tissue is the same without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..maps import SparseMap
from .lattice import CONTEXT_LATTICE, lattice_cells

MARGIN_LATTICE = 12
"""Lattice bins of glass kept around the tissue. The convolutions could see farther, and what they see there is the same
everywhere: with 12 the estimates inside are those of the whole map bit for bit, with 4 not
(tests/engine/sampling/test_crops.py)."""

Box = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""


@dataclass(frozen=True, eq=False)
class Piece:
    """A piece of a sparse map; slices are those of the whole map's full grid."""

    sparse: SparseMap
    """The piece with its margin."""
    at: tuple[slice, slice]
    """Where it lies."""
    core: tuple[slice, slice]
    """Where it lies without its margin; no two parts share a bin there."""
    shape: tuple[int, int]
    """(rows, columns) of the whole grid."""

    def cut(self, whole: np.ndarray) -> np.ndarray:
        """(..., rows, columns) of the whole grid -> of the piece."""
        return whole[(..., *self.at)]

    def put(self, values: np.ndarray, whole: np.ndarray) -> None:
        """Write (..., rows, columns) of the piece into its place of the whole grid, all but the margin."""
        own = (slice(core.start - at.start, core.stop - at.start) for core, at in zip(self.core, self.at, strict=True))
        whole[(..., *self.core)] = values[(..., *own)]

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(rows, columns) of the piece -> of the whole grid, 0 elsewhere; the very array where the piece is all."""
        if values.shape == self.shape:
            return values
        whole = np.zeros(self.shape, values.dtype)
        self.put(values, whole)
        return whole


def whole_map(sparse: SparseMap) -> Piece:
    """All of it as one piece."""
    everywhere = (slice(0, sparse.shape[0]), slice(0, sparse.shape[1]))
    return Piece(sparse, everywhere, everywhere, sparse.shape)


def around_tissue(sparse: SparseMap, *, align: int = 1) -> Piece:
    """The rectangle that holds all tissue; the map itself where that is everywhere.

    ``align``: lattice bins that both ends of the rectangle are shifted by a multiple of, counted from the map's ends, so that
    windows lie where they did.
    """
    return _piece(sparse, _bounds(tissue_cells(sparse)), align)


def tissue_parts(sparse: SparseMap, *, gap: int, align: int = 1) -> list[Piece]:
    """The rectangles that hold all tissue: several where empty rows or columns of ``gap`` lattice bins and more lie between."""
    cells, least = tissue_cells(sparse), 2 * (_margin(sparse) + align)
    return [_piece(sparse, box, align) for box in _split(cells, _bounds(cells), max(gap, least))]


def tissue_cells(sparse: SparseMap) -> np.ndarray:
    """(lattice rows, lattice columns) where any bin is wanted or measured; a bin without a lattice bin goes to the last."""
    return lattice_cells(sparse.tissue, sparse.measured.shape, sparse.stride) | sparse.measured


def _margin(sparse: SparseMap) -> int:
    """Lattice bins kept around the tissue: as far as the context goes, where there is one."""
    return MARGIN_LATTICE if sparse.context is None else max(MARGIN_LATTICE, CONTEXT_LATTICE)


def _bounds(cells: np.ndarray) -> Box:
    """The rectangle of all True; everything where none is."""
    ends: list[int] = []
    for axis, length in enumerate(cells.shape):
        filled = np.flatnonzero(cells.any(axis=1 - axis))
        ends += [int(filled[0]), int(filled[-1]) + 1] if len(filled) else [0, length]
    return ends[0], ends[1], ends[2], ends[3]


def _split(cells: np.ndarray, box: Box, gap: int) -> Iterator[Box]:
    """Cut at every wide empty stripe, along rows and columns in turn, until none is left."""
    top, bottom, left, right = box
    inner = cells[top:bottom, left:right]
    for axis, first in ((0, top), (1, left)):
        filled = np.flatnonzero(inner.any(axis=1 - axis))
        breaks = np.flatnonzero(np.diff(filled) > gap)
        if not len(breaks):
            continue
        begins, ends = filled[[0, *breaks + 1]] + first, filled[[*breaks, -1]] + first + 1
        for begin, end in zip(begins, ends, strict=True):
            stripe = (begin, end, left, right) if axis == 0 else (top, bottom, begin, end)
            r0, r1, c0, c1 = _bounds(cells[stripe[0] : stripe[1], stripe[2] : stripe[3]])
            yield from _split(cells, (r0 + stripe[0], r1 + stripe[0], c0 + stripe[2], c1 + stripe[2]), gap)
        return
    yield box


def _piece(sparse: SparseMap, box: Box, align: int) -> Piece:
    """The box (lattice bins) with its margin."""
    taken, core = [], []
    margin = _margin(sparse)
    for axis, (begin, end) in enumerate((box[:2], box[2:])):
        length, bins = sparse.measured.shape[axis], sparse.shape[axis]
        first = max(0, begin - margin) // align * align
        last = length - max(0, length - end - margin) // align * align
        taken.append(slice(first, last))
        core.append(slice(begin * sparse.stride, bins if end == length else end * sparse.stride))
    if all(slice(0, length) == part for length, part in zip(sparse.measured.shape, taken, strict=True)):
        return whole_map(sparse)
    return Piece(sparse.cut(tuple(taken)), sparse.grid_of(taken), tuple(core), sparse.shape)
