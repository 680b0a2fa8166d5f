"""Follow what is chosen of bins, lattice, tissue and settings: count anew, draw the lattice, say what it measures."""

from __future__ import annotations

from typing import Any

from ...engine.sampling.lattice import lattice_facts
from ..session import Mode, Sampling
from .controller import Controller, Workspace
from .counting import Counting
from .instant import Instant


class ChosenSampling(Controller):
    """Takes what the pages Sampling and Training say into the session, with all that follows from it."""

    def __init__(self, workspace: Workspace, *, counting: Counting, instant: Instant) -> None:
        super().__init__(workspace)
        self.counting, self.instant = counting, instant
        panels, tissue = self.panels, self.tissue
        panels.sampling.valueChanged.connect(self.change)
        panels.sampling.latticeToggled.connect(self.draw)
        panels.sampling.tissueToggled.connect(self._show_tissue)
        panels.sampling.tissueResetRequested.connect(tissue.reset)
        panels.training.valueChanged.connect(self.change_settings)
        panels.training.place_box.valueChanged.connect(lambda place: setattr(self.session, "cluster", place))
        panels.several.valueChanged.connect(lambda several: setattr(self.session, "several", several))
        tissue.changed.connect(self._tissue_edited)

    def change(self, sampling: Sampling) -> None:
        """Take over the change: other bins are counted anew; another stride or mode shows at once."""
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
        """Show the lattice, on the slide where that is wanted, and in numbers."""
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
