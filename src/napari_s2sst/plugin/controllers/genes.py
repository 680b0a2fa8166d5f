"""Follow which genes are chosen in the table: count and show the first of them, and score all of the slide's."""

from __future__ import annotations

from collections.abc import Sequence

from ..threads.structure import StructureTask
from .controller import Controller, Workspace
from .counting import Counting
from .extras import Extras


class ChosenGenes(Controller):
    """Joins the table of genes to the session and the counting."""

    def __init__(self, workspace: Workspace, *, counting: Counting, extras: Extras) -> None:
        super().__init__(workspace)
        self.counting, self.extras = counting, extras
        self.structure = StructureTask(self)
        self._scored: tuple[float, float] | None = None  # bins and quality of the genes' scores
        self.structure.failed.connect(self.failed)
        self.structure.scored.connect(self.panels.genes.setStructure)
        self.panels.genes.valueChanged.connect(self.choose)
        self.panels.genes.unknownTyped.connect(lambda gene: self.choose((gene,)))

    def choose(self, genes: Sequence[str]) -> None:
        """Choose genes; the first of them is counted in the background and shown."""
        session = self.session
        if session.slide is None or session.running or not genes:
            return
        shown, session.genes = session.gene, tuple(genes)
        self.extras.setGenes(session.genes)
        if genes[0] != shown or session.gene_map is None:
            session.gene = genes[0]
            self.counting.now()

    def set_slide(self, genes: Sequence[str]) -> None:
        """Another slide with these genes: the first one is chosen, and none has a score yet."""
        self._scored = None
        if genes:
            self.choose((genes[0],))

    def show_counted(self, gene: str) -> None:
        """Mark the gene that was counted, where it was not chosen in the table."""
        if gene not in self.panels.genes.value():
            self.panels.genes.setValue((gene,))

    def go_back(self) -> None:
        """Choose again what was chosen last and worked, if what is chosen now came to nothing."""
        session = self.session
        idle = not session.running and not self.counting.busy
        if idle and session.gene_map is not None and session.gene != session.gene_map.gene:
            session.gene = session.gene_map.gene
            session.genes = (session.gene,)
            self.panels.genes.setValue(session.genes)

    def score(self) -> None:
        """Score the genes in the background, once for a slide and its bins."""
        grid, slide = self.session.config.grid, self.session.slide
        if self._scored != (grid.bin_um, grid.min_qv):
            self._scored = (grid.bin_um, grid.min_qv)
            self.structure.start(slide, tuple(slide.genes), grid.bin_um, grid.min_qv)

    def leave(self) -> None:
        self.abandon()

    def abandon(self) -> None:
        self.structure.abandon()
