"""Choose bins, lattice and mode, and say how much of the tissue that measures."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QWidget,
)
from superqt.utils import signals_blocked

from ....engine.sampling.lattice import LatticeFacts
from ...session import Mode, Sampling
from ...widgets.theme import LABEL_PX


class SamplingPanel(QWidget):
    """``value()`` is a Sampling."""

    valueChanged = Signal(object)
    latticeToggled = Signal(bool)
    instantToggled = Signal(bool)
    tissueToggled = Signal(bool)
    tissueResetRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.bin_box = QDoubleSpinBox()
        self.bin_box.setRange(1, 1000)
        self.bin_box.setDecimals(1)
        self.bin_box.setSingleStep(5)
        self.bin_box.setSuffix(" µm")
        self.bin_box.setToolTip(
            "Side of a square bin. Transcripts are counted per bin.\n"
            "Smaller bins show more detail and hold fewer counts each; 20 µm suits most slides."
        )
        self.stride_box = QSpinBox()
        self.stride_box.setRange(2, 4)
        self.stride_box.setToolTip(
            "Distance between measured bins, in bins, along both axes.\n"
            "2 measures a quarter of the tissue, 3 a ninth, 4 a sixteenth."
        )
        for box in (self.bin_box, self.stride_box):
            box.setKeyboardTracking(False)
        self._bin_tip = self.bin_box.toolTip()
        self.lattice_box = QCheckBox("Draw the lattice")
        self.lattice_box.setToolTip("Draw the measured bins over the slide.")
        self.instant_box = QCheckBox("Impute at once")
        self.instant_box.setChecked(True)
        self.instant_box.setToolTip(
            "Show what the weights that come with the program make of the chosen gene, within a second or so\n"
            "and before any training. Train refines it."
        )
        self._measures = QLabel()
        self._measures.setObjectName("s2sst_quiet")
        self._measures.setWordWrap(True)
        self._warning = QLabel()
        self._warning.setObjectName("s2sst_warning")
        self._warning.setWordWrap(True)
        self._warning.hide()
        self.check_button = QRadioButton("Check")
        self.check_button.setToolTip(
            "See how well it works: the bins between the measured ones are hidden, imputed,\n"
            "and then compared with what was really counted there."
        )
        self.fill_button = QRadioButton("Fill in")
        self.fill_button.setToolTip(
            "Use every bin as measured and impute a finer grid between them.\n"
            "Nobody measured that grid, so there are no scores."
        )
        self._modes = QButtonGroup(self)
        self._modes.addButton(self.check_button)
        self._modes.addButton(self.fill_button)
        self.tissue_box = QCheckBox("Show and edit")
        self.tissue_box.setToolTip(
            "Show where tissue was found, as a labels layer: paint to add, erase to take away, Ctrl+Z undoes.\n"
            "What you paint is what is trained on and imputed."
        )
        self.tissue_reset_button = QPushButton("Find again")
        self.tissue_reset_button.setToolTip("Forget what was painted and erased.")
        self.tissue_reset_button.setEnabled(False)
        self._facts: LatticeFacts | None = None
        self._lay_out()
        self.setValue(Sampling())

        self.bin_box.valueChanged.connect(self._changed)
        self.stride_box.valueChanged.connect(self._changed)
        self.check_button.toggled.connect(self._changed)
        self.lattice_box.toggled.connect(self.latticeToggled)
        self.instant_box.toggled.connect(self.instantToggled)
        self.tissue_box.toggled.connect(self.tissueToggled)
        self.tissue_reset_button.clicked.connect(self.tissueResetRequested)

    def _lay_out(self) -> None:
        self.bin_box.setMinimumWidth(104)
        self.stride_box.setMinimumWidth(72)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setColumnMinimumWidth(0, LABEL_PX)
        grid.setColumnStretch(1, 3)
        grid.setColumnStretch(3, 2)
        grid.addWidget(QLabel("Bins"), 0, 0)
        grid.addWidget(self.bin_box, 0, 1)
        grid.addWidget(QLabel("Stride"), 0, 2)
        grid.addWidget(self.stride_box, 0, 3)
        grid.addWidget(QLabel("Mode"), 1, 0)
        grid.addLayout(_row(self.check_button, 12, self.fill_button), 1, 1, 1, 3)
        grid.addWidget(self._measures, 2, 1, 1, 3)
        grid.addWidget(self._warning, 3, 1, 1, 3)
        grid.addLayout(_row(self.lattice_box, 12, self.instant_box), 4, 1, 1, 3)
        grid.addWidget(QLabel("Tissue"), 5, 0)
        grid.addLayout(_row(self.tissue_box, 12, self.tissue_reset_button), 5, 1, 1, 3)

    def value(self) -> Sampling:
        mode = Mode.CHECK if self.check_button.isChecked() else Mode.FILL_IN
        return Sampling(self.bin_box.value(), self.stride_box.value(), mode)

    def setValue(self, sampling: Sampling) -> None:
        with signals_blocked(self.bin_box), signals_blocked(self.stride_box):
            self.bin_box.setValue(sampling.bin_um)
            self.stride_box.setValue(sampling.stride)
        with signals_blocked(self.check_button), signals_blocked(self.fill_button):
            (self.check_button if sampling.mode is Mode.CHECK else self.fill_button).setChecked(True)
        self._say()

    def setFacts(self, facts: LatticeFacts | None) -> None:
        """Say what the lattice measures of the counted map; None while it is being counted."""
        self._facts = facts
        self._say()

    def setBinLocked(self, locked: bool) -> None:
        """A slide with bins of its own comes with their size."""
        self.bin_box.setReadOnly(locked)
        self.bin_box.setToolTip("This slide was measured in bins of this size." if locked else self._bin_tip)

    def setTissue(self, *, shown: bool, edited: bool) -> None:
        with signals_blocked(self.tissue_box):
            self.tissue_box.setChecked(shown)
        self.tissue_reset_button.setEnabled(edited)

    def _changed(self) -> None:
        self._facts = None
        self._say()
        self.valueChanged.emit(self.value())

    def _say(self) -> None:
        self._measures.setText(measures(self.value(), self._facts))
        warning = self._facts.warning if self._facts else ""
        self._warning.setText(warning)
        self._warning.setVisible(bool(warning))


def measures(sampling: Sampling, facts: LatticeFacts | None = None) -> str:
    """``measures 4,512 of 18,200 bins and saves 75 % of the measuring``, as far as it is known."""
    every = sampling.stride**2
    if sampling.mode is Mode.FILL_IN:
        finer = f"imputes bins of {sampling.bin_um / sampling.stride:.3g} µm"
        return finer if facts is None else f"{finer} from {facts.measured_bins:,} measured ones"
    if facts is None:
        return f"measures 1 bin of {every} and saves {100 - 100 / every:.3g} % of the measuring"
    saved = 100 * (1 - facts.measured_share)
    return (
        f"measures {facts.measured_bins:,} of {facts.tissue_bins:,} bins and saves {saved:.3g} % of the measuring; "
        f"{facts.mean_count:.2g} transcripts per bin"
    )


def _row(*parts: QWidget | int) -> QHBoxLayout:
    """Widgets side by side, numbers are gaps in px."""
    row = QHBoxLayout()
    for part in parts:
        row.addSpacing(part) if isinstance(part, int) else row.addWidget(part)
    row.addStretch()
    return row
