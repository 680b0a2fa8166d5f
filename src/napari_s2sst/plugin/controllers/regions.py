"""Join the panel of regions to the layer they are drawn on, and both to files of regions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from ..panels.sampling.pixel_question import PixelQuestion
from ..viewer.region_layer import RegionLayer
from ..widgets.theme import theme_colours
from .controller import Controller, Workspace


class Regions(Controller):
    """Shows on the panel what changes on the layer, and the other way round. Main thread only.

    The layer is made when something is drawn or imported, and may be deleted: then the whole slide counts, and Undo brings
    it back.
    """

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.panel, self.viewer = workspace.panels.region, workspace.display.viewer
        self.drawn = RegionLayer(self.viewer, self)
        self.picture: Picture | None = None
        """Of the slide, which files of regions may count in pixels of; None where there is none."""
        self.question: PixelQuestion | None = None
        """While it asks whether a file does."""
        self._connected = self._connections()
        for source, slot in self._connected:
            source.connect(slot)
        self._follow_theme()
        self.drawn.look()

    def value(self) -> tuple[Region, ...]:
        """The regions that count, () for the whole slide; as the layer is at this moment."""
        self.drawn.look()
        return self.panel.value()

    def read(self, path: str | Path, *, in_pixels: bool = False) -> None:
        """Add the regions of a file. What goes wrong is told by ``failed``.

        Where they lie off the slide in um and on its picture in pixels, the user is asked which they are.
        """
        try:
            regions = read_regions(path, pixel_size_um=self._pixel_um(in_pixels))
        except S2SSTError as error:
            self.failed.emit(str(error))
            return
        is_csv = Path(path).suffix.lower() == ".csv"  # Xenium Explorer's, always in um
        if in_pixels or is_csv or self.picture is None or not look_like_pixels(regions, self.picture):
            self.drawn.add(regions)
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
            self.failed.emit(str(error))

    def set_slide(self, slide: Slide) -> None:
        """Another slide, without regions yet; its picture is what pixels are counted on."""
        self.drawn.clear()
        self.picture = picture_of(slide)
        self.panel.setPixelsOffered(self.picture is not None)

    def forget(self) -> None:
        """The window is closed; the layer stays."""
        if self.question is not None:
            self.question.reject()
        self.panel.forget()
        self.drawn.forget()
        connections, self._connected = self._connected, ()
        for source, slot in connections:
            source.disconnect(slot)

    def _connections(self) -> tuple:
        panel, drawn = self.panel, self.drawn
        return (
            (panel.toolChosen, drawn.draw), (panel.usedChanged, self._set_used), (panel.renamed, self._rename),
            (panel.selected, drawn.select), (panel.deleteRequested, drawn.delete), (panel.undoRequested, drawn.undo),
            (panel.importRequested, self.read), (panel.exportRequested, self.write),
            (panel.pixelImportRequested, self._read_pixels), (panel.pixelExportRequested, self._write_pixels),
            (drawn.changed, self._show), (drawn.tool_changed, panel.setTool),
            (self.viewer.events.theme, self._follow_theme),
        )  # fmt: skip

    def _show(self, regions: tuple, can_undo: bool) -> None:
        self.panel.setRows(regions, can_undo=can_undo)

    def _set_used(self, name: str, used: bool) -> None:
        self.drawn.change(name, used=used)

    def _rename(self, name: str, to: str) -> None:
        self.drawn.change(name, to=to)

    def _follow_theme(self, _: Any = None) -> None:
        self.panel.setIconColour(theme_colours(self.viewer.theme).text)

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
            lambda in_pixels: self.read(path, in_pixels=True) if in_pixels else self.drawn.add(regions)
        )
        self.question.finished.connect(self._asked)
        self.question.open()

    def _asked(self, _: int) -> None:
        self.question = None
