"""Turn polygons in um into masks of bins, and regions of interest into files and back.

Read are GeoJSON (as QuPath writes it: a geometry, a Feature, a FeatureCollection or a list of Features) and the CSV
that Xenium Explorer exports for a selection. Coordinates are um from the corner of the morphology image, x before y.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon, mapping, shape

from .errors import RegionError
from .maps import GeneMap


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


def restrict(gene_map: GeneMap, regions: Region | Sequence[Region]) -> GeneMap:
    """The same map with only the tissue inside the regions. Raises :class:`RegionError` when none of it is."""
    chosen = [regions] if isinstance(regions, Region) else list(regions)
    if not chosen:
        raise RegionError("No region was given. Draw one, or leave the whole slide.")
    tissue = gene_map.tissue & region_mask(chosen, gene_map.shape, gene_map.bin_um, gene_map.origin_um)
    if not tissue.any():
        y, x = gene_map.origin_um
        rows, columns = gene_map.shape
        raise RegionError(
            f"No tissue lies inside {', '.join(repr(region.name) for region in chosen)}; the slide covers x "
            f"{x:.0f} to {x + columns * gene_map.bin_um:.0f} and y {y:.0f} to {y + rows * gene_map.bin_um:.0f} um. "
            "Coordinates must be in um, not in pixels."
        )
    return replace(gene_map, tissue=tissue)


def read_regions(path: str | Path) -> list[Region]:
    """The regions of a GeoJSON file or a Xenium Explorer selection, in their order, at least one.

    Raises :class:`RegionError` when the file can't be read, holds none, or holds anything that is not a proper polygon.
    """
    path = Path(path).expanduser()
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise RegionError(f"{path} can't be read ({error.strerror or error}). Choose a GeoJSON or CSV file.") from None
    try:
        regions = _from_geojson(text) if text.lstrip()[:1] in ("{", "[") else _from_explorer(text)
    except RegionError as error:
        raise RegionError(f"{path}: {error}") from None
    if not regions:
        raise RegionError(f"{path} holds no regions. Export them again, as GeoJSON or as a Xenium Explorer selection.")
    return regions


def write_regions(path: str | Path, regions: Iterable[Region]) -> Path:
    """Write GeoJSON in um that QuPath and :func:`read_regions` read. Raises :class:`RegionError` when it can't."""
    path = Path(path).expanduser()
    features = [
        {"type": "Feature", "properties": {"objectType": "annotation", "name": region.name},
         "geometry": mapping(region.polygon)}
        for region in regions
    ]  # fmt: skip
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_text(json.dumps({"type": "FeatureCollection", "features": features}, indent=1), encoding="utf-8")
        os.replace(beside, path)
    except OSError as error:
        raise RegionError(f"{path} can't be written ({error.strerror or error}). Choose another folder.") from None
    return path


def _from_geojson(text: str) -> list[Region]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise RegionError(f"this is not valid JSON ({error}). Export it again.") from None
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features")
    features = content if isinstance(content, list) else [content]
    return [_from_feature(feature, f"region {number}") for number, feature in enumerate(features, start=1)]


def _from_feature(feature: Any, unnamed: str) -> Region:
    if not isinstance(feature, dict):
        raise RegionError(f"{unnamed} is not a GeoJSON feature. Export it again.")
    is_feature = feature.get("type") == "Feature"
    said = feature.get("properties") if is_feature else None
    properties = said if isinstance(said, dict) else {}
    sort = properties.get("classification")
    named = (properties.get("name"), sort.get("name") if isinstance(sort, dict) else sort)
    name = next((str(each) for each in named if each), unnamed)
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
    return [Region(name, Polygon(points)) for name, points in outlines.items()]
