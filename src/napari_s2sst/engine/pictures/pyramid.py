"""Turn the pages of a TIFF into the levels of an image, read where they are looked at; what can't be read is never shown as 0.

Of an image without coarser levels, those are worked out block by block when they are looked at, and kept while they are small.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from ..errors import BundleError

if TYPE_CHECKING:
    import dask.array as da

CHUNK_PX = 1024
"""Side of what is read at once: whole tiles, few enough that a screenful does not drown in bookkeeping."""
HUGE_PX = 4096
"""An image larger than this along one side needs coarser levels, or a viewer would draw all of it."""
COARSER = 4
"""Each level that is worked out is so many times smaller along both sides."""
KEPT_BYTES = 128_000_000
"""A level that was worked out is kept up to this size: to see all of an image without levels, all of it must be read."""
MAX_PX = 1 << 20
"""No slide is as long: 223 mm at Xenium's 0.2125 um."""
MAX_ASPECT_CHANGE = 0.1
"""A coarser level is the same picture, so its sides shrink alike, but for the rounding of a few pixels."""


def broken(path: Path, error: Exception) -> BundleError:
    """The error for an image that breaks off, or is none."""
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return BundleError(f"{path} can't be read as an OME-TIFF image ({reason}). Copy it from the instrument again.")


def levels_of(page: tifffile.TiffPage) -> list[tifffile.TiffPage]:
    """The page and those of its sub-images that are the same picture, ever coarser; others are left out."""
    levels = [page]
    for coarser in page.pages or ():
        finer = levels[-1]
        if len(coarser.shape) != 2 or coarser.dtype != page.dtype or 0 in coarser.shape:
            continue
        down, across = (big / small for big, small in zip(finer.shape, coarser.shape, strict=True))
        rounding = max(1 / side for side in coarser.shape)
        if min(down, across) >= 1 and max(down, across) > 1 and abs(down / across - 1) <= MAX_ASPECT_CHANGE + rounding:
            levels.append(coarser)
    return levels


def check_page(path: Path, page: tifffile.TiffPage, file_bytes: int) -> None:
    """Raises :class:`BundleError` when the page is empty, larger than any slide, or its pixels lie behind the file's end."""
    rows, columns = page.shape
    if not rows or not columns or page.dtype is None or page.dtype.kind not in "iufb":
        raise BundleError(
            f"{path} holds no picture: {rows:,} x {columns:,} pixels of {page.dtype}. Copy it from the instrument again."
        )
    if max(rows, columns) > MAX_PX:
        raise BundleError(
            f"{path} says it has {rows:,} x {columns:,} pixels, more than any slide. Copy it from the instrument again."
        )
    ends = np.add(page.dataoffsets, page.databytecounts, dtype=np.int64)
    missing = np.count_nonzero(ends > file_bytes)
    needed = len(ends) < -(-rows // page.chunks[0]) * -(-columns // page.chunks[1])
    if missing or needed or not np.any(page.databytecounts):
        raise BundleError(
            f"{path} is cut short: it has {file_bytes:,} bytes, and {missing or 'some'} of the {len(ends):,} pieces of its "
            f"{rows:,} x {columns:,} pixels are missing. Copy it from the instrument again."
        )


class Pyramid(Sequence):
    """Lazy arrays of a stain's pages, made when first asked for: the packages for them take longer than the headers."""

    def __init__(self, path: Path, pages: Sequence[tifffile.TiffPage]) -> None:
        self._path, self._pages = path, pages

    def __len__(self) -> int:
        return len(self._levels)

    def __getitem__(self, index):
        return self._levels[index]

    @property
    def shape_px(self) -> tuple[int, int]:
        """(rows, columns) of the finest level."""
        return self._pages[0].shape

    @cached_property
    def _levels(self) -> list[da.Array]:
        import dask.array as da

        try:
            levels = [_lazy(self._path, page) for page in self._pages]
        except (OSError, ValueError, IndexError, struct.error, tifffile.TiffFileError) as error:
            raise broken(self._path, error) from None
        if len(levels) == 1:
            coarser = _pixels(self._path, self._pages[0])[0]
            while max(coarser.shape) > HUGE_PX:
                coarser = Coarser(coarser)
                levels.append(da.from_array(coarser, chunks=CHUNK_PX // COARSER, name=False))
        return levels


class Pixels:
    """A level as an array that is read in parts, and says in words which file could not be."""

    def __init__(self, path: Path, array: Any) -> None:
        self._path, self._array = path, array
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, index) -> np.ndarray:
        try:
            return self._array[index]
        except Exception as error:  # each codec has errors of its own
            raise broken(self._path, error) from None


class Coarser:
    """A level worked out from a finer one, block by block as it is looked at: means of 4 x 4 pixels."""

    def __init__(self, finer: Pixels | Coarser) -> None:
        self._finer = finer
        self.shape, self.dtype, self.ndim = tuple(side // COARSER for side in finer.shape), finer.dtype, 2
        self._kept: dict[tuple[int, int], np.ndarray] = {}
        self._keeps = self.shape[0] * self.shape[1] * self.dtype.itemsize <= KEPT_BYTES

    def __getitem__(self, index: tuple[slice | int, slice | int]) -> np.ndarray:
        # Dask asks for a block, or for what was asked for of it: any slice, or one row or column.
        wanted = [range(length)[along] for along, length in zip(index, self.shape, strict=True)]
        inside = [np.array([along] if isinstance(along, int) else along, np.intp) for along in wanted]
        if not all(map(len, inside)):
            return np.zeros(tuple(map(len, inside)), self.dtype)
        side = CHUNK_PX // COARSER
        rows, columns = (range(along.min() // side, along.max() // side + 1) for along in inside)
        blocks = np.block([[self._block(row, column) for column in columns] for row in rows])
        pixels = blocks[np.ix_(inside[0] - rows[0] * side, inside[1] - columns[0] * side)]
        return pixels[tuple(0 if isinstance(along, int) else slice(None) for along in wanted)]

    def _block(self, row: int, column: int) -> np.ndarray:
        block = self._kept.get((row, column))
        if block is None:
            block = self._worked_out(row, column)
            if self._keeps:
                self._kept[row, column] = block
        return block

    def _worked_out(self, row: int, column: int) -> np.ndarray:
        side = CHUNK_PX // COARSER
        (top, bottom), (left, right) = (
            (COARSER * side * number, COARSER * min(side * (number + 1), length))
            for number, length in zip((row, column), self.shape, strict=True)
        )
        pixels = self._finer[top:bottom, left:right]
        # A float32 holds the sum of 16 numbers of 16 bits exactly.
        total = np.zeros(
            tuple(length // COARSER for length in pixels.shape), np.float32 if self.dtype.itemsize < 4 else np.float64
        )
        for down in range(COARSER):
            for across in range(COARSER):
                total += pixels[down::COARSER, across::COARSER]
        total /= COARSER * COARSER
        return total.astype(self.dtype)


def _pixels(path: Path, page: tifffile.TiffPage) -> tuple[Pixels, tuple[int, int]]:
    """A page's pixels, and how many (rows, columns) its tiles or strips have."""
    import zarr

    array = zarr.open(page.aszarr(), mode="r")
    return Pixels(path, array), array.chunks


def _lazy(path: Path, page: tifffile.TiffPage) -> da.Array:
    import dask.array as da

    pixels, tile = _pixels(path, page)
    # Whole tiles or strips, about CHUNK_PX on each side.
    chunks = tuple(min(length, step * max(1, CHUNK_PX // step))
                   for length, step in zip(pixels.shape, tile, strict=True))  # fmt: skip
    return da.from_array(pixels, chunks=chunks, name=False)
