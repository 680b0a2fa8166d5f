"""What nothing says of a slide's size -> the question for its user, and the slide opened with the answer.

Asked for, never assumed: the pixel of a Xenium folder's picture, the bin of a count cube, the unit of a SpatialData store's
points. A table of spots of which nothing tells the distance is opened with its method's usual one, said to be assumed, and
may be asked about later.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import BundleError
from .h5ad import AnnDataSlide as HestSlide
from .h5ad import open_anndata as open_hest
from .h5ad_places import HEST_BIN_UM
from .spatialdata_store import is_spatialdata
from .xenium import is_xenium, open_xenium

# ---- Open a slide of whatever kind a path is: a Xenium folder, a SpatialData store, a count cube, spots of an .h5ad.


def is_slide_folder(path: str | Path) -> bool:
    """Whether :func:`open_slide_folder` is worth trying. Cheap, and never raises."""
    return is_xenium(path) or is_spatialdata(path)


def open_slide_folder(path: str | Path) -> Any:
    """A Xenium folder, or a SpatialData store. Raises :class:`BundleError` when it can't be read."""
    if not is_spatialdata(path):
        return open_xenium(path)
    from .spatialdata_slide import open_spatialdata

    return open_spatialdata(path)


def open_slide(path: str | Path) -> Any:
    """A slide by what its path looks like. Raises :class:`BundleError` when it can't be read."""
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        from .bins import open_count_cube

        return open_count_cube(path)
    if suffix == ".h5ad":
        from .h5ad import open_anndata

        return open_anndata(path)
    return open_slide_folder(path)


SizeKind = Literal["pixel", "bin", "unit"]


@dataclass(frozen=True)
class SizeQuestion:
    """What is to be asked."""

    path: Path
    kind: SizeKind
    title: str
    """``Size of a pixel``."""
    why: str
    """One or two sentences: what is not known, and what the answer is used for."""
    usual_um: float
    """To begin with; what the usual instrument has."""
    without: str = ""
    """What can be done without an answer, as a button's text; "" for nothing."""


def question_of(slide: Any) -> SizeQuestion | None:
    """What to ask of an opened slide; None where it tells everything."""
    path = Path(slide.path)
    if getattr(slide, "bin_is_assumed", False):
        return SizeQuestion(
            path, "bin", "Size of a bin",
            f"{path.name} does not say how far its spots lie apart; {slide.bin_um:g} µm are assumed. Lengths, areas and regions "
            "depend on it, the imputed values do not.",
            slide.bin_um,
        )  # fmt: skip
    if getattr(slide, "pixel_size_um", None) is None and _has_picture(slide):
        return SizeQuestion(
            path, "pixel", "Size of a pixel",
            f"{path.name} has a morphology image, but neither experiment.xenium nor the image says how large a pixel of it is. "
            "The picture is laid under the transcripts, which are in µm, with it. Xenium's own pixels are 0.2125 µm.",
            0.2125, "Without &picture",
        )  # fmt: skip
    return None


def question_to(path: str | Path) -> SizeQuestion | None:
    """What to ask of a slide that could not be opened; None where that is not what is wrong with it."""
    path = Path(path)
    if path.suffix.lower() == ".npz" and _lacks_bin(path):
        return SizeQuestion(
            path, "bin", "Size of a bin",
            f"{path.name} holds counts and genes, but no bin_um: nothing says how large a bin is. Scale bar, areas and regions "
            "depend on it.",
            20.0,
        )  # fmt: skip
    if is_spatialdata(path) and _lacks_unit(path):
        return SizeQuestion(
            path, "unit", "Unit of the points",
            f"Nothing in {path.name} says how many µm 1 in x and y of its transcripts is: 1 where they are in µm, the size of a "
            "pixel where they are in pixels. Bins, lengths and regions depend on it.",
            1.0,
        )  # fmt: skip
    return None


def open_with_size(path: str | Path, size_um: float) -> Any:
    """The slide, its pixel, bin or unit being of this size where the file tells none.

    Raises :class:`BundleError` when the size is none, or the slide can't be read.
    """
    if not 0 < size_um < math.inf:
        raise BundleError(f"The size is {size_um} um; give one above 0.")
    suffix = Path(path).suffix.lower()
    if suffix == ".npz":
        from .bins import open_count_cube

        slide: Any = open_count_cube(path, size_um)
    elif suffix == ".h5ad":
        from .h5ad import open_anndata

        slide = open_anndata(path, size_um)
    elif is_spatialdata(path):
        from .spatialdata_slide import open_spatialdata

        slide = open_spatialdata(path, unit_um=size_um)
    else:
        from .xenium import open_xenium

        return open_xenium(path, size_um)
    return replace(slide, given_um=size_um)


def _has_picture(slide: Any) -> bool:
    try:
        return bool(slide.images)
    except BundleError:  # an incomplete image; whoever draws it says what is wrong with it
        return False


def _lacks_unit(path: Path) -> bool:
    from .spatialdata_slide import lacks_unit

    return lacks_unit(path)


def _lacks_bin(path: Path) -> bool:
    """Only the names in the archive are looked at."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as file:
            names = {name.removesuffix(".npy") for name in file.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return {"counts", "genes"} <= names and "bin_um" not in names


# ---- The names of ``anndata_slide`` from when only HEST-1k's files were read: ``HestSlide``, ``open_hest``.

__all__ = ["HEST_BIN_UM", "HestSlide", "open_hest"]
