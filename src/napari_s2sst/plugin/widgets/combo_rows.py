"""Grey out single rows of a combo box, so that they are seen and can't be chosen."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox

_FLAGS = int(Qt.ItemDataRole.UserRole) - 1
"""The role under which Qt's own model keeps a row's flags."""
_CHOOSABLE = 1 | 32
"""Qt's ItemIsSelectable and ItemIsEnabled."""


def enable_row(box: QComboBox, row: int, *, on: bool) -> None:
    """Set whether a row can be chosen.

    Without ``box.model().item(row)``: PySide6 keeps that object after ``clear()`` has deleted it, and takes the event that
    later lies at its place for it.
    """
    box.setItemData(row, _CHOOSABLE if on else 0, _FLAGS)
