"""The results of the window: which one is shown, what is known of it, comparing its maps, writing its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QDialog

from ...engine.errors import S2SSTError
from ...engine.export.choice import ExportChoice, ExportItem
from ..session import Entry
from ..threads import tasks
from ..threads.background import Background
from ..viewer.comparison import CompareMode, Comparison
from ..viewer.layers import COUNTS, IMPUTED
from ..widgets.clock import clock
from .controller import Controller, Workspace


class Results(Controller):
    """Shows an entry of the session's list on the panel and in the viewer; at most one comparison at a time."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        session, display, panel = self.session, self.display, self.panels.result
        self.panel = panel
        self.comparison = Comparison(display.viewer, self)
        self._writing, self._judging = Background(self), Background(self)
        self._writing.failed.connect(self._not_written)
        self._writing.idle.connect(self.idle)
        self._judging.failed.connect(self.failed)
        self._described: Entry | None = None
        self._removed: tuple[Entry, int, str] | None = None
        """The last that was removed, its place and its name."""
        self.dialog: QDialog | None = None
        """The export dialog while it is open."""
        panel.resultChosen.connect(self._chosen)
        panel.exportRequested.connect(self._ask_for_export)
        panel.removeRequested.connect(self.remove)
        panel.undoRequested.connect(self.undo)
        session.events.connect(self._follow_session)
        panel.compare.valueChanged.connect(self._compare)
        self.comparison.ended.connect(panel.compare.setOff)
        self.comparison.moved.connect(panel.compare.setPosition)
        display.changing.connect(self.comparison.end)
        display.changed.connect(self._offer_layers)

    @property
    def busy(self) -> bool:
        return self._writing.busy

    def describe(self, entry: Entry | None) -> str:
        """``LTF · fast · 0:34``, ``LTF · imputed at once`` without a training."""
        if entry is None:
            return self.session.gene and f"{self.session.gene} · counts"
        if entry.number == 0:
            return f"{entry.gene} · imputed at once"
        trained = entry.result.trained
        again = f" · run {entry.number}" if entry.number > 1 else ""
        return f"{entry.gene} · {trained.config.preset_name} · {clock(trained.seconds)}{again}"

    def show(self) -> None:
        """Show the session's shown entry on the panel: its scores, its errors, its regions."""
        session, panel, entry = self.session, self.panel, self.session.shown
        names = [self.describe(listed) for listed in session.entries]
        panel.setResults(names, next((at for at, listed in enumerate(session.entries) if listed.same(entry)), -1))
        if entry is None:
            self.clear()
            return
        job, imputed = entry.result.job, entry.result.imputed[entry.index]
        sparse, truth = job.sparse[entry.index], job.truth[entry.index]
        waits = truth is not None and not entry.scores
        if not (waits and self._described is not None and self._described.gene == entry.gene):
            panel.setScores(entry.gene, entry.scores, waits=waits)
        self._described = entry
        scores = entry.scores
        self._judging.start(
            lambda: tasks.judge(job.regions, sparse, imputed, truth, scores), lambda judged: self._judged(entry, judged)
        )

    def clear(self) -> None:
        """Empty the panel: of another slide nothing is known yet."""
        self._described = None
        self.panel.setResults((), -1)
        self.panel.clear()

    def remove(self) -> None:
        """Take the shown result and its layers away; :meth:`undo` brings it back until another one goes."""
        session, entry = self.session, self.session.shown
        if not self._can_remove:
            return
        at = next(at for at, listed in enumerate(session.entries) if listed.same(entry))
        self._set_removed((entry, at, self.describe(entry)))
        self.display.remove_entry(entry)
        session.remove(entry)
        if session.shown is None:
            self.display.show_nothing()
        else:
            self.display.show_entry(session.shown)
        self.show()

    def undo(self) -> None:
        """Put back what was removed last."""
        if self._removed is None or self.session.running:
            return
        entry, at, _ = self._removed
        self._set_removed(None)
        self.session.put_back(entry, min(at, len(self.session.entries)))
        self.display.show_entry(entry)
        self.show()

    @property
    def _can_remove(self) -> bool:
        """Whether the shown result may go: not an instant one, which would be there again; not while a run or export uses it."""
        session = self.session
        return session.shown is not None and session.shown.number > 0 and not (session.running or session.busy)

    def _set_removed(self, removed: tuple[Entry, int, str] | None) -> None:
        self._removed = removed
        self.panel.setRemoved("" if removed is None else removed[2])

    def _follow_session(self, *_: Any) -> None:
        self.panel.setRemovable(self._can_remove)
        self.panel.undo_button.setEnabled(not self.session.running)

    def leave(self) -> None:
        self._set_removed(None)
        self.comparison.end()

    def forget(self) -> None:
        """The window is closed; an export that is under way is told of no more."""
        self.session.events.disconnect(self._follow_session)
        if self.dialog is not None:
            self.dialog.reject()
        self.comparison.end()
        self._writing.abandon()
        self._judging.abandon()

    def export(self, folder: str | Path, choice: ExportChoice | None = None) -> None:
        """Write the files of the shown result, or of all of them, into a folder."""
        session, choice = self.session, choice or ExportChoice()
        if session.shown is not None and session.slide is not None:
            self._write(Path(folder), choice, session.entries if choice.every_result else (session.shown,))

    def _write(self, folder: Path, choice: ExportChoice, entries: tuple[Entry, ...]) -> None:
        results = list({id(entry.result): entry.result for entry in entries}.values())
        slide = Path(self.session.slide.path)
        self.session.busy = "Writing ..."
        self.panel.setExported("Writing ...")
        self._writing.start(lambda: tasks.write_files(folder, results, choice, slide), self._written)

    def _chosen(self, index: int) -> None:
        if 0 <= index < len(self.session.entries) and not self.session.running:
            entry = self.session.shown = self.session.entries[index]
            self.display.show_entry(entry)
        self.show()

    def _judged(self, entry: Entry, judged: tasks.Judged) -> None:
        if entry.same(self.session.shown):
            self.panel.setDiagnostics(judged.diagnostics)
            self.panel.setRegions(judged.regions)

    def items(self) -> tuple[ExportItem, list[ExportItem]]:
        """Facts that the export dialog needs: of the shown result, and of all."""
        from ...engine.runs.write import export_item

        slide = Path(self.session.slide.path)
        items = {
            id(entry.result): export_item(entry.result, self.describe(entry), slide) for entry in self.session.entries
        }
        return items[id(self.session.shown.result)], list(items.values())

    def _ask_for_export(self) -> None:
        """Ask what to write of what is shown and known now: a run may end, and show its own, while the dialog is open."""
        from ..panels.results.export_dialog import ExportDialog

        entries, shown = self.session.entries, self.session.shown
        self.dialog = ExportDialog(*self.items(), self.window, store=self.session.slide.store)
        if self.dialog.exec() == QDialog.DialogCode.Accepted:
            choice = self.dialog.value()
            self._write(choice.folder, choice, entries if choice.every_result else (shown,))
        self.dialog = None

    def _written(self, written: tasks.Written) -> None:
        self.session.message = ""
        into = f"; in the store as {', '.join(written.tables)}" if written.tables else ""
        self.panel.setExported(f"{len(written.files)} files in {written.files[0].parent}{into}")

    def _not_written(self, problem: str) -> None:
        self.panel.setExported("")
        self.failed.emit(problem)

    def _offer_layers(self) -> None:
        """The shown result's maps, measured against imputed to begin with: the same space and the same colours."""
        if self.comparison.mode is not CompareMode.OFF:
            return
        layers = {kind: self.display.layer(kind) for kind in self.display.kinds()}
        names = [layer.name for layer in layers.values()]
        first = layers.get("measured") or layers.get("sparse input") or layers.get(COUNTS)
        second = layers.get(IMPUTED)
        self.panel.compare.setChoices(names, first.name if first else "", second.name if second else "")

    def _compare(self, choice: Any) -> None:
        try:
            self.comparison.show(choice)
            self.panel.compare.setValue(choice)  # going from one way to another ends the first, which says "off"
        except S2SSTError as error:
            self.panel.compare.setOff()
            self.failed.emit(str(error))
        if choice.mode is CompareMode.OFF:
            self.display.look_at(self.display.kind)
