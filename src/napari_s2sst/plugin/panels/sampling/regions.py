"""Choose the part of the slide to work on: tools to draw regions with, and a list of those that are drawn.

The panel draws rows and asks; :class:`~napari_s2sst.plugin.controllers.regions.Regions` joins it to the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QObject, QSize, Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)
from superqt.utils import signals_blocked

from ....engine.sampling.regions import Region
from ...viewer.region_shapes import DrawnRegion
from ...widgets.docked import single_shot
from .region_tools import RegionTools

SETTLE_MS = 250
ROWS_SHOWN = 5
ROW_PX = 22
TICKS = """
    QTreeView::indicator { width: 13px; height: 13px; border: 1px solid #8a93a0; border-radius: 2px; }
    QTreeView::indicator:checked { background: #2d6ca2; border-color: #2d6ca2; image: url("theme_dark:/check.svg"); }
"""
"""An empty box of napari's dark theme is hardly seen."""
FILES, FILES_PX = "Regions in µm (*.geojson *.json *.csv)", "GeoJSON of QuPath, in pixels (*.geojson *.json)"
GEOJSON, EXPLORER_CSV = "GeoJSON, in µm (*.geojson)", "Xenium Explorer selection (*.csv)"
GEOJSON_PX = "GeoJSON for QuPath, in pixels of the picture (*.geojson)"


class RegionPanel(QWidget):
    """``value()`` is the regions that count, () for the whole slide. Names tell regions apart."""

    valueChanged = Signal()
    """Other regions count, or they changed; once, a moment after the last change."""
    toolChosen = Signal(str, bool)
    """napari's mode for a shapes layer ("pan_zoom": none), and whether holes are drawn."""
    usedChanged = Signal(str, bool)
    renamed = Signal(str, str)
    """From, to what the user typed, which may be taken."""
    selected = Signal(object)
    """Names of the chosen rows, a list."""
    deleteRequested = Signal(object)
    """Names, a list."""
    undoRequested = Signal()
    importRequested = Signal(object)
    exportRequested = Signal(object)
    """A Path; its ending says in which format."""
    pixelImportRequested = Signal(object)
    pixelExportRequested = Signal(object)
    """The same of GeoJSON that counts in pixels of the slide's picture."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: tuple[DrawnRegion, ...] = ()
        self._can_change = True
        self._can_undo = False
        self._has_pixels = False
        self._settle = single_shot(self, SETTLE_MS, self.valueChanged.emit)
        self._tools = RegionTools()
        self.tools = self._tools.buttons
        self._tools.toolChosen.connect(self.toolChosen)
        self.list = QTreeWidget()
        self.list.setColumnCount(2)
        self.list.setHeaderHidden(True)
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.list.setEditTriggers(
            QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed
        )
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setToolTip(
            "The regions on the slide: ticked ones count. Double-click a name (or press F2) to change it,\n"
            "press Space to tick, Del to delete."
        )
        self.list.setAccessibleName("Regions")
        self.list.setStyleSheet(TICKS)
        header = self.list.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        self.status = QLabel()
        self.status.setObjectName("s2sst_quiet")
        self.status.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.delete_button = QPushButton("Delete")
        self.delete_button.setToolTip("Delete the chosen regions and their holes; Undo brings them back.")
        self.undo_button = QPushButton("Undo")
        self.undo_button.setToolTip("Bring the regions back that were deleted last.")
        self.import_button = QPushButton("Import...")
        self.import_button.setToolTip(
            "Add regions from a file: GeoJSON, in µm or in QuPath's pixels, or a selection of Xenium Explorer (CSV)."
        )
        self.export_button = QPushButton("Export...")
        self.export_button.setToolTip(
            "Write the ticked regions to a file, all if none is ticked: GeoJSON, in µm or in QuPath's pixels, or Xenium Explorer."
        )
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.delete_button, self.undo_button, self.import_button, self.export_button):
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(0)
            buttons.addWidget(button, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(5)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        column.addWidget(self._tools)
        column.addWidget(self.list)
        column.addWidget(self.status)
        column.addLayout(buttons)
        self.list.installEventFilter(self)
        self.list.itemChanged.connect(self._item_changed)
        self.list.itemSelectionChanged.connect(self._selection_changed)
        self.delete_button.clicked.connect(self._delete)
        self.undo_button.clicked.connect(self.undoRequested)
        self.import_button.clicked.connect(self._ask_for_import)
        self.export_button.clicked.connect(self._ask_for_export)
        self.setRows(())

    def value(self) -> tuple[Region, ...]:
        """The regions that are ticked and have an area; none means the whole slide."""
        return tuple(row.region for row in self._rows if row.used and row.region is not None)

    def rows(self) -> tuple[DrawnRegion, ...]:
        """All that are drawn, ticked or not."""
        return self._rows

    def setRows(self, rows: Sequence[DrawnRegion], *, can_undo: bool = False) -> None:
        """Show what is on the layer now. ``valueChanged`` follows where that makes a difference."""
        before, chosen = _exact(self.value()), set(self._chosen())
        self._rows, self._can_undo = tuple(rows), can_undo
        with signals_blocked(self.list):
            self._fill(chosen)
        self.status.setText(_summary(self._rows))
        self.status.setToolTip(
            "Training and imputation keep to the ticked regions; without any, they take the whole slide."
        )
        self._enable()
        if _exact(self.value()) != before:
            self._settle.start()

    def setTool(self, mode: str, holes: bool) -> None:
        """Show which tool the layer is in; any other mode of napari is none of these."""
        self._tools.setTool(mode, holes)

    def setPixelsOffered(self, on: bool) -> None:
        """Set whether files may count in pixels: the slide has a picture, and the size of its pixels is known."""
        self._has_pixels = on

    def setIconColour(self, colour: str) -> None:
        """Draw the icons in a colour, as CSS: the theme's text."""
        self._tools.setIconColour(colour)

    def forget(self) -> None:
        """Drop what waits to be told."""
        self._settle.stop()

    def setEnabledParts(self, *, can_change: bool) -> None:
        """Enable drawing, ticking and deleting, but not while a training uses the regions; they can be exported."""
        self._can_change = can_change
        with signals_blocked(self.list):
            for item in self._items():
                item.setFlags(_flags(can_change))
        self._enable()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if watched is self.list and event.type() == QEvent.Type.KeyPress and event.key() == Qt.Key.Key_Delete:
            self._delete()
            return True
        return super().eventFilter(watched, event)

    def _fill(self, chosen: set[str]) -> None:
        """Rows are changed in place: an item may be in the middle of telling that it was changed."""
        while self.list.topLevelItemCount() > len(self._rows):
            self.list.takeTopLevelItem(self.list.topLevelItemCount() - 1)
        while self.list.topLevelItemCount() < len(self._rows):
            item = QTreeWidgetItem()
            item.setSizeHint(0, QSize(0, ROW_PX))
            item.setTextAlignment(1, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter))
            self.list.addTopLevelItem(item)
        for item, row in zip(self._items(), self._rows, strict=True):
            item.setText(0, row.name)
            item.setToolTip(0, row.name)
            item.setText(1, f"{row.area_mm2:.3g} mm²" if row.region else "nothing left")
            item.setData(0, Qt.ItemDataRole.UserRole, row.name)
            item.setCheckState(0, Qt.CheckState.Checked if row.used else Qt.CheckState.Unchecked)
            item.setFlags(_flags(self._can_change))
            item.setSelected(row.name in chosen)
        self.list.setVisible(bool(self._rows))
        if self._rows:
            self.list.setFixedHeight(ROW_PX * min(len(self._rows), ROWS_SHOWN) + 2 * self.list.frameWidth() + 2)

    def _enable(self) -> None:
        for button in (*self.tools.values(), self.import_button):
            button.setEnabled(self._can_change)
        self.delete_button.setEnabled(self._can_change and bool(self._chosen()))
        self.undo_button.setEnabled(self._can_change and self._can_undo)
        self.export_button.setEnabled(any(row.region is not None for row in self._rows))

    def _items(self) -> list[QTreeWidgetItem]:
        return [self.list.topLevelItem(at) for at in range(self.list.topLevelItemCount())]

    def _chosen(self) -> list[str]:
        return [item.data(0, Qt.ItemDataRole.UserRole) for item in self._items() if item.isSelected()]

    def _item_changed(self, item: QTreeWidgetItem, column: int) -> None:
        name, text = item.data(0, Qt.ItemDataRole.UserRole), item.text(0)
        row = next((row for row in self._rows if row.name == name), None)
        if row is None or column != 0:
            return
        used = item.checkState(0) == Qt.CheckState.Checked
        if used != row.used:
            self.usedChanged.emit(name, used)
        if text != name:
            self.renamed.emit(name, text)

    def _selection_changed(self) -> None:
        self._enable()
        self.selected.emit(self._chosen())

    def _delete(self) -> None:
        if self._can_change and (names := self._chosen()):
            self.deleteRequested.emit(names)

    def _ask_for_import(self) -> None:
        kinds = [FILES, FILES_PX] if self._has_pixels else [FILES]
        path, kind = QFileDialog.getOpenFileName(self, "Add regions from a file", "", ";;".join(kinds))
        if path:
            (self.pixelImportRequested if kind == FILES_PX else self.importRequested).emit(Path(path))

    def _ask_for_export(self) -> None:
        kinds = [GEOJSON, GEOJSON_PX, EXPLORER_CSV] if self._has_pixels else [GEOJSON, EXPLORER_CSV]
        path, kind = QFileDialog.getSaveFileName(
            self, "Write the regions to a file", "regions.geojson", ";;".join(kinds)
        )
        if path:
            wanted = self.pixelExportRequested if kind == GEOJSON_PX else self.exportRequested
            wanted.emit(with_ending(Path(path), csv=kind == EXPLORER_CSV))


def with_ending(path: Path, *, csv: bool) -> Path:
    """The path with an ending that says its format; one that the user typed stays."""
    wanted = (".csv",) if csv else (".geojson", ".json")
    if path.suffix.lower() in wanted:
        return path
    return (
        path.with_suffix(wanted[0])
        if path.suffix.lower() in (".csv", ".geojson", ".json")
        else Path(f"{path}{wanted[0]}")
    )


def _flags(can_change: bool) -> Qt.ItemFlag:
    flags = Qt.ItemFlag.ItemIsSelectable | Qt.ItemFlag.ItemIsEnabled
    return flags | Qt.ItemFlag.ItemIsUserCheckable | Qt.ItemFlag.ItemIsEditable if can_change else flags


def _summary(rows: Sequence[DrawnRegion]) -> str:
    used = [row for row in rows if row.used and row.region is not None]
    if not used:
        return "Whole slide: no region is ticked." if rows else "Whole slide: no region is drawn."
    total = sum(row.area_mm2 for row in used)
    count = f"{len(used)} of {len(rows)} regions" if len(rows) > 1 else "1 region"
    return f"{count}, {total:.3g} mm²"


def _exact(regions: Sequence[Region]) -> list[tuple[str, bytes]]:
    return [(region.name, region.polygon.wkb) for region in regions]
