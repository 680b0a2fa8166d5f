"""Turn our map layers into one OME-TIFF and back: napari's "Save selected layers" without losing place, units and look.

Layers of one grid become its channels; a note in the header holds each one's name, colours and limits, and the runs that
made them. napari's own writer of .tif keeps the values alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from napari.utils.colormaps import Colormap

from ...engine.errors import BundleError, ExportError
from ...engine.export.ome_tiff import Channels, write_channels
from ...engine.export.values import plain
from .layers import KIND_KEY, RESULT_KEY, RUN_KEY, SUMMARY_KEY, LayerData, run_metadata, run_of

_LOOK = ("name", "contrast_limits", "gamma", "opacity", "blending", "visible", "interpolation2d", "axis_labels")
_COLORMAP = ("name", "colors", "controls", "interpolation", "nan_color")
NOTE = "layers"
"""In the file's notes: by it a file of saved layers is known."""


def write_maps(path: str, layer_data: Sequence[LayerData]) -> list[str]:
    """napari's call to save layers as ``path``, which ends in .ome.tif; returns what was written.

    A single layer that is none of our maps is left to napari's own writer. Raises :class:`ExportError` when one of several
    is, when a layer was turned or is not in um, or when the maps are of different grids.
    """
    if len(layer_data) == 1 and not _is_map(layer_data[0]):
        return _as_napari_does(path, layer_data[0])
    for layer in layer_data:
        _check(layer)
    _check_one_grid(layer_data)
    runs: list[Any] = []
    looks = []
    for _, meta, _ in layer_data:
        run = plain(run_of(meta["metadata"]))
        if run and run not in runs:
            runs.append(run)
        looks.append(_look(meta) | {"run": runs.index(run) if run else None})
    maps = {meta["name"]: np.asarray(data, np.float32) for data, meta, _ in layer_data}
    first = layer_data[0][1]
    height_um, width_um = map(float, first["scale"])
    y_um, x_um = map(float, first["translate"])
    corner_um = (y_um - height_um / 2, x_um - width_um / 2)
    notes = {NOTE: json.dumps(looks), "runs": json.dumps(runs)}
    name = Path(path).name.lower().removesuffix(".tiff").removesuffix(".tif").removesuffix(".ome")
    return [
        str(
            write_channels(
                path, Channels(name=name, maps=maps, bin_um=(height_um, width_um), origin_um=corner_um, notes=notes)
            )
        )
    ]


def layers_of(channels: Channels, path: Path) -> list[LayerData]:
    """The layers that :func:`write_maps` saved. Raises :class:`BundleError` when the note about them is damaged."""
    try:
        runs = json.loads(channels.notes.get("runs", "[]"))
        layers: list[LayerData] = []
        for values, look in zip(channels.maps.values(), json.loads(channels.notes[NOTE]), strict=True):
            number = look.pop("run")
            look["metadata"] |= run_metadata(None if number is None else runs[number])
            look["colormap"] = Colormap(**look["colormap"])
            look["contrast_limits"] = tuple(look["contrast_limits"])
            layers.append((values, look | {"units": ("um", "um")}, "image"))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BundleError(f"{path} has a damaged note of its layers ({error!r}). Save them again.") from None
    return layers


def _look(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Look of a layer, which tells it from another one of the same values, as JSON knows it."""
    about = {
        key: value
        for key, value in meta["metadata"].items()
        if key.startswith("s2sst_") and key not in (RUN_KEY, SUMMARY_KEY, RESULT_KEY)
    }
    colormap = {name: meta["colormap"][name] for name in _COLORMAP if name in meta["colormap"]}
    look = {name: meta[name] for name in _LOOK if name in meta}
    place = {"scale": meta["scale"], "translate": meta["translate"]}
    return plain(look | place | {"colormap": colormap, "metadata": about})


def _is_map(layer: LayerData) -> bool:
    return KIND_KEY in (layer[1].get("metadata") or {})


def _check(layer: LayerData) -> None:
    data, meta, _ = layer
    name = meta.get("name", "a layer")
    if not _is_map(layer) or meta.get("multiscale") or np.ndim(data) != 2:
        raise ExportError(
            f"{name} is none of the maps of s2sst (measured, imputed, error, ...), and only these are saved together as one "
            ".ome.tif. Select the maps alone."
        )
    if [str(unit) for unit in meta["units"]] != ["micrometer"] * 2:
        units = ", ".join(map(str, meta["units"]))
        raise ExportError(f"{name} is in {units}, and a map is saved in um. Set its units to um, then save it again.")
    turned = not np.allclose(meta["affine"], np.eye(3)) or not np.allclose(meta["rotate"], np.eye(2))
    if turned or np.any(meta["shear"]):
        raise ExportError(
            f"{name} was turned, sheared or moved by a transform, which an .ome.tif of bins can't say. Reset its transform "
            "(layer controls, Transform, Shift+R), then save it again."
        )


def _check_one_grid(layer_data: Sequence[LayerData]) -> None:
    places = [
        (np.shape(data), tuple(map(float, meta["scale"])), tuple(map(float, meta["translate"])))
        for data, meta, _ in layer_data
    ]
    for place, (_, meta, _) in zip(places, layer_data, strict=True):
        same = place[0] == places[0][0] and np.allclose(place[1:], places[0][1:], rtol=0, atol=1e-6)
        if not same:
            raise ExportError(
                f"{layer_data[0][1]['name']} and {meta['name']} are of different grids ({_grid_text(places[0])}; "
                f"{_grid_text(place)}), and one .ome.tif has one. Save maps of one slide and bin size together, the others "
                "by themselves."
            )


def _grid_text(place: tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]) -> str:
    (rows, columns), scale, (y_um, x_um) = place
    return f"{rows} x {columns} bins of {scale[0]:g} um, the first at y {y_um:g}, x {x_um:g} um"


def _as_napari_does(path: str, layer: LayerData) -> list[str]:
    """A picture of somebody else: what napari would have written if this plugin were not there."""
    from npe2 import PluginManager

    # By its command: asked for a writer of the plugin "napari", npe2 finds all whose names begin with it, ours too.
    written = PluginManager.instance().commands.execute("napari.write_image", (path, *layer[:2]))
    return [written] if isinstance(written, str) else list(written or [])
