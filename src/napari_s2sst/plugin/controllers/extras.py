"""The optional layers of one viewer's slide: which there can be, which are shown, and loading them in the background."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image, Layer
from qtpy.QtCore import QObject, Signal

from ...engine.pictures.outlines import BoundaryKind, find_boundaries, read_boundaries
from ...engine.slides.histology import find_histology
from ...engine.slides.slide import Slide
from ...engine.transcripts.table import MIN_QV
from ..panels.slide.card import Choice
from ..threads.background import Background
from ..viewer.extra_layers import Loaded, genes_name, load_density, load_histology, load_outlines, load_transcripts
from ..viewer.layers import slide_of
from ..viewer.outlines import Outlines, View, camera_of
from ..widgets.docked import single_shot

SETTLE_MS = 150
"""Outlines are drawn anew when the camera has come to rest."""
DENSITY, HISTOLOGY, CELLS, NUCLEI, TRANSCRIPTS = KEYS = ("density", "histology", "cells", "nuclei", "transcripts")
KINDS: dict[str, BoundaryKind] = {CELLS: "cell", NUCLEI: "nucleus"}


class Extras(QObject):
    """Main thread only. A layer that the user deletes counts as switched off."""

    changed = Signal()
    """:meth:`choices` are others than before."""
    failed = Signal(str)
    """A sentence; what was to be shown is switched off."""
    told = Signal(str)
    """What goes on, or why less is seen than was asked for; "" when there is nothing to say any more."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._slide: Slide | None = None
        self._genes: tuple[str, ...] = ()
        self._min_qv = MIN_QV
        self._without: dict[str, str] = {}  # key -> why there is no such layer
        self._paths: dict[str, Path] = {}
        self._wanted: set[str] = set()
        self._layers: dict[str, list[Layer]] = {key: [] for key in KEYS}
        self._outlines: dict[str, Outlines] = {}
        self._notes: dict[str, str] = {}
        self._said = ""
        self._loading = {key: Background(self) for key in KEYS}
        for key, background in self._loading.items():
            background.failed.connect(partial(self._failed, key))
        self._settle = single_shot(self, SETTLE_MS, self._follow_camera)
        self._raise = single_shot(self, 0, self._raise_layers)
        self._connected = [(source, slot) for source, slot in self._viewer_events()]
        for source, slot in self._connected:
            source.connect(slot)

    def _viewer_events(self) -> list[tuple[Any, Callable]]:
        viewer = self.viewer
        resized = [viewer.canvas.events.size] if hasattr(viewer, "canvas") else []  # since napari 0.9
        camera = camera_of(viewer).events
        moved = [camera.center, camera.zoom, viewer.dims.events.ndisplay, *resized]
        layers = viewer.layers.events
        return [
            *((event, self._moved) for event in moved),
            (layers.inserted, self._inserted),
            (layers.removed, self._removed),
        ]

    @property
    def busy(self) -> bool:
        """Something is being read."""
        return any(background.busy for background in self._loading.values())

    # ---- what there is

    def setSlide(self, slide: Slide | None) -> None:
        """Another slide, of any kind the engine opens: the layers of the one before are taken away."""
        for key in KEYS:
            self._take_away(key)
        self._slide, self._genes = slide, ()
        self._without, self._paths = {}, {}
        if slide is not None:
            self._look_around(slide)
        self.changed.emit()

    def setGenes(self, genes: tuple[str, ...], min_qv: float = MIN_QV) -> None:
        """The genes whose transcripts are points, and the least quality; the layers follow when they are shown."""
        if (tuple(genes), min_qv) == (self._genes, self._min_qv):
            return
        self._genes, self._min_qv = tuple(genes), min_qv
        if TRANSCRIPTS in self._wanted:
            if genes:
                self._load(TRANSCRIPTS)
            else:
                self._take_away(TRANSCRIPTS)
        self.changed.emit()

    def choices(self) -> tuple[Choice, ...]:
        """All optional layers, in the order of a menu."""
        genes = genes_name(self._genes) or "chosen genes"
        offered = {
            DENSITY: ("Density of all transcripts", "All transcripts per bin, of every gene."),
            HISTOLOGY: (
                "H&E picture",
                "The stained picture of this section, laid on the slide by its alignment file.",
            ),
            CELLS: ("Cell outlines", "The outlines of the cells in view, as the instrument segmented them."),
            NUCLEI: ("Nucleus outlines", "The outlines of the nuclei in view, as the instrument segmented them."),
            TRANSCRIPTS: (
                f"Transcripts of {genes}",
                "Every transcript as a point, in a colour for each gene; a density map where they are too many.",
            ),
        }
        return tuple(
            Choice(key, label, self._reason(key) or tooltip, not self._reason(key), key in self._wanted)
            for key, (label, tooltip) in offered.items()
        )

    def _reason(self, key: str) -> str:
        """Why there is no such layer, or ""."""
        if self._slide is None:
            return "Open a slide first."
        if key == TRANSCRIPTS and key not in self._without and not self._genes:
            return "Choose a gene first."
        return self._without.get(key, "")

    def _look_around(self, slide: Slide) -> None:
        """Find out which files there are, by their names."""
        folder = slide.path
        if not slide.images:
            self._without[DENSITY] = "This slide has no image, so the density is shown already."
        if not folder.is_dir():
            self._without |= dict.fromkeys(KEYS[1:], "This file holds counts in bins and nothing else.")
            return
        for key, kind in KINDS.items():
            path = find_boundaries(folder, kind)
            if path is None:
                self._without[key] = f"There is no {kind}_boundaries.parquet or .csv.gz in {folder.name}."
            else:
                self._paths[key] = path
        files = find_histology(folder)
        if files is None:
            self._without[HISTOLOGY] = "There is no H&E picture (..._he_image.ome.tif) in this folder or beside it."
        elif files.alignment is None:
            self._without[HISTOLOGY] = (
                f"{files.picture.name} has no alignment. Align it in Xenium Explorer and save ..._imagealignment.csv "
                "beside it."
            )

    # ---- showing and hiding

    def show(self, key: str, on: bool) -> None:
        """Switch an optional layer on or off; one that there is not stays off."""
        if on and key not in self._wanted and not self._reason(key):
            self._wanted.add(key)
            self._load(key)
        elif on and key in self._wanted:
            for layer in self._layers[key]:
                layer.visible = True
        elif not on:
            self._take_away(key)
        self.changed.emit()

    def forget(self) -> None:
        """Nothing that waits is done any more, and the viewer is let go; layers stay in it."""
        for source, slot in self._connected:
            source.disconnect(slot)
        self._connected = []
        for background in self._loading.values():
            background.abandon()
        self._settle.stop()
        self._raise.stop()
        for outlines in self._outlines.values():
            outlines.layer.events.visible.disconnect(self._moved)
        self._outlines.clear()

    def _load(self, key: str) -> None:
        slide, genes, min_qv = self._slide, self._genes, self._min_qv
        match key:
            case "density":
                self._say(key, "Counting all transcripts ...")
                task = partial(load_density, slide)
            case "histology":
                self._say(key, "Opening the H&E picture ...")
                task = partial(load_histology, slide)
            case "transcripts":
                self._say(key, f"Looking for transcripts of {genes_name(genes)} ...")
                task = partial(load_transcripts, slide, genes, min_qv)
            case _:
                self._say(key, f"Reading {self._paths[key].name} ...")
                task = partial(_read_outlines, self._paths[key], KINDS[key])
        self._loading[key].start(task, partial(self._put, key))

    def _put(self, key: str, loaded: Loaded) -> None:
        self._remove_layers(key)
        active = self.viewer.layers.selection.active
        for data in loaded.layers:
            layer = self.viewer.add_layer(Layer.create(*data))
            layer.editable = False
            self._layers[key].append(layer)
            if isinstance(layer, Image):
                self._lay_on_slide(layer)
        if active is not None:
            self.viewer.layers.selection.active = active  # what the user works on stays chosen
        self._say(key, loaded.note)
        if loaded.boundaries is not None:
            what = f"{KINDS[key]} outlines"
            self._outlines[key] = Outlines(self._layers[key][0], loaded.boundaries, what)
            self._outlines[key].layer.events.visible.connect(self._moved)
            self._follow_camera()
        self.changed.emit()

    def _failed(self, key: str, message: str) -> None:
        self._take_away(key)
        self.changed.emit()
        self.failed.emit(message)

    def _take_away(self, key: str) -> None:
        self._wanted.discard(key)
        self._loading[key].abandon()
        self._remove_layers(key)
        self._say(key, "")

    def _remove_layers(self, key: str) -> None:
        outlines = self._outlines.pop(key, None)
        if outlines is not None:
            outlines.layer.events.visible.disconnect(self._moved)
        layers, self._layers[key] = self._layers[key], []
        for layer in layers:
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)

    def _say(self, key: str, text: str) -> None:
        self._notes[key] = text
        said = " ".join(note for each in KEYS if (note := self._notes.get(each)))
        if said != self._said:
            self._said = said
            self.told.emit(said)

    # ---- following the viewer

    def _moved(self, *_: Any) -> None:
        if self._outlines:
            self._settle.start()

    def _follow_camera(self) -> None:
        view = View.of(self.viewer)
        for key, outlines in self._outlines.items():
            self._say(key, outlines.follow(view))

    def _inserted(self, event: Any) -> None:
        if any(self._layers.values()):
            self._raise.start()

    def _removed(self, event: Any) -> None:
        for key, layers in self._layers.items():
            if event.value in layers:
                layers.remove(event.value)
                if not layers:
                    self._take_away(key)
                self.changed.emit()

    def _raise_layers(self) -> None:
        """Points over nuclei over cells over all that came later: they are thin. Pictures stay under the maps."""
        layers = self.viewer.layers
        own = [layer for key in KEYS for layer in self._layers[key] if layer in layers and not isinstance(layer, Image)]
        if list(layers)[len(layers) - len(own) :] != own:
            for layer in own:
                layers.move(layers.index(layer), len(layers))

    def _lay_on_slide(self, layer: Layer) -> None:
        """Over the slide's stains and under the maps."""
        layers = self.viewer.layers
        stains = [number for number, each in enumerate(layers) if slide_of(each) is not None]
        layers.move(layers.index(layer), max(stains, default=-1) + 1)


def _read_outlines(path: Path, kind: BoundaryKind) -> Loaded:
    return load_outlines(read_boundaries(path), kind)
