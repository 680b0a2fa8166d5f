"""Find in a SpatialData store which elements are meant, and where they lie: their names, and matrices on (x, y, 1).

Read by the package ``spatialdata`` (Marconato et al. 2024), which the extra of that name brings; what is looked at::

    slide.zarr/
      zarr.json | .zattrs          spatialdata_attrs; spatialdata_io_reader: the instrument that it is from
      points/<name>/               x, y, perhaps z, a column of names; transformations to coordinate systems
        points.parquet/            part.0.parquet ...
      images/<name>/               (c, y, x), with coarser levels or without; transformations

A path may be the store, or the folder of one of its points or images, which is then the one that is meant.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BundleError
from ..files import local_path

INSTALL = 'pip install "napari-s2sst[spatialdata]"'
WANTED = "the folder of a SpatialData store, usually named ....zarr"
KINDS = ("points", "images", "labels", "shapes", "tables", "table")
NAME_COLUMNS = ("feature_name", "gene", "target", "gene_name", "feature", "genes")
"""Of 10x, Vizgen, NanoString and others; what the store says itself (feature_key) comes first."""
_ATTRIBUTES = ("zarr.json", ".zattrs")


@dataclass(frozen=True, eq=False)
class Element:
    """Points or an image of a store, as the package holds it."""

    name: str
    held: Any
    """A dask data frame, or an xarray array or tree."""
    to: Mapping[str, np.ndarray]
    """Coordinate system -> (3, 3) matrix from the element's own (x, y, 1) to it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Store:
    """An opened store. Nothing large was read."""

    path: Path
    said: Mapping[str, Any]
    """The attributes of the store itself."""
    points: Mapping[str, Element]
    images: Mapping[str, Element]
    problems: tuple[str, ...]
    """What the package said of elements that it could not read."""
    wanted: tuple[str, str] | None
    """Kind and name of the element whose folder was given."""


def is_spatialdata(path: str | Path) -> bool:
    """Whether to try :func:`open_store`. Looks at names and one small file only, and never raises."""
    try:
        return place_of(Path(path)) is not None
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def place_of(path: Path) -> tuple[Path, tuple[str, str] | None] | None:
    """The store, and the kind and name of the element that the path is; None where it is no store."""
    path = path.expanduser().absolute()
    if not path.is_dir():
        return None
    if _is_store(path):
        return path, None
    kind = path.parent.name
    return (path.parents[1], (kind, path.name)) if kind in ("points", "images") and _is_store(path.parents[1]) else None


def attributes(folder: Path) -> Mapping[str, Any]:
    """Attributes in a group's own file, of zarr 3 or 2; empty where there is none. Raises ValueError when it is damaged."""
    for name in _ATTRIBUTES:
        if (folder / name).is_file():
            said = json.loads((folder / name).read_text(encoding="utf-8"))
            said = said.get("attributes", {}) if name == _ATTRIBUTES[0] and isinstance(said, dict) else said
            return said if isinstance(said, dict) else {}
    return {}


def names_in(store: Path) -> dict[str, list[str]]:
    """Kind -> names of the elements on disk, readable or not."""
    names_of_kinds = {}
    for kind in KINDS:
        folder = store / kind
        names = sorted(element.name for element in folder.iterdir() if element.is_dir()) if folder.is_dir() else []
        if names := [name for name in names if not name.startswith("__")]:
            names_of_kinds[kind] = names
    return names_of_kinds


def package() -> Any:
    """The package spatialdata. Raises :class:`BundleError` where it is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the many packages that it imports
            import spatialdata
    except Exception as error:  # a package that does not fit another one raises nearly every kind
        reason = "" if isinstance(error, ModuleNotFoundError) and error.name == "spatialdata" else f" ({error})"
        raise BundleError(
            f"A SpatialData store needs the package spatialdata, which is not installed here{reason}. Install it with: {INSTALL}"
        ) from None
    return spatialdata


def open_store(path: str | Path) -> Store:
    """Open a store, or the one that an element's folder lies in. Raises :class:`BundleError`."""
    path = local_path(path, WANTED)
    place = place_of(path)
    if place is None:
        raise BundleError(
            f"{path} is no SpatialData store: it has no zarr.json or .zattrs with spatialdata_attrs. Choose {WANTED}."
        )
    store, wanted = place
    sd = package()
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            held = sd.read_zarr(store, selection=("points", "images"), on_bad_files="warn")
        points = {name: Element(name, table, _matrices(sd, table)) for name, table in held.points.items()}
        images = {name: Element(name, array, _matrices(sd, array)) for name, array in held.images.items()}
        said = attributes(store)
    except Exception as error:  # zarr, dask and pyarrow raise nearly every kind on a damaged store
        raise broken(store, error) from None
    problems = tuple(str(warning.message) for warning in caught if "corrupted" in str(warning.message))
    return Store(path=store, said=said, points=points, images=images, problems=problems, wanted=wanted)


def choose_points(store: Store, element: str | None = None) -> tuple[Element, str]:
    """The transcripts, and their column of names.

    Raises :class:`BundleError` when there are none, or several and nobody says which.
    """
    if element is None and store.wanted is not None and store.wanted[0] == "points":
        element = store.wanted[1]
    on_disk = names_in(store.path)
    if element is not None:
        if element not in store.points:
            raise _missing(store, "points", element)
        names = name_column(store.points[element])
        if names is None:
            raise _without_names(store, [element])
        return store.points[element], names
    with_genes = [(points, names) for points in store.points.values() if (names := name_column(points)) is not None]
    if len(with_genes) == 1:
        return with_genes[0]
    if with_genes:
        listed = ", ".join(points.name for points, _ in with_genes)
        raise BundleError(
            f"{store.path} has {len(with_genes)} points elements with genes: {listed}. Say which by giving its folder, such as "
            f"{store.path / 'points' / with_genes[0][0].name}."
        )
    if store.points:
        raise _without_names(store, list(store.points))
    if "points" in on_disk:
        raise _missing(store, "points", on_disk["points"][0])
    others = "; ".join(f"{kind}: {', '.join(names[:5])}" for kind, names in on_disk.items()) or "nothing"
    raise BundleError(
        f"{store.path} has no points, and transcripts are needed; it has {others}. Choose a store with the transcripts "
        "as a points element."
    )


def name_column(points: Element) -> str | None:
    """The column with the genes' names; None where there is none, or no x and y."""
    columns = list(points.held.columns)
    key = (points.held.attrs.get("spatialdata_attrs") or {}).get("feature_key")
    if not {"x", "y"} <= set(columns):
        return None
    return next((name for name in (key, *NAME_COLUMNS) if name in columns), None)


def broken(store: Path, error: Exception) -> BundleError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return BundleError(f"{store} can't be read as a SpatialData store ({reason}). Write or copy it again.")


def _is_store(folder: Path) -> bool:
    said = attributes(folder)
    if "spatialdata_attrs" in said:  # those of elements have transformations beside them
        return not said.keys() & {"coordinateTransformations", "encoding-type", "multiscales", "ome"}
    # Before SpatialData 0.1 nothing said so.
    return (folder / ".zgroup").is_file() and (folder / "points").is_dir() and "multiscales" not in said


def _matrices(sd: Any, held: Any) -> dict[str, np.ndarray]:
    """Transformations that are matrices on x and y; what mixes z into them, or is no matrix, is left out."""
    is_points = hasattr(held, "columns")
    axes = ("x", "y", "z") if is_points and "z" in held.columns else ("x", "y")
    matrices = {}
    for system, transformation in sd.transformations.get_transformation(held, get_all=True).items():
        try:
            matrix = np.asarray(transformation.to_affine_matrix(axes, axes), np.float64)
        except (ValueError, NotImplementedError):
            continue
        if len(axes) == 3 and matrix[:2, 2].any():
            continue
        flat = np.delete(np.delete(matrix, 2, 0), 2, 1) if len(axes) == 3 else matrix
        if np.isfinite(flat).all() and abs(np.linalg.det(flat)) > 0:
            matrices[system] = flat
    return matrices


def _missing(store: Store, kind: str, name: str) -> BundleError:
    on_disk = names_in(store.path).get(kind, [])
    if name in on_disk:
        why = next((problem for problem in store.problems if f"{kind}/{name}" in problem), "")
        reason = f" ({' '.join(why.split())[:200]})" if why else ""
        return BundleError(f"The {kind} {name} of {store.path} can't be read{reason}. Write or copy the store again.")
    there = f"it has {', '.join(on_disk)}" if on_disk else "it has none"
    return BundleError(f"{store.path} has no {kind} element {name!r}; {there}. Choose one of these.")


def _without_names(store: Store, names: list[str]) -> BundleError:
    columns = re.sub(r"[\[\]']", "", str(list(store.points[names[0]].held.columns)[:12]))
    return BundleError(
        f"No points element of {store.path} names genes: {names[0]} has the columns {columns}. x, y and one of "
        f"{', '.join(NAME_COLUMNS[:3])} are needed; name another one by spatialdata's feature_key."
    )
