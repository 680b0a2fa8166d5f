"""The optional layers of a slide: which there can be, which are chosen in the menu, and reading them in the background."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Signal

from ...engine.pictures.outlines import BoundaryKind, find_boundaries, read_boundaries
from ...engine.slides.histology import find_histology
from ...engine.slides.slide import Slide
from ...engine.transcripts.table import MIN_QV
from ..panels.slide.card import Choice
from ..threads.background import Background
from ..viewer.extra_display import CELLS, DENSITY, HISTOLOGY, KEYS, KINDS, NUCLEI, TRANSCRIPTS, ExtraDisplay
from ..viewer.extra_layers import Loaded, genes_name, load_density, load_histology, load_outlines, load_transcripts
from .controller import Controller, Workspace


class Extras(Controller):
    """Joins the slide's card to the optional layers. A layer that the user deletes counts as switched off."""

    changed = Signal()
    """:meth:`choices` are others than before."""
    noted = Signal(str)
    """What goes on, or why less is seen than was asked for; "" when there is nothing to say any more."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.shown = ExtraDisplay(workspace.display.viewer, self)
        self.shown.noted.connect(self._note)
        self.shown.deleted.connect(self._deleted)
        self._slide: Slide | None = None
        self._genes: tuple[str, ...] = ()
        self._min_qv = MIN_QV
        self._without: dict[str, str] = {}  # key -> why there is no such layer
        self._paths: dict[str, Path] = {}
        self._wanted: set[str] = set()
        self._notes: dict[str, str] = {}
        self._noted = ""
        self._loading = {key: Background(self) for key in KEYS}
        for key, background in self._loading.items():
            background.failed.connect(partial(self._failed, key))
        self.panels.card.layerToggled.connect(self.show)
        self.changed.connect(lambda: self.panels.card.setChoices(self.choices()))
        self.noted.connect(self.panels.setNote)

    @property
    def loading(self) -> bool:
        """Whether something is being read, beside all else."""
        return any(background.busy for background in self._loading.values())

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
            Choice(
                key=key,
                label=label,
                tooltip=self._reason(key) or tooltip,
                available=not self._reason(key),
                shown=key in self._wanted,
            )
            for key, (label, tooltip) in offered.items()
        )

    def _reason(self, key: str) -> str:
        """Reason why there is no such layer, or ""."""
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

    def show(self, key: str, on: bool) -> None:
        """Switch an optional layer on or off; one that there is not stays off."""
        if on and key not in self._wanted and not self._reason(key):
            self._wanted.add(key)
            self._load(key)
        elif on and key in self._wanted:
            self.shown.reveal(key)
        elif not on:
            self._take_away(key)
        self.changed.emit()

    def abandon(self) -> None:
        """Read on for nobody; what is shown stays."""
        for background in self._loading.values():
            background.abandon()

    def forget(self) -> None:
        """The window is closed; layers stay."""
        self.abandon()
        self.shown.forget()

    def _load(self, key: str) -> None:
        slide, genes, min_qv = self._slide, self._genes, self._min_qv
        match key:
            case "density":
                self._note(key, "Counting all transcripts ...")
                task = partial(load_density, slide)
            case "histology":
                self._note(key, "Opening the H&E picture ...")
                task = partial(load_histology, slide)
            case "transcripts":
                self._note(key, f"Looking for transcripts of {genes_name(genes)} ...")
                task = partial(load_transcripts, slide, genes, min_qv)
            case _:
                self._note(key, f"Reading {self._paths[key].name} ...")
                task = partial(_read_outlines, self._paths[key], KINDS[key])
        self._loading[key].start(task, partial(self._put, key))

    def _put(self, key: str, loaded: Loaded) -> None:
        self.shown.put(key, loaded)
        self.changed.emit()

    def _failed(self, key: str, message: str) -> None:
        self._take_away(key)
        self.changed.emit()
        self.failed.emit(message)

    def _take_away(self, key: str) -> None:
        self._wanted.discard(key)
        self._loading[key].abandon()
        self.shown.remove(key)
        self._note(key, "")

    def _deleted(self, key: str) -> None:
        if not self.shown.layers[key]:
            self._take_away(key)
        self.changed.emit()

    def _note(self, key: str, text: str) -> None:
        self._notes[key] = text
        noted = " ".join(note for key in KEYS if (note := self._notes.get(key)))
        if noted != self._noted:
            self._noted = noted
            self.noted.emit(noted)


def _read_outlines(path: Path, kind: BoundaryKind) -> Loaded:
    return load_outlines(read_boundaries(path), kind)
