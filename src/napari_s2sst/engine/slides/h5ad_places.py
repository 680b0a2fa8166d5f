"""Spots of an .h5ad -> the square bin that each fills, and how large these bins are in um.

The places come from the rows and columns that the file says, or from coordinates alone; the size from the file, from what lies
beside it, or, where nobody says, from its method.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..errors import BundleError

MAX_OFF = 0.2
"""Farthest that a centre may lie from its bin's, in bins; whole pixels are 0.002 bins off, cells half a bin."""
MAX_PLACE = 1e9
"""Rows and columns beyond it are no numbers of rows, and their products no numbers of bins."""
MANY = 0.25
"""Share of spots with five or six close neighbours: none on a square grid, 0.4 % of cells at random, most in a honeycomb
of which the tissue leaves more than strips."""

HEST_BIN_UM = 100.0
"""Side of HEST's bins of Xenium slides (``spot_size_um`` in its library, issues 39 and 79 of its repository)."""
ST_PITCH_UM = 200.0
"""Centre to centre on the arrays of the first Spatial Transcriptomics, with spots of 100 um (Stahl et al. 2016)."""
SPOTS_UM = ((55.0, HEST_BIN_UM), (100.0, ST_PITCH_UM))
"""(diameter, distance) of spots: what HEST notes of pseudo-spots (``register_downscale_img``), and Spatial Transcriptomics."""
ST_NAME = re.compile(r"(\d{1,2}(?:\.\d+)?)x(\d{1,2}(?:\.\d+)?)(?:[_-]\d+)?")
"""``10x13``: column 10, row 13 of a Spatial Transcriptomics array. HEST's names, ``010x013``, have three digits."""
_SQUARE = re.compile(r"(?<![a-z])s(?:quare)?_(\d{3})um", re.IGNORECASE)
"""Visium HD: ``s_008um_00301_00321-1`` of a bin, ``square_008um`` of a folder."""
_PIXEL_KEYS = ("pixel_size_um_estimated", "pixel_size_um", "pixel_size")


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
    """Bins and pitch as :func:`bins_of_spots` returns them, from sorted unique coordinates; bins may be missing anywhere."""
    if len(xy) == 1:
        raise BundleError(f"{path} has a single spot, and a map needs more. Choose another file.")
    near = np.median(cKDTree(xy).query(xy, k=2)[0][:, 1])
    if near > 0 and math.isfinite(near):
        along_axes = [_numbered(xy[:, axis], near) for axis in (1, 0)]
        off = max(farthest for _, _, farthest in along_axes)
        pitches = [pitch for _, pitch, _ in along_axes if pitch is not None]
        if off <= MAX_OFF * near and pitches and max(pitches) < 1.1 * min(pitches):
            return np.column_stack([numbers for numbers, _, _ in along_axes]), float(np.mean(pitches))
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


@dataclass(frozen=True)
class BinScale:
    """Size of a bin in um, and who said so."""

    bin_um: float
    pixel_size_um: float | None
    """Of the picture that coordinates are pixels of; None where nothing says."""
    said_by: str
    """Where the bin's side is from, as words that go on after "100 um, "."""
    is_assumed: bool = False


def scale_of_bins(
    path: Path,
    *,
    uns: Mapping[str, Any],
    names: Sequence[str],
    pitch_px: float | None,
    given_um: float | None = None,
) -> BinScale:
    """Size of a bin. ``names`` are some of the spots', ``pitch_px`` pixels between two spots, ``given_um`` a user's answer.

    In the order in which they are believed::

        the user
        uns/spatial/<library>/scalefactors/bin_size_um       Visium HD
        uns/spatial/<library>/scalefactors/microns_per_pixel times the distance of two spots in pixels; Visium HD
        metadata/<sample>.json beside HEST's folder st, or uns: pixel_size_um_estimated, pixel_size_um, pixel_size, likewise
        uns/spatial/<library>/scalefactors/spot_diameter_fullres, where distance and diameter of spots are in proportion as
            100 to 55 (HEST's bins) or 200 to 100 (Spatial Transcriptomics)
        the names of bins and folders: s_008um_00301_00321-1, square_008um
        nobody: the method's usual bin, said to be assumed
    """
    factors = list(_scalefactors(uns))
    pixel_um, by = _pixel_size(path, uns, factors, pitch_px)
    if given_um is not None:
        return BinScale(given_um, pixel_um, "as given")
    for of_library in factors:
        if (size := _above_0(of_library.get("bin_size_um"))) is not None:
            return BinScale(
                size, pixel_um or (size / pitch_px if pitch_px else None), "by bin_size_um of its scalefactors"
            )
    if pixel_um is not None and pitch_px is not None:
        return BinScale(_rounded(pitch_px * pixel_um), pixel_um, by)
    if (size := _named_size(path, names)) is not None:
        return BinScale(size, size / pitch_px if pitch_px else pixel_um, "by the names of its bins")
    if names and all(ST_NAME.fullmatch(name) for name in names):
        return BinScale(ST_PITCH_UM, pixel_um, "assumed, as of Spatial Transcriptomics", True)
    return BinScale(HEST_BIN_UM, pixel_um, "assumed, as of HEST's Xenium samples", True)


def _scalefactors(uns: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    libraries = uns.get("spatial")
    for library in libraries.values() if isinstance(libraries, Mapping) else ():
        factors = library.get("scalefactors") if isinstance(library, Mapping) else None
        if isinstance(factors, Mapping):
            yield factors


def _pixel_size(
    path: Path, uns: Mapping[str, Any], factors: Sequence[Mapping[str, Any]], pitch_px: float | None
) -> tuple[float | None, str]:
    for of_library in factors:
        if (size := _above_0(of_library.get("microns_per_pixel"))) is not None:
            return size, "by microns_per_pixel of its scalefactors"
    for source, by in ((_metadata(path), "by the metadata beside the file"), (uns, "by the pixel size in its uns")):
        for key in _PIXEL_KEYS:
            if (size := _above_0(source.get(key))) is not None:
                return size, by
    for of_library in factors:
        diameter_px = _above_0(of_library.get("spot_diameter_fullres"))
        for spot_um, pitch_um in SPOTS_UM:
            if diameter_px and pitch_px and abs(pitch_px / diameter_px * spot_um / pitch_um - 1) < 0.045:
                return spot_um / diameter_px, f"by its spots of {spot_um:g} um"
    return None, ""


def _metadata(path: Path) -> Mapping[str, Any]:
    """Content of HEST's metadata beside the file; empty where there is none."""
    try:
        content = json.loads((path.parent.parent / "metadata" / f"{path.stem}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _named_size(path: Path, names: Sequence[str]) -> float | None:
    sizes = {match[1] if (match := _SQUARE.match(name)) else "" for name in names}
    if sizes in ({""}, set()):
        sizes = {match[1] for part in (path.stem, path.parent.name) if (match := _SQUARE.search(part))}
    size = int(sizes.pop() or 0) if len(sizes) == 1 else 0
    return float(size) or None


def _rounded(bin_um: float) -> float:
    """Round to a tenth where that is less than 1 % off: a pixel size is never known better than that."""
    return round(bin_um, 1) if bin_um >= 10 else round(bin_um, 2)


def _above_0(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < math.inf else None
