"""Turn the pages of a TIFF into the levels of an image, read where they are looked at; what can't be read is never shown as 0."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from .errors import BundleError

if TYPE_CHECKING:
    import dask.array as da

CHUNK_PX = 1024
"""Side of what is read at once: whole tiles, few enough that a screenful does not drown in bookkeeping."""
HUGE_PX = 4096
"""An image larger than this along one side needs coarser levels, or a viewer would draw all of it."""
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
    for each in page.pages or ():
        finer = levels[-1]
        if len(each.shape) != 2 or each.dtype != page.dtype or 0 in each.shape:
            continue
        down, across = (big / small for big, small in zip(finer.shape, each.shape, strict=True))
        rounding = max(1 / side for side in each.shape)
        if min(down, across) >= 1 and max(down, across) > 1 and abs(down / across - 1) <= MAX_ASPECT_CHANGE + rounding:
            levels.append(each)
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
            while max(levels[-1].shape) > HUGE_PX:
                coarser = da.coarsen(np.mean, levels[-1], {0: 4, 1: 4}, trim_excess=True)
                levels.append(coarser.astype(levels[0].dtype))
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


def _lazy(path: Path, page: tifffile.TiffPage) -> da.Array:
    import dask.array as da
    import zarr

    array = zarr.open(page.aszarr(), mode="r")
    # Whole tiles or strips, about CHUNK_PX on each side.
    chunks = tuple(min(length, step * max(1, CHUNK_PX // step))
                   for length, step in zip(array.shape, array.chunks, strict=True))  # fmt: skip
    return da.from_array(Pixels(path, array), chunks=chunks, name=False)
