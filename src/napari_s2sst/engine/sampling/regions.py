"""Turn polygons in um into masks of bins, and regions of interest into files and back.

Read are GeoJSON (as QuPath writes it: a geometry, a Feature, a FeatureCollection or a list of Features) and the CSV
that Xenium Explorer exports for a selection; both are written too. Coordinates are um from the corner of the morphology
image, x before y; those of GeoJSON may be its pixels, as QuPath's are, and :func:`look_like_pixels` tells which.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, box, mapping, shape

from ..errors import BundleError, RegionError
from ..maps import GeneMap

if TYPE_CHECKING:
    from ..slides.slide import Slide

UNIT_KEY = "s2sst_unit_um"
"""Member of a FeatureCollection that we write: um of 1 in its coordinates. Without it nobody knows but the user."""

BEYOND = 1.02
"""A hand-drawn outline may go a little over the edge: so far it still counts as inside."""


@dataclass(frozen=True)
class Region:
    """A named area in um; holes and several parts are allowed.

    Raises :class:`RegionError` unless the polygon is valid and has an area.
    """

    name: str
    polygon: Polygon | MultiPolygon
    """(x, y) in um."""

    def __post_init__(self) -> None:
        polygon = self.polygon
        if not isinstance(polygon, Polygon | MultiPolygon):
            raise RegionError(
                f"Region {self.name!r} is a {getattr(polygon, 'geom_type', type(polygon).__name__)}, not a polygon. "
                "Draw it as a closed outline."
            )
        if polygon.is_empty:
            raise RegionError(f"Region {self.name!r} is empty. Draw it again.")
        if not np.isfinite(shapely.get_coordinates(polygon)).all():
            raise RegionError(f"Region {self.name!r} has coordinates that are not numbers. Draw it again.")
        if not polygon.is_valid or polygon.area == 0:
            reason = "it has no area" if polygon.is_valid else shapely.is_valid_reason(polygon)
            raise RegionError(
                f"Region {self.name!r} is no proper outline ({reason}; x, y in um). Draw it without crossings."
            )
        object.__setattr__(self, "polygon", shapely.force_2d(polygon))


def region_mask(
    regions: Region | Iterable[Region],
    shape: tuple[int, int],
    bin_um: float,
    origin_um: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:
    """(rows, columns) True where a bin's centre lies in any of the regions or on an edge.

    ``origin_um`` (y, x) of the outer corner of bin (0, 0), as in :class:`GeneMap`.
    """
    mask = np.zeros(shape, bool)
    y = origin_um[0] + (np.arange(shape[0]) + 0.5) * bin_um
    x = origin_um[1] + (np.arange(shape[1]) + 0.5) * bin_um
    for region in [regions] if isinstance(regions, Region) else regions:
        x0, y0, x1, y1 = region.polygon.bounds
        rows = slice(*np.searchsorted(y, (y0, np.nextafter(y1, np.inf))))
        columns = slice(*np.searchsorted(x, (x0, np.nextafter(x1, np.inf))))
        shapely.prepare(region.polygon)
        mask[rows, columns] |= shapely.intersects_xy(region.polygon, x[None, columns], y[rows, None])
    return mask


def mask_polygon(
    mask: np.ndarray, bin_um: float, origin_um: tuple[float, float] = (0.0, 0.0)
) -> Polygon | MultiPolygon | None:
    """The squares of all True bins of a mask (rows, columns), united, in um; None where there is none.

    :func:`region_mask` turns them into the same mask.
    """
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)  # 1 where a run of bins begins, -1 after it
    (row, first), (_, last) = (np.nonzero(edges == step) for step in (1, -1))
    if not len(row):
        return None
    y, x = (origin + np.arange(length + 1) * bin_um for origin, length in zip(origin_um, mask.shape, strict=True))
    return shapely.union_all(shapely.box(x[first], y[row], x[last], y[row + 1]))


def restrict(gene_map: GeneMap, regions: Region | Sequence[Region]) -> GeneMap:
    """A gene map with only the tissue inside the regions; what lies outside becomes its context.

    Raises :class:`RegionError` when no tissue is inside.
    """
    chosen = [regions] if isinstance(regions, Region) else list(regions)
    if not chosen:
        raise RegionError("No region was given. Draw one, or leave the whole slide.")
    tissue = gene_map.tissue & region_mask(chosen, gene_map.shape, gene_map.bin_um, gene_map.origin_um)
    if not tissue.any():
        (y, x), (rows, columns) = gene_map.origin_um, gene_map.shape
        raise RegionError(
            f"No tissue lies inside {', '.join(repr(region.name) for region in chosen)}; the slide covers x "
            f"{x:.0f} to {x + columns * gene_map.bin_um:.0f} and y {y:.0f} to {y + rows * gene_map.bin_um:.0f} um. "
            "Coordinates must be in um, not in pixels."
        )
    context = gene_map.counted & ~tissue
    return replace(gene_map, tissue=tissue, context=context if context.any() else None)


def read_regions(path: str | Path, *, pixel_size_um: float | None = None) -> list[Region]:
    """The regions of a GeoJSON file or a Xenium Explorer selection, in their order, at least one.

    ``pixel_size_um``: GeoJSON that does not tell its unit is in pixels of this size, as QuPath writes it.
    Raises :class:`RegionError` when the file can't be read, holds none, or holds anything that is not a proper polygon.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise RegionError(f"{path} can't be read ({error.strerror or error}). Choose a GeoJSON or CSV file.") from None
    try:
        regions = _from_geojson(text, pixel_size_um) if text.lstrip()[:1] in ("{", "[") else _from_explorer(text)
    except RegionError as error:
        raise RegionError(f"{path}: {error}") from None
    if not regions:
        raise RegionError(f"{path} holds no regions. Export them again, as GeoJSON or as a Xenium Explorer selection.")
    return regions


def write_regions(path: str | Path, regions: Iterable[Region], *, pixel_size_um: float | None = None) -> Path:
    """Write GeoJSON in um, or in pixels of this size as QuPath counts; it says which. Raises :class:`RegionError`."""
    path, unit = Path(path).expanduser(), pixel_size_um or 1.0
    features = [
        {"type": "Feature", "properties": {"objectType": "annotation", "name": region.name},
         "geometry": mapping(scaled(region, 1 / unit).polygon)}
        for region in regions
    ]  # fmt: skip
    return _write(path, json.dumps({"type": "FeatureCollection", UNIT_KEY: unit, "features": features}, indent=1))


def scaled(region: Region, factor: float) -> Region:
    """The region with all coordinates times the factor."""
    return region if factor == 1 else Region(region.name, shapely.transform(region.polygon, lambda xy: xy * factor))


def write_explorer_csv(path: str | Path, regions: Iterable[Region]) -> Path:
    """Write selections in um that Xenium Explorer and :func:`read_regions` read.

    Explorer's selection is one outline without holes. So nothing may get lost, a region with holes or several parts is
    written as several selections, ``duct [1/2]`` and ``duct [2/2]``, cut straight through each hole; read back, they are one
    again. Raises :class:`RegionError` when two regions share a name, by which Explorer tells them apart, or it can't be written.
    """
    outlines: list[tuple[str, Polygon]] = []
    for number, region in enumerate(regions, start=1):
        name = " ".join(region.name.split()) or f"region {number}"
        if name.startswith("#"):
            raise RegionError(f"Region {name!r} begins with '#', which marks a comment in a CSV file. Rename it.")
        pieces = _without_holes(region.polygon)
        several = len(pieces) > 1
        for part, piece in enumerate(pieces, start=1):
            outlines.append((f"{name} [{part}/{len(pieces)}]" if several else name, piece))
    names = [name for name, _ in outlines]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise RegionError(
            f"Two regions are named {twice!r}, and Xenium Explorer tells selections apart by their names. Rename one."
        )
    if not outlines:
        raise RegionError("There is no region to write. Draw one first.")
    single = len(outlines) == 1
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    areas = ", ".join(f"{piece.area:.2f}" for _, piece in outlines)
    listed = names[0] if single else ", ".join(f'"{name}"' if "," in name else name for name in names)
    text.write(f"#Selection name{'' if single else 's'}: {listed}\n#Area{'' if single else 's'} (\u00b5m^2): {areas}\n")
    rows.writerow(["X", "Y"] if single else ["Selection", "X", "Y"])
    for name, piece in outlines:
        points = [[float(x), float(y)] for x, y in piece.exterior.coords]
        rows.writerows(points if single else [[name, *point] for point in points])
    return _write(Path(path).expanduser(), text.getvalue())


def _write(path: Path, text: str) -> Path:
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise RegionError(f"{path} can't be written ({error.strerror or error}). Choose another folder.") from None
    return path


def _without_holes(area: Polygon | MultiPolygon) -> list[Polygon]:
    """Simple outlines that together are the area; those with holes are cut from top to bottom through each."""
    outlines: list[Polygon] = []
    for polygon in getattr(area, "geoms", [area]):
        if not polygon.interiors:
            outlines.append(polygon)
            continue
        hole = polygon.interiors[0].bounds
        x0, y0, x1, y1 = polygon.bounds
        middle = (hole[0] + hole[2]) / 2
        for side in (box(x0 - 1, y0 - 1, middle, y1 + 1), box(middle, y0 - 1, x1 + 1, y1 + 1)):
            cut = polygon.intersection(side)
            parts = [part for part in getattr(cut, "geoms", [cut]) if part.geom_type == "Polygon" and part.area > 0]
            outlines += [outline for part in parts for outline in _without_holes(part)]
    return outlines


def _from_geojson(text: str, pixel_size_um: float | None) -> list[Region]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RegionError(f"this is not valid JSON ({error}). Export it again.") from None
    unit = pixel_size_um or 1.0
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        said = content.get(UNIT_KEY)
        unit = said if isinstance(said, float | int) and 0 < said < np.inf else unit
        content = content.get("features")
    features = content if isinstance(content, list) else [content]
    return [
        scaled(_from_feature(feature, f"region {number}"), unit) for number, feature in enumerate(features, start=1)
    ]


def _from_feature(feature: Any, unnamed: str) -> Region:
    if not isinstance(feature, dict):
        raise RegionError(f"{unnamed} is not a GeoJSON feature. Export it again.")
    is_feature = feature.get("type") == "Feature"
    said = feature.get("properties") if is_feature else None
    properties = said if isinstance(said, dict) else {}
    sort = properties.get("classification")
    named = (properties.get("name"), sort.get("name") if isinstance(sort, dict) else sort)
    name = next((str(name) for name in named if name), unnamed)
    geometry = feature.get("geometry") if is_feature else feature
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise RegionError(
            f"{name!r} is a {kind or 'feature without a geometry'}, not a polygon. Take it out, or redraw it."
        )
    try:
        with np.errstate(invalid="ignore"):  # a NaN is refused by Region, in words
            polygon = shape(geometry)
    except (KeyError, IndexError, TypeError, ValueError, shapely.errors.ShapelyError) as error:
        raise RegionError(f"{name!r} has broken coordinates ({error}). Export it again.") from None
    return Region(name, polygon)


def _from_explorer(text: str) -> list[Region]:
    """Comment lines, then ``X,Y`` of one selection or ``Selection,X,Y`` of several, in um."""
    outlines: dict[str, list[tuple[float, float]]] = {}
    single = "region 1"
    columns: list[str] | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.lstrip(' "').startswith("#"):
            key, _, value = line.strip('# "').partition(":")
            if key.strip().lower() == "selection name" and value.strip():
                single = value.strip().strip('"')
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        if not any(cells):
            continue
        if columns is None:
            columns = [cell.lower() for cell in cells]
            if not {"x", "y"} <= set(columns):
                raise RegionError(f"line {number} names no columns X and Y, so this is no Xenium Explorer selection.")
            continue
        try:
            point = dict(zip(columns, cells, strict=True))
            at = (float(point["x"]), float(point["y"]))
        except ValueError:
            raise RegionError(f"line {number} holds no x and y in um: {','.join(cells)!r}. Export it again.") from None
        outlines.setdefault(point.get("selection") or single, []).append(at)
    for name, points in outlines.items():
        if len(points) < 3:
            raise RegionError(f"{name!r} has {len(points)} points, and an outline needs three. Draw it again.")
    return _joined([Region(name, Polygon(points)) for name, points in outlines.items()])


_PART = re.compile(r"(?P<name>.+) \[(?P<part>\d+)/(?P<parts>\d+)\]")


def _joined(outlines: list[Region]) -> list[Region]:
    """Join what :func:`write_explorer_csv` took apart to one region again, at the place of its first part."""
    regions = {region.name: region for region in outlines}
    for region in outlines:
        named = _PART.fullmatch(region.name)
        count = int(named["parts"]) if named else 0
        if not 2 <= count <= len(outlines) or named["name"] in regions:
            continue
        names = [f"{named['name']} [{part}/{count}]" for part in range(1, count + 1)]
        if region.name != names[0] or not regions.keys() >= set(names):
            continue
        whole = Region(named["name"], shapely.union_all([regions[name].polygon for name in names]))
        regions = {
            name: whole if name == names[0] else other for name, other in regions.items() if name not in names[1:]
        }
    return list(regions.values())


@dataclass(frozen=True)
class Picture:
    """Facts of a slide by which um are told from pixels; all (rows, columns)."""

    shape_px: tuple[int, int]
    pixel_size_um: float
    end_um: tuple[float, float]
    """Largest y and x of picture and transcripts."""


def picture_of(slide: Slide) -> Picture | None:
    """The size of a slide's picture; None for a slide without one, or whose pixels nobody knows the size of."""
    try:
        image = next((image for image in slide.images if image.pixel_size_um), None)
        if image is None:
            return None
        _, _, *transcripts = slide.extent_um
    except BundleError:  # an incomplete image, or no transcript; whoever shows it says what is wrong with it
        return None
    ends = (max(at, length * image.pixel_size_um) for at, length in zip(transcripts, image.shape_px, strict=True))
    rows, columns = image.shape_px
    return Picture((int(rows), int(columns)), float(image.pixel_size_um), tuple(map(float, ends)))


def look_like_pixels(regions: Iterable[Region], picture: Picture) -> bool:
    """Whether they reach beyond the slide in um and, all of them, fit its picture in pixels."""
    x0, y0, x1, y1 = shapely.total_bounds([region.polygon for region in regions])
    beyond = y1 > BEYOND * picture.end_um[0] or x1 > BEYOND * picture.end_um[1]
    slack_px = [(BEYOND - 1) * length for length in picture.shape_px]
    fits = y1 <= picture.shape_px[0] + slack_px[0] and x1 <= picture.shape_px[1] + slack_px[1]
    return bool(beyond and fits and y0 >= -slack_px[0] and x0 >= -slack_px[1])
