"""Follow what is chosen of bins, lattice, tissue and settings: count anew, draw the lattice, say what it measures."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject

from ...engine.sampling.lattice import lattice_facts
from ..panels.pages import Panels
from ..session import Mode, Sampling, Session
from ..viewer.display import Display
from ..viewer.tissue_layer import TissueLayer
from .counting import Counting
from .instant import Instant


class ChosenSampling(QObject):
    """Of one window."""

    def __init__(
        self,
        session: Session,
        panels: Panels,
        display: Display,
        counting: Counting,
        tissue: TissueLayer,
        instant: Instant,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self.session, self.panels, self.display = session, panels, display
        self.counting, self.tissue, self.instant = counting, tissue, instant
        panels.sampling.valueChanged.connect(self.change)
        panels.sampling.latticeToggled.connect(self.draw)
        panels.sampling.tissueToggled.connect(self._show_tissue)
        panels.sampling.tissueResetRequested.connect(tissue.reset)
        panels.training.valueChanged.connect(self.change_settings)
        tissue.changed.connect(self._tissue_edited)

    def change(self, sampling: Sampling) -> None:
        same_bins = sampling.bin_um == self.session.sampling.bin_um
        self.session.sampling = sampling
        if not same_bins:
            self.counting.soon()
            return
        self.draw()
        self.instant.start()

    def change_settings(self, config: Any) -> None:
        """Another quality or normalisation makes other counts or another space."""
        before, self.session.settings = self.session.settings, config
        if before.grid != config.grid or before.sampling.phase != config.sampling.phase:
            self.counting.soon()

    def draw(self, *_: Any) -> None:
        """The lattice, on the slide where that is wanted, and in numbers."""
        gene_map, sampling, panel = self.session.gene_map, self.session.sampling, self.panels.sampling
        checks = sampling.mode is Mode.CHECK
        wanted = checks and panel.lattice_box.isChecked()
        self.display.show_lattice(gene_map if wanted else None, sampling.stride)
        stride = sampling.stride if checks else 1
        panel.setFacts(None if gene_map is None else lattice_facts(gene_map, stride))

    def _show_tissue(self, on: bool) -> None:
        if not on:
            self.tissue.hide()
        elif self.session.gene_map is not None:
            self.tissue.show(self.session.gene_map)
            self.counting.now()  # the layer shows the whole slide's tissue, not the region's

    def _tissue_edited(self) -> None:
        self.panels.sampling.setTissue(shown=self.tissue.shown, edited=self.tissue.edited)
        self.counting.soon()
