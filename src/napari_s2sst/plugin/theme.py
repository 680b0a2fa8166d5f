"""Turn napari's theme into the few colours and the style sheet that the dock adds to it."""

from __future__ import annotations

from dataclasses import dataclass

from napari.utils.theme import get_theme

LABEL_PX = 52
"""Width of the column of labels, the same in every panel."""


@dataclass(frozen=True)
class Colours:
    """As CSS."""

    text: str
    quiet: str
    line: str
    dark: bool


def theme_colours(name: str) -> Colours:
    """Of the named napari theme."""
    theme = get_theme(name)
    red, green, blue = theme.background.as_rgb_tuple()[:3]
    dark = red + green + blue < 3 * 128
    return Colours(
        text=theme.text.as_hex(),
        quiet="#a9b0ba" if dark else "#5b6370",
        line=theme.foreground.as_hex(),
        dark=dark,
    )


def window_style(colours: Colours) -> str:
    """The style sheet of the dock; all else is napari's own."""
    problem = ("#5c2b29", "#ffe1dc") if colours.dark else ("#fde3e0", "#6b1510")
    return f"""
        QLabel#s2sst_quiet {{ color: {colours.quiet}; }}
        QLabel#s2sst_slide_name {{ font-weight: 600; }}
        QFrame#s2sst_line {{ background: {colours.line}; max-height: 1px; border: none; }}
        QPushButton#s2sst_train:enabled {{ background: #1f7a4d; color: white; font-weight: 600; }}
        QPushButton#s2sst_train:enabled:hover {{ background: #259660; }}
        QCollapsible QPushButton {{ background: transparent; text-align: left; padding: 2px 0px; }}
        QFrame#s2sst_message {{ background: {problem[0]}; border: none; }}
        QLabel#s2sst_message_text {{ color: {problem[1]}; background: transparent; }}
        QToolButton#s2sst_message_close {{ color: {problem[1]}; background: transparent; border: none; }}
    """
