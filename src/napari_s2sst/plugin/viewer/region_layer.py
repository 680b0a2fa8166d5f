"""The shapes layer that regions are drawn on: made when it is needed, followed, named and kept in sight."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from napari.layers import Image, Shapes
from qtpy.QtCore import QObject, Signal

from ...engine.sampling.regions import Region
from ..widgets.docked import single_shot
from . import region_shapes as shapes
from .canvas import is_being_drawn


class RegionLayer(QObject):
    """Follows one viewer's layer of regions. Main thread only.

    The layer is made when something is drawn or added, and may be deleted: then there are no regions, and :meth:`undo`
    brings them back.
    """

    changed = Signal(object, bool)
    """The DrawnRegions that there are, a tuple, and whether some that were deleted can come back; after every look."""
    tool_changed = Signal(str, bool)
    """The layer's mode as napari names it ("pan_zoom" without a layer), and whether holes are drawn."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.layer: Shapes | None = None
        self.regions: tuple[shapes.DrawnRegion, ...] = ()
        """As they were when last looked at."""
        self._deleted: list[shapes.Shape] = []
        self._shapes: list[shapes.Shape] = []
        self._holes = False
        self._soon = single_shot(self, 0, self.look)
        self._connected = self._viewer_events()
        for source, slot in self._connected:
            source.connect(slot)
        left = next((layer for layer in viewer.layers if shapes.is_region_layer(layer)), None)
        if left is not None:  # by a window that was closed
            self._adopt(left)

    def look(self) -> None:
        """Name what is new, and tell of all. An outline that is still being drawn is left alone."""
        self._soon.stop()
        layer = self.layer
        if layer is None:
            self.regions = ()
            self.changed.emit(self.regions, bool(self._deleted))
            self._tell_tool()
            return
        if is_being_drawn(layer):
            return
        shapes.tidy(layer, len(self._shapes), shapes.HOLE if self._holes else shapes.REGION)
        self._shapes = shapes.shapes_of(layer)
        self._soon.stop()  # our own changes need no second look
        self.regions = shapes.drawn_regions(layer)
        self.changed.emit(self.regions, bool(self._deleted))

    def draw(self, mode: str = "add_polygon", holes: bool = False) -> None:
        """Make the layer if there is none, select it and put it into a mode of napari's."""
        if self.layer is None and mode == "pan_zoom":
            return
        layer = self._need_layer()
        self._holes = holes
        layer.visible = True
        self.viewer.layers.selection.active = layer
        shapes.draw_next(layer, shapes.HOLE if holes else shapes.REGION)
        layer.mode = mode

    def add(self, regions: Iterable[Region]) -> None:
        """Draw regions beside those there are."""
        layer = self._need_layer()
        self.look()
        shapes.add_regions(layer, regions)
        self._take_as_named()

    def change(self, name: str, *, to: str | None = None, used: bool | None = None) -> None:
        """Rename a region or say whether it counts."""
        if self.layer is not None:
            shapes.change(self.layer, name, to=to, used=used)
            self.look()

    def select(self, names: Sequence[str]) -> None:
        """Mark the shapes of some regions; napari draws their box while the layer is in its select mode."""
        if self.layer is None or str(self.layer.mode) not in ("select", "pan_zoom"):
            return
        self.layer.selected_data = {at for region in self.regions if region.name in names for at in region.shapes}

    def delete(self, names: Sequence[str]) -> None:
        """Delete regions, with the holes that then lie in none."""
        if self.layer is None:
            return
        self.look()
        gone = [at for region in self.regions if region.name in names for at in region.shapes]
        gone += [at for at in shapes.holes_left_alone(self.layer, gone) if at not in gone]
        if gone:
            self._deleted = [self._shapes[at] for at in gone]
            self.layer.selected_data = set()
            self.layer.remove(sorted(gone))
            self.look()

    def undo(self) -> None:
        """Bring back what was deleted last."""
        deleted, self._deleted = self._deleted, []
        if deleted:
            layer = self._need_layer()
            self.look()
            shapes.add_again(layer, deleted)
            self._take_as_named()

    def clear(self) -> None:
        """Remove the layer, for good: the next slide's regions are none of these."""
        layer = self.layer
        self._let_go()
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        self._deleted = []
        self.look()

    def forget(self) -> None:
        """Let go of viewer and layer; the layer stays."""
        self._soon.stop()
        self._let_go()
        connections, self._connected = self._connected, ()
        for source, slot in connections:
            source.disconnect(slot)

    def _viewer_events(self) -> tuple:
        events = self.viewer.layers.events
        return ((events.removed, self._layer_removed), (events.inserted, self._raise))

    def _layer_events(self, layer: Shapes) -> tuple:
        return ((layer.events.data, self._changed), (layer.events.features, self._changed),
                (layer.events.affine, self._changed), (layer.events.translate, self._changed),
                (layer.events.mode, self._tell_tool))  # fmt: skip

    def _need_layer(self) -> Shapes:
        if self.layer is None:
            self._adopt(shapes.add_region_layer(self.viewer))
        return self.layer

    def _adopt(self, layer: Shapes) -> None:
        self.layer = layer
        for source, slot in self._layer_events(layer):
            source.connect(slot)

    def _let_go(self) -> None:
        if self.layer is not None:
            for source, slot in self._layer_events(self.layer):
                source.disconnect(slot)
        self.layer, self._shapes, self._holes = None, [], False

    def _raise(self, event: Any) -> None:
        """Outlines stay in sight when a map comes in above them."""
        layers = self.viewer.layers
        if self.layer is not None and isinstance(event.value, Image) and self.layer in layers:
            layers.move(layers.index(self.layer), len(layers))

    def _layer_removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self.look()
            self._deleted = self._shapes or self._deleted
            self._let_go()
            self.look()

    def _take_as_named(self) -> None:
        """Parts of one region share a name, unlike copies: these were added by us."""
        self._shapes = shapes.shapes_of(self.layer)
        self.look()

    def _changed(self, _: Any = None) -> None:
        self._soon.start()

    def _tell_tool(self, _: Any = None) -> None:
        self.tool_changed.emit(str(self.layer.mode) if self.layer is not None else "pan_zoom", self._holes)
