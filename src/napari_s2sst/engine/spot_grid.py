"""Spots -> the square bins that they fill: from the rows and columns that a file says, or from coordinates alone."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from .errors import BundleError

MAX_OFF = 0.2
"""Farthest that a centre may lie from its bin's, in bins; whole pixels are 0.002 bins off, cells half a bin."""
MAX_PLACE = 1e9
"""Rows and columns beyond it are no numbers of rows, and their products no numbers of bins."""
MANY = 0.25
"""Share of spots with five or six close neighbours: none on a square grid, 0.4 % of cells at random, most in a honeycomb
of which the tissue leaves more than strips."""


def bins_of_spots(path: Path, array: np.ndarray | None, xy: np.ndarray | None) -> tuple[np.ndarray, float | None]:
    """(spots, 2) row and column of each spot from 0 on, and the distance between bins in pixels where coordinates tell it.

    ``array`` (spots, 2) the row and column that the file says, ``xy`` (spots, 2) the centres in pixels, (x, y); None where
    the file has none. What it says is taken where it agrees with the centres. Raises :class:`BundleError`, naming ``path``,
    on a honeycomb or where the spots lie on no grid of square bins.
    """
    if array is None and xy is None:
        raise BundleError(
            f"{path} does not say where its spots lie: it has neither obs array_row and array_col nor obsm spatial. "
            "Add one of them, or choose the file as its maker published it."
        )
    places = _whole(path, array)
    if places is not None and _alternate(places):
        raise _a_honeycomb(path)
    if places is not None and len(np.unique(places, axis=0)) == len(places):
        if xy is None:
            return places, None
        steps = _steps_if_alike(places, xy)
        if steps is not None:
            return _upright(places, steps), float(math.sqrt(np.prod(np.linalg.norm(steps, axis=1))))
    if xy is None:
        raise BundleError(
            f"The array_row and array_col of {path} are not one whole number each for every bin, and there are no coordinates "
            "(obsm spatial). Download the file again."
        )
    if _honeycomb(xy):
        raise _a_honeycomb(path)
    return _bins_from_coordinates(path, xy)


def _a_honeycomb(path: Path) -> BundleError:
    return BundleError(
        f"The spots of {path} lie in a honeycomb, every other row shifted by half a spot, as Visium's do; a grid of square "
        "bins is needed. Choose a Xenium sample of HEST-1k such as TENX94, a slide of Spatial Transcriptomics or a binned Visium "
        "HD (square_008um), or put the spots onto squares yourself and save them as a count cube (.npz)."
    )


def _whole(path: Path, array: np.ndarray | None) -> np.ndarray | None:
    """(spots, 2) row and column from 0 on; None where they are not whole numbers."""
    if array is None or not len(array) or not np.isfinite(array).all() or (array != np.floor(array)).any():
        return None
    if np.abs(array).max() > MAX_PLACE:
        raise BundleError(
            f"The array_row and array_col of {path} go up to {np.abs(array).max():.3g}, and no array has so many rows. "
            "Download the file again."
        )
    return array.astype(np.int64) - array.min(axis=0).astype(np.int64)


def _alternate(places: np.ndarray) -> bool:
    """Whether even rows hold spots at even columns only and odd rows at odd ones, or the reverse: Visium's numbering."""
    parity = places.sum(axis=1) % 2
    return len(places) > 4 and len(np.unique(places[:, 0] % 2)) == 2 and len(np.unique(parity)) == 1


def _honeycomb(xy: np.ndarray) -> bool:
    """Whether many spots have more than the four neighbours at one distance that a square grid allows."""
    if len(xy) <= 7:
        return False
    distances = cKDTree(xy).query(xy, k=7)[0]
    near = (distances[:, 1:] < 1.2 * np.median(distances[:, 1])).sum(axis=1)
    return float(np.mean(near > 4)) > MANY


def _steps_if_alike(places: np.ndarray, xy: np.ndarray) -> np.ndarray | None:
    """(2, 2): how many pixels (x, y) a row and a column go on, when these explain the coordinates, turned or not; else None."""
    design = np.column_stack([places, np.ones(len(places))])
    steps, _, rank, _ = np.linalg.lstsq(design, xy, rcond=None)
    if rank < 3:
        return None
    down, across = np.linalg.norm(steps[:2], axis=1)
    off = np.abs(design @ steps - xy).max()
    square = 0.9 < down / across < 1.1 if across > 0 else False
    return steps[:2] if square and off <= MAX_OFF * min(down, across) else None


def _upright(places: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Rows that go down the picture and columns that go right: Visium HD's array may lie on it turned or mirrored."""
    if abs(steps[0, 0]) > abs(steps[0, 1]):
        places, steps = places[:, ::-1], steps[::-1]
    for axis, along in ((0, steps[0, 1]), (1, steps[1, 0])):
        if along < 0:
            places = places.copy()
            places[:, axis] = places[:, axis].max() - places[:, axis]
    return places


def _bins_from_coordinates(path: Path, xy: np.ndarray) -> tuple[np.ndarray, float]:
    """The same from sorted unique coordinates; bins may be missing anywhere."""
    if len(xy) == 1:
        raise BundleError(f"{path} has a single spot, and a map needs more. Choose another file.")
    near = np.median(cKDTree(xy).query(xy, k=2)[0][:, 1])
    if near > 0 and math.isfinite(near):
        found = [_numbered(xy[:, axis], near) for axis in (1, 0)]
        off = max(each[2] for each in found)
        pitches = [pitch for _, pitch, _ in found if pitch is not None]
        if off <= MAX_OFF * near and pitches and max(pitches) < 1.1 * min(pitches):
            return np.column_stack([numbers for numbers, _, _ in found]), float(np.mean(pitches))
    raise BundleError(
        f"The spots of {path} do not lie on a grid of square bins: their coordinates (obsm spatial) are up to half a bin off, "
        "or two spots share a place. Choose a file of spots or bins on squares, not a table of cells."
    )


def _numbered(values: np.ndarray, pitch: float) -> tuple[np.ndarray, float | None, float]:
    """(spots,) number of each coordinate along one axis, the pitch that fits them best, the largest distance from it."""
    unique = np.unique(values)
    group = np.concatenate([[0], np.cumsum(np.diff(unique) > pitch / 2)])
    centres = np.bincount(group, unique) / np.bincount(group)
    # Counted from one line to the next, so that a pitch that is a little off never adds up.
    numbers = np.concatenate([[0], np.cumsum(np.rint(np.diff(centres) / pitch))]).astype(np.int64)
    step, first = np.polyfit(numbers, centres, 1) if len(centres) > 1 else (0.0, centres[0])
    off = float(np.abs(unique - (first + step * numbers[group])).max())
    return numbers[group][np.searchsorted(unique, values)], float(step) if len(centres) > 1 else None, off
