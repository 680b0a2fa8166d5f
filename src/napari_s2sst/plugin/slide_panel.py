"""Show which slide is open and let a gene be chosen: a card, Open..., and a searchable list sorted by counts."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel, QSearchableComboBox
from superqt.utils import signals_blocked

from .theme import LABEL_PX


class SlidePanel(QWidget):
    """``value()`` is the chosen gene, "" when there is none."""

    valueChanged = Signal(str)
    openRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._genes: dict[str, int] = {}
        self._name = QElidingLabel("No slide is open")
        self._name.setObjectName("s2sst_slide_name")
        self._name.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._about_text = "Open a Xenium output folder, or drop one on the window."
        self._about = QLabel(self._about_text)
        self._about.setObjectName("s2sst_quiet")
        self._about.setWordWrap(True)
        self.open_button = QPushButton("Open...")
        self.open_button.setToolTip(
            "Choose a Xenium output folder (the one with experiment.xenium in it).\n"
            "Dropping the folder on the napari window does the same."
        )
        self.open_button.clicked.connect(self.openRequested)

        self.gene_box = QSearchableComboBox()
        self.gene_box.setToolTip(
            "The gene to impute. Type a part of its name to search; the list begins with the most frequent.\n"
            "Its counts are shown on the slide at once."
        )
        self.gene_box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.gene_box.setMinimumContentsLength(8)
        self.gene_box.setMaxVisibleItems(16)
        self.gene_box.lineEdit().setPlaceholderText("type to search")
        self.gene_box.currentIndexChanged.connect(self._gene_changed)
        self.gene_box.lineEdit().editingFinished.connect(self._name_typed)
        self._count = QLabel("")
        self._count.setToolTip("Transcripts of this gene on the slide")
        self._count.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._count.setMinimumWidth(58)

        card = QHBoxLayout()
        text = QVBoxLayout()
        text.setSpacing(1)
        text.addWidget(self._name)
        text.addWidget(self._about)
        card.addLayout(text, 1)
        card.addWidget(self.open_button, 0, Qt.AlignmentFlag.AlignTop)
        row = QGridLayout()
        row.setColumnMinimumWidth(0, LABEL_PX)
        row.addWidget(QLabel("Gene"), 0, 0)
        row.addWidget(self.gene_box, 0, 1)
        row.addWidget(self._count, 0, 2)
        row.setColumnStretch(1, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(card)
        layout.addLayout(row)
        self.setGenes({})

    def value(self) -> str:
        return self.gene_box.currentText() if self.gene_box.currentIndex() >= 0 else ""

    def setValue(self, gene: str) -> None:
        """Choose a gene of the list; another name is not shown."""
        with signals_blocked(self.gene_box):
            self.gene_box.setCurrentIndex(self.gene_box.findText(gene, Qt.MatchFlag.MatchFixedString))
        self._show_count()

    def setSlide(self, name: str, about: str, tooltip: str = "") -> None:
        """The card's two lines."""
        self._name.setText(name)
        self._about_text = about
        self._about.setText(about)
        self._name.setToolTip(tooltip)
        self._about.setToolTip(tooltip)

    def setBusy(self, text: str) -> None:
        """What goes on in the background, in place of the card's second line; "" shows that line again."""
        self._about.setText(text or self._about_text)

    def setGenes(self, genes: Mapping[str, int]) -> None:
        """Gene -> transcripts, in the order of the list; no gene is chosen by it."""
        self._genes = dict(genes)
        with signals_blocked(self.gene_box):
            self.gene_box.clear()
            self.gene_box.addItems(list(self._genes))
            for row, count in enumerate(self._genes.values()):
                self.gene_box.setItemData(row, f"{count:,} transcripts", Qt.ItemDataRole.ToolTipRole)
            self.gene_box.setCurrentIndex(-1)
        self._show_count()

    def setEnabledParts(self, *, can_open: bool, can_choose: bool) -> None:
        self.open_button.setEnabled(can_open)
        self.gene_box.setEnabled(can_choose and bool(self._genes))

    def _gene_changed(self, index: int) -> None:
        self._show_count()
        if index >= 0:
            self.valueChanged.emit(self.value())

    def _name_typed(self) -> None:
        """A name that is not in the list goes out too: the slide's answer names the nearest ones."""
        text = self.gene_box.lineEdit().text().strip()
        if not text or self.gene_box.findText(text, Qt.MatchFlag.MatchFixedString) >= 0:
            return
        shown = self.gene_box.currentIndex()
        with signals_blocked(self.gene_box.lineEdit()):
            self.gene_box.lineEdit().setText(self.gene_box.itemText(shown) if shown >= 0 else "")
        self.valueChanged.emit(text)

    def _show_count(self) -> None:
        count = self._genes.get(self.value())
        self._count.setText("" if count is None else f"{count:,}")
