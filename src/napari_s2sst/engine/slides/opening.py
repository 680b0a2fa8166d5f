"""Turn a path into the slide that lies there, whatever its kind: the only place that looks at what a slide's path ends with.

FILE.npz              a count cube                                      count_cube.open_count_cube
FILE.h5ad             spots on a square lattice                         h5ad.open_anndata
a SpatialData store   or the folder of its points or of an image        spatialdata_slide.open_spatialdata
anything else         a Xenium folder, or its experiment.xenium         xenium.open_xenium
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Literal

from ..errors import BundleError
from .slide import Slide
from .spatialdata_store import is_spatialdata
from .xenium import is_xenium, open_xenium

SlideKind = Literal["folder", "store", "cube", "spots"]
"""``folder`` is a Xenium folder or a SpatialData store, ``store`` the latter for sure."""
_KINDS: dict[str, SlideKind] = {".npz": "cube", ".h5ad": "spots"}


def kind_of(path: str | Path) -> SlideKind:
    """Kind of a slide by its path's name alone, so that it is never told to be a ``store``. Never raises."""
    path = Path(path)
    try:
        is_folder = path.is_dir()
    except (OSError, ValueError):  # a name too long, a folder that nobody may look into; opening says what is wrong
        is_folder = False
    return "folder" if is_folder else _KINDS.get(path.suffix.lower(), "folder")


def is_slide_folder(path: str | Path) -> bool:
    """Whether a folder is worth opening as a slide. Cheap, and never raises."""
    return is_xenium(path) or is_spatialdata(path)


def open_slide(path: str | Path, size_um: float | None = None, *, kind: SlideKind | None = None) -> Slide:
    """Open a slide by what its path is, or as the ``kind`` that somebody says it is.

    ``size_um`` is the side of a pixel of a Xenium folder's image, of a bin of a table of counts, or how many um 1 in x and y
    of a store's points is; it serves where no file tells it, and of an .h5ad or a store takes the place of what they tell.
    The slide remembers it as ``given_um``. Raises :class:`BundleError` when the size is none, or the slide can't be read.
    """
    if size_um is not None and not 0 < size_um < math.inf:
        raise BundleError(f"The size is {size_um} um; give one above 0.")
    kind = kind or kind_of(path)
    if kind == "folder" and is_spatialdata(path):
        kind = "store"
    match kind:
        case "cube":
            from .count_cube import open_count_cube

            slide = open_count_cube(path, size_um)
        case "spots":
            from .h5ad import open_anndata

            slide = open_anndata(path, size_um)
        case "store":
            from .spatialdata_slide import open_spatialdata

            slide = open_spatialdata(path, unit_um=size_um)
        case "folder":
            return open_xenium(path, size_um)
    return slide if size_um is None else replace(slide, given_um=size_um)
