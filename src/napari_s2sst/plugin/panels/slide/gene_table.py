"""Show the genes of a slide, let them be searched and sorted, and let one or several be chosen.

What was chosen stays chosen, whatever is typed, sorted or taken in: only choosing changes it. A click, an arrow key, Enter or
Ctrl+A chooses anew, so that what the search hides is chosen no longer; with Ctrl or Shift, genes join those that are chosen,
hidden ones too, and the line below tells how many of them are not shown. The last chosen gene can't be unchosen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QCoreApplication, QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QShortcut, QSizePolicy, QToolButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from ...widgets.docked import single_shot
from .gene_model import TITLES, GeneModel
from .gene_view import ARROWING_MS, GeneView

if TYPE_CHECKING:
    from ....engine.slides.structure import GeneStructure

_WALKING = (Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_PageUp, Qt.Key.Key_PageDown)


class GeneTable(QWidget):
    """``value()`` are the chosen genes: the current one first, the others in the order of :meth:`setGenes`; or ()."""

    valueChanged = Signal(object)
    """The chosen genes, once for each change by the user; while walking through the list, when the walk is over."""
    unknownTyped = Signal(str)
    """Enter after a name that no gene's name has in it: the slide's answer names the nearest ones."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._chosen: tuple[str, ...] = ()
        self._announced: tuple[str, ...] = ()
        self._own = False
        """The selection changes because this changes it."""
        self._walked = False
        """Since the last letter was typed."""
        self._can_choose = True
        self._settle = single_shot(self, ARROWING_MS, self._tell)
        self.search = QLineEdit()
        self.search.setPlaceholderText("type to search")
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Search genes")
        self.search.setToolTip(
            "A part of a gene's name (Ctrl+F or / leads here). Up and Down walk through the genes that match, with their\n"
            "maps; Enter chooses the first. What is chosen stays chosen while you type. Esc shows all genes again."
        )
        self.model = GeneModel(self)
        self.view = GeneView(self.model)
        self.view.setAccessibleName("Genes")
        self.view.setToolTip(
            "Click a gene to see its map. Ctrl or Shift and a click chooses several, Ctrl+A all that are shown.\n"
            "Click a column's head to sort; Ctrl+1 to Ctrl+4 do the same."
        )
        self.line = QElidingLabel("")
        self.line.setObjectName("s2sst_quiet")
        self.line.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.one_button = QToolButton()
        self.one_button.setToolTip("Choose this gene alone")
        policy = self.one_button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.one_button.setSizePolicy(policy)
        below = QHBoxLayout()
        below.addWidget(self.line, 1)
        below.addWidget(self.one_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.search)
        layout.addWidget(self.view, 1)
        layout.addLayout(below)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self._shortcuts = [self._shortcut(key, self.focusSearch) for key in (QKeySequence.StandardKey.Find, "/")]
        for column in TITLES:
            self._shortcut(f"Ctrl+{column + 1}", lambda column=column: self.view.toggle_sort(column))
        self.search.installEventFilter(self)
        self.search.textChanged.connect(self._searched)
        self.search.returnPressed.connect(self._choose_match)
        self.view.typed.connect(self._typed_in_table)
        self.view.choice.commanded.connect(self._commanded)
        self.view.choice.currentChanged.connect(lambda *_: self._commanded(False))
        self.model.modelReset.connect(self._draw_chosen)
        self.view.horizontalHeader().sortIndicatorChanged.connect(lambda *_: self.view.scrollToTop())
        self.one_button.clicked.connect(lambda: self._choose(self._chosen[:1]))
        self.setGenes({})

    # ---- for the window

    def value(self) -> tuple[str, ...]:
        return self._chosen

    def setValue(self, genes: Sequence[str]) -> None:
        """Choose these, the first one as the current one, without a signal; names that are not in the list are left out."""
        self._settle.stop()
        self._chosen = self._announced = tuple(dict.fromkeys(gene for gene in genes if gene in self.model))
        self._draw_chosen()
        self._show_current()

    def setGenes(self, genes: Mapping[str, int]) -> None:
        """Gene -> transcripts. No gene is chosen by it, and whatever was chosen, typed or known is forgotten."""
        self._settle.stop()
        self._chosen = self._announced = ()
        self.search.clear()
        self.model.setGenes(genes)
        self.view.scrollToTop()
        self._follow()

    def setStructure(self, structure: Mapping[str, GeneStructure]) -> None:
        """Take what is known of some or all genes; in parts as they come, too. Choice, order of sorting and place stay."""
        place = self.view.verticalScrollBar().value()
        self.model.setStructure(structure)
        self.view.verticalScrollBar().setValue(place)

    def setEnabledParts(self, *, can_choose: bool) -> None:
        """A choice that was not told yet is taken back when choosing ends, so that what is seen is what is known."""
        self._can_choose = can_choose
        if not can_choose and self._chosen != self._announced:
            self.setValue(self._announced)
        self._follow()

    def focusSearch(self) -> None:
        """Put the cursor into the search line, what stands there selected, to be typed over."""
        self.search.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.search.selectAll()

    def setShortcutHome(self, widget: QWidget) -> None:
        """Let Ctrl+F and / lead here from everywhere in this widget, such as the dock."""
        for shortcut in self._shortcuts:
            shortcut.setParent(widget)

    # ---- searching

    def _searched(self, text: str) -> None:
        self._walked = False
        self.model.setFilter(text)
        self.view.scrollToTop()

    def _typed_in_table(self, text: str) -> None:
        if text.strip():
            self.search.setFocus(Qt.FocusReason.OtherFocusReason)
            self.search.setText(text)

    def _choose_match(self) -> None:
        text = self.search.text().strip()
        if text and not self._walked:
            gene = self.model.meant_by(text)
            if gene is None:
                self.unknownTyped.emit(text)
                return
            self._choose((gene,))
            self._show_current()
        self._tell()
        self.search.selectAll()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keys that walk go from the search line to the table; Esc empties the line."""
        if watched is self.search and event.type() == QEvent.Type.KeyPress:
            if event.key() in _WALKING:
                self._walked = True
                QCoreApplication.sendEvent(self.view, QKeyEvent(event.type(), event.key(), event.modifiers()))
                return True
            if event.key() == Qt.Key.Key_Escape and self.search.text():
                self.search.clear()
                return True
        return super().eventFilter(watched, event)

    # ---- choosing

    def _commanded(self, anew: bool) -> None:
        """The user did something with the selection or moved the current row."""
        if self._own:
            return
        shown = [self.model.gene_at(row) for row in self._selected_rows()]
        hidden = [] if anew else [gene for gene in self._chosen if self.model.row_of(gene) < 0]
        now = {*shown, *hidden}
        if not now:
            self._draw_chosen()
            return
        current = self.view.choice.currentIndex()
        first = self.model.gene_at(current.row()) if current.isValid() else ""
        if first not in now:
            first = next((gene for gene in self._chosen if gene in now), "")
        if now != set(self._chosen) or first != self._chosen[0]:
            others = [gene for gene in self.model.genes if gene in now and gene != first]
            self._chosen = (first, *others) if first else tuple(others)
        self._follow()
        self._settle.start(self.view.settle_ms)

    def _choose(self, genes: tuple[str, ...]) -> None:
        self._chosen = genes
        self._draw_chosen()
        self._tell()

    def _tell(self) -> None:
        self._settle.stop()
        if self._chosen != self._announced:
            self._announced = self._chosen
            self.valueChanged.emit(self._chosen)

    def _selected_rows(self) -> list[int]:
        stretches = self.view.choice.selection()
        return sorted({row for stretch in stretches for row in range(stretch.top(), stretch.bottom() + 1)})

    # ---- drawing

    def _draw_chosen(self) -> None:
        """Select what is chosen, as far as it is shown."""
        rows = [self.model.row_of(gene) for gene in self._chosen]
        self._own = True
        self.view.select_rows(sorted(row for row in rows if row >= 0), rows[0] if rows else -1)
        self._own = False
        self._follow()

    def _show_current(self) -> None:
        row = self.model.row_of(self._chosen[0]) if self._chosen else -1
        if row >= 0:
            self.view.scrollTo(self.model.index(row, 0))

    def _follow(self) -> None:
        """The line below, and what can be done."""
        genes, chosen = len(self.model.genes), len(self._chosen)
        hidden = sum(self.model.row_of(gene) < 0 for gene in self._chosen)
        if not genes:
            text = "No genes yet: open a slide."
        elif not self.model.rowCount():
            text = f"No name has {self.search.text().strip()!r} in it; Enter finds similar ones."
        else:
            text = f"{chosen} of {genes:,} genes chosen"
            text += f", {hidden} not shown" if hidden else ""
        self.line.setText(text)
        self.line.setToolTip(", ".join(self._chosen[:40]) + (" ..." if chosen > 40 else ""))
        self.one_button.setText(f"Only {self._chosen[0]}" if chosen > 1 else "")
        self.one_button.setVisible(chosen > 1)
        for part in (self.search, self.view, self.one_button):
            part.setEnabled(self._can_choose and bool(genes))

    def _shortcut(self, key: QKeySequence.StandardKey | str, slot: object) -> QShortcut:
        shortcut = QShortcut(QKeySequence(key), self)
        shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        shortcut.activated.connect(slot)
        return shortcut
