"""Keep the viewer's layers in step with slide, gene, lattice, preview and result.

A layer that the user deleted is left deleted, a result is never overwritten. Main thread only. napari takes about a
tenth of a second to take a layer in, so several are added one by one with the event loop in between.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from napari.layers import Layer, Shapes
from qtpy.QtCore import QObject, QTimer

from ..engine.config import RunConfig
from ..engine.errors import RegionError
from ..engine.maps import GeneMap, SparseMap
from ..engine.region import Region
from . import layers

UM = ("um", "um")
PAUSE_MS = 10
"""For the event loop, between two layers."""


class Display(QObject):
    """The layers of one viewer that belong to this plugin."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self._counts: Layer | None = None
        self._lattice: Layer | None = None
        self._preview: Layer | None = None
        self._run_number = 1
        self._own: list[Layer] = []
        self._later: deque[Callable[[], Any]] = deque()
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.setInterval(PAUSE_MS)
        self._turn.timeout.connect(self._next)

    @property
    def busy(self) -> bool:
        """More layers are about to come."""
        return bool(self._later)

    def forget(self) -> None:
        """Nothing that waits is done any more."""
        self._later.clear()
        self._turn.stop()

    def slides(self) -> list[Path]:
        """The slides that are open in the viewer, the last one opened at the end."""
        found = [layers.slide_of(layer) for layer in self.viewer.layers]
        return list(dict.fromkeys(path for path in found if path is not None))

    def show_slide(self, path: Path, data: list[layers.LayerData]) -> None:
        """Add a slide's layers unless they are there, and hide those of another one, which lies at the same place."""
        self.forget()
        shown = [layer for layer in self.viewer.layers if layers.slide_of(layer) == path]
        for layer in self.viewer.layers:
            if layer not in shown and (layers.slide_of(layer) is not None or layer in self._own):
                layer.visible = False
        self._counts = self._lattice = self._preview = None
        self.show_scale_bar()
        self._do(*(partial(self._add, each) for each in data if not shown), self.viewer.reset_view)

    def show_scale_bar(self) -> None:
        self.viewer.scale_bar.visible = True

    def show_counts(self, gene_map: GeneMap) -> None:
        """The chosen gene's counts, in the layer of the gene chosen before."""
        self._do(partial(self._put_counts, gene_map))

    def show_lattice(self, gene_map: GeneMap | None, stride: int) -> None:
        """Draw the lattice over the slide, or take it away."""
        self._do(partial(self._put_lattice, gene_map, stride))

    def _put_counts(self, gene_map: GeneMap) -> None:
        self._counts = self._put(self._counts, layers.counts_layer(gene_map))

    def _put_lattice(self, gene_map: GeneMap | None, stride: int) -> None:
        if gene_map is None:
            if self._lattice in self.viewer.layers:
                self.viewer.layers.remove(self._lattice)
            self._lattice = None
            return
        self._lattice = self._put(self._lattice, layers.lattice_layer(gene_map, stride))

    def begin_run(self, gene: str) -> None:
        """Find the number that tells this run's layers from earlier ones on the same gene."""
        taken = [layer.name for layer in self.viewer.layers]
        numbers = [int(found[1] or 1) for name in taken if (found := _RUN_NAME(gene).fullmatch(name))]
        self._run_number = max(numbers, default=0) + 1
        self._preview = None

    def show_preview(self, imputed: GeneMap, sparse: SparseMap, config: RunConfig) -> None:
        """The map as it is now; a preview that was deleted does not come back."""
        if self._preview is None:
            data, meta, kind = layers.imputed_layer(imputed, layers.value_limits(sparse, config))
            meta["name"] = layers.numbered(f"{imputed.gene} - preview", self._run_number)
            self._preview = self._add((data, meta, kind))
            self._hide_counts()
        elif self._preview in self.viewer.layers:
            self._preview.data = layers.picture(imputed)

    def show_result(self, result: Any) -> None:
        """Add a run's layers; the preview becomes the imputed one, shown at once, the others follow hidden."""
        preview, self._preview = self._preview, None
        *below, imputed = layers.result_layers(result, self._run_number)
        if preview in self.viewer.layers:
            data, meta, _ = imputed
            preview.data, preview.name, preview.metadata = data, meta["name"], meta["metadata"]
            first = []
        else:
            first = [partial(self._add, imputed)]
        name = imputed[1]["name"]
        self._do(*first, *(partial(self._add_below, each, name) for each in below), self._hide_counts)

    def _add_below(self, data: layers.LayerData, name: str) -> None:
        """Add a hidden layer under the named one, which stays the selected one."""
        data[1]["visible"] = False
        self._add(data)
        above = self.viewer.layers
        if name in above:
            above.move(len(above) - 1, above.index(name))
            above.selection.active = above[name]

    def end_preview(self) -> None:
        """A run ended without a result: its preview goes."""
        if self._preview in self.viewer.layers:
            self.viewer.layers.remove(self._preview)
        self._preview = None

    def region_names(self) -> list[str]:
        return [layer.name for layer in self.viewer.layers if isinstance(layer, Shapes)]

    def regions(self, name: str) -> tuple[Region, ...]:
        """The polygons of a shapes layer, in um; empty without a name or shapes. Raises RegionError when the layer is gone."""
        from shapely.geometry import Polygon

        layer = next((each for each in self.viewer.layers if each.name == name and isinstance(each, Shapes)), None)
        if layer is None:
            if name:
                raise RegionError(f"There is no layer {name!r} with a region any more. Choose the region again.")
            return ()
        shapes = [
            _ellipse(corners) if kind == "ellipse" else corners
            for corners, kind in zip(layer.data, layer.shape_type, strict=True)
        ]
        outlines = [np.array([layer.data_to_world(point) for point in shape])[:, -2:] for shape in shapes]
        return tuple(
            Region(f"{name} {number}", Polygon(outline[:, ::-1]).buffer(0))
            for number, outline in enumerate(outlines, start=1)
            if len(outline) >= 3
        )

    def add_region_layer(self) -> Shapes:
        """A shapes layer in um, ready to draw a polygon on. napari's own button makes one in pixels."""
        layer = self.viewer.add_shapes(
            name="region", ndim=2, units=UM, axis_labels=("y", "x"), edge_color="#ffffff", face_color="#ffffff20",
            edge_width=8,
        )  # fmt: skip
        layer.mode = "add_polygon"
        return layer

    def _do(self, *steps: Callable[[], Any]) -> None:
        """Do the first step now, if nothing waits, and the others in turn."""
        waiting = bool(self._later)
        self._later.extend(steps)
        if not waiting:
            self._next()

    def _next(self) -> None:
        if self._later:
            try:
                self._later[0]()
            except BaseException:
                self.forget()  # or all that comes later would wait for it for ever
                raise
        if self._later:  # the step itself may have forgotten all
            self._later.popleft()
        if self._later:
            self._turn.start()

    def _hide_counts(self) -> None:
        if self._counts in self.viewer.layers:
            self._counts.visible = False

    def _put(self, layer: Layer | None, data: layers.LayerData) -> Layer:
        """Bring a layer up to date in place, or add it."""
        values, meta, _ = data
        if layer is None or layer not in self.viewer.layers:
            return self._add(data)
        layer.data = values
        layer.scale, layer.translate = meta["scale"], meta["translate"]
        layer.contrast_limits_range = meta["contrast_limits"]
        layer.contrast_limits = meta["contrast_limits"]
        layer.name, layer.metadata, layer.visible = meta["name"], meta.get("metadata", {}), True
        return layer

    def _add(self, data: layers.LayerData) -> Layer:
        layer = self.viewer.add_layer(Layer.create(*data))
        self._own = [each for each in self._own if each in self.viewer.layers] + [layer]
        return layer


def _ellipse(corners: np.ndarray, points: int = 64) -> np.ndarray:
    """(points, 2 or more) outline of the ellipse whose box has these four corners, in their order."""
    middle = corners.mean(axis=0)
    along, across = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)[:, None]
    return middle + np.cos(angle) * along + np.sin(angle) * across


def _RUN_NAME(gene: str) -> re.Pattern:
    return re.compile(rf"{re.escape(gene)} - (?:imputed|sparse input|error|uncertainty|preview)(?: (\d+))?")
