"""The page of a comparison: how many maps of which shape -> where each map, its enlargement, names, scores and bars stand.

Upright slides get a column a method, wide ones a row; both are 180 mm wide, the width of two columns of a journal.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .figure import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_MM = 180.0
MM_PER_INCH = 25.4

WIDE_BELOW = 0.6
"""Height over width of the tissue below which every method gets a row."""

TALLEST = 1.6
"""Height over width of a map's place; a taller slide leaves margins at its sides."""

GAP_MM, MARGIN_MM = 1.6, 2.0
HEADING_MM = 9.0
NAME_POINTS, SCORE_POINTS = 7.5, 7.0
LINE_MM = 3.1
"""Between two lines of scores."""

NAMES_MM = 27.0
"""Column of names and scores, where methods are rows."""

WIDEST_COLUMN_MM = 58.0
FOOT_MM = 12.0
"""Below the rows: bars."""


@dataclass(frozen=True)
class Place:
    """Axes of one panel."""

    map: Axes
    zoom: Axes
    error: Axes | None
    error_zoom: Axes | None


def page_for(extent: tuple[float, float, float, float], panels: int, *, has_errors: bool) -> Page:
    """Choose the page that suits maps of this extent (y0, x0, y1, x1 in um)."""
    aspect = (extent[2] - extent[0]) / (extent[3] - extent[1])
    return (RowPage if aspect < WIDE_BELOW else ColumnPage)(aspect, panels, has_errors)


def round_length(at_most: float) -> float:
    """Find the largest of 1, 2 or 5 times a power of ten that is no longer."""
    decade = 10.0 ** np.floor(np.log10(at_most))
    return float(decade * max(step for step in (1, 2, 5) if step * decade <= at_most))


class Page(ABC):
    """A page of panels, as both kinds have it. Lengths are mm from the upper left corner."""

    map_width_mm: float
    zoom_width_mm: float

    def __init__(self, panels: int, height_mm: float) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.panels, self.height_mm = panels, height_mm
        self.figure = Figure(figsize=(WIDTH_MM / MM_PER_INCH, height_mm / MM_PER_INCH))
        FigureCanvasAgg(self.figure)
        self.error_picture: Any = None
        self.value_picture: Any = None
        self.uncertainty_picture: Any = None

    @abstractmethod
    def places(self, number: int) -> Place:
        """Place of the map of a panel."""

    def keep(self, picture: Any, is_uncertainty: bool) -> None:
        """Keep a picture that a colour bar is made of."""
        if is_uncertainty:
            self.uncertainty_picture = picture
        else:
            self.value_picture = picture

    def write_heading(self, gene: str, about: str) -> None:
        self.text(MARGIN_MM, 2.0, gene, size=9, weight="bold", style="italic")
        self.text(WIDTH_MM - MARGIN_MM, 2.4, about, size=NAME_POINTS, ha="right")

    def text(self, x_mm: float, y_mm: float, words: str, *, size: float, **style: Any) -> None:
        style = {"va": "top", "color": INK, "parse_math": False} | style
        self.figure.text(x_mm / WIDTH_MM, 1 - y_mm / self.height_mm, words, fontsize=size, **style)

    def axes(self, x_mm: float, y_mm: float, width_mm: float, height_mm: float) -> Axes:
        bottom = 1 - (y_mm + height_mm) / self.height_mm
        return self.figure.add_axes((x_mm / WIDTH_MM, bottom, width_mm / WIDTH_MM, height_mm / self.height_mm))

    def colour_bar(self, picture: Any, x_mm: float, y_mm: float, width_mm: float, label: str, extend: str) -> None:
        bar = self.figure.colorbar(
            picture, cax=self.axes(x_mm, y_mm, width_mm, 2.2), orientation="horizontal", extend=extend
        )
        bar.outline.set_visible(False)
        bar.ax.locator_params(nbins=4)
        bar.ax.tick_params(labelsize=SCORE_POINTS - 0.5, length=2, pad=1.5, colors=INK)
        bar.set_label(label, fontsize=SCORE_POINTS, color=INK, labelpad=1.5)

    def scale_bar(self, x_mm: float, y_mm: float, length_mm: float, length_um: float, what: str) -> None:
        axes = self.axes(x_mm, y_mm, length_mm, 0.7)
        axes.set_facecolor(INK)
        axes.set_xticks([])
        axes.set_yticks([])
        for edge in axes.spines.values():
            edge.set_visible(False)
        label = f"{length_um:g} µm" if length_um < 1000 else f"{length_um / 1000:g} mm"
        self.text(x_mm, y_mm + 1.2, f"{label}{what}", size=SCORE_POINTS)

    def score_lines(self, x_mm: float, y_mm: float, rows: list[tuple[str, float]], best: dict[str, str]) -> None:
        """``MAE 0.321`` and so on, one below the other, the best of all methods in bold."""
        for line, (name, value) in enumerate(rows):
            words = f"{value:.3f}" if np.isfinite(value) else "–"
            weight = "bold" if words == best.get(name) else "normal"
            y = y_mm + line * LINE_MM
            self.text(x_mm, y, name, size=SCORE_POINTS)
            self.text(x_mm + 8.5, y, words, size=SCORE_POINTS, weight=weight)


class ColumnPage(Page):
    """A column a method: name, map, enlargement, scores, errors, their enlargement."""

    def __init__(self, aspect: float, panels: int, has_errors: bool) -> None:
        width = (WIDTH_MM - 2 * MARGIN_MM - (panels - 1) * GAP_MM) / panels
        self.width = self.zoom_width_mm = min(width, WIDEST_COLUMN_MM)
        self.tall = self.width * min(aspect, TALLEST)
        self.map_width_mm = self.width * min(1.0, TALLEST / aspect)
        self.top = HEADING_MM + 4.5
        self.has_errors = has_errors
        self.below = self.top + self.tall + GAP_MM + self.width
        self.errors_at = self.below + 1.2 + 3 * LINE_MM + 1.5
        height = self.errors_at + self.tall + GAP_MM + self.width + MARGIN_MM if has_errors else self.below + 14
        super().__init__(panels, height)

    def _x(self, number: int) -> float:
        return MARGIN_MM + number * (self.width + GAP_MM)

    def places(self, number: int) -> Place:
        x = self._x(number)
        axes = [self.axes(x, self.top, self.width, self.tall)]
        axes.append(self.axes(x, self.top + self.tall + GAP_MM, self.width, self.width))
        if not self.has_errors or number in (0, self.panels - 1):
            return Place(*axes, None, None)
        axes.append(self.axes(x, self.errors_at, self.width, self.tall))
        axes.append(self.axes(x, self.errors_at + self.tall + GAP_MM, self.width, self.width))
        return Place(*axes)

    def write_name(self, number: int, name: str) -> None:
        name = name if self.width > 33 or number else "input"
        self.text(self._x(number), self.top - 4.0, name, size=NAME_POINTS, weight="bold" if number == 1 else "normal")

    def write_scores(self, number: int, rows: list[tuple[str, float]], best: dict[str, str]) -> None:
        self.score_lines(self._x(number), self.below + 1.2, rows, best)

    def draw_colour_bars(self, values: str, errors: str) -> None:
        x = self._x(self.panels - 1)
        width = self.width - 3
        y = self.errors_at if self.has_errors else self.below + 2
        if not self.has_errors:
            x = self._x(1)
            if self.uncertainty_picture is not None:
                label = "half the 90 % interval"
                self.colour_bar(self.uncertainty_picture, self._x(2) + 1, y, width, label, "max")
        self.colour_bar(self.value_picture, x + 1, y, width, values, "max")
        if self.error_picture is not None:
            self.colour_bar(self.error_picture, x + 1, y + 13, width, errors, "both")

    def draw_scale_bars(self, map_um: float, zoom_um: float, extent: tuple, inset: tuple) -> None:
        y = self.errors_at if self.has_errors else self.below + 2
        per_um = self.map_width_mm / (extent[3] - extent[1]), self.zoom_width_mm / (inset[3] - inset[1])
        self.scale_bar(self._x(0), y, map_um * per_um[0], map_um, " (map)")
        self.scale_bar(self._x(0), y + 6, zoom_um * per_um[1], zoom_um, " (square)")


class RowPage(Page):
    """A row a method: name and scores, map, enlargement, errors, their enlargement."""

    def __init__(self, aspect: float, panels: int, has_errors: bool) -> None:
        pairs = 2 if has_errors else 1
        room = WIDTH_MM - 2 * MARGIN_MM - NAMES_MM - (2 * pairs - 1) * GAP_MM - (pairs - 1) * GAP_MM
        width = room / (pairs * (1 + aspect))
        self.map_width_mm = min(width, 85.0)
        self.tall = self.zoom_width_mm = self.map_width_mm * aspect
        self.row_mm = max(self.tall, 4 * LINE_MM + 1) + GAP_MM
        super().__init__(panels, HEADING_MM + panels * self.row_mm + FOOT_MM)

    def _y(self, number: int) -> float:
        return HEADING_MM + number * self.row_mm

    @property
    def _columns(self) -> list[float]:
        """Left edges, in mm, of map, enlargement, errors and their enlargement."""
        first = MARGIN_MM + NAMES_MM
        second = first + self.map_width_mm + GAP_MM
        third = second + self.zoom_width_mm + 2 * GAP_MM
        return [first, second, third, third + self.map_width_mm + GAP_MM]

    def places(self, number: int) -> Place:
        y, widths = self._y(number), (self.map_width_mm, self.zoom_width_mm) * 2
        pairs = 4 if self._has_error(number) else 2
        axes = [self.axes(x, y, width, self.tall) for x, width in zip(self._columns[:pairs], widths, strict=False)]
        return Place(*axes, *[None] * (4 - pairs))

    def _has_error(self, number: int) -> bool:
        return self._columns[3] + self.zoom_width_mm <= WIDTH_MM - MARGIN_MM + 0.01 and 0 < number < self.panels - 1

    def write_name(self, number: int, name: str) -> None:
        name = name.replace("low-resolution ", "low-resolution\n")
        weight = "bold" if number == 1 else "normal"
        self.text(MARGIN_MM, self._y(number), name, size=NAME_POINTS, weight=weight)

    def write_scores(self, number: int, rows: list[tuple[str, float]], best: dict[str, str]) -> None:
        self.score_lines(MARGIN_MM, self._y(number) + 4.0, rows, best)

    def draw_colour_bars(self, values: str, errors: str) -> None:
        columns, width = self._columns, min(40.0, self.map_width_mm)
        y = self._y(self.panels) + 1.0
        self.colour_bar(self.value_picture, columns[0], y, width, values, "max")
        if self.error_picture is not None:
            self.colour_bar(self.error_picture, columns[2], y, width, errors, "both")
        if self.uncertainty_picture is not None:
            x = columns[0] + width + 8
            self.colour_bar(self.uncertainty_picture, x, y, width, "half the 90 % interval", "max")

    def draw_scale_bars(self, map_um: float, zoom_um: float, extent: tuple, inset: tuple) -> None:
        """Draw bars beside the truth's maps, or below all of them where there are no errors."""
        per_um = self.map_width_mm / (extent[3] - extent[1]), self.zoom_width_mm / (inset[3] - inset[1])
        columns, y = self._columns, self._y(self.panels - 1) + self.tall / 2 - 2
        if self.error_picture is None:
            x = max(columns[1], columns[0] + 2 * min(40.0, self.map_width_mm) + 16)
            y, places = self._y(self.panels) + 1.0, (x, x + max(24.0, map_um * per_um[0] + 6))
        else:
            places = (columns[2], columns[3])
        self.scale_bar(places[0], y, map_um * per_um[0], map_um, "" if self.error_picture else " (map)")
        self.scale_bar(places[1], y, zoom_um * per_um[1], zoom_um, "" if self.error_picture else " (square)")
