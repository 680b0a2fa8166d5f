"""Keep the panel of regions and the shapes layer they are drawn on in step: what changes on one shows on the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from napari.layers import Image, Shapes
from qtpy.QtCore import QObject

from ...engine.errors import S2SSTError
from ...engine.sampling.regions import (
    Picture,
    Region,
    look_like_pixels,
    picture_of,
    read_regions,
    write_explorer_csv,
    write_regions,
)
from ...engine.slides.slide import Slide
from ..panels.sampling.regions import RegionPanel
from ..panels.slide.questions import PixelQuestion
from ..viewer import region_layer as on_layer
from ..widgets.docked import single_shot
from ..widgets.theme import theme_colours


class Regions(QObject):
    """Follows one viewer's layer of regions for one panel. Main thread only.

    The layer is made when something is drawn or imported, and may be deleted: then the whole slide counts, and Undo brings
    it back.
    """

    def __init__(self, viewer: Any, panel: RegionPanel, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer, self.panel = viewer, panel
        self.layer: Shapes | None = None
        self.picture: Picture | None = None
        """Of the slide, which files of regions may count in pixels of; None where there is none."""
        self.question: PixelQuestion | None = None
        """While it asks whether a file does."""
        self._deleted: list[on_layer.Shape] = []
        self._shapes: list[on_layer.Shape] = []
        """As they were when last looked at."""
        self._holes = False
        self._soon = single_shot(self, 0, self._follow_layer)
        self._connected = self._connections()
        for source, slot in self._connected:
            source.connect(slot)
        found = next((layer for layer in viewer.layers if on_layer.is_region_layer(layer)), None)
        if found is not None:
            self._adopt(found)
        self._follow_theme()
        self._follow_layer()

    def value(self) -> tuple[Region, ...]:
        """The regions that count, () for the whole slide; as the layer is at this moment."""
        self._follow_layer()
        return self.panel.value()

    def draw(self, mode: str = "add_polygon", holes: bool = False) -> None:
        """Make the layer if there is none, select it and put it into a mode of napari's."""
        if self.layer is None and mode == "pan_zoom":
            return
        layer = self._need_layer()
        self._holes = holes
        layer.visible = True
        self.viewer.layers.selection.active = layer
        on_layer.draw_next(layer, on_layer.HOLE if holes else on_layer.REGION)
        layer.mode = mode

    def add(self, regions: Iterable[Region]) -> None:
        """Draw regions beside those there are."""
        layer = self._need_layer()
        self._follow_layer()
        on_layer.add_regions(layer, regions)
        self._take_as_named()

    def read(self, path: str | Path, *, in_pixels: bool = False) -> None:
        """Add the regions of a file. What goes wrong is told by the panel's ``failed``.

        Where they lie off the slide in um and on its picture in pixels, the user is asked which they are.
        """
        try:
            regions = read_regions(path, pixel_size_um=self._pixel_um(in_pixels))
        except S2SSTError as error:
            self.panel.failed.emit(str(error))
            return
        is_csv = Path(path).suffix.lower() == ".csv"  # Xenium Explorer's, always in um
        if in_pixels or is_csv or self.picture is None or not look_like_pixels(regions, self.picture):
            self.add(regions)
        else:
            self._ask(Path(path), regions, self.picture)

    def write(self, path: str | Path, *, in_pixels: bool = False) -> None:
        """Write the ticked regions, all if none is; ``.csv`` is for Xenium Explorer, all else GeoJSON."""
        regions = self.value() or tuple(row.region for row in self.panel.rows() if row.region is not None)
        try:
            if Path(path).suffix.lower() == ".csv":
                write_explorer_csv(path, regions)
            else:
                write_regions(path, regions, pixel_size_um=self._pixel_um(in_pixels))
        except S2SSTError as error:
            self.panel.failed.emit(str(error))

    def delete(self, names: Sequence[str]) -> None:
        """Delete regions, with the holes that then lie in none."""
        if self.layer is None:
            return
        self._follow_layer()
        gone = [at for row in self.panel.rows() if row.name in names for at in row.shapes]
        gone += [at for at in on_layer.holes_left_alone(self.layer, gone) if at not in gone]
        if gone:
            self._deleted = [self._shapes[at] for at in gone]
            self.layer.selected_data = set()
            self.layer.remove(sorted(gone))
            self._follow_layer()

    def undo(self) -> None:
        """Bring back what was deleted last."""
        shapes, self._deleted = self._deleted, []
        if shapes:
            layer = self._need_layer()
            self._follow_layer()
            on_layer.add_again(layer, shapes)
            self._take_as_named()

    def set_slide(self, slide: Slide) -> None:
        """Another slide, without regions yet; its picture is what pixels are counted on."""
        self.clear()
        self.picture = picture_of(slide)
        self.panel.setPixelsOffered(self.picture is not None)

    def clear(self) -> None:
        """Another slide is opened: its regions are none of these."""
        layer = self.layer
        self._let_go()
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)
        self._deleted = []
        self._follow_layer()

    def forget(self) -> None:
        """Let go of viewer, layer and panel; the layer stays."""
        self._soon.stop()
        if self.question is not None:
            self.question.reject()
        self.panel.forget()
        self._let_go()
        connections, self._connected = self._connected, ()
        for source, slot in connections:
            source.disconnect(slot)

    def _connections(self) -> tuple:
        panel = self.panel
        return (
            (panel.toolChosen, self.draw), (panel.usedChanged, self._set_used), (panel.renamed, self._rename),
            (panel.selected, self._select), (panel.deleteRequested, self.delete), (panel.undoRequested, self.undo),
            (panel.importRequested, self.read), (panel.exportRequested, self.write),
            (panel.pixelImportRequested, self._read_pixels), (panel.pixelExportRequested, self._write_pixels),
            (self.viewer.layers.events.removed, self._layer_removed), (self.viewer.events.theme, self._follow_theme),
            (self.viewer.layers.events.inserted, self._raise),
        )  # fmt: skip

    def _read_pixels(self, path: Path) -> None:
        self.read(path, in_pixels=True)

    def _write_pixels(self, path: Path) -> None:
        self.write(path, in_pixels=True)

    def _pixel_um(self, in_pixels: bool) -> float | None:
        return self.picture.pixel_size_um if in_pixels and self.picture is not None else None

    def _ask(self, path: Path, regions: Sequence[Region], picture: Picture) -> None:
        if self.question is not None:
            self.question.reject()
        self.question = PixelQuestion(path, regions, picture, self.panel.window())
        self.question.answered.connect(
            lambda in_pixels: self.read(path, in_pixels=True) if in_pixels else self.add(regions)
        )
        self.question.finished.connect(self._asked)
        self.question.open()

    def _asked(self, _: int) -> None:
        self.question = None

    def _layer_events(self, layer: Shapes) -> tuple:
        return ((layer.events.data, self._changed), (layer.events.features, self._changed),
                (layer.events.affine, self._changed), (layer.events.translate, self._changed),
                (layer.events.mode, self._follow_mode))  # fmt: skip

    def _need_layer(self) -> Shapes:
        if self.layer is None:
            self._adopt(on_layer.add_region_layer(self.viewer))
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
            self._follow_layer()
            self._deleted = self._shapes or self._deleted
            self._let_go()
            self._follow_layer()

    def _take_as_named(self) -> None:
        """Parts of one region share a name, unlike copies: these were added by us."""
        self._shapes = on_layer.shapes_of(self.layer)
        self._follow_layer()

    def _changed(self, _: Any = None) -> None:
        self._soon.start()

    def _follow_layer(self) -> None:
        """Name what is new, and show all on the panel. An outline that is still being drawn is left alone."""
        self._soon.stop()
        layer = self.layer
        if layer is None:
            self.panel.setRows((), can_undo=bool(self._deleted))
            self._follow_mode()
            return
        if getattr(layer, "_is_creating", False):  # napari tells this nowhere else
            return
        on_layer.tidy(layer, len(self._shapes), on_layer.HOLE if self._holes else on_layer.REGION)
        self._shapes = on_layer.shapes_of(layer)
        self._soon.stop()  # our own changes need no second look
        self.panel.setRows(on_layer.drawn_regions(layer), can_undo=bool(self._deleted))

    def _follow_mode(self, _: Any = None) -> None:
        self.panel.setTool(str(self.layer.mode) if self.layer is not None else "pan_zoom", self._holes)

    def _follow_theme(self, _: Any = None) -> None:
        self.panel.setIconColour(theme_colours(self.viewer.theme).text)

    def _set_used(self, name: str, used: bool) -> None:
        if self.layer is not None:
            on_layer.change(self.layer, name, used=used)
            self._follow_layer()

    def _rename(self, name: str, to: str) -> None:
        if self.layer is not None:
            on_layer.change(self.layer, name, to=to)
            self._follow_layer()

    def _select(self, names: Sequence[str]) -> None:
        """Mark the shapes of the chosen rows; napari draws their box while the layer is in its select mode."""
        if self.layer is None or str(self.layer.mode) not in ("select", "pan_zoom"):
            return
        self.layer.selected_data = {at for row in self.panel.rows() if row.name in names for at in row.shapes}
