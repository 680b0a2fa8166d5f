"""Turn a SpatialData store into a slide: its points as transcripts, one of its images as stains, all in um.

Which points and which image: those whose folder was given; else the only points with genes, and the image that is named as a
morphology image is, or the only one. Who says what a um is, in the order in which they are believed::

    the user                                        unit_um, of x and y in the table
    a coordinate system with a unit of length       in the element's own attributes
    a coordinate system named um, microns, ...      as sopa writes it
    the reader that made the store                  spatialdata_io's for Xenium and Merscope keep the instrument's um
    the instrument's own columns                    qv and transcript_id beside feature_name: 10x's, in um

and where nobody does, it is asked for. Positions are um from the image's corner along its axes, as in a Xenium folder; without
an image they are what the store says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BundleError
from ..pictures.pyramid import HUGE_PX
from ..pictures.stains import UM_PER_UNIT, StainImage
from .slide import TranscriptSlide, fill_in_pixels, is_length
from .spatialdata_points import PointsTable
from .spatialdata_store import Element, Store, attributes, broken, choose_points, open_store

IN_UM_BY = ("xenium", "merscope")
"""Readers of spatialdata-io that leave transcripts where the instrument put them, in um."""
MORPHOLOGY = ("morphology_focus", "morphology_mip", "morphology", "dapi")
"""In an image's name, the best first."""
MAX_SKEW = 0.01
"""Pixels that are not square by more are no picture of a slide; level sizes are rounded by less."""
_UM_NAME = re.compile(r"(.*[_ -])?(um|[µμ]m|microns?|micromet(er|re)s?)", re.IGNORECASE)
_UNITS = UM_PER_UNIT | {
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nanometer": 1e-3,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}


class UnitError(BundleError):
    """Nothing says how many um 1 in x and y of the points is."""


@dataclass(frozen=True, eq=False, kw_only=True)
class SpatialDataSlide(TranscriptSlide):
    """An opened store. ``path`` is as it was given: the store, or the folder of an element.

    Cells are not counted: nobody says which of the tables, if any, has a row for each.
    """

    store: Path = field()  # or the base's None would be its default
    points_name: str
    image_name: str | None
    images: tuple[StainImage, ...] = ()
    um_said_by: str = ""
    """Who says what a um is, such as ``by the coordinate system microns``."""
    to_systems: Mapping[str, np.ndarray]
    """Coordinate system -> (3, 3) matrix from the slide's (x, y, 1) in um to it."""

    version = "SpatialData"
    software = "SpatialData"

    @property
    def name(self) -> str:
        return self.store.stem

    @property
    def pixel_size_um(self) -> float | None:
        return self.images[0].pixel_size_um if self.images else None

    def _check_extent(self, extent_um: tuple[float, float, float, float]) -> None:
        if self.images and fill_in_pixels(extent_um[2:], self.images[0]):
            ends = " and ".join(f"{length * self.pixel_size_um:,.0f}" for length in self.images[0].shape_px)
            raise BundleError(
                f"By the transformations of {self.store} the transcripts {self.points_name} reach y {extent_um[2]:,.0f} and x "
                f"{extent_um[3]:,.0f} um, and the image {self.image_name} ends at {ends} um: one of them is wrong, or the points "
                "are in pixels. Write the store with the transformations of points and image to one coordinate system."
            )


def open_spatialdata(
    path: str | Path,
    *,
    element: str | None = None,
    image: str | None = None,
    unit_um: float | None = None,
) -> SpatialDataSlide:
    """Open a SpatialData store (zarr), or the folder of the points or the image of it that is meant.

    ``element`` and ``image`` are names of points and image; ``unit_um`` is how many um 1 in x and y of the points is, where
    the store does not tell or is wrong. Raises :class:`BundleError`.
    """
    if unit_um is not None and not is_length(unit_um):
        raise BundleError(f"The unit of the points is {unit_um} um; give one above 0, such as 1 or 0.2125.")
    store = open_store(path)
    points, names = choose_points(store, element)
    to_um, said_by = _to_um(store, points, names, unit_um)
    if image is None and store.wanted is not None and store.wanted[0] == "images":
        image = store.wanted[1]
    picture, to_slide = _choose_image(store, points, to_um, image)
    to_slide = _clean(to_slide)
    table = PointsTable(store.path / "points" / points.name / "points.parquet", names=names, to_um=to_slide)
    table.check()
    try:
        stains = () if picture is None else _stains(*picture)
    except Exception as error:  # xarray and dask
        raise broken(store.path, error) from None
    back = np.linalg.inv(to_slide)
    return SpatialDataSlide(
        path=Path(path).expanduser().absolute(),
        transcripts=table,
        store=store.path,
        points_name=points.name,
        image_name=picture and picture[0].name,
        images=stains,
        um_said_by=said_by,
        to_systems={system: matrix @ back for system, matrix in points.to.items()},
    )


def _to_um(store: Store, points: Element, names: str, unit_um: float | None) -> tuple[np.ndarray, str]:
    """(3, 3) matrix from the points' own (x, y, 1) to um, and who says so."""
    if unit_um is not None:
        return np.diag([unit_um, unit_um, 1.0]), "as given"
    for system, unit in _units(store.path / "points" / points.name).items():
        if system in points.to:
            return np.diag([unit, unit, 1.0]) @ points.to[system], f"by the units of the coordinate system {system}"
    named = sorted(system for system in points.to if _UM_NAME.fullmatch(system))
    if len(named) > 1 and any(not np.allclose(points.to[named[0]], points.to[other]) for other in named):
        raise BundleError(
            f"The points {points.name} of {store.path} lie in {len(named)} coordinate systems of um: {', '.join(named)}. "
            "Remove all but one of these transformations, or give unit_um."
        )
    if named:
        return points.to[named[0]], f"by the coordinate system {named[0]}"
    reader = str(store.said.get("spatialdata_io_reader", ""))
    if reader in IN_UM_BY:
        return np.eye(3), f"as spatialdata-io's reader of {reader} writes them"
    if names == "feature_name" and {"qv", "transcript_id"} <= set(points.held.columns):
        return np.eye(3), "as 10x's tables are in um"
    raise UnitError(
        f"Nothing in {store.path} says how many um 1 in x and y of the points {points.name} is; the coordinate systems are "
        f"{', '.join(points.to) or 'none'}. Say it (--size-um 1 where they are um), or name a coordinate system microns."
    )


def _units(folder: Path) -> dict[str, float]:
    """Coordinate system -> um of its unit, of those that say a length; nearly all say ``unit``."""
    units_um: dict[str, float] = {}
    try:
        transformations = attributes(folder).get("coordinateTransformations")
        for transformation in transformations if isinstance(transformations, list) else ():
            output = transformation["output"]
            units = {str(axis.get("unit")) for axis in output["axes"] if axis["name"] in ("x", "y")}
            unit_um = _UNITS.get(units.pop()) if len(units) == 1 else None
            if unit_um is not None:
                units_um[output["name"]] = unit_um
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return units_um
    return units_um


def _choose_image(
    store: Store, points: Element, to_um: np.ndarray, wanted: str | None
) -> tuple[tuple[Element, float] | None, np.ndarray]:
    """The image and its pixel in um, or None; and the (3, 3) matrix from the points' (x, y, 1) to the slide's um."""
    if wanted is not None and wanted not in store.images:
        there = ", ".join(store.images) or "none"
        raise BundleError(f"{store.path} has no readable image {wanted!r}; it has {there}. Choose one of these.")
    fitting = {}
    for image in store.images.values() if wanted is None else (store.images[wanted],):
        place = _upright(points, image, to_um)
        if place is not None:
            fitting[image.name] = (image, *place)
    if wanted is not None and not fitting:
        raise BundleError(
            f"The image {wanted} of {store.path} can't be laid under the points {points.name}: they share no coordinate "
            f"system, or its pixels are not square there. The points lie in {', '.join(points.to) or 'none'}, the image in "
            f"{', '.join(store.images[wanted].to) or 'none'}."
        )
    ranked = sorted(fitting, key=lambda name: (_rank(name), _is_coloured(fitting[name][0].held), name))
    if not ranked:
        return None, to_um
    image, pixel_um, to_slide = fitting[ranked[0]]
    return (image, pixel_um), to_slide


def _upright(points: Element, image: Element, to_um: np.ndarray) -> tuple[float, np.ndarray] | None:
    """The pixel in um and the matrix from the points to um along the image's axes; None where pixels are not square."""
    shared = sorted(set(points.to) & set(image.to), key=lambda name: (name != "global", name))
    if not shared or _finest(image.held).ndim != 3:
        return None
    from_image = np.linalg.inv(points.to[shared[0]]) @ image.to[shared[0]]
    linear = (to_um @ from_image)[:2, :2]
    pixel_um = math.sqrt(abs(np.linalg.det(linear)))
    if np.abs(linear.T @ linear / pixel_um**2 - np.eye(2)).max() > 2 * MAX_SKEW:
        return None
    return round(pixel_um, 9), np.diag([pixel_um, pixel_um, 1.0]) @ np.linalg.inv(from_image)


def _rank(name: str) -> int:
    return next((rank for rank, word in enumerate(MORPHOLOGY) if word in name.lower()), len(MORPHOLOGY))


def _is_coloured(held: Any) -> bool:
    """A picture of H&E rather than stains: three bytes a pixel."""
    finest = _finest(held)
    return finest.dtype == np.uint8 and finest.shape[0] in (3, 4)


def _clean(matrix: np.ndarray) -> np.ndarray:
    """Remove the rounding of an inverse and a product, so that um which were not moved stay what they were, bit for bit."""
    rounded = np.round(matrix, 9)
    return np.where(np.abs(matrix - rounded) < 1e-10, rounded, matrix)


def _levels(held: Any) -> list[Any]:
    """(c, y, x) arrays of xarray, finest first."""
    if not hasattr(held, "children"):
        return [held]
    names = sorted(held.children, key=lambda name: int(re.sub(r"\D", "", name) or 0))
    return [next(iter(held[name].values())) for name in names]


def _finest(held: Any) -> Any:
    return _levels(held)[0]


def _stains(image: Element, pixel_um: float) -> tuple[StainImage, ...]:
    import dask.array as da

    levels = [level.transpose("c", "y", "x") for level in _levels(image.held)]
    names = [str(name) for name in levels[0].coords["c"].values.tolist()] if "c" in levels[0].coords else []
    stains = []
    for number in range(levels[0].shape[0]):
        planes = [da.asarray(level.data)[number] for level in levels]
        stored = len(planes)
        while stored == 1 and max(planes[-1].shape) > HUGE_PX:
            planes.append(da.coarsen(np.mean, planes[-1], {0: 4, 1: 4}, trim_excess=True).astype(planes[0].dtype))
        name = names[number] if number < len(names) else ""
        name = image.name if not name or (name.isdigit() and len(levels[0]) == 1) else name
        stains.append(StainImage(f"stain {name}" if name.isdigit() else name, planes, pixel_um, stored))
    return tuple(stains)
