"""Follow what is chosen (gene, bins, tissue, regions) with counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Signal

from ...engine.errors import S2SSTError
from ...engine.sampling.regions import Region
from ..threads import tasks
from ..threads.background import Background
from ..widgets.docked import single_shot
from .controller import Controller, Workspace

SETTLE_MS = 250
"""Bins are counted anew when the user has stopped turning the wheel."""


class Counting(Controller):
    """Counts the shown gene whenever something it depends on has changed; never while a run uses them."""

    counted = Signal(object)
    """A tasks.Counted; the session has its map."""

    def __init__(self, workspace: Workspace, *, regions: Callable[[], tuple[Region, ...]]) -> None:
        super().__init__(workspace)
        self._regions = regions
        self._background = Background(self)
        self._background.failed.connect(self.failed)
        self._background.idle.connect(self.idle)
        self._settle = single_shot(self, SETTLE_MS, self.now)
        self.panels.region.valueChanged.connect(self.soon)

    @property
    def busy(self) -> bool:
        return self._background.busy

    def soon(self) -> None:
        """Count when nothing more has changed for a moment."""
        self.session.outdated = self.session.gene_map is not None
        self._settle.start()

    def now(self) -> None:
        """Count the shown gene, or when the run that goes on is over."""
        session = self.session
        if session.running:
            self._settle.start()  # a region was redrawn or deleted meanwhile: counted when the run is over
        if session.slide is None or not session.gene or session.running:
            return
        self._count((session.gene,), self._show)

    def all(self, done: Callable[[tasks.Counted], Any]) -> None:
        """Count every chosen gene in one pass, for a run."""
        self._count(self.session.genes, done)

    def leave(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        self._settle.stop()
        self._background.abandon()

    def _count(self, genes: tuple[str, ...], done: Callable[[tasks.Counted], Any]) -> None:
        session = self.session
        try:
            slide, config, regions, edited = session.slide, session.config, self._regions(), self.tissue.apply
        except S2SSTError as error:
            self.failed.emit(str(error))
            return
        session.busy = f"Counting {genes[0] if len(genes) == 1 else f'{len(genes)} genes'} ..."
        self._background.start(lambda: tasks.count_genes(slide, genes, config, regions, edited), done)

    def _show(self, counted: tasks.Counted) -> None:
        session = self.session
        if counted.maps[0].gene != session.gene or session.running:
            return
        session.message = ""
        session.gene_map = counted.maps[0]
        session.outdated = self._settle.isActive()
        self.counted.emit(counted)
