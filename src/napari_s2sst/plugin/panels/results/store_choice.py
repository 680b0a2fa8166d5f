"""Choose a SpatialData store that a result is also written into, where the package for it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from ....engine.slides.spatialdata_store import INSTALL, WANTED, is_spatialdata

ABOUT = (
    "The maps become a new table and its grid of bins in a store of the same slide; nothing that is in it is replaced"
)


class StoreChoice(QWidget):
    """``value()`` is the store's folder, or None where none is wanted."""

    valueChanged = Signal()

    def __init__(self, suggested: Path | None = None, parent: QWidget | None = None) -> None:
        """``suggested``: the store that the slide itself is in."""
        super().__init__(parent)
        self.box = QCheckBox("Into a Spatial&Data store")
        self.path_edit = QLineEdit(str(suggested or ""))
        self.path_edit.setPlaceholderText("slide.zarr")
        self.browse_button = QPushButton("Browse...")
        self.browse_button.setAutoDefault(False)
        self.box.setToolTip(ABOUT)
        self.path_edit.setToolTip(f"Choose {WANTED}")
        self.browse_button.setToolTip("Choose the store")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for widget, stretch in ((self.box, 0), (self.path_edit, 1), (self.browse_button, 0)):
            layout.addWidget(widget, stretch)
        self.box.toggled.connect(self._toggled)
        self.path_edit.textChanged.connect(self.valueChanged)
        self.browse_button.clicked.connect(self._browse)
        if find_spec("spatialdata") is None:
            self.box.setEnabled(False)
            self.box.setToolTip(
                f"Needs the package spatialdata, which is not installed here. Install it with: {INSTALL}"
            )
        self._follow()

    def value(self) -> Path | None:
        text = self.path_edit.text().strip()
        return Path(text).expanduser() if self.box.isChecked() and text else None

    def setValue(self, store: Path | None) -> None:
        """Choose a store; where the package is missing, none is wanted."""
        if store is not None:
            self.path_edit.setText(str(store))
        self.box.setChecked(store is not None and self.box.isEnabled())

    def problem(self) -> str:
        """Say what is to be done before anything can be written; empty where nothing is."""
        if not self.box.isChecked():
            return ""
        store = self.value()
        if store is None:
            return "Choose the SpatialData store."
        return "" if is_spatialdata(store) else f"{store.name} is no SpatialData store. Choose {WANTED}."

    def _toggled(self, *_: object) -> None:
        self._follow()
        self.valueChanged.emit()

    def _follow(self) -> None:
        for widget in (self.path_edit, self.browse_button):
            widget.setEnabled(self.box.isChecked())

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write the result into this store", self.path_edit.text())
        if folder:
            self.path_edit.setText(folder)
