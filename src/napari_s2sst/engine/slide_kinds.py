"""Open a slide of whatever kind a path is: a Xenium folder, a SpatialData store, a count cube, spots of an .h5ad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .spatialdata_file import is_spatialdata
from .xenium import is_xenium, open_xenium


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
        from .count_cube import open_count_cube

        return open_count_cube(path)
    if suffix == ".h5ad":
        from .anndata_slide import open_anndata

        return open_anndata(path)
    return open_slide_folder(path)
