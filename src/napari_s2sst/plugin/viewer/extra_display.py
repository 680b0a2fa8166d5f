"""The optional layers of a slide in one viewer: put in, kept in their order, outlines drawn where the camera looks."""

from __future__ import annotations

from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from ...engine.pictures.outlines import BoundaryKind
from ..widgets.docked import single_shot
from .canvas import view_events
from .extra_layers import Loaded
from .layers import slide_of
from .outlines import Outlines, View

SETTLE_MS = 150
"""Outlines are drawn anew when the camera has come to rest."""
DENSITY, HISTOLOGY, CELLS, NUCLEI, TRANSCRIPTS = KEYS = ("density", "histology", "cells", "nuclei", "transcripts")
"""Keys of the optional layers, from the lowest to the topmost."""
KINDS: dict[str, BoundaryKind] = {CELLS: "cell", NUCLEI: "nucleus"}
"""Keys of outlines -> what is outlined."""


class ExtraDisplay(QObject):
    """The layers of one viewer that were put in under a key of :data:`KEYS`. Main thread only."""

    deleted = Signal(str)
    """The user deleted a layer that was put in under this key."""
    noted = Signal(str, str)
    """A key, and why less of it is seen than was asked for; "" when nothing is to be said any more."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.layers: dict[str, list[Layer]] = {key: [] for key in KEYS}
        self._outlines: dict[str, Outlines] = {}
        self._settle = single_shot(self, SETTLE_MS, self._follow_camera)
        self._raise = single_shot(self, 0, self._raise_layers)
        self._connected = [
            *((event, self._moved) for event in view_events(viewer)),
            (viewer.layers.events.inserted, self._inserted),
            (viewer.layers.events.removed, self._removed),
        ]
        for source, slot in self._connected:
            source.connect(slot)

    def put(self, key: str, loaded: Loaded) -> None:
        """Show what was read in place of what was shown under this key."""
        self.remove(key)
        active = self.viewer.layers.selection.active
        for data in loaded.layers:
            layer = self.viewer.add_layer(Layer.create(*data))
            layer.editable = False
            self.layers[key].append(layer)
            if isinstance(layer, Image):
                self._lay_on_slide(layer)
        if active is not None:
            self.viewer.layers.selection.active = active  # what the user works on stays chosen
        self.noted.emit(key, loaded.note)
        if loaded.boundaries is not None:
            what = f"{KINDS[key]} outlines"
            self._outlines[key] = Outlines(self.layers[key][0], loaded.boundaries, what)
            self._outlines[key].layer.events.visible.connect(self._moved)
            self._follow_camera()

    def reveal(self, key: str) -> None:
        """Show again what the user has hidden."""
        for layer in self.layers[key]:
            layer.visible = True

    def remove(self, key: str) -> None:
        """Take the layers of a key away."""
        outlines = self._outlines.pop(key, None)
        if outlines is not None:
            outlines.layer.events.visible.disconnect(self._moved)
        layers, self.layers[key] = self.layers[key], []
        for layer in layers:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def forget(self) -> None:
        """Drop what waits, and let the viewer go; layers stay in it."""
        for source, slot in self._connected:
            source.disconnect(slot)
        self._connected = []
        self._settle.stop()
        self._raise.stop()
        for outlines in self._outlines.values():
            outlines.layer.events.visible.disconnect(self._moved)
        self._outlines.clear()

    def _moved(self, *_: Any) -> None:
        if self._outlines:
            self._settle.start()

    def _follow_camera(self) -> None:
        view = View.of(self.viewer)
        for key, outlines in self._outlines.items():
            self.noted.emit(key, outlines.follow(view))

    def _inserted(self, event: Any) -> None:
        if any(self.layers.values()):
            self._raise.start()

    def _removed(self, event: Any) -> None:
        for key, layers in self.layers.items():
            if event.value in layers:
                layers.remove(event.value)
                self.deleted.emit(key)

    def _raise_layers(self) -> None:
        """Points over nuclei over cells over all that came later: they are thin. Pictures stay under the maps."""
        layers = self.viewer.layers
        own = [layer for key in KEYS for layer in self.layers[key] if layer in layers and not isinstance(layer, Image)]
        if list(layers)[len(layers) - len(own) :] != own:
            for layer in own:
                layers.move(layers.index(layer), len(layers))

    def _lay_on_slide(self, layer: Layer) -> None:
        """Lay it over the slide's stains and under the maps."""
        layers = self.viewer.layers
        stains = [place for place, other in enumerate(layers) if slide_of(other) is not None]
        layers.move(layers.index(layer), max(stains, default=-1) + 1)
