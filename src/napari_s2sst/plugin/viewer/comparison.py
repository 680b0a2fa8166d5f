"""Look at two or more layers of a viewer against each other: side by side, with a divider to drag, or in turn.

Nothing of the layers' data is changed, and :meth:`Comparison.end` puts back what was visible, the grid, the contrast and
the zoom. napari can't clip an image in two dimensions, so a divider works on copies of the maps that are NaN on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Layer
from qtpy.QtCore import QObject, QTimer, Signal

from ...engine.errors import ConfigError
from .canvas import camera_of, canvas_size_px, grid_of
from .divider import Divider, can_be_cut
from .layers import MAP_KEY, slide_of

BLINK_MS = 600
VALUES = ("measured", "sparse input", "imputed", "preview")
"""Kinds of layers in the normalised space, which share their contrast while they are compared."""


class CompareMode(Enum):
    OFF = "off"
    SIDE_BY_SIDE = "side by side"
    SWIPE = "swipe"
    BLINK = "blink"


@dataclass(frozen=True, kw_only=True)
class CompareChoice:
    """Choice of what is compared, by the layers' names."""

    mode: CompareMode = CompareMode.OFF
    first: str = ""
    second: str = ""
    position: float = 0.5
    """Of the divider, from 0 at the left to 1 at the right."""
    interval_ms: int = BLINK_MS


@dataclass(kw_only=True)
class _Before:
    """State of the viewer that is put back at the end."""

    visible: dict[Layer, bool]
    grid: tuple[bool, int, tuple[int, int], float]
    selected: Layer | None
    limits: dict[Layer, tuple[list[float], list[float]]] = field(default_factory=dict)
    named: dict[Layer, bool] = field(default_factory=dict)
    zoom_factor: float = 1.0


class Comparison(QObject):
    """The comparison that goes on in a viewer, one at a time."""

    ended = Signal()
    """It was ended, by :meth:`end` or because one of its layers was deleted."""
    moved = Signal(float)
    """The divider, from 0 to 1."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.mode = CompareMode.OFF
        self._before: _Before | None = None
        self._layers: tuple[Layer, ...] = ()
        self._divider: Divider | None = None
        self._linked: list[list[Layer]] = []
        self._blink = QTimer(self)
        self._blink.timeout.connect(self._turn)
        self._soon = QTimer(self)  # a layer is not to be removed while another one is being removed
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self.end)

    def show(self, choice: CompareChoice) -> None:
        """Compare as a :class:`CompareBar` asks for. Raises :class:`ConfigError` when a layer is not there or can't be compared."""
        if choice.mode is CompareMode.OFF:
            self.end()
            return
        layers = [self._named(name) for name in (choice.first, choice.second)]
        if choice.mode is self.mode and layers == list(self._layers):
            self.set_interval(choice.interval_ms)
            self.set_position(choice.position)
        elif choice.mode is CompareMode.SIDE_BY_SIDE:
            self.side_by_side(layers)
        elif choice.mode is CompareMode.SWIPE:
            self.swipe(*layers, position=choice.position)
        else:
            self.blink(*layers, interval_ms=choice.interval_ms)

    def side_by_side(self, layers: Sequence[Layer]) -> None:
        """Every layer in a cell of its own, all cells moving together. Raises :class:`ConfigError`."""
        layers = self._begin(CompareMode.SIDE_BY_SIDE, layers)
        before, places = self._before, [self.viewer.layers.index(layer) for layer in layers]
        for layer in self.viewer.layers:
            layer.visible = layer in layers
        grid = grid_of(self.viewer)
        height, width = canvas_size_px(self.viewer)
        sides = self._sides(layers)
        shape = best_shape(len(layers), sides, (height, width))
        # A cell each, in the order given where the list of layers has it or has it backwards; the order stays as it is.
        grid.stride = -1 if places == sorted(places, reverse=True) else 1
        grid.shape, grid.spacing, grid.enabled = shape, 4, True
        cell = (height / shape[0], width / shape[1])
        before.zoom_factor = float(np.min(np.divide(cell, sides)) / np.min(np.divide((height, width), sides)))
        camera_of(self.viewer).zoom *= before.zoom_factor
        self._show_names(layers)

    def swipe(self, first: Layer, second: Layer, position: float = 0.5) -> None:
        """The first layer left of a divider, the second right of it. At least one must be a plain 2D map.

        The divider is dragged with the mouse or moved with the arrow keys. Raises :class:`ConfigError`.
        """
        if not any(map(can_be_cut, (first, second))):
            raise ConfigError("A divider needs a map on at least one side. Choose a map of a gene, or Side by side.")
        layers = self._begin(CompareMode.SWIPE, (first, second))
        self._hide_other_maps(layers)
        self._divider = Divider(self.viewer, *layers, position=position, parent=self)
        self._divider.moved.connect(self.moved)
        self._show_names([*layers, *self._divider.copies])
        self._select(self._before.selected)

    def blink(self, first: Layer, second: Layer, interval_ms: int = BLINK_MS) -> None:
        """One layer and the other in turn. Raises :class:`ConfigError`."""
        layers = self._begin(CompareMode.BLINK, (first, second))
        self._hide_other_maps(layers)
        self._show_names(layers)
        for layer, is_first in zip(layers, (True, False), strict=True):
            layer.visible = is_first
        self._blink.start(interval_ms)

    def set_position(self, position: float) -> None:
        """Move the divider, from 0 at the left edge of the maps to 1 at their right edge."""
        if self._divider is not None:
            self._divider.set_position(position)

    def set_interval(self, interval_ms: int) -> None:
        """Set how long either of two blinking layers is seen."""
        if self._blink.isActive() and self._blink.interval() != interval_ms:
            self._blink.setInterval(interval_ms)

    def end(self) -> None:
        """Put everything back as it was; nothing where nothing is compared."""
        if self._before is None:
            return
        before, self._before, self.mode = self._before, None, CompareMode.OFF
        divider, self._divider = self._divider, None
        self._blink.stop()
        self._soon.stop()
        self.viewer.layers.events.removed.disconnect(self._removed)
        for alike in self._linked:
            unlink_layers(alike, ("contrast_limits",))
        if divider is not None:
            divider.end()
            divider.deleteLater()
        for layer, (limits, span) in before.limits.items():
            layer.contrast_limits_range, layer.contrast_limits = span, limits
        for layer, named in before.named.items():
            layer.name_overlay.visible = named
        for layer, visible in before.visible.items():
            if layer in self.viewer.layers:
                layer.visible = visible
        grid = grid_of(self.viewer)
        grid.enabled, grid.stride, grid.shape, grid.spacing = before.grid
        camera_of(self.viewer).zoom /= before.zoom_factor
        self._select(before.selected)
        self._layers, self._linked = (), []
        self.ended.emit()

    def _begin(self, mode: CompareMode, layers: Sequence[Layer]) -> tuple[Layer, ...]:
        layers = tuple(getattr(layer, "__wrapped__", layer) for layer in layers)
        if len(layers) < 2 or len(set(layers)) < len(layers):
            raise ConfigError("Comparing needs two different layers. Choose another one.")
        if missing := [layer.name for layer in layers if layer not in self.viewer.layers]:
            raise ConfigError(f"The layer {missing[0]!r} is not there any more. Choose another one.")
        self.end()
        grid = grid_of(self.viewer)
        every = [getattr(layer, "__wrapped__", layer) for layer in self.viewer.layers]
        self._before = _Before(
            visible={layer: layer.visible for layer in every},
            grid=(grid.enabled, grid.stride, tuple(grid.shape), grid.spacing),
            selected=getattr(self.viewer.layers.selection.active, "__wrapped__", self.viewer.layers.selection.active),
        )
        self.mode, self._layers = mode, layers
        self.viewer.layers.events.removed.connect(self._removed)
        self._share_contrast(layers)
        if mode is not CompareMode.SIDE_BY_SIDE:
            grid.enabled = False
        return layers

    def _share_contrast(self, layers: Sequence[Layer]) -> None:
        """Maps of the same space get one contrast, wide enough for all, and keep it together."""
        spaces: dict[Any, list[Image]] = {}
        for layer in layers:
            if space := _space(layer):
                spaces.setdefault(space, []).append(layer)
        for alike in spaces.values():
            if len(alike) < 2:
                continue
            self._before.limits |= {one: (list(one.contrast_limits), list(one.contrast_limits_range)) for one in alike}
            low, high = (choose(one.contrast_limits[end] for one in alike) for end, choose in ((0, min), (1, max)))
            for one in alike:
                span = one.contrast_limits_range
                one.contrast_limits_range = (min(low, span[0]), max(high, span[1]))
                one.contrast_limits = (low, high)
            link_layers(alike, ("contrast_limits",))
            self._linked.append(alike)

    def _hide_other_maps(self, layers: Sequence[Layer]) -> None:
        """All images but those compared and the slide's stains, which lie under both."""
        for layer in self.viewer.layers:
            if isinstance(layer, Image) and layer not in layers and slide_of(layer) is None:
                layer.visible = False

    def _show_names(self, layers: Sequence[Layer]) -> None:
        for layer in layers:
            overlay = getattr(layer, "name_overlay", None)  # napari had none before 0.7
            if overlay is None:
                continue
            if layer in self._before.visible:
                self._before.named[layer] = overlay.visible
            overlay.visible = True

    def _turn(self) -> None:
        first, second = self._layers
        first.visible, second.visible = second.visible, not second.visible

    def _removed(self, event: Any) -> None:
        own = () if self._divider is None else self._divider.own
        if self._before is not None and (event.value in self._layers or event.value in own):
            self._blink.stop()
            self._soon.start()

    def _named(self, name: str) -> Layer:
        layer = next((layer for layer in self.viewer.layers if layer.name == name), None)
        if layer is None:
            raise ConfigError(f"There is no layer {name!r} to compare. Choose another one.")
        return getattr(layer, "__wrapped__", layer)

    def _select(self, layer: Layer | None) -> None:
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.selection.active = layer

    def _sides(self, layers: Sequence[Layer]) -> tuple[float, float]:
        spans = np.array([np.ptp(layer.extent.world[:, -2:], axis=0) for layer in layers]).max(0)
        return float(spans[0]) or 1.0, float(spans[1]) or 1.0


def best_shape(count: int, sides: tuple[float, float], canvas: tuple[float, float]) -> tuple[int, int]:
    """(rows, columns) of cells in which maps of these sides (height, width) appear largest on a canvas (height, width)."""
    shapes = [(-(-count // columns), columns) for columns in range(1, count + 1)]
    return max(shapes, key=lambda shape: min(canvas[0] / shape[0] / sides[0], canvas[1] / shape[1] / sides[1]))


def _space(layer: Layer) -> Any:
    """Space of a map's values, so that only like is drawn like like; None for all other layers."""
    kind = getattr(layer, "metadata", {}).get("s2sst_kind")
    if kind is None or not isinstance(layer, Image):
        return None
    about = layer.metadata.get(MAP_KEY, {}).get("normalisation") or {}
    return ("values", about.get("kind", "log1p")) if kind in VALUES else (kind,)
