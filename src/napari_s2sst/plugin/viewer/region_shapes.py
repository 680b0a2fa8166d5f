"""Turn a napari shapes layer in um into named regions, and regions into shapes.

Every shape has three features: ``name`` (drawn beside it), ``kind`` ("region" or "hole") and ``used`` (it counts). Shapes of
one name are one region, which may so have several parts; a hole is taken out of every region it lies in.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Shapes

from ...engine.sampling.regions import Region
from ...engine.scores.regions import UM2_PER_MM2

if TYPE_CHECKING:
    from shapely.geometry import MultiPolygon, Polygon

LAYER_NAME = "regions"
LAYER_KEY = "s2sst_regions"
"""Metadata of the layer, by which it is found when the dock is opened again."""
REGION, HOLE = "region", "hole"
EDGE_COLOURS = {
    (REGION, True): "#ffffff",
    (REGION, False): "#8f8f8f",
    (HOLE, True): "#ffb000",
    (HOLE, False): "#8f8f8f",
}
"""White and amber differ in brightness as well, and are told apart with any colour vision."""
FACE_COLOURS = {REGION: "#ffffff18", HOLE: "#00000060"}
EDGE_UM = 8.0
ELLIPSE_POINTS = 128
"""A polygon of so many corners has 0.04 % less area than its ellipse."""

Shape = tuple[np.ndarray, str, str, str, bool]
"""Corners as on the layer, napari's type, name, kind, whether it counts."""


@dataclass(frozen=True)
class DrawnRegion:
    """A region as it is on the layer."""

    name: str
    used: bool
    region: Region | None
    """In um, without its holes; None where nothing is left of it."""
    shapes: tuple[int, ...]
    """Which of the layer's shapes it is drawn with."""

    @property
    def area_mm2(self) -> float:
        return self.region.polygon.area / UM2_PER_MM2 if self.region else 0.0


def add_region_layer(viewer: Any) -> Shapes:
    """An empty layer in um to draw on. napari's own button makes one in pixels, and then all layers lose their units."""
    layer = viewer.add_shapes(
        name=LAYER_NAME, ndim=2, units=("um", "um"), axis_labels=("y", "x"), edge_width=EDGE_UM,
        features={"name": np.array([], object), "kind": np.array([], object), "used": np.array([], bool)},
        feature_defaults={"name": "", "kind": REGION, "used": True},
        text={"string": "{name}", "size": 11, "color": "white", "anchor": "upper_left"},
        metadata={LAYER_KEY: True}, opacity=1.0,
    )  # fmt: skip
    draw_next(layer, REGION)
    return layer


def is_region_layer(layer: Any) -> bool:
    return isinstance(layer, Shapes) and bool(layer.metadata.get(LAYER_KEY))


def draw_next(layer: Shapes, kind: str) -> None:
    """The shapes drawn from now on are regions, or holes."""
    layer.selected_data = set()  # or the selected shapes would take the colours too
    layer.feature_defaults = {"name": "", "kind": kind, "used": True}
    layer.current_edge_color, layer.current_face_color = EDGE_COLOURS[kind, True], FACE_COLOURS[kind]
    layer.current_edge_width = EDGE_UM


def drawn_regions(layer: Shapes) -> tuple[DrawnRegion, ...]:
    """List what is drawn, in the order of the shapes. Lines are no regions; crossing outlines are repaired."""
    import shapely

    names, kinds, used = _features(layer)
    polygons = [_polygon(*shape) for shape in zip(layer.shape_type, _corners_um(layer), strict=True)]
    hollow = shapely.union_all(
        [polygon for polygon, kind in zip(polygons, kinds, strict=True) if kind == HOLE and polygon]
    )
    regions = []
    for name in dict.fromkeys(name for name, kind in zip(names, kinds, strict=True) if kind == REGION):
        own = [at for at, shape in enumerate(zip(names, kinds, strict=True)) if shape == (name, REGION)]
        if all(layer.shape_type[at] in ("line", "path") for at in own):
            continue
        area = _areal(shapely.union_all([polygons[at] for at in own if polygons[at]]).difference(hollow))
        region = Region(name, area) if area is not None else None
        regions.append(DrawnRegion(name, used[own[0]], region, tuple(own)))
    return tuple(regions)


def holes_left_alone(layer: Shapes, without: Collection[int]) -> tuple[int, ...]:
    """Holes that touch no region once those shapes are gone."""
    import shapely

    _, kinds, _ = _features(layer)
    polygons = [_polygon(*shape) for shape in zip(layer.shape_type, _corners_um(layer), strict=True)]
    left = [p for at, (p, kind) in enumerate(zip(polygons, kinds, strict=True))
            if kind == REGION and p and at not in without]  # fmt: skip
    rest = shapely.union_all(left)
    return tuple(at for at, kind in enumerate(kinds)
                 if kind == HOLE and at not in without and (polygons[at] is None or not polygons[at].intersects(rest)))  # fmt: skip


def add_regions(layer: Shapes, regions: Iterable[Region], *, used: bool = True) -> None:
    """Draw regions, their parts and holes as polygons. A name that is taken gets a number."""
    names, _, _ = _features(layer)
    outlines: list[np.ndarray] = []
    features: list[tuple[str, str]] = []
    for region in regions:
        name = free_name(region.name or "Region", names)
        names.append(name)
        for polygon in getattr(region.polygon, "geoms", [region.polygon]):
            outlines.append(_outline(polygon.exterior))
            features.append((name, REGION))
            for ring in polygon.interiors:
                hole = free_name("Hole 1", names)
                names.append(hole)
                outlines.append(_outline(ring))
                features.append((hole, HOLE))
    add_shapes(
        layer, [(outline, "polygon", *feature, used) for outline, feature in zip(outlines, features, strict=True)]
    )


def add_shapes(layer: Shapes, shapes: Iterable[Shape]) -> None:
    """Add (corners, type, name, kind, used) one by one, whatever was to be drawn next."""
    shapes = list(shapes)
    if not shapes:
        return
    layer.selected_data = set()
    before = layer.nshapes
    layer.add([corners for corners, *_ in shapes], shape_type=[kind for _, kind, *_ in shapes], edge_width=EDGE_UM)
    names, kinds, used = _features(layer)
    for at, (_, _, *features) in enumerate(shapes, start=before):
        names[at], kinds[at], used[at] = features
    _set_features(layer, names, kinds, used)


def add_again(layer: Shapes, shapes: Sequence[Shape]) -> None:
    """Add shapes that were deleted; where a name was taken meanwhile, all shapes of that name get the next one."""
    taken, _, _ = _features(layer)
    free = {name: free_name(name, taken) for name in dict.fromkeys(name for _, _, name, _, _ in shapes)}
    add_shapes(layer, [(corners, kind, free[name], *rest) for corners, kind, name, *rest in shapes])


def shapes_of(layer: Shapes) -> list[Shape]:
    """(corners, type, name, kind, used) of every shape, to be added again."""
    corners = [np.array(outline) for outline in layer.data]
    return list(zip(corners, layer.shape_type, *_features(layer), strict=True))


def tidy(layer: Shapes, known: int, next_kind: str) -> None:
    """Give every shape after the first ``known`` a name of its own, and all their colours; what is drawn next is of that kind."""
    names, kinds, used = _features(layer)
    for at, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        if not name or (at >= known and name in names[:at]):
            names[at] = free_name(name or ("Region 1" if kind == REGION else "Hole 1"), names)
    _set_features(layer, names, kinds, used)
    wanted = {"name": "", "kind": next_kind, "used": True}
    if layer.feature_defaults.iloc[0].to_dict() != wanted:  # napari takes them from the last shape
        layer.feature_defaults = wanted


def change(layer: Shapes, name: str, *, to: str | None = None, used: bool | None = None) -> None:
    """Rename a region or say whether it counts; a name that is empty or taken gets a number."""
    names, kinds, useds = _features(layer)
    own = [at for at, shape in enumerate(zip(names, kinds, strict=True)) if shape == (name, REGION)]
    if to is not None:
        to = free_name(to.strip() or "Region 1", [taken for at, taken in enumerate(names) if at not in own])
    for at in own:
        names[at] = names[at] if to is None else to
        useds[at] = useds[at] if used is None else used
    _set_features(layer, names, kinds, useds)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """The name itself, or with the next number that is free: Region 1, Region 2, ...; duct, duct 2, ..."""
    taken = set(taken)
    if wanted not in taken:
        return wanted
    stem, number = re.fullmatch(r"(.*?)(?: (\d+))?", wanted, re.DOTALL).groups()
    at = int(number or 1)
    while (name := f"{stem} {at}") in taken or (at == 1 and number is None):
        at += 1
    return name


def _features(layer: Shapes) -> tuple[list[str], list[str], list[bool]]:
    """Name, kind and whether it counts, of every shape. napari may leave a row of a shape that was never finished."""
    table = layer.features
    columns = {"name": "", "kind": REGION, "used": True}
    filled = []
    for column, missing in columns.items():
        values = list(table[column])[: layer.nshapes] if column in table else []
        values += [missing] * (layer.nshapes - len(values))
        filled.append([missing if value is None or value != value else value for value in values])  # NaN is not itself
    names, kinds, used = filled
    return [str(name) for name in names], [HOLE if kind == HOLE else REGION for kind in kinds], [bool(u) for u in used]


def _set_features(layer: Shapes, names: list[str], kinds: list[str], used: list[bool]) -> None:
    """Write what differs, once: every event of the layer ends here, and must come to an end."""
    now = {"name": np.array(names, object), "kind": np.array(kinds, object), "used": np.array(used, bool)}
    table = layer.features
    same = len(table) == layer.nshapes and all(
        column in table and list(table[column]) == list(values) for column, values in now.items()
    )
    if not same:
        layer.features = now
    if not names:
        return
    from napari.utils.colormaps.standardize_color import transform_color

    edge = transform_color([EDGE_COLOURS[look] for look in zip(kinds, used, strict=True)])
    face = transform_color([FACE_COLOURS[kind] for kind in kinds])
    if not np.allclose(layer.edge_color, edge, atol=1e-3):
        layer.edge_color = edge
    if not np.allclose(layer.face_color, face, atol=1e-3):
        layer.face_color = face


def _corners_um(layer: Shapes) -> list[np.ndarray]:
    """(corners, 2) y and x of every shape in um, wherever the layer was moved to."""
    origin, down, right = (np.asarray(layer.data_to_world(at))[-2:] for at in ((0, 0), (1, 0), (0, 1)))
    turn = np.stack([down - origin, right - origin])
    return [np.asarray(corners, float)[:, -2:] @ turn + origin for corners in layer.data]


def _polygon(kind: str, corners: np.ndarray) -> Polygon | MultiPolygon | None:
    import shapely
    from shapely.geometry import Polygon

    if kind in ("line", "path") or len(corners) < 3:
        return None
    outline = _ellipse(corners) if kind == "ellipse" else corners
    polygon = Polygon(outline[:, ::-1])
    return _areal(polygon if polygon.is_valid else shapely.make_valid(polygon))


def _areal(geometry: Any) -> Polygon | MultiPolygon | None:
    """Parts of a geometry that have an area; None where nothing has."""
    from shapely.geometry import MultiPolygon

    parts = [part for part in getattr(geometry, "geoms", [geometry]) if part.geom_type == "Polygon" and part.area > 0]
    return None if not parts else parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _ellipse(corners: np.ndarray) -> np.ndarray:
    """Outline of the ellipse whose box has these four corners, in their order."""
    middle = corners.mean(axis=0)
    along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, ELLIPSE_POINTS, endpoint=False)[:, None]
    return middle + np.cos(angle) * along + np.sin(angle) * across


def _outline(ring: Any) -> np.ndarray:
    """(corners, 2) y and x, without the first corner once more at the end."""
    return np.asarray(ring.coords)[:-1, 1::-1]
