"""Turn a Xenium folder into napari layers: one lazily read, multiscale image per stain, in um."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from .layers import LayerData, slide_layers


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """napari's question whether we read this path: only a Xenium folder, or its experiment.xenium.

    npe2 asks for every folder that is dropped on the window, so anything else must be answered with None, fast.
    """
    from ..engine.xenium import is_xenium

    if isinstance(path, list):
        return None if len(path) != 1 else get_reader(path[0])
    return read_slide if is_xenium(path) else None


def read_slide(path: str | Path | list[str]) -> list[LayerData]:
    """The slide's layers. Raises BundleError when the folder can't be read."""
    from ..engine.xenium import open_xenium

    if isinstance(path, list):
        path = path[0]
    layers = slide_layers(open_xenium(path))
    _ask_for_a_scale_bar()
    return layers


def _ask_for_a_scale_bar() -> None:
    """Layer data can't carry one, and a slide without its scale is not readable to a pathologist."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from .display import scale_bar_of

        scale_bar_of(viewer).visible = True
