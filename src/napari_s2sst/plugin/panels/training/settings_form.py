"""Turn the config's own fields and docstrings into a form: a fold for each part, a row for each setting, changes in bold."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QToolButton, QVBoxLayout, QWidget

from ....engine.config import RunConfig
from ....engine.errors import ConfigError
from ...widgets.fold import Fold
from .setting_editors import Editor, SomeOfEditor, editor_for

PARTS = {
    "grid": "Counts",
    "sampling": "Sampling",
    "training": "Training",
    "imputation": "Imputation",
    "network": "Network",
}
"""Part of the config -> its fold, those that are changed most often first."""

ELSEWHERE = frozenset({"bin_um", "stride", "seconds", "start_from"})
"""Settings that stand elsewhere in the window; so do the preset, the device and the seed, which are of no part."""

LABEL_PX = 134
TOOLTIP_CHARACTERS = 72


class SettingsForm(QWidget):
    """``value()`` is what was changed of the preset: field -> value. A value that makes no sense changes nothing."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._base = self._good = RunConfig.preset("fast")
        self.search = QLineEdit()
        self.search.setPlaceholderText("find a setting")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Show only settings with this in their name or their explanation.")
        self.search.textChanged.connect(self._filter)
        self.reset_button = QToolButton()
        self.reset_button.setText("Reset all")
        self.reset_button.setToolTip("Take back every change: all as the preset has it.")
        self.reset_button.clicked.connect(self._reset_all)
        top = QHBoxLayout()
        top.addWidget(self.search, 1)
        top.addWidget(self.reset_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addLayout(top)
        self.rows: dict[str, SettingRow] = {}
        self.folds: dict[str, Fold] = {}
        for part, title in PARTS.items():
            layout.addWidget(self._fold(part, title))
        self._nothing = QLabel("No setting has that in its name or explanation.")
        self._nothing.setObjectName("s2sst_quiet")
        self._nothing.hide()
        layout.addWidget(self._nothing)
        self.problem = QLabel()
        self.problem.setObjectName("s2sst_message_text")
        self.problem.setWordWrap(True)
        self._problem_frame = QFrame()
        self._problem_frame.setObjectName("s2sst_message")
        QVBoxLayout(self._problem_frame).addWidget(self.problem)
        self._problem_frame.hide()
        layout.addWidget(self._problem_frame)
        self.setValue(self._good)

    def value(self) -> dict[str, Any]:
        """Field -> value, of those that are not as the preset has them; always such that RunConfig takes them."""
        return {
            name: getattr(getattr(self._good, row.part), name)
            for name, row in self.rows.items()
            if getattr(getattr(self._good, row.part), name) != getattr(getattr(self._base, row.part), name)
        }

    def setValue(self, config: RunConfig) -> None:
        """Show a config; its changes are counted from its preset at its stride. Raises ConfigError on an unknown preset."""
        self._base = RunConfig.preset(config.preset_name, stride=config.sampling.stride)
        self._good = config
        for name, row in self.rows.items():
            row.editor.setValue(getattr(getattr(config, row.part), name))
        self._say("")
        self._mark()

    def _fold(self, part: str, title: str) -> Fold:
        fold = self.folds[part] = Fold(title)
        kind = RunConfig.model_fields[part].annotation
        fold.setToolTip(_wrapped(kind.__doc__ or ""))
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(8, 0, 0, 4)
        column.setSpacing(3)
        for name, field in kind.model_fields.items():
            if name not in ELSEWHERE:
                row = self.rows[name] = SettingRow(part, name, field, self._reset)
                row.editor.valueChanged.connect(self._edited)
                column.addWidget(row)
        fold.addWidget(inner)
        return fold

    def _edited(self) -> None:
        """All values as they stand; what makes no sense is said, and the last good config stays in force."""
        changed = {}
        try:
            for name, row in self.rows.items():
                try:
                    changed[name] = row.editor.value()
                except ValueError as error:
                    raise ConfigError(f"{in_words(name).capitalize()}: {error}.") from None
            good = with_settings(self._good, changed)
        except ConfigError as error:
            self._say(f"{error} Until then the last value that made sense holds.")
            return
        self._say("")
        if good != self._good:
            self._good = good
            self._mark()
            self.valueChanged.emit(self.value())

    def _reset(self, name: str) -> None:
        row = self.rows[name]
        row.editor.setValue(getattr(getattr(self._base, row.part), name))
        self._edited()

    def _reset_all(self) -> None:
        for name, row in self.rows.items():
            row.editor.setValue(getattr(getattr(self._base, row.part), name))
        self._edited()

    def _mark(self) -> None:
        changed = self.value()
        for name, row in self.rows.items():
            row.setChanged(name in changed)
        for part, fold in self.folds.items():
            count = sum(self.rows[name].part == part for name in changed)
            fold.setText(PARTS[part] + (f" · {count} changed" if count else ""))
        self.reset_button.setEnabled(bool(changed))

    def _say(self, problem: str) -> None:
        self.problem.setText(problem)
        self._problem_frame.setVisible(bool(problem))
        if problem:
            self.reset_button.setEnabled(True)

    def _filter(self, text: str) -> None:
        words = text.lower().split()
        for part, fold in self.folds.items():
            fitting = [row.setShown(row.has(words)) for row in self.rows.values() if row.part == part]
            fold.setVisible(any(fitting))
            fold.setOpen(bool(words) and any(fitting))
        self._nothing.setVisible(not any(row.has(words) for row in self.rows.values()))


class SettingRow(QWidget):
    """A setting's name, its editor, and a button that takes its change back."""

    def __init__(self, part: str, name: str, field: FieldInfo, reset: Callable[[str], None]) -> None:
        super().__init__()
        self.part, self.name = part, name
        self.editor: Editor = editor_for(field)
        self._words = f"{in_words(name)} {field.description or ''}".lower()
        self.label = QLabel(in_words(name).capitalize())
        self.label.setFixedWidth(LABEL_PX)
        self.label.setBuddy(self.editor)
        self.reset_button = QToolButton()
        self.reset_button.setText("↺")
        self.reset_button.setToolTip("Reset: as the preset has it")
        self.reset_button.setAccessibleName(f"Reset {in_words(name)}")
        self.reset_button.setFixedWidth(22)
        self.reset_button.clicked.connect(lambda: reset(name))
        policy = self.reset_button.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.reset_button.setSizePolicy(policy)
        for widget in (self.label, self.editor):
            widget.setToolTip(_wrapped(field.description or ""))
        self.editor.setAccessibleName(in_words(name))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        tall = isinstance(self.editor, SomeOfEditor)
        layout.addWidget(self.label, 0, Qt.AlignmentFlag.AlignTop if tall else Qt.AlignmentFlag.AlignVCenter)
        layout.addWidget(self.editor, 1)
        layout.addWidget(self.reset_button, 0, Qt.AlignmentFlag.AlignVCenter)
        self.setChanged(False)

    def setChanged(self, changed: bool) -> None:
        font = self.label.font()
        font.setBold(changed)
        self.label.setFont(font)
        self.reset_button.setVisible(changed)

    def has(self, words: list[str]) -> bool:
        """Whether all of these, in lower case, stand in its name or explanation."""
        return all(word in self._words for word in words)

    def setShown(self, shown: bool) -> bool:
        self.setVisible(shown)
        return shown


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """Return a config with these fields, None included, where ``RunConfig.changed`` leaves one as it is. Raises ConfigError."""
    data = config.model_dump()
    for part in PARTS:
        data[part] |= {name: value for name, value in settings.items() if name in data[part]}
    return RunConfig.parsed(data)


def in_words(name: str) -> str:
    """``learning_rate`` -> ``learning rate``."""
    return name.replace("_", " ")


def _wrapped(text: str) -> str:
    """Qt shows a plain tooltip as one line however long it is."""
    return "\n".join(textwrap.wrap(" ".join(text.split()), TOOLTIP_CHARACTERS))
