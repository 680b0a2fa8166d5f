"""Choose a tool to draw regions with: napari's modes of a shapes layer, and whether what is drawn is a hole."""

from __future__ import annotations

from napari.resources import get_colorized_svg, get_icon_path
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QIcon, QPixmap
from qtpy.QtWidgets import QHBoxLayout, QSizePolicy, QToolButton, QWidget
from superqt.utils import signals_blocked

HOLE_TOOL = "hole"
TOOLS = (
    ("add_polygon", "Polygon", "polygon",
     "Draw a region corner by corner on the slide: click each one, double-click to end."),
    ("add_rectangle", "Rectangle", "rectangle", "Draw a rectangular region: press, drag and let go; Shift makes a square."),
    ("add_ellipse", "Ellipse", "ellipse", "Draw an elliptic region: press, drag and let go; Shift makes a circle."),
    ("add_polygon_lasso", "Freehand", "polygon_lasso",
     "Draw a region freehand: press, follow its outline and let go.\nCrossings of the outline are mended."),
    (HOLE_TOOL, "Hole", "",
     "While this is on, what you draw is a hole: it is cut out of every region that it lies in."),
)  # fmt: skip
"""napari's mode, text, napari's icon, tooltip."""

HOLE_ICON = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><path fill="{}" fill-rule="evenodd"
d="M10 10H90V90H10ZM50 27A23 23 0 1 0 50.1 27Z"/></svg>"""

STYLE = """
    QToolButton { background: rgba(128, 140, 155, 45); border: 1px solid transparent; border-radius: 2px; padding: 3px 1px; }
    QToolButton:hover:enabled, QToolButton:focus { border: 1px solid #3d8fd1; }
    QToolButton:checked { background: #2d6ca2; color: white; }
"""
"""napari's own sheet does not show that such a button is on."""


class RegionTools(QWidget):
    """Buttons of which at most one tool is on, and the switch for holes."""

    toolChosen = Signal(str, bool)
    """napari's mode for a shapes layer ("pan_zoom": none), and whether holes are drawn."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QToolButton] = {}
        tools = QHBoxLayout(self)
        tools.setContentsMargins(0, 0, 0, 0)
        tools.setSpacing(3)
        for mode, text, _, tooltip in TOOLS:
            button = self.buttons[mode] = QToolButton()
            button.setText(text)
            button.setToolTip(tooltip)
            button.setAccessibleName(f"{text} tool")
            button.setCheckable(True)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            button.setIconSize(QSize(16, 16))
            button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            button.setObjectName("s2sst_region_tool")
            button.clicked.connect(lambda checked, mode=mode: self._tool_clicked(mode, checked))
            tools.addWidget(button, 1)
        self.setStyleSheet(STYLE)
        self.setIconColour("#8a93a0")

    def setTool(self, mode: str, holes: bool) -> None:
        """Show which tool the layer is in; any other mode of napari is none of these."""
        for name, button in self.buttons.items():
            with signals_blocked(button):
                button.setChecked(holes if name == HOLE_TOOL else name == mode)

    def setIconColour(self, colour: str) -> None:
        """Draw the icons in a colour, as CSS: the theme's text."""
        for mode, _, name, _ in TOOLS:
            icon = QIcon()
            for state, shade in ((QIcon.State.Off, colour), (QIcon.State.On, "#ffffff")):
                picture = QPixmap()
                svg = get_colorized_svg(get_icon_path(name), shade) if name else HOLE_ICON.format(shade)
                picture.loadFromData(svg.encode(), "SVG")
                icon.addPixmap(picture, QIcon.Mode.Normal, state)
            self.buttons[mode].setIcon(icon)

    def _tool_clicked(self, mode: str, checked: bool) -> None:
        holes = self.buttons[HOLE_TOOL].isChecked()
        if mode == HOLE_TOOL:
            mode = next((name for name, button in self.buttons.items() if name != HOLE_TOOL and button.isChecked()), "")
            mode = mode or ("add_polygon" if holes else "pan_zoom")
        elif not checked:
            mode = "pan_zoom"
        self.setTool(mode, holes)
        self.toolChosen.emit(mode, holes)
