"""The tissue mask as a labels layer that can be painted on, and what was painted put into gene maps.

What was painted and erased is kept apart from what was counted, in bins of the finest size that was edited: a map of
another bin size takes for each bin what was done at its centre.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QObject, Signal

from ...engine.maps import GeneMap
from ...engine.runs.saved_run import Painted
from ...engine.sampling.regions import Region, mask_polygon
from ..widgets.docked import single_shot

LAYER_NAME = "tissue"
COLOUR = "#56b4e9"
"""Sky blue of Okabe and Ito's palette: seen with any colour vision, and none of the maps' colours."""
OPACITY = 0.35
BRUSH_UM = 100.0
SETTLE_MS = 250
UNTOUCHED, PAINTED, ERASED = 0, 1, 2


@dataclass(frozen=True)
class _Grid:
    shape: tuple[int, int]
    bin_um: float
    origin_um: tuple[float, float]

    def of(self, other: _Grid) -> tuple[np.ndarray, np.ndarray]:
        """Row of this grid for each row of another, and column for each column, by their centres; -1 outside."""
        places = []
        for axis in (0, 1):
            centre = other.origin_um[axis] + (np.arange(other.shape[axis]) + 0.5) * other.bin_um
            at = np.floor((centre - self.origin_um[axis]) / self.bin_um).astype(int)
            places.append(np.where((at >= 0) & (at < self.shape[axis]), at, -1))
        return places[0], places[1]


@dataclass(frozen=True, eq=False)
class _Edits:
    """(rows, columns) UNTOUCHED, PAINTED or ERASED; never changed in place, so a thread may read it."""

    grid: _Grid
    values: np.ndarray

    def on(self, grid: _Grid) -> np.ndarray:
        """Return the edits for the bins of another grid."""
        if grid == self.grid:
            return self.values
        return _taken(self.values, *self.grid.of(grid))

    def changed(self, grid: _Grid, changed: np.ndarray, tissue: np.ndarray) -> _Edits:
        """Return the edits with some bins of another grid painted or erased; kept in the finer bins of both."""
        base = self if self.grid.bin_um <= grid.bin_um else _Edits(grid, self.on(grid))
        new = np.where(changed, np.where(tissue, PAINTED, ERASED), UNTOUCHED).astype(np.uint8)
        new = new if base.grid == grid else _taken(new, *grid.of(base.grid))
        return _Edits(base.grid, np.where(new, new, base.values))


class TissueLayer(QObject):
    """Shows the tissue mask of one viewer's slide, and remembers what was painted on it. Main thread, but for :meth:`apply`.

    Deleting the layer hides it; what was painted counts until :meth:`reset` or :meth:`clear`. Ctrl+Z is napari's own.
    """

    changed = Signal()
    """The mask was edited or reset, or the user deleted the layer; once, a moment after the last stroke."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.layer: Labels | None = None
        self._edits: _Edits | None = None
        self._before: _Edits | None = None
        self._shown: np.ndarray | None = None
        self._looked_at: np.ndarray | None = None
        self._grid: _Grid | None = None
        self._soon = single_shot(self, 0, self._look)
        self._settle = single_shot(self, SETTLE_MS, self._tell)
        self.viewer.layers.events.removed.connect(self._layer_removed)
        self._connected = True

    @property
    def shown(self) -> bool:
        return self.layer is not None

    @property
    def edited(self) -> bool:
        """Whether something is painted or erased."""
        return self._edits is not None and bool(self._edits.values.any())

    def show(self, gene_map: GeneMap) -> None:
        """Show a map's tissue with the edits in it. The layer is selected when it is added; what it shows already stays,
        and with it what can be undone."""
        self._look()
        grid = _grid_of(gene_map)
        mask = self.apply(gene_map).tissue.astype(np.uint8)
        if self.layer is not None and grid == self._grid and np.array_equal(mask, self._looked_at):
            return
        self._grid, self._shown, self._looked_at, self._before = grid, mask, mask, self._edits
        if self.layer is None:
            self._add(mask)
        else:
            self.layer.data = mask.copy()
        self.layer.scale = (grid.bin_um, grid.bin_um)
        self.layer.translate = tuple(corner + grid.bin_um / 2 for corner in grid.origin_um)
        self.layer.brush_size = max(1, round(BRUSH_UM / grid.bin_um))
        self._soon.stop()

    def hide(self) -> None:
        """Take the layer away; what was painted counts on."""
        self._look()
        layer = self._let_go()
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def edit(self, mode: str) -> None:
        """Select the layer and give the mouse a tool: "paint", "erase", "fill", "polygon" or "pan_zoom"."""
        if self.layer is not None:
            self.viewer.layers.selection.active = self.layer
            self.layer.visible = True
            self.layer.selected_label = 1
            self.layer.mode = mode

    def apply(self, gene_map: GeneMap) -> GeneMap:
        """Put the edited tissue into a map, before it is restricted to regions; a map that has the edits keeps them.

        Bins added where nothing was counted are tissue with no counts. May be called in any thread.
        """
        edits = self._edits
        if edits is None:
            return gene_map
        values = edits.on(_grid_of(gene_map))
        tissue = (gene_map.tissue | (values == PAINTED)) & (values != ERASED)
        if np.array_equal(tissue, gene_map.tissue):
            return gene_map
        counts = np.where(np.isfinite(gene_map.values), gene_map.values, np.float32(0))
        return replace(gene_map, tissue=tissue, values=counts)

    def polygons(self) -> Region | None:
        """The edited mask as it was shown last, as the exact union of its bins; None while nothing is edited."""
        self._look()
        if not self.edited or self._looked_at is None:
            return None
        area = mask_polygon(self._looked_at > 0, self._grid.bin_um, self._grid.origin_um)
        return None if area is None else Region(LAYER_NAME, area)

    def painted(self) -> Painted | None:
        """Return what was painted and erased, to be kept; None where nothing was."""
        if not self.edited:
            return None
        return Painted(self._edits.values, self._edits.grid.bin_um, self._edits.grid.origin_um)

    def put_back(self, painted: Painted | None) -> None:
        """Put what was kept in the place of all edits; the layer follows when a map is shown."""
        self._soon.stop()
        self._before, self._shown = None, self._looked_at
        self._edits = None
        if painted is not None:
            grid = _Grid(tuple(painted.values.shape), painted.bin_um, painted.origin_um)
            self._edits = self._before = _Edits(grid, painted.values)

    def reset(self) -> None:
        """Forget what was painted. The layer follows when the map is counted and shown again."""
        self._soon.stop()
        was = self.edited
        self._edits = self._before = None
        self._shown = self._looked_at  # what is still to be seen of the edits is no edit
        if was:
            self._settle.start()

    def clear(self) -> None:
        """Another slide is opened: neither layer nor edits are its own."""
        self.hide()
        self._soon.stop()
        self._settle.stop()
        self._edits = self._before = self._shown = self._looked_at = self._grid = None

    def forget(self) -> None:
        """Let go of viewer and layer; the layer stays."""
        self._soon.stop()
        self._settle.stop()
        self._let_go()
        if self._connected:
            self._connected = False
            self.viewer.layers.events.removed.disconnect(self._layer_removed)

    def _add(self, mask: np.ndarray) -> None:
        self.layer = self.viewer.add_labels(
            mask.copy(), name=LAYER_NAME, opacity=OPACITY, units=("um", "um"), axis_labels=("y", "x"),
            scale=(self._grid.bin_um,) * 2, blending="translucent",
            translate=tuple(corner + self._grid.bin_um / 2 for corner in self._grid.origin_um),
            colormap=DirectLabelColormap(color_dict={0: "transparent", 1: COLOUR, None: COLOUR}),
        )  # fmt: skip
        for source, slot in self._layer_events():
            source.connect(slot)

    def _layer_events(self) -> tuple:
        events = self.layer.events
        return (events.paint, self._touched), (events.set_data, self._touched), (events.data, self._touched)

    def _let_go(self) -> Labels | None:
        layer = self.layer
        if layer is not None:
            for source, slot in self._layer_events():
                source.disconnect(slot)
        self.layer = None
        return layer

    def _layer_removed(self, event: Any) -> None:
        if self.layer is not None and event.value is self.layer:
            self._look()
            self._let_go()
            self._settle.start()

    def _touched(self, _: Any = None) -> None:
        self._soon.start()

    def _look(self) -> None:
        """Take what differs from the mask that was shown for painted or erased; Ctrl+Z so takes it back."""
        self._soon.stop()
        if self.layer is None:
            return
        data = (np.asarray(self.layer.data) > 0).astype(np.uint8)
        if data.shape != self._grid.shape or np.array_equal(data, self._looked_at):
            return
        before = self._before or _Edits(self._grid, np.zeros(self._grid.shape, np.uint8))
        self._edits = before.changed(self._grid, data != self._shown, data > 0)
        self._looked_at = data
        self._settle.start()

    def _tell(self) -> None:
        self.changed.emit()


def _taken(values: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """(rows, columns) of another grid; UNTOUCHED outside."""
    taken = values[np.ix_(np.maximum(rows, 0), np.maximum(columns, 0))]
    taken[rows < 0] = UNTOUCHED
    taken[:, columns < 0] = UNTOUCHED
    return taken


def _grid_of(gene_map: GeneMap) -> _Grid:
    return _Grid(gene_map.shape, float(gene_map.bin_um), tuple(float(corner) for corner in gene_map.origin_um))
