"""What nothing says of a slide's size -> the question for its user, whose answer it is opened with.

Asked for, never assumed: the pixel of a Xenium folder's picture, the bin of a count cube, the unit of a SpatialData store's
points. A table of spots of which nothing tells the distance is opened with its method's usual one, said to be assumed, and
may be asked about later.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import BundleError
from .opening import kind_of
from .slide import Slide
from .spatialdata_store import is_spatialdata

SizeKind = Literal["pixel", "bin", "unit"]


@dataclass(frozen=True, kw_only=True)
class SizeQuestion:
    """A question about a size, for a dialog."""

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


def question_of(slide: Slide) -> SizeQuestion | None:
    """The question to ask of an opened slide; None where it tells everything."""
    name = slide.path.name
    if slide.bin_is_assumed:
        return SizeQuestion(
            path=slide.path,
            kind="bin",
            title="Size of a bin",
            why=f"{name} does not say how far its spots lie apart; {slide.bin_um:g} µm are assumed. Lengths, areas and regions "
            "depend on it, the imputed values do not.",
            usual_um=slide.bin_um,
        )
    if slide.pixel_size_um is None and _has_picture(slide):
        return SizeQuestion(
            path=slide.path,
            kind="pixel",
            title="Size of a pixel",
            why=f"{name} has a morphology image, but neither experiment.xenium nor the image says how large a pixel of it is. "
            "The picture is laid under the transcripts, which are in µm, with it. Xenium's own pixels are 0.2125 µm.",
            usual_um=0.2125,
            without="Without &picture",
        )
    return None


def question_to(path: str | Path) -> SizeQuestion | None:
    """The question to ask of a slide that could not be opened; None where that is not what is wrong with it."""
    path = Path(path)
    if kind_of(path) == "cube" and _lacks_bin(path):
        return SizeQuestion(
            path=path,
            kind="bin",
            title="Size of a bin",
            why=f"{path.name} holds counts and genes, but no bin_um: nothing says how large a bin is. Scale bar, areas and "
            "regions depend on it.",
            usual_um=20.0,
        )
    if is_spatialdata(path) and _lacks_unit(path):
        return SizeQuestion(
            path=path,
            kind="unit",
            title="Unit of the points",
            why=f"Nothing in {path.name} says how many µm 1 in x and y of its transcripts is: 1 where they are in µm, the size "
            "of a pixel where they are in pixels. Bins, lengths and regions depend on it.",
            usual_um=1.0,
        )
    return None


def _has_picture(slide: Slide) -> bool:
    try:
        return bool(slide.images)
    except BundleError:  # an incomplete image; whoever draws it says what is wrong with it
        return False


def _lacks_bin(path: Path) -> bool:
    """Whether a count cube lacks its bin_um alone. Only the names in the archive are looked at."""
    try:
        with zipfile.ZipFile(path) as file:
            names = {name.removesuffix(".npy") for name in file.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
    return {"counts", "genes"} <= names and "bin_um" not in names


def _lacks_unit(path: Path) -> bool:
    """Whether a store can be opened but for the unit of its points."""
    from .spatialdata_slide import UnitError, open_spatialdata

    try:
        open_spatialdata(path)
    except UnitError:
        return True
    except BundleError:
        return False
    return False
