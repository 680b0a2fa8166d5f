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
    QRadioButton,
    QSpinBox,
    QWidget,
)
from superqt.utils import signals_blocked

from .session import Mode, Sampling
from .theme import LABEL_PX


class SamplingPanel(QWidget):
    """``value()`` is a Sampling."""

    valueChanged = Signal(object)
    latticeToggled = Signal(bool)

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
        self.lattice_box = QCheckBox("Lattice")
        self.lattice_box.setToolTip("Draw the measured bins over the slide.")
        self._measures = QLabel()
        self._measures.setObjectName("s2sst_quiet")
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
        grid.addWidget(self._measures, 1, 1, 1, 3)
        modes = QHBoxLayout()
        modes.addWidget(self.check_button)
        modes.addSpacing(12)
        modes.addWidget(self.fill_button)
        modes.addStretch()
        modes.addWidget(self.lattice_box)
        grid.addWidget(QLabel("Mode"), 2, 0)
        grid.addLayout(modes, 2, 1, 1, 3)
        self.setValue(Sampling())

        self.bin_box.valueChanged.connect(self._changed)
        self.stride_box.valueChanged.connect(self._changed)
        self.check_button.toggled.connect(self._changed)
        self.lattice_box.toggled.connect(self.latticeToggled)

    def value(self) -> Sampling:
        mode = Mode.CHECK if self.check_button.isChecked() else Mode.FILL_IN
        return Sampling(self.bin_box.value(), self.stride_box.value(), mode)

    def setValue(self, sampling: Sampling) -> None:
        with signals_blocked(self.bin_box), signals_blocked(self.stride_box):
            self.bin_box.setValue(sampling.bin_um)
            self.stride_box.setValue(sampling.stride)
        with signals_blocked(self.check_button), signals_blocked(self.fill_button):
            (self.check_button if sampling.mode is Mode.CHECK else self.fill_button).setChecked(True)
        self._measures.setText(_measures(sampling))

    def setBinLocked(self, locked: bool) -> None:
        """A count cube comes with its bins."""
        self.bin_box.setReadOnly(locked)

    def _changed(self) -> None:
        self._measures.setText(_measures(self.value()))
        self.valueChanged.emit(self.value())


def _measures(sampling: Sampling) -> str:
    every = sampling.stride**2
    if sampling.mode is Mode.FILL_IN:
        return f"imputes bins of {sampling.bin_um / sampling.stride:.3g} µm"
    return f"measures 1 bin of {every} ({100 / every:.3g} %)"
