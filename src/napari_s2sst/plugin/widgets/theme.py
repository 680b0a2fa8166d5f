"""Turn napari's theme into the few colours and the style sheet that the dock adds to it."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme
from qtpy.QtWidgets import QFrame, QLabel

LABEL_PX = 52
"""Width of the column of labels, the same in every panel."""


@dataclass(frozen=True, kw_only=True)
class Colours:
    """Colours of a theme, as CSS."""

    text: str
    quiet: str
    faint: str
    """Of what can't be used now."""
    line: str
    dark: bool


def theme_colours(name: str) -> Colours:
    """Colours of the named napari theme."""
    theme = get_theme(name)
    red, green, blue = theme.background.as_rgb_tuple()[:3]
    dark = red + green + blue < 3 * 128
    return Colours(
        text=theme.text.as_hex(),
        quiet="#a9b0ba" if dark else "#5b6370",
        faint="#6c737d" if dark else "#a0a6ae",
        line=theme.foreground.as_hex(),
        dark=dark,
    )


def window_style(colours: Colours) -> str:
    """The style sheet of the dock; all else is napari's own."""
    problem = ("#5c2b29", "#ffe1dc") if colours.dark else ("#fde3e0", "#6b1510")
    offer = ("#23405a", "#e3f0fb") if colours.dark else ("#dceaf6", "#12324c")
    warning = "#e69f00" if colours.dark else "#8a5a00"
    chosen = ("#2d6ca2", "#ffffff") if colours.dark else ("#1f6fb2", "#ffffff")
    return f"""
        QLabel#s2sst_quiet {{ color: {colours.quiet}; }}
        QLabel#s2sst_warning {{ color: {warning}; }}
        QLabel#s2sst_heading {{ font-weight: 600; }}
        QLabel#s2sst_slide_name {{ font-weight: 600; font-size: 13px; }}
        QFrame#s2sst_line {{ background: {colours.line}; max-height: 1px; border: none; }}
        QPushButton#s2sst_train:enabled {{ background: #1f7a4d; color: white; font-weight: 600; }}
        QPushButton#s2sst_train:enabled:hover {{ background: #259660; }}
        QPushButton#s2sst_view {{ padding: 4px 2px; border-radius: 0px; }}
        QPushButton#s2sst_view:checked {{ background: {chosen[0]}; color: {chosen[1]}; font-weight: 600; }}
        QPushButton#s2sst_view:disabled {{ color: {colours.faint}; }}
        QTabWidget#s2sst_pages::pane {{ border: none; }}
        QTabWidget#s2sst_pages QTabBar {{ qproperty-drawBase: 0; }}
        QTabWidget#s2sst_pages QTabBar::tab {{ padding: 5px 4px; background: transparent; border: none;
            border-bottom: 2px solid {colours.line}; color: {colours.quiet}; }}
        QTabWidget#s2sst_pages QTabBar::tab:selected {{ border-bottom: 2px solid #3d8fd1; color: {colours.text};
            font-weight: 600; }}
        QTabWidget#s2sst_pages QTabBar::tab:focus {{ color: {colours.text}; text-decoration: underline; }}
        QCollapsible > QPushButton {{ background: transparent; text-align: left; padding: 2px 0px; }}
        QFrame#s2sst_resume {{ background: {offer[0]}; border: none; }}
        QLabel#s2sst_resume_text {{ color: {offer[1]}; background: transparent; }}
        QFrame#s2sst_message {{ background: {problem[0]}; border: none; }}
        QLabel#s2sst_message_text {{ color: {problem[1]}; background: transparent; }}
        QToolButton#s2sst_message_report {{ color: {problem[1]}; background: transparent; border: none; padding: 0px;
            text-decoration: underline; }}
        QToolButton#s2sst_message_close {{ color: {problem[1]}; background: transparent; border: none; }}
    """


def heading(text: str) -> QLabel:
    """A title over a part of a page."""
    label = QLabel(text)
    label.setObjectName("s2sst_heading")
    return label


def line() -> QFrame:
    """A thin line between two parts of a page."""
    frame = QFrame()
    frame.setObjectName("s2sst_line")
    frame.setFixedHeight(1)
    return frame
