"""Turn one field of the config into an editor for it: the widget follows from its annotation and its limits."""

from __future__ import annotations

import re
import types
from abc import abstractmethod
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from magicgui.types import FileDialogMode
from magicgui.widgets import create_widget
from pydantic.fields import FieldInfo
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QValidator
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLineEdit,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

MOST = 10_000_000
"""Of a whole number that has no upper limit of its own."""

FIRST_STEP = 0.01
"""Of a decimal number that stands at 0, where the size of its steps can't follow from it."""


class Editor(QWidget):
    """Edits one value. ``value()`` raises ValueError, with what to write instead, on what can't be read."""

    valueChanged = Signal()

    @abstractmethod
    def value(self) -> Any: ...

    @abstractmethod
    def setValue(self, value: Any) -> None:
        """Show a value; tells nobody."""

    def _hold(self, widget: QWidget) -> None:
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(widget)
        widget.setMinimumWidth(60)
        widget.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFocusProxy(widget)
        for part in (widget, *widget.findChildren(QWidget)):
            if isinstance(part, QAbstractSpinBox | QComboBox):
                part.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                part.installEventFilter(self)
            if isinstance(part, QComboBox):
                part.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Ignore the wheel over a setting without focus: who scrolls past doesn't turn it."""
        if event.type() == QEvent.Type.Wheel and isinstance(watched, QWidget) and not watched.hasFocus():
            event.ignore()
            return True
        return super().eventFilter(watched, event)


class MappedEditor(Editor):
    """Editor of what magicgui has a widget for: bool, int, Literal, Path."""

    def __init__(self, annotation: Any, options: dict[str, Any]) -> None:
        super().__init__()
        self._widget = create_widget(annotation=annotation, options=options)
        if hasattr(self._widget.native, "setKeyboardTracking"):
            self._widget.native.setKeyboardTracking(False)
        self._hold(self._widget.native)
        self._widget.changed.connect(self._changed)

    def value(self) -> Any:
        return self._widget.value

    def setValue(self, value: Any) -> None:
        with self._widget.changed.blocked():
            self._widget.value = value

    def _changed(self, _value: Any) -> None:
        self.valueChanged.emit()


class FolderEditor(MappedEditor):
    """A folder, or None where nothing is written."""

    def __init__(self) -> None:
        super().__init__(Path, {"mode": FileDialogMode.EXISTING_DIRECTORY, "nullable": True})
        self._widget.choose_btn.text = "..."
        self._widget.choose_btn.native.setMaximumWidth(32)
        self._widget.choose_btn.native.setToolTip("Choose a folder")
        self._widget.native.layout().setContentsMargins(0, 0, 0, 0)

    def value(self) -> Path | None:
        text = self._widget.line_edit.value.strip()
        return Path(text) if text else None

    def setValue(self, value: Path | None) -> None:
        with self._widget.changed.blocked(), self._widget.line_edit.changed.blocked():
            self._widget.line_edit.value = "" if value is None else str(value)


class MaybeWholeEditor(Editor):
    """A whole number or None, for which the place below the lowest stands."""

    def __init__(self, least: int, most: int) -> None:
        super().__init__()
        self._box = QSpinBox()
        self._box.setRange(least - 1, most)
        self._box.setSpecialValueText("none")
        self._box.setKeyboardTracking(False)
        self._box.valueChanged.connect(self._changed)
        self._hold(self._box)

    def value(self) -> int | None:
        return None if self._box.value() == self._box.minimum() else self._box.value()

    def setValue(self, value: int | None) -> None:
        self._box.blockSignals(True)
        self._box.setValue(self._box.minimum() if value is None else value)
        self._box.blockSignals(False)

    def _changed(self, _value: int) -> None:
        self.valueChanged.emit()


class DecimalBox(QDoubleSpinBox):
    """Shows 0.0005 as such, takes 5e-4 too, and steps by a hundredth to a tenth of what it holds."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__()
        self.setDecimals(9)
        self.setRange(least, most)
        self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self.setKeyboardTracking(False)

    def textFromValue(self, value: float) -> str:
        return f"{value:.6g}"

    def valueFromText(self, text: str) -> float:
        try:
            return float(text.replace(",", "."))
        except ValueError:
            return self.value()

    def validate(self, text: str, position: int) -> Any:
        try:
            inside = self.minimum() <= float(text.replace(",", ".")) <= self.maximum()
        except ValueError:
            partial = re.fullmatch(r"-?\d*[.,]?\d*(e[+-]?\d*)?", text.strip().lower()) is not None
            return (QValidator.State.Intermediate if partial else QValidator.State.Invalid), text, position
        return (QValidator.State.Acceptable if inside else QValidator.State.Intermediate), text, position

    def stepBy(self, steps: int) -> None:
        if self.value() == 0:
            self.setValue(FIRST_STEP * steps)
        else:
            super().stepBy(steps)


class DecimalEditor(Editor):
    """A decimal number."""

    def __init__(self, least: float, most: float) -> None:
        super().__init__()
        self._box = DecimalBox(least, most)
        self._box.valueChanged.connect(self._changed)
        self._hold(self._box)

    def value(self) -> float:
        return self._box.value()

    def setValue(self, value: float) -> None:
        self._box.blockSignals(True)
        self._box.setValue(value)
        self._box.blockSignals(False)

    def _changed(self, _value: float) -> None:
        self.valueChanged.emit()


class NumbersEditor(Editor):
    """A tuple of numbers as a line with commas; ``count`` of them, or any number where that is None."""

    def __init__(self, kind: type, count: int | None) -> None:
        super().__init__()
        self._kind, self._count = kind, count
        self._line = QLineEdit()
        self._line.setPlaceholderText("none")
        self._line.editingFinished.connect(self.valueChanged)
        self._hold(self._line)

    def value(self) -> tuple[float, ...]:
        parts = [part for part in re.split(r"[,;\s]+", self._line.text().strip(" ()")) if part]
        words = "whole numbers" if self._kind is int else "numbers"
        try:
            numbers = tuple(self._kind(part) for part in parts)
        except ValueError:
            raise ValueError(f"write {words} with commas between") from None
        if self._count is not None and len(numbers) != self._count:
            raise ValueError(f"write {self._count} {words} with commas between")
        return numbers

    def setValue(self, value: tuple[float, ...]) -> None:
        self._line.setText(", ".join(f"{number:g}" for number in value))

    def text(self) -> str:
        return self._line.text()


class SomeOfEditor(Editor):
    """Any of a few names, as a tuple; an order that stood before stays."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__()
        self._before: tuple[str, ...] = ()
        self._boxes = {name: QCheckBox(name) for name in names}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for box in self._boxes.values():
            layout.addWidget(box)
            box.toggled.connect(self.valueChanged)
        self.setFocusProxy(next(iter(self._boxes.values())))

    def value(self) -> tuple[str, ...]:
        chosen = [name for name, box in self._boxes.items() if box.isChecked()]
        kept = [name for name in self._before if name in chosen]
        return (*kept, *(name for name in chosen if name not in kept))

    def setValue(self, value: tuple[str, ...]) -> None:
        self._before = tuple(value)
        for name, box in self._boxes.items():
            box.blockSignals(True)
            box.setChecked(name in value)
            box.blockSignals(False)


def editor_for(field: FieldInfo) -> Editor:
    """Editor of a pydantic field. Raises TypeError where none fits its annotation, which a test sees first."""
    kind, maybe, limits = _plain(field.annotation, list(field.metadata))
    if get_origin(kind) is tuple:
        return _tuple_editor(get_args(kind))
    if kind is Path:
        return FolderEditor()  # pictures to co-train on; the model file to start from stands elsewhere
    if kind is bool or (get_origin(kind) is Literal and not maybe):
        return MappedEditor(kind, {})
    least, most = limits.get("ge", limits.get("gt", 0)), limits.get("le", limits.get("lt", MOST))
    if kind is int:
        if maybe:
            return MaybeWholeEditor(least, most)
        return MappedEditor(int, {"min": least, "max": most, "step": limits.get("multiple_of", 1)})
    if kind is float and not maybe:
        return DecimalEditor(least, most)
    raise TypeError(f"no editor for {field.annotation}")


def _tuple_editor(items: tuple[Any, ...]) -> Editor:
    count = None if items[-1] is Ellipsis else len(items)
    kind, _, _ = _plain(items[0], [])
    if get_origin(kind) is Literal:
        return SomeOfEditor(get_args(kind))
    return NumbersEditor(kind, count)


def _plain(annotation: Any, metadata: list[Any]) -> tuple[Any, bool, dict[str, Any]]:
    """The type itself, whether None is one of its values, and its limits (ge, gt, le, lt, multiple_of)."""
    maybe = False
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        maybe = len(kinds) < len(get_args(annotation))
        annotation = kinds[0] if len(kinds) == 1 else annotation
    if get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        for part in more:
            metadata += part.metadata if isinstance(part, FieldInfo) else [part]
    names = ("ge", "gt", "le", "lt", "multiple_of")
    return annotation, maybe, {name: getattr(part, name) for part in metadata for name in names if hasattr(part, name)}
