"""Show which slide is open and what goes on, and ask for another one; always in sight above the pages."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QMenu, QPushButton, QSizePolicy, QVBoxLayout, QWidget
from superqt import QElidingLabel

NOTHING_OPEN = "Open a slide, or drop its folder here."


class SlideHeader(QWidget):
    """Name and Open on one line, what is shown or under way on the next."""

    openRequested = Signal()
    openFileRequested = Signal()
    sampleRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = QElidingLabel("No slide is open")
        self._name.setObjectName("s2sst_slide_name")
        self._about = QElidingLabel(NOTHING_OPEN)
        self._about.setObjectName("s2sst_quiet")
        for label in (self._name, self._about):
            label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._about_text = NOTHING_OPEN
        self.open_button = QPushButton("&Open")
        self.open_button.setToolTip(
            "Open a Xenium output folder, a table of counts, or a simulated slide to try.\n"
            "Dropping a Xenium folder on the napari window does the same."
        )
        self._menu = QMenu(self.open_button)
        self._menu.setToolTipsVisible(True)
        for text, tip, signal in (
            (
                "Xenium &folder...",
                "The folder with experiment.xenium in it, or a SpatialData store (.zarr)",
                self.openRequested,
            ),
            ("&Table of counts...", "Counts on a grid: .h5ad of anndata, or .npz", self.openFileRequested),
            ("&Simulated sample slide", "A made-up breast section that comes with the program", self.sampleRequested),
        ):
            action = self._menu.addAction(text)
            action.setToolTip(tip)
            action.triggered.connect(lambda _=False, signal=signal: signal.emit())
        self.open_button.setMenu(self._menu)
        text = QVBoxLayout()
        text.setSpacing(1)
        text.addWidget(self._name)
        text.addWidget(self._about)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addLayout(text, 1)
        row.addWidget(self.open_button, 0, Qt.AlignmentFlag.AlignTop)

    def setSlide(self, name: str, tooltip: str = "") -> None:
        self._name.setText(name)
        self._name.setToolTip(tooltip)

    def setShown(self, text: str) -> None:
        """Say what is looked at, such as ``LTF, imputed at once``."""
        self._about_text = text
        self._about.setText(text)

    def setBusy(self, text: str) -> None:
        """Say what goes on in the background, in place of what is shown; "" shows that again."""
        self._about.setText(text or self._about_text)

    def about(self) -> str:
        return self._about.text()

    def setEnabledParts(self, *, can_open: bool) -> None:
        self.open_button.setEnabled(can_open)
