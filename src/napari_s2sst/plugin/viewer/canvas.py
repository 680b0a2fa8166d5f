"""Find what napari keeps elsewhere from version to version, or shows nowhere: camera, canvas, grid, scale bar, a drawing."""

from __future__ import annotations

from typing import Any

from napari.layers import Shapes


def camera_of(viewer: Any) -> Any:
    """The viewer's camera; it moved in napari 0.9."""
    return getattr(viewer, "scene", viewer).camera


def scale_bar_of(viewer: Any) -> Any:
    """The viewer's scale bar; it moved in napari 0.9."""
    canvas = getattr(viewer, "canvas", None)
    return canvas.overlays.scale_bar if hasattr(canvas, "overlays") else viewer.scale_bar


def grid_of(viewer: Any) -> Any:
    """The grid that layers are put side by side in; it moved in napari 0.9."""
    return getattr(viewer, "canvas", viewer).grid


def canvas_size_px(viewer: Any) -> tuple[int, int]:
    """(height, width) of what a viewer draws on; public since napari 0.9."""
    canvas = getattr(viewer, "canvas", None)
    return tuple(viewer._canvas_size if canvas is None else canvas.size)


def view_events(viewer: Any) -> list[Any]:
    """All events after which something else may be in view."""
    camera = camera_of(viewer).events
    resized = [viewer.canvas.events.size] if hasattr(viewer, "canvas") else []  # since napari 0.9
    return [camera.center, camera.zoom, viewer.dims.events.ndisplay, *resized]


def is_being_drawn(layer: Shapes) -> bool:
    """Whether the last shape is not finished yet. napari says so in a private flag alone: its events of data tell of a
    shape that was begun and dropped as of one that was finished."""
    return getattr(layer, "_is_creating", False)
