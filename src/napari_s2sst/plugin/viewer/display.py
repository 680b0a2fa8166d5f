"""Keep the viewer's layers in step with slide, gene, lattice, preview and results.

A layer that the user deleted is left deleted until its result is chosen again; a result is never overwritten. Only one
kind of map is seen at a time: a hundred layers would hide each other. Main thread only. napari takes about a tenth of a
second to take a layer in, so several are added one by one with the event loop in between.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Layer
from qtpy.QtCore import QObject, QTimer, Signal

from ...engine.maps import GeneMap
from ..session import Entry
from . import layers
from .canvas import scale_bar_of
from .layers import COUNTS, IMPUTED, STAINS_SEEN, LayerData, layer_name

PAUSE_MS = 10
"""For the event loop, between two layers."""


class Display(QObject):
    """The layers of one viewer that belong to this plugin."""

    changing = Signal()
    """Other maps are about to be seen: what has put layers side by side should put them back."""
    changed = Signal()
    """Other kinds of maps can be looked at than before, or another one is."""

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.viewer = viewer
        self.kind = IMPUTED
        self._counts: Layer | None = None
        self._lattice: Layer | None = None
        self._shown: Entry | None = None
        self._of: dict[tuple[str, int], dict[str, Layer]] = {}  # (gene, run's number) -> kind -> layer
        self._previewed: tuple[str, int] | None = None
        self._run_number = 1
        self._own: list[Layer] = []
        self._later: deque[Callable[[], Any]] = deque()
        self._turn = QTimer(self)
        self._turn.setSingleShot(True)
        self._turn.setInterval(PAUSE_MS)
        self._turn.timeout.connect(self._next)

    @property
    def busy(self) -> bool:
        """Whether more layers are about to come."""
        return bool(self._later)

    @property
    def run_number(self) -> int:
        """Tells the present run's layers from earlier ones on the same genes."""
        return self._run_number

    def forget(self) -> None:
        """Drop what waits."""
        self._later.clear()
        self._turn.stop()

    def slides(self) -> list[Path]:
        """The slides that are open in the viewer, the last one opened at the end."""
        paths = [layers.slide_of(layer) for layer in self.viewer.layers]
        return list(dict.fromkeys(path for path in paths if path is not None))

    def show_slide(self, path: Path, data: list[LayerData]) -> None:
        """Add a slide's layers unless they are there, and hide those of another one, which lies at the same place."""
        self.forget()
        shown = [layer for layer in self.viewer.layers if layers.slide_of(layer) == path]
        for layer in self.viewer.layers:
            if layer not in shown and (layers.slide_of(layer) is not None or layer in self._own):
                layer.visible = False
        self._counts = self._lattice = self._shown = self._previewed = None
        self._of.clear()
        scale_bar_of(self.viewer).visible = True
        if shown and not any(layer.visible for layer in shown):
            for layer in shown[:STAINS_SEEN]:
                layer.visible = True
        self._do(*(partial(self._add, layer_data) for layer_data in data if not shown), self.viewer.reset_view)

    def show_counts(self, gene_map: GeneMap) -> None:
        """The chosen gene's counts, in the layer of the gene chosen before."""
        self.changing.emit()
        self._do(partial(self._put_counts, gene_map))

    def show_lattice(self, gene_map: GeneMap | None, stride: int) -> None:
        """Draw the lattice over the slide, or take it away."""
        self._do(partial(self._put_lattice, gene_map, stride))

    def _put_counts(self, gene_map: GeneMap) -> None:
        visible = self.kind == COUNTS or self._shown is None or self._shown.gene != gene_map.gene
        self._counts = self._put(self._counts, layers.counts_layer(gene_map), visible)
        self.changed.emit()

    def _put_lattice(self, gene_map: GeneMap | None, stride: int) -> None:
        if gene_map is None:
            if self._lattice in self.viewer.layers:
                self.viewer.layers.remove(self._lattice)
            self._lattice = None
            return
        self._lattice = self._put(self._lattice, layers.lattice_layer(gene_map, stride), True)

    def kinds(self) -> tuple[str, ...]:
        """Kinds of layers that can be looked at now: the counts, and those of the shown result."""
        counts = (COUNTS,) if self._counts in self.viewer.layers else ()
        return (*counts, *(kind for kind in layers.KINDS if self.layer(kind) is not None))

    def layer(self, kind: str) -> Layer | None:
        """The layer of this kind that belongs to what is shown."""
        if kind == COUNTS:
            layer = self._counts
        elif kind == IMPUTED and self._previewed is not None:
            layer = self._of.get(self._previewed, {}).get(kind)
        else:
            shown = self._shown
            layer = None if shown is None else self._of.get((shown.gene, shown.number), {}).get(kind)
        return layer if layer in self.viewer.layers else None

    def look_at(self, kind: str) -> None:
        """Show one kind of map and hide every other one of ours."""
        self.changing.emit()
        self.kind = kind
        wanted = self.layer(kind)
        self._hide_maps(wanted)
        if wanted is not None:
            wanted.visible = True
            self.viewer.layers.selection.active = wanted
        self.changed.emit()

    def _hide_maps(self, but: Layer | None) -> None:
        for layer in (self._counts, *(layer for kinds in self._of.values() for layer in kinds.values())):
            if layer is not None and layer is not but and layer in self.viewer.layers:
                layer.visible = False

    def show_instant(self, entry: Entry, *, again: bool = False) -> None:
        """Show what the weights that come with the program make of the chosen gene, in the layers of the last such map.

        ``again``: it is the same map, known better; what the user deleted of it stays away.
        """
        if not again:
            self.changing.emit()
        previous = next((key for key in self._of if key[1] == 0), None)
        known = self._of.pop(previous, {})
        self._shown = entry
        self._of[(entry.gene, 0)] = known
        data = layers.entry_layers(entry.result, entry.index)
        if again:
            deleted = [kind for kind, layer in known.items() if layer not in self.viewer.layers]
            data = {kind: layer_data for kind, layer_data in data.items() if kind not in deleted}
        for kind in [kind for kind in known if kind not in data and not again]:
            self._remove(known.pop(kind))
        self._do(
            *self._steps(entry, data, known), *([] if again else [partial(self.look_at, self.kind)]), self.changed.emit
        )

    def show_entry(self, entry: Entry) -> None:
        """Another result: its layers are added where they are missing, and those of the one before are hidden."""
        self._shown = entry
        known = self._of.setdefault((entry.gene, entry.number), {})
        data = layers.entry_layers(entry.result, entry.index)
        missing = {kind: layer_data for kind, layer_data in data.items() if known.get(kind) not in self.viewer.layers}
        kind = self.kind if self.kind in data else IMPUTED
        self.changing.emit()
        self._do(*self._steps(entry, missing, known), partial(self.look_at, kind))

    def remove_entry(self, entry: Entry) -> None:
        """Take a result's layers away, those that are still there."""
        for layer in self._of.pop((entry.gene, entry.number), {}).values():
            self._remove(layer)

    def show_nothing(self) -> None:
        """Show the counts, as no result is left."""
        self._shown = None
        self.look_at(COUNTS)

    def begin_run(self, genes: tuple[str, ...]) -> None:
        """Find the number that tells this run's layers from earlier ones on the same genes."""
        names = [layer.name for layer in self.viewer.layers]
        patterns = [_run_name(gene) for gene in genes]
        numbers = [int(match[1] or 1) for name in names for pattern in patterns if (match := pattern.fullmatch(name))]
        taken = [number for gene, number in self._of if gene in genes]
        self._run_number = max([*numbers, *taken], default=0) + 1
        self._previewed = None

    def show_preview(self, imputed: GeneMap, limits: tuple[float, float]) -> None:
        """The map as it is now; a preview that was deleted does not come back."""
        key = (imputed.gene, self._run_number)
        if self._previewed != key:
            self.changing.emit()
            self._previewed = key
            data, meta, kind = layers.imputed_layer(imputed, limits)
            meta["name"] = layer_name(imputed.gene, "preview", self._run_number)
            self._of[key] = {IMPUTED: self._add((data, meta, kind))}
            self._hide_maps(self._of[key][IMPUTED])
            return
        preview = self._of.get(key, {}).get(IMPUTED)
        if preview in self.viewer.layers:
            preview.data = layers.picture(imputed)

    def end_preview(self) -> None:
        """A run ended without a result: its preview goes."""
        if self._previewed is not None:
            self._remove(self._of.pop(self._previewed, {}).get(IMPUTED))
            self._previewed = None
            self.look_at(self.kind)

    def show_result(self, entry: Entry) -> None:
        """A run is over: its preview becomes the imputed layer, the others follow."""
        self.changing.emit()
        self._shown, self._previewed = entry, None
        known = self._of.setdefault((entry.gene, entry.number), {})
        data = layers.entry_layers(entry.result, entry.index)
        self._do(*self._steps(entry, data, known), partial(self.look_at, IMPUTED))

    def _steps(self, entry: Entry, data: dict[str, LayerData], known: dict[str, Layer]) -> list[Callable[[], Any]]:
        """One step a layer: the imputed one first, since it is waited for, the others below it."""
        order = sorted(data, key=lambda kind: kind != IMPUTED)
        return [partial(self._put_kind, entry, kind, data[kind], known) for kind in order]

    def _put_kind(self, entry: Entry, kind: str, data: LayerData, known: dict[str, Layer]) -> None:
        values, meta, what = data
        meta = meta | {"name": layer_name(entry.gene, kind, entry.number)}
        shown = self._shown is not None and entry.same(self._shown)
        before = known.get(kind)
        known[kind] = self._put(before, (values, meta, what), shown and kind in (self.kind, IMPUTED))
        top = known.get(IMPUTED)
        if known[kind] is not before and top is not None and top in self.viewer.layers and kind != IMPUTED:
            below = self.viewer.layers
            below.move(below.index(known[kind]), below.index(top))

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

    def _put(self, layer: Layer | None, data: LayerData, visible: bool) -> Layer:
        """Bring a layer up to date in place, or add it."""
        values, meta, _ = data
        if layer is None or layer not in self.viewer.layers:
            return self._add((values, meta | {"visible": visible}, data[2]))
        layer.data = values
        layer.scale, layer.translate = meta["scale"], meta["translate"]
        layer.contrast_limits_range = meta["contrast_limits"]
        layer.contrast_limits = meta["contrast_limits"]
        layer.name, layer.metadata, layer.visible = meta["name"], meta.get("metadata", {}), visible
        return layer

    def _add(self, data: LayerData) -> Layer:
        layer = self.viewer.add_layer(Layer.create(*data))
        self._own = [own for own in self._own if own in self.viewer.layers] + [layer]
        return layer

    def _remove(self, layer: Layer | None) -> None:
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)


def _run_name(gene: str) -> re.Pattern:
    kinds = "|".join([*layers.KINDS, "preview"])
    return re.compile(rf"{re.escape(gene)} - (?:{kinds})(?: (\d+))?")
