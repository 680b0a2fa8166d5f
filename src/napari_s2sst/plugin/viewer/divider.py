"""Two layers with a line between them that is dragged: the first is seen left of it, the second right of it.

napari can't clip an image in two dimensions, so the line works on copies of the maps that are NaN on one side; the maps
themselves are hidden meanwhile and never changed. Arrow keys move it too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.experimental import link_layers, unlink_layers
from napari.layers import Image, Layer, Vectors
from qtpy.QtCore import QObject, QTimer, Signal

from .canvas import camera_of

STEP = 0.02
"""Of the line's way, for a press of an arrow key."""

GRAB_PX, LINE_PX = 10, 3
LINE_COLOUR = "#ffffff"
LOOK = ("contrast_limits", "gamma", "colormap", "opacity")
"""What a copy shares with the layer that it was made of."""

OWN_KIND = {"s2sst_kind": "comparison"}
"""Metadata of the layers that are only there meanwhile."""


def can_be_cut(layer: Layer) -> bool:
    """A plain map: two dimensions, one scale, no colours of its own."""
    return isinstance(layer, Image) and not layer.multiscale and not layer.rgb and layer.ndim == 2


class Divider(QObject):
    """The line, from when it is made until :meth:`end`. At least one of the layers must be one that can be cut."""

    moved = Signal(float)
    """From 0 at the left edge of the maps to 1 at their right edge."""

    def __init__(
        self, viewer: Any, first: Layer, second: Layer, *, position: float, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.position = float(np.clip(position, 0, 1))
        self.own: list[Layer] = []
        self._cut: list[tuple[Image, Image, bool]] = []  # layer, its copy, whether it is seen on the left
        self._pan: bool | None = None
        self._drawing = QTimer(self)
        self._drawing.setSingleShot(True)
        self._drawing.setInterval(0)
        self._drawing.timeout.connect(self._draw)
        for layer, is_left in ((first, True), (second, False)):
            layer.visible = not can_be_cut(layer)
            if can_be_cut(layer):
                self._cut.append((layer, self._copy(layer, is_left), is_left))
                layer.events.data.connect(self._draw_soon)
        self._line = self._add_line(self._cut[0][0])
        viewer.mouse_drag_callbacks.append(self._drag)
        viewer.mouse_move_callbacks.append(self._hover)
        camera_of(viewer).events.zoom.connect(self._thicken)
        self._keys = {}
        for key, step in (("Left", -STEP), ("Right", STEP)):
            self._keys[key] = viewer.keymap.get(key)
            viewer.bind_key(key, lambda _viewer, step=step: self.set_position(self.position + step), overwrite=True)
        self._draw()

    @property
    def copies(self) -> list[Image]:
        return [copy for _, copy, _ in self._cut]

    def set_position(self, position: float) -> None:
        position = float(np.clip(position, 0, 1))
        if position != self.position:
            self.position = position
            self._draw_soon()
            self.moved.emit(position)

    def end(self) -> None:
        """Take away the line, the copies, and what listens to mouse and keys. The maps stay hidden."""
        self._drawing.stop()
        self.viewer.mouse_drag_callbacks.remove(self._drag)
        self.viewer.mouse_move_callbacks.remove(self._hover)
        camera_of(self.viewer).events.zoom.disconnect(self._thicken)
        self._let_pan()
        for key, bound in self._keys.items():
            self.viewer.bind_key(key, None)
            if bound is not None:
                self.viewer.bind_key(key, bound, overwrite=True)
        for layer, copy, _ in self._cut:
            layer.events.data.disconnect(self._draw_soon)
            unlink_layers([layer, copy], LOOK)
        for layer in self.own:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _copy(self, layer: Image, is_left: bool) -> Image:
        _, look, kind = layer.as_layer_data_tuple()
        side = "left" if is_left else "right"
        look |= {"name": f"{side}: {layer.name}", "metadata": dict(OWN_KIND), "visible": True}
        copy = Layer.create(np.array(layer.data, np.float32), look, kind)
        self.own.append(copy)
        self.viewer.add_layer(copy)
        link_layers([layer, copy], LOOK)
        overlay = getattr(copy, "name_overlay", None)  # napari had none before 0.7
        if overlay is not None:
            overlay.position = f"top_{side}"
        return copy

    def _add_line(self, layer: Image) -> Vectors:
        line = Vectors(
            np.zeros((1, 2, 2)), name="divider", edge_color=LINE_COLOUR, vector_style="line", length=1, opacity=1,
            units=layer.units, axis_labels=layer.axis_labels, metadata=dict(OWN_KIND),
        )  # fmt: skip
        self.own.append(line)
        self.viewer.add_layer(line)
        return line

    def _world(self) -> np.ndarray:
        """((y0, x0), (y1, x1)) of all that is divided, to the outer edges of the pixels."""
        ends = np.array([layer.extent.world[:, -2:] for layer, _, _ in self._cut])
        half = np.array([np.abs(layer.scale[-2:]) / 2 for layer, _, _ in self._cut])
        return np.array([(ends[:, 0] - half).min(0), (ends[:, 1] + half).max(0)])

    def _at(self) -> float:
        (_, x0), (_, x1) = self._world()
        return float(x0 + self.position * (x1 - x0))

    def _draw_soon(self, *_: Any) -> None:
        self._drawing.start()

    def _draw(self) -> None:
        at = self._at()
        for layer, copy, is_left in self._cut:
            data = np.array(layer.data, np.float32)
            centres = layer.translate[-1] + np.arange(data.shape[1]) * layer.scale[-1]
            data[:, (centres >= at) if is_left else (centres < at)] = np.nan
            copy.data = data
        (y0, _), (y1, _) = self._world()
        self._line.data = np.array([[[y0, at], [y1 - y0, 0]]])
        self._thicken()

    def _thicken(self, *_: Any) -> None:
        """The line is as thick at any zoom."""
        self._line.edge_width = LINE_PX / camera_of(self.viewer).zoom

    def _near(self, event: Any) -> bool:
        return abs(event.position[-1] - self._at()) * camera_of(self.viewer).zoom <= GRAB_PX

    def _hover(self, _viewer: Any, event: Any) -> None:
        """Let a drag near the line move it and not the view."""
        if self._near(event):
            camera = camera_of(self.viewer)
            if self._pan is None:
                self._pan, camera.mouse_pan = camera.mouse_pan, False
        else:
            self._let_pan()

    def _let_pan(self) -> None:
        if self._pan is not None:
            camera_of(self.viewer).mouse_pan, self._pan = self._pan, None

    def _drag(self, _viewer: Any, event: Any):
        if not self._near(event):
            return
        yield
        (_, x0), (_, x1) = self._world()
        while event.type == "mouse_move":
            self.set_position((event.position[-1] - x0) / (x1 - x0))
            yield
