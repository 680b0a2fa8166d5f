"""Ask for the scheduler of a Dask cluster, and try whether it answers."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSettings, Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ....engine.cluster.connect import ClusterFacts, ClusterPlace, Tls, look_at
from ...threads.background import Background

WIDTH_PX = 480
LAST = "cluster"
FILES = (
    ("ca_file", "Au&thority", "The certificate of the authority that signed all others (--tls-ca-file of dask)"),
    ("cert_file", "C&ertificate", "This program's own certificate (--tls-cert)"),
    ("key_file", "&Key", "The key of this program's own certificate (--tls-key)"),
)
"""(field of Tls, text, what it is)."""

OPEN_DOOR = (
    "tcp:// is neither encrypted nor guarded: counts travel in the clear, and whoever reaches the scheduler can run programs "
    "on its workers. Use it in a network you trust, or tls://."
)


class ClusterDialog(QDialog):
    """``value()`` is a ClusterPlace. Open it with ``open()``; cancelled, it tells nothing."""

    answered = Signal(object)

    def __init__(self, place: ClusterPlace | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Dask cluster")
        self.setFixedWidth(WIDTH_PX)
        self._trying = Background(self)
        self._trying.failed.connect(self._tell)
        self.address_edit = QLineEdit()
        self.address_edit.setPlaceholderText("tcp://HOST:8786 or tls://HOST:8786")
        self.address_edit.setToolTip("The address that `dask scheduler` names when it starts")
        self.file_edits: dict[str, QLineEdit] = {}
        self.browse_buttons: dict[str, QPushButton] = {}
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        self._add_row(grid, 0, "&Address", self.address_edit)
        for row, (name, text, about) in enumerate(FILES, start=1):
            edit, browse = QLineEdit(), QPushButton("Browse...")
            edit.setPlaceholderText("a PEM file, for tls:// only")
            edit.setToolTip(about)
            browse.setToolTip(f"Choose the file. {about}")
            browse.setAccessibleName(f"Browse for the {text.replace('&', '').lower()}")
            browse.setAutoDefault(False)
            browse.clicked.connect(lambda _=False, name=name: self._browse(name))
            self._add_row(grid, row, text, edit)
            grid.addWidget(browse, row, 2)
            self.file_edits[name], self.browse_buttons[name] = edit, browse
        self.warning_line, self.outcome_line = QLabel(), QLabel()
        self.warning_line.setObjectName("s2sst_warning")
        for line in (self.warning_line, self.outcome_line):
            line.setWordWrap(True)
            line.setTextFormat(Qt.TextFormat.PlainText)
        self.test_button, self.ok_button, self.cancel_button = (
            QPushButton("Te&st"),
            QPushButton("OK"),
            QPushButton("Cancel"),
        )
        self.test_button.setToolTip(
            "Connect to the scheduler now, count its workers and compare their version of this program"
        )
        self.ok_button.setToolTip("Train on this cluster from now on")
        self.cancel_button.setToolTip("Leave all as it is (Esc)")
        self.test_button.clicked.connect(self._try)
        self.ok_button.clicked.connect(self._answer)
        self.cancel_button.clicked.connect(self.reject)
        self._lay_out(grid)
        self._fill(place or _last_place())
        for edit in (self.address_edit, *self.file_edits.values()):
            edit.textChanged.connect(self._changed)
        self._changed()

    def value(self) -> ClusterPlace:
        """The place as typed; its ``problem()`` says what is wrong with it."""
        address = self.address_edit.text().strip().rstrip("/")
        files = [edit.text().strip() for edit in self.file_edits.values()]
        tls = Tls(*map(Path, files)) if address.startswith("tls://") and all(files) else None
        return ClusterPlace(address, tls)

    def done(self, result: int) -> None:
        """Closed in any way: what is being tried is not waited for."""
        self._trying.abandon()
        super().done(result)

    def _add_row(self, grid: QGridLayout, row: int, text: str, edit: QLineEdit) -> None:
        label = QLabel(text)
        label.setBuddy(edit)
        label.setToolTip(edit.toolTip())
        edit.setAccessibleName(text.replace("&", ""))
        grid.addWidget(label, row, 0)
        grid.addWidget(edit, row, 1, 1, 2 if edit is self.address_edit else 1)

    def _lay_out(self, grid: QGridLayout) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.test_button)
        buttons.addStretch()
        buttons.addWidget(self.ok_button)
        buttons.addWidget(self.cancel_button)
        for button in (self.test_button, self.ok_button, self.cancel_button):
            button.setAutoDefault(False)
        self.ok_button.setDefault(True)
        layout = QVBoxLayout(self)
        layout.setSpacing(9)
        layout.addLayout(grid)
        layout.addWidget(self.warning_line)
        layout.addWidget(self.outcome_line)
        layout.addLayout(buttons)

    def _fill(self, place: ClusterPlace | None) -> None:
        if place is None:
            return
        self.address_edit.setText(place.address)
        self.address_edit.selectAll()
        if place.tls is not None:
            for name, edit in self.file_edits.items():
                edit.setText(str(getattr(place.tls, name)))

    def _changed(self) -> None:
        """Forget what was tried before, which says nothing of what is typed now."""
        self._trying.abandon()
        place, typed = self.value(), bool(self.address_edit.text().strip())
        for widget in (*self.file_edits.values(), *self.browse_buttons.values()):
            widget.setEnabled(place.is_encrypted)
        problem = place.problem()
        for button in (self.test_button, self.ok_button):
            button.setEnabled(not problem)
        open_door = not problem and not place.is_encrypted and not place.is_here
        self.warning_line.setText(OPEN_DOOR if open_door else "")
        self.warning_line.setVisible(open_door)
        self._tell(problem if typed else "")

    def _try(self) -> None:
        place = self.value()
        self.test_button.setEnabled(False)
        self._tell(f"Connecting to {place.name} ...")
        self.test_button.setEnabled(False)
        self._trying.start(lambda: look_at(place), self._tried)

    def _tried(self, facts: ClusterFacts) -> None:
        self._tell(facts.sentence())

    def _tell(self, text: str) -> None:
        self.outcome_line.setText(text)
        self.outcome_line.setVisible(bool(text))
        self.test_button.setEnabled(not self.value().problem())
        self.adjustSize()

    def _browse(self, name: str) -> None:
        dialog = QFileDialog(self, "Choose a PEM file", "", "PEM files (*.pem *.crt *.key);;All files (*)")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFile)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(self.file_edits[name].setText)
        dialog.open()

    def _answer(self) -> None:
        place = self.value()
        _remember(place)
        self.accept()
        self.answered.emit(place)


def _settings() -> QSettings:
    return QSettings("napari-s2sst", "napari-s2sst")


def _last_place() -> ClusterPlace | None:
    """The one that was chosen last, in any window."""
    remembered = [
        str(_settings().value(f"{LAST}/{name}", "") or "") for name in ("address", *(name for name, *_ in FILES))
    ]
    address, *files = remembered
    return ClusterPlace(address, Tls(*map(Path, files)) if all(files) else None) if address else None


def _remember(place: ClusterPlace) -> None:
    """Names of files only, never what is in them."""
    settings = _settings()
    settings.setValue(f"{LAST}/address", place.address)
    if place.tls is not None:
        for name, *_ in FILES:
            settings.setValue(f"{LAST}/{name}", str(getattr(place.tls, name)))
