"""Save the last model, load another one, and ask what to do with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog

from ..threads import tasks
from ..threads.background import Background
from .controller import Controller, Workspace

if TYPE_CHECKING:
    from ...engine.network.model import Trained
    from ..panels.training.model_card import ModelCard

ENDING = ".safetensors"
KINDS = f"Models (*{ENDING})"


class Models(Controller):
    """Reads and writes model files in the background; one at a time."""

    chosen = Signal(bool)
    """The session has another model: train on from it, or only impute with it."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self._background = Background(self)
        self._background.failed.connect(self.failed)
        self._background.idle.connect(self.idle)
        self.card: ModelCard | None = None
        """The last one that was shown."""
        self.panels.training.saveModelRequested.connect(self.ask_to_save)
        self.panels.training.loadModelRequested.connect(self.ask_to_load)

    @property
    def busy(self) -> bool:
        return self._background.busy

    @property
    def model(self) -> Trained | None:
        """Model that would be saved: of the last run or file; before any, what imputed the shown map instantly."""
        shown = self.session.shown
        return self.session.model or (None if shown is None else shown.result.trained)

    def ask_to_save(self) -> None:
        """Ask for a file, then write the model there."""
        model = self.model
        if model is None:
            return
        genes = "-".join(model.genes[:2]) or "model"
        path, _ = QFileDialog.getSaveFileName(self.window, "Save the model", f"{genes}{ENDING}", KINDS)
        if path:
            self.save(Path(path))

    def save(self, path: Path) -> None:
        """Write the model with all settings that it was made with. A name without an ending gets ours, and replaces nothing:
        the dialog has asked only about the name that was typed."""
        model = self.model
        if model is None:
            return
        if path.suffix != ENDING:
            path = path.with_name(path.name + ENDING)
            if path.exists():
                self.failed.emit(f"{path} is there already. Choose that file to replace it, or another name.")
                return
        self.session.busy = f"Writing {path.name} ..."
        self._background.start(lambda: tasks.write_model(path, model), lambda _: None)

    def ask_to_load(self) -> None:
        """Ask for a file, then read it."""
        path, _ = QFileDialog.getOpenFileName(self.window, "Load a model", "", KINDS)
        if path:
            self.load(Path(path))

    def load(self, path: Path) -> None:
        """Read a model and show its card; the user says what to do with it."""
        self.session.busy = f"Reading {path.name} ..."
        self._background.start(lambda: tasks.read_model(path), lambda model: self._show(model, path.name))

    def use(self, model: Trained, *, trains: bool) -> None:
        """Make a model the session's, to train on from or to impute with."""
        self.session.model = model
        self.chosen.emit(trains)

    def abandon(self) -> None:
        self._background.abandon()

    def _show(self, model: Trained, name: str) -> None:
        from ...engine.runs.model_card import differences, fits, model_facts
        from ..panels.training.model_card import ModelCard

        session, config = self.session, self.session.config
        grid, stride = config.grid, config.sampling.stride
        differ = differences(
            model, genes=session.genes, bin_um=grid.bin_um, stride=stride, normalisation=grid.normalisation,
            min_qv=grid.min_qv,
        )  # fmt: skip
        self.card = ModelCard(name, model_facts(model), differ, fits=fits(model, stride=stride), parent=self.window)
        self.card.chosen.connect(
            lambda intent: None if intent == "cancel" else self.use(model, trains=intent == "train")
        )
        self.card.open()
