"""Say how large a bin of an .h5ad is, in um, and who says so: the file, what lies beside it, or nobody.

In the order in which they are believed::

    the user
    uns/spatial/<library>/scalefactors/bin_size_um       Visium HD
    uns/spatial/<library>/scalefactors/microns_per_pixel times the distance of two spots in pixels; Visium HD
    metadata/<sample>.json beside HEST's folder st, or uns: pixel_size_um_estimated, pixel_size_um, pixel_size, likewise
    uns/spatial/<library>/scalefactors/spot_diameter_fullres, where distance and diameter of spots are in proportion as 100 to
        55 (HEST's bins) or 200 to 100 (Spatial Transcriptomics)
    the names of bins and folders: s_008um_00301_00321-1, square_008um
    nobody: the method's usual bin, said to be assumed
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


@dataclass(frozen=True)
class BinScale:
    """How large a bin is."""

    bin_um: float
    pixel_size_um: float | None
    """Of the picture that coordinates are pixels of; None where nothing says."""
    said_by: str
    """Where the bin's side is from, as words that go on after "100 um, "."""
    is_assumed: bool = False


def scale_of_bins(
    path: Path,
    said: Mapping[str, Any],
    names: Sequence[str],
    pitch_px: float | None,
    given_um: float | None = None,
) -> BinScale:
    """How large a bin is. ``said`` is uns, ``names`` some of the spots' names, ``pitch_px`` pixels between two spots."""
    factors = list(_scalefactors(said))
    pixel_um, by = _pixel_size(path, said, factors, pitch_px)
    if given_um is not None:
        return BinScale(given_um, pixel_um, "as given")
    for each in factors:
        if (size := _above_0(each.get("bin_size_um"))) is not None:
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


def _scalefactors(said: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    libraries = said.get("spatial")
    for library in libraries.values() if isinstance(libraries, Mapping) else ():
        factors = library.get("scalefactors") if isinstance(library, Mapping) else None
        if isinstance(factors, Mapping):
            yield factors


def _pixel_size(
    path: Path, said: Mapping[str, Any], factors: Sequence[Mapping[str, Any]], pitch_px: float | None
) -> tuple[float | None, str]:
    for each in factors:
        if (size := _above_0(each.get("microns_per_pixel"))) is not None:
            return size, "by microns_per_pixel of its scalefactors"
    for source, by in ((_beside(path), "by the metadata beside the file"), (said, "by the pixel size in its uns")):
        for key in _PIXEL_KEYS:
            if (size := _above_0(source.get(key))) is not None:
                return size, by
    for each in factors:
        diameter_px = _above_0(each.get("spot_diameter_fullres"))
        for spot_um, pitch_um in SPOTS_UM:
            if diameter_px and pitch_px and abs(pitch_px / diameter_px * spot_um / pitch_um - 1) < 0.045:
                return spot_um / diameter_px, f"by its spots of {spot_um:g} um"
    return None, ""


def _beside(path: Path) -> Mapping[str, Any]:
    try:
        found = json.loads((path.parent.parent / "metadata" / f"{path.stem}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _named_size(path: Path, names: Sequence[str]) -> float | None:
    sizes = {match[1] if (match := _SQUARE.match(name)) else "" for name in names}
    if sizes in ({""}, set()):
        sizes = {match[1] for part in (path.stem, path.parent.name) if (match := _SQUARE.search(part))}
    size = int(sizes.pop() or 0) if len(sizes) == 1 else 0
    return float(size) or None


def _rounded(bin_um: float) -> float:
    """To a tenth where that is less than 1 % off: a pixel size is never known better than that."""
    return round(bin_um, 1) if bin_um >= 10 else round(bin_um, 2)


def _above_0(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < math.inf else None
