"""Choose what of a run, or of all runs, is written where: folder, kinds of files, room on the disk, what is replaced."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QSettings, Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from ....engine.export.choice import ExportChoice, ExportItem, estimated_bytes, file_names, free_bytes, suffixes
from .store_choice import StoreChoice

LAST_FOLDER = "export/folder"
FORMATS = ("png", "pdf", "svg")
NAMES_SHOWN = 4
WIDTH_PX = 460

KINDS = (
    ("ome_tiff", "&Maps, OME-TIFF", "input, imputed, uncertainty, truth and error as channels, in um; QuPath and Fiji open it"),
    ("h5ad", "&Table, h5ad", "one row a tissue bin and one column a gene; scanpy and squidpy open it"),
    ("csv", "&Bins, CSV", "one row a tissue bin and gene, for a spreadsheet or R"),
    ("tables", "&Scores and losses", "scores.csv and losses.csv"),
    ("figure", "&Figure", "the maps of a gene on a page"),
    ("comparison", "&Comparison figure", "input, every method, truth, errors and an enlarged square, 180 mm wide"),
    ("model", "M&odel", "the trained weights, to impute other slides with"),
    ("regions", "&Regions, GeoJSON", "the regions of interest; QuPath opens them"),
    ("region_table", "Re&gion table, CSV", "area, measured and imputed mean and error of every region, or of the whole slide"),
    ("script", "Scr&ipt", "repeat.sh, which repeats the run exactly on the command line, with all that it needs"),
)  # fmt: skip
"""(field of ExportChoice, text, what it is)."""

CHECKED = ExportChoice(comparison=True, regions=True, region_table=True, script=True)
"""What is ticked at first: all but the largest."""


class ExportDialog(QDialog):
    """``value()`` is an :class:`ExportChoice`; it writes nothing itself.

    ``shown`` is the result that is looked at, ``store`` the SpatialData store that the slide is in, if it is in one.
    """

    def __init__(
        self,
        shown: ExportItem,
        every: Sequence[ExportItem],
        parent: QWidget | None = None,
        *,
        store: Path | None = None,
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export")
        self.setMinimumWidth(WIDTH_PX)
        self._shown, self._every = shown, list(every)
        last = str(QSettings("napari-s2sst", "napari-s2sst").value(LAST_FOLDER, "") or "")
        self.folder_edit = QLineEdit(last or str(Path.home() / "s2sst"))
        self.folder_edit.setToolTip("Where the files go; the folder is made if need be")
        self.folder_edit.textChanged.connect(self._follow)
        browse = QPushButton("Bro&wse...")
        browse.setToolTip("Choose a folder")
        browse.setAutoDefault(False)
        browse.clicked.connect(self._browse)
        label = QLabel("Fo&lder")
        label.setBuddy(self.folder_edit)
        folder = QHBoxLayout()
        for widget, stretch in ((label, 0), (self.folder_edit, 1), (browse, 0)):
            folder.addWidget(widget, stretch)
        self.this_button = QRadioButton(f"This result: {shown.name}")
        self.every_button = QRadioButton(f"All {len(self._every)} results")
        self.every_button.setToolTip("Every result in the list; the files' names tell several of one gene apart")
        self.this_button.setToolTip("The result that is shown")
        which = QButtonGroup(self)
        for button in (self.this_button, self.every_button):
            which.addButton(button)
            button.toggled.connect(self._follow)
        self.this_button.setChecked(True)
        self.every_button.setEnabled(len(self._every) > 1)
        self.boxes: dict[str, QCheckBox] = {}
        self.format_box = QComboBox()
        self.format_box.addItems([kind.upper() for kind in FORMATS])
        self.format_box.setToolTip("Of the figures. PDF and SVG keep the letters as text.")
        self.format_box.currentIndexChanged.connect(self._follow)
        grid = QGridLayout()
        grid.setHorizontalSpacing(14)
        for number, (name, text, about) in enumerate(KINDS):
            box = QCheckBox(text)
            box.setToolTip(about)
            box.setChecked(getattr(CHECKED, name))
            box.toggled.connect(self._follow)
            self.boxes[name] = box
            place = QHBoxLayout()
            place.setSpacing(8)
            place.addWidget(box)
            if name == "figure":
                place.addWidget(self.format_box)
                place.addStretch(1)
            grid.addLayout(place, number // 2, number % 2)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        self.store = StoreChoice(store)
        self.store.valueChanged.connect(self._follow)
        self.room_line, self.replaced_line = QLabel(), QLabel()
        self.room_line.setObjectName("s2sst_quiet")
        self.replaced_line.setObjectName("s2sst_warning")
        for line in (self.room_line, self.replaced_line):
            line.setWordWrap(True)
            line.setTextFormat(Qt.TextFormat.PlainText)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.export_button = self.buttons.addButton("E&xport", QDialogButtonBox.ButtonRole.AcceptRole)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(9)
        layout.addLayout(folder)
        layout.addWidget(self.this_button)
        layout.addWidget(self.every_button)
        layout.addLayout(grid)
        layout.addWidget(self.store)
        layout.addWidget(self.room_line)
        layout.addWidget(self.replaced_line)
        layout.addWidget(self.buttons)
        self.export_button.setDefault(True)  # only a button of a dialog can be its default
        self._follow()

    def value(self) -> ExportChoice:
        text = self.folder_edit.text().strip()
        return ExportChoice(
            folder=Path(text).expanduser() if text else None,
            every_result=self.every_button.isChecked(),
            figure_format=FORMATS[self.format_box.currentIndex()],
            store=self.store.value(),
            **{name: box.isEnabled() and box.isChecked() for name, box in self.boxes.items()},
        )

    def replaced(self) -> list[str]:
        """Names of files in the folder that the export would replace."""
        choice = self.value()
        if choice.folder is None or not choice.folder.is_dir():
            return []
        return [name for name in self._names(choice) if (choice.folder / name).exists()]

    def accept(self) -> None:
        """Remember the folder."""
        QSettings("napari-s2sst", "napari-s2sst").setValue(LAST_FOLDER, self.folder_edit.text().strip())
        super().accept()

    def _chosen(self, choice: ExportChoice) -> list[ExportItem]:
        return self._every if choice.every_result else [self._shown]

    def _names(self, choice: ExportChoice) -> list[str]:
        items = self._chosen(choice)
        ends = suffixes([item.genes for item in items])
        return [name for item, end in zip(items, ends, strict=True) for name in file_names(item, choice, end)]

    def _browse(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Write the files into this folder", self.folder_edit.text())
        if folder:
            self.folder_edit.setText(folder)

    def _follow(self, *_: object) -> None:
        """Say how much is written, whether there is room, and what is replaced."""
        if not hasattr(self, "export_button"):  # a signal of a widget that is only being made
            return
        choice = self.value()
        items = self._chosen(choice)
        self.format_box.setEnabled(choice.figure or choice.comparison)
        self.boxes["regions"].setEnabled(any(item.has_regions for item in items))
        self.boxes["script"].setEnabled(any(item.has_script for item in items))
        choice = self.value()
        anything = choice.store is not None or any(getattr(choice, name) for name, *_ in KINDS)
        size = sum(estimated_bytes(item, choice) for item in items)
        room = None if choice.folder is None else free_bytes(choice.folder.absolute())
        text = f"{len(self._names(choice))} files, about {_size(size)}"
        fits = room is None or size < room
        if choice.folder is None:
            text = "Choose a folder."
        elif choice.folder.exists() and not choice.folder.is_dir():
            text = "This is a file. Choose a folder."
        elif self.store.problem():
            text = self.store.problem()
        elif not anything:
            text = "Tick what to write."
        elif not fits:
            text += f", and only {_size(room)} are free there. Choose another folder or fewer files."
        elif room is not None:
            text += f"; {_size(room)} are free there."
        self.room_line.setText(text)
        is_folder = choice.folder is not None and (choice.folder.is_dir() or not choice.folder.exists())
        self.export_button.setEnabled(is_folder and anything and fits and not self.store.problem())
        names = self.replaced()
        shown = ", ".join(names[:NAMES_SHOWN]) + (
            f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        )
        self.replaced_line.setVisible(bool(names))
        self.replaced_line.setText(f"Replaces {len(names)} file{'s' if len(names) > 1 else ''} there: {shown}.")


def _size(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
