"""Choose where trainings run: on this computer, or on a Dask cluster."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QWidget
from superqt.utils import signals_blocked

from ....engine.cluster.connect import ClusterPlace, has_dask
from ...widgets.combo_rows import enable_row
from .cluster_dialog import ClusterDialog

HERE, CHOOSE, CHOOSE_OTHER = "This computer", "A Dask cluster...", "Another Dask cluster..."
ABOUT = (
    "Where trainings run. A Dask cluster gets the measured bins and the settings, and sends back what it learns;\n"
    "each worker trains on its own best device. All else is computed on this computer."
)
NOT_INSTALLED = 'Clusters need Dask, which is not installed: pip install "napari-s2sst[cluster]"'


class PlaceBox(QComboBox):
    """``value()`` is a ClusterPlace, or None for this computer. ``able``: clusters can be used at all."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None, *, able: bool | None = None) -> None:
        super().__init__(parent)
        self._able = has_dask() if able is None else able
        self._place: ClusterPlace | None = None
        self._known: ClusterPlace | None = None
        self.dialog: ClusterDialog | None = None
        """While it asks for the cluster."""
        self._show()
        self.activated.connect(self._chosen)

    def value(self) -> ClusterPlace | None:
        return self._place

    def setValue(self, place: ClusterPlace | None) -> None:
        """A cluster that was chosen before stays in the list."""
        self._place = place
        self._known = place or self._known
        self._show()

    def _show(self) -> None:
        with signals_blocked(self):
            self.clear()
            self.addItem(HERE)
            if self._known is not None:
                self.addItem(f"Dask cluster at {self._known.name}")
                self.setItemData(1, self._known.address, Qt.ItemDataRole.ToolTipRole)
            self.addItem(CHOOSE if self._known is None else CHOOSE_OTHER)
            last = self.count() - 1
            enable_row(self, last, on=self._able)
            about = "Say where its scheduler is, and try it" if self._able else NOT_INSTALLED
            self.setItemData(last, about, Qt.ItemDataRole.ToolTipRole)
            self.setCurrentIndex(0 if self._place is None else 1)
        address = "" if self._place is None else f"{self._place.address}\n"  # may be too long for the box
        self.setToolTip(address + ABOUT)

    def _chosen(self, row: int) -> None:
        before = self._place
        if row == self.count() - 1:
            self._show()
            self._ask()
            return
        self._place = None if row == 0 else self._known
        if self._place != before:
            self.valueChanged.emit(self._place)

    def _ask(self) -> None:
        """Ask for a cluster without waiting: a training that runs goes on being drawn."""
        self.dialog = ClusterDialog(self._known, self)
        self.dialog.answered.connect(self._answered)
        self.dialog.finished.connect(self._asked)
        self.dialog.open()

    def _asked(self, _: int) -> None:
        self.dialog.deleteLater()
        self.dialog = None

    def _answered(self, place: ClusterPlace) -> None:
        self.setValue(place)
        self.valueChanged.emit(place)
