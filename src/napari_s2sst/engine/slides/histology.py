"""Find a slide's H&E picture and where it lies: lazily read RGB levels and an affine from its pixels to um.

What 10x offers beside a slide, and what is looked for in the slide's folder and then in the one above::

    Xenium_V1_hColon_he_image.ome.tif            RGB pyramid, scanned after the run
    Xenium_V1_hColon_he_imagealignment.csv       3 x 3, comma separated, no header: (x, y, 1) in pixels of the picture to
                                                 (x, y, 1) in pixels of the morphology image; Xenium Explorer writes the same
    he_image_transform.zattrs.json               the same from SpatialData: transformations between named axes

(10x's article "How can I convert coordinates between H&E image and Xenium data": the picture's corner is (0, 0), and a
result times ``pixel_size`` of experiment.xenium is in um.)
"""

from __future__ import annotations

import csv
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from ..errors import BundleError
from ..pictures.pyramid import CHUNK_PX, HUGE_PX, Pixels
from ..pictures.stains import open_tiff
from .xenium import is_xenium

if TYPE_CHECKING:
    import dask.array as da

    from .slide import Slide

_HE = re.compile(r"(?:^|(?<=[_\-. ]))h_?&?e(?=[_\-. ]|$)", re.IGNORECASE)
"""The word in a file's name."""
_OTHER_STAIN = re.compile(r"(?:^|[_\-. ])if(?=[_\-. ]|$)", re.IGNORECASE)
"""Immunofluorescence, which 10x aligns by files of the same kind."""
_PICTURES = (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".btf")
SAME_SIZE = 0.05
"""A picture and a morphology image of one crop differ by less: the seams of a rotated cut."""
_SWAP = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]], float)


@dataclass(frozen=True)
class HistologyFiles:
    """Files of a histology picture; nothing has been read."""

    picture: Path
    alignment: Path | None
    """None: nothing says where the picture lies."""


@dataclass(frozen=True, eq=False)
class Histology:
    """An aligned H&E picture. No pixels have been read."""

    path: Path
    levels: Sequence[da.Array]
    """(rows, columns, 3) uint8 each, finest first, read where they are looked at."""
    affine: np.ndarray
    """(3, 3): (row, column, 1) of a pixel's centre on the finest level -> (y, x, 1) um from the slide's origin."""
    note: str = ""
    """A sentence where the place is less sure than the alignment file promises."""


def find_histology(folder: Path) -> HistologyFiles | None:
    """The H&E picture in a Xenium folder, or beside it when it is surely this slide's. Looks at names only."""
    inside = _names(folder)
    picture = next((folder / name for name in inside if _is_picture(name)), None)
    above = [] if picture is not None else _names(folder.parent)
    if picture is None:
        beside = [name for name in above if _is_picture(name)]
        own = [name for name in beside if _prefix(name) and folder.name.casefold().startswith(_prefix(name))]
        # Without a name in common it is ours only where it can be no other slide's.
        alone = len(beside) == 1 and not any(_is_other_slide(folder.parent / name, folder) for name in above)
        name = next(iter(own), beside[0] if alone else None)
        picture = folder.parent / name if name else None
    if picture is None:
        return None
    places = dict.fromkeys((picture.parent, folder))
    alignments = [place / name for place in places for name in _names(place) if _is_alignment(name, picture.name)]
    return HistologyFiles(picture, min(alignments, key=lambda path: path.suffix.lower() != ".csv", default=None))


def open_histology(files: HistologyFiles, slide: Slide) -> Histology:
    """Open the picture and place it on the slide.

    Raises :class:`BundleError` when a file can't be read, is no RGB picture or no alignment, or puts the picture off the
    slide. A picture as large as the morphology image that its alignment puts off the slide is of the same crop as the slide
    but placed on the uncropped one: it is laid on the middle of the morphology image, and :attr:`Histology.note` says so.
    """
    if files.alignment is None:
        raise BundleError(
            f"Nothing says where {files.picture} lies on the slide. Align it in Xenium Explorer and save the file "
            "..._imagealignment.csv beside it."
        )
    pixel_um = slide.pixel_size_um
    if pixel_um is None:
        raise BundleError(
            f"{slide.path} tells no pixel size, so {files.picture.name} can't be placed. Add experiment.xenium to it."
        )
    levels = _levels(files.picture)
    read = _from_json if files.alignment.suffix.lower() == ".json" else _from_csv
    to_pixels = read(files.alignment)
    affine = np.diag([pixel_um, pixel_um, 1.0]) @ to_pixels @ _shift(0.5, 0.5)
    affine, note = _on_slide(affine, levels[0].shape[:2], _slide_box_um(slide), files)
    return Histology(files.picture, levels, affine, note)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except OSError:
        return []


def _is_picture(name: str) -> bool:
    return name.lower().endswith(_PICTURES) and _HE.search(name) is not None


def _is_other_slide(path: Path, folder: Path) -> bool:
    return path != folder and path.is_dir() and is_xenium(path)


def _prefix(name: str) -> str:
    """Words before H&E in a file's name, such as the sample's."""
    word = _HE.search(name)
    return name[: word.start()].rstrip("_-. ").casefold() if word else ""


def _is_alignment(name: str, picture: str) -> bool:
    """An alignment that names the same sample as the picture, or none."""
    lower = name.lower()
    if not ((lower.endswith(".csv") and "alignment" in lower) or (lower.endswith(".json") and _HE.search(name))):
        return False
    same = _prefix(name) == _prefix(picture) if _HE.search(name) else True
    return same and _OTHER_STAIN.search(name) is None


def _broken(path: Path, what: str, error: Exception | str) -> BundleError:
    return BundleError(f"{path} can't be read as {what} ({error}). Download it again, or take it out of the folder.")


# The picture.


def _levels(path: Path) -> list[da.Array]:
    """(rows, columns, 3) uint8 lazy arrays, finest first; coarser ones are made where the file has none."""
    import dask.array as da

    what = "an RGB picture"
    try:
        series = open_tiff(path).series[0]
        axes = series.axes
        levels = [_rgb(path, _lazy(path, series, number), axes) for number in range(len(series.levels))]
    except (OSError, ValueError, IndexError, struct.error, tifffile.TiffFileError) as error:
        raise _broken(path, what, error) from None
    while max(levels[-1].shape) > HUGE_PX and len(series.levels) == 1:
        coarser = da.coarsen(np.mean, levels[-1], {0: 4, 1: 4}, trim_excess=True)
        levels.append(coarser.astype(np.uint8))
    return levels


def _lazy(path: Path, series: tifffile.TiffPageSeries, level: int) -> da.Array:
    import dask.array as da
    import zarr

    array = zarr.open(series.aszarr(level=level), mode="r")
    # Whole tiles or strips, about CHUNK_PX on each side.
    steps = zip(array.shape, array.chunks, strict=True)
    chunks = tuple(min(length, step * max(1, CHUNK_PX // step)) for length, step in steps)
    return da.from_array(Pixels(path, array), chunks=chunks, name=False)


def _rgb(path: Path, level: da.Array, axes: str) -> da.Array:
    """Bring a level of any order of axes (``YXS``, ``CYX``, ...) into (rows, columns, 3) of 8 bits."""
    single = tuple(axis for axis, length in enumerate(level.shape) if length == 1 and axes[axis] not in "YX")
    level, axes = level.squeeze(single), "".join(name for axis, name in enumerate(axes) if axis not in single)
    colour = next((axis for axis, name in enumerate(axes) if name not in "YX"), None)
    if len(axes) != 3 or level.shape[colour] not in (3, 4) or level.dtype.kind != "u":
        raise _broken(path, "an RGB picture", f"its pixels are {level.dtype} {axes} {level.shape}")
    level = level.transpose(axes.index("Y"), axes.index("X"), colour)[..., :3]
    bits = 8 * level.dtype.itemsize
    return level.rechunk({2: 3}) if bits == 8 else (level >> (bits - 8)).astype(np.uint8).rechunk({2: 3})


# The alignment: (3, 3) from (row, column, 1) of the picture to (row, column, 1) of the morphology image.


def _from_csv(path: Path) -> np.ndarray:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[float(cell) for cell in row] for row in csv.reader(file) if any(cell.strip() for cell in row)]
        matrix = np.array(rows, float)
    except (OSError, ValueError, csv.Error) as error:
        raise _broken(path, "an alignment of 3 x 3 numbers", error) from None
    return _SWAP @ _checked(path, matrix) @ _SWAP


def _from_json(path: Path) -> np.ndarray:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        steps = content["multiscales"][0]["coordinateTransformations"]
        if len(steps) != 1:
            raise ValueError(f"{len(steps)} transformations and not one")
        matrix = _step(steps[0])
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        reason = f"no {error}" if isinstance(error, KeyError) else error
        raise _broken(path, "an alignment as SpatialData writes it", reason) from None
    return _checked(path, matrix)


def _step(step: dict[str, Any]) -> np.ndarray:
    """One of SpatialData's transformations (NGFF 0.4-dev), by the names of its axes: x need not be the last of them."""
    kind = step["type"]
    if kind == "identity":
        return np.eye(3)
    if kind == "sequence":
        matrix = np.eye(3)
        for inner in step["transformations"]:
            matrix = _step(inner) @ matrix
        return matrix
    source, target = ([axis["name"] for axis in step[side]["axes"]] for side in ("input", "output"))
    columns = [source.index("y"), source.index("x")]
    if kind in ("translation", "scale"):
        values = [float(step[kind][column]) for column in columns]
        return _shift(*values) if kind == "translation" else np.diag([*values, 1.0])
    if kind != "affine":
        raise ValueError(f"a transformation of type {kind}")
    rows = np.array(step["affine"], float)[[target.index("y"), target.index("x")]]
    return np.vstack([rows[:, [*columns, len(source)]], [0, 0, 1]])


def _checked(path: Path, matrix: np.ndarray) -> np.ndarray:
    fits = matrix.shape == (3, 3) and np.isfinite(matrix).all() and np.allclose(matrix[2], (0, 0, 1))
    if not fits or abs(np.linalg.det(matrix)) < 1e-9:
        raise _broken(path, "an alignment", "it is not a 3 x 3 matrix that ends with 0, 0, 1 and can be inverted")
    return matrix


# The place.


def _shift(rows: float, columns: float) -> np.ndarray:
    return np.array([[1, 0, rows], [0, 1, columns], [0, 0, 1]], float)


def _slide_box_um(slide: Slide) -> np.ndarray:
    """(2, 2): the smallest and the largest (y, x) of the morphology image, or of the transcripts without one."""
    if slide.images:
        rows, columns = slide.images[0].levels[0].shape
        pixel_um = slide.images[0].pixel_size_um or slide.pixel_size_um
        return np.array([[0, 0], [rows * pixel_um, columns * pixel_um]])
    return np.array(slide.extent_um).reshape(2, 2)


def _on_slide(
    affine: np.ndarray, shape: tuple[int, int], slide_um: np.ndarray, files: HistologyFiles
) -> tuple[np.ndarray, str]:
    """The affine as it is, or moved to the slide's middle with a note; see :func:`open_histology`."""
    rows, columns = shape
    corners = np.array([[r, c, 1] for r in (-0.5, rows - 0.5) for c in (-0.5, columns - 0.5)]) @ affine[:2].T
    low, high = corners.min(axis=0), corners.max(axis=0)
    if (low < slide_um[1]).all() and (high > slide_um[0]).all():
        return affine, ""
    if np.allclose(high - low, slide_um[1] - slide_um[0], rtol=SAME_SIZE):
        middle = slide_um.mean(axis=0) - (low + high) / 2
        return _shift(*middle) @ affine, (
            "The H&E picture is laid on the middle of this crop, as its alignment is for the whole slide. "
            "Check it on landmarks."
        )
    raise BundleError(
        f"By {files.alignment} the picture {files.picture.name} lies outside of the slide, at "
        f"{low[1] / 1000:.1f}, {low[0] / 1000:.1f} mm. Is it another slide's? Give the alignment of this one."
    )
