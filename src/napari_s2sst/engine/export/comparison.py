"""One gene's input, imputed map, classical maps and truth -> a figure of a journal's width (as Fig. 3 of Fang et al. 2025).

Every map is on the same colours, every error map on the same diverging ones, symmetric about 0. A square is marked in each
and drawn larger beside it. Upright slides get a column a method, wide ones a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..classical.methods import interpolate
from ..errors import S2SSTError
from ..maps import GeneMap, SparseMap
from ..provenance import OURS
from ..scores.metrics import Scores, error_map, score, truth_like
from .figure import (
    ERROR_COLOURS,
    INK,
    UNCERTAINTY_COLOURS,
    VALUE_COLOURS,
    colour_limits,
    draw_map,
    inside,
    measured_values,
    pixel_places,
    save_figure,
)
from .figure_page import page_for, round_length

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS_SHOWN = ("kriging", "Gaussian", "bilinear")

INSET_SHARE = 0.3
"""Side of the marked square, of the shorter side of the tissue."""

MIN_INSET_BINS = 8
DPI = 400

Box = tuple[float, float, float, float]
"""(y0, x0, y1, x1) in um."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Panel:
    """One map of the figure, and its errors."""

    name: str
    values: np.ndarray
    """As they are drawn; on the lattice for the input."""
    shift: tuple[float, float, int] = (0.0, 0.0, 1)
    error: np.ndarray | None = None
    scores: Scores | None = None
    is_uncertainty: bool = False


def write_comparison(path: str | Path, *maps: SparseMap | GeneMap | None, **how: Any) -> Path:
    """Write what :func:`draw_comparison` draws as a PNG, PDF or SVG, by the path's ending. Raises as it does, and
    :class:`ExportError`.
    """
    return save_figure(path, draw_comparison(*maps, **how), dpi=DPI)


def draw_comparison(
    sparse: SparseMap,
    imputed: GeneMap,
    truth: GeneMap | None = None,
    methods: Sequence[str] = METHODS_SHOWN,
    scores: Mapping[str, Scores] | None = None,
    inset: Box | None = None,
) -> Figure:
    """Draw the comparison, 180 mm wide, as a matplotlib Figure of its own, untouched by pyplot.

    ``methods`` are classical ones, computed here; ``scores`` (method -> scores) that are missing are too. ``inset``
    (y0, x0, y1, x1) in um; None takes the square where the map varies most. Without a truth the figure shows the input, the
    imputed map and its uncertainty. Raises :class:`S2SSTError` when the maps don't fit.
    """
    panels = _panels(sparse, imputed, truth, methods, scores or {})
    extent = tissue_box(imputed)
    expected = imputed.values if truth is None else truth_like(imputed, truth)
    inset = interesting_square(expected, imputed) if inset is None else _checked(inset, imputed)
    page = page_for(extent, len(panels), has_errors=truth is not None)
    limits = colour_limits(_finite([panel.values for panel in panels if not panel.is_uncertainty]))
    reach = colour_limits(np.abs(_finite([panel.error for panel in panels if panel.error is not None])))[1]
    unsure = colour_limits(_finite([panel.values for panel in panels if panel.is_uncertainty]))
    every = f"1 bin of {sparse.stride**2} measured, bins of {imputed.bin_um:g} µm"
    page.write_heading(imputed.gene, f"{every}; scores on unmeasured bins" if truth is not None else every)
    best = _best([panel.scores for panel in panels])
    for number, panel in enumerate(panels):
        place = page.places(number)
        low, high = unsure if panel.is_uncertainty else limits
        colours = UNCERTAINTY_COLOURS if panel.is_uncertainty else VALUE_COLOURS
        page.write_name(number, panel.name)
        for axes, box in ((place.map, extent), (place.zoom, inset)):
            picture = draw_map(axes, imputed, panel.values, "", colours, low, high, panel.shift)
            _crop(axes, box)
        _mark(place.map, place.zoom, inset)
        page.keep(picture, panel.is_uncertainty)
        if panel.error is not None:
            for axes, box in ((place.error, extent), (place.error_zoom, inset)):
                picture = draw_map(axes, imputed, panel.error, "", ERROR_COLOURS, -reach, reach)
                _crop(axes, box)
            _mark(place.error, place.error_zoom, inset)
            page.error_picture = picture
        if panel.scores is not None:
            page.write_scores(number, [*zip(("MAE", "PCC", "SSIM"), _figures(panel.scores), strict=True)], best)
    kind = imputed.normalisation.kind
    page.draw_colour_bars("counts" if kind == "none" else f"{kind} counts", "imputed − truth")
    page.draw_scale_bars(*(round_length((box[3] - box[1]) / 3) for box in (extent, inset)), extent, inset)
    return page.figure


def interesting_square(values: np.ndarray, gene_map: GeneMap) -> Box:
    """Find the square, nearly all of it tissue, in which the values (rows, columns) vary most; (y0, x0, y1, x1) in um."""
    tissue = gene_map.tissue
    rows, columns = np.flatnonzero(tissue.any(1)), np.flatnonzero(tissue.any(0))
    spans = (int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1) if rows.size else tissue.shape
    side = min(max(MIN_INSET_BINS, round(INSET_SHARE * min(spans))), *tissue.shape)
    number = _sums(tissue.astype(np.float64), side)
    known = np.where(tissue, values, 0).astype(np.float64)
    mean = _sums(known, side) / np.maximum(number, 1)
    variance = _sums(known**2, side) / np.maximum(number, 1) - mean**2
    enough = number >= min(0.9 * side**2, number.max())
    row, column = np.unravel_index(np.argmax(np.where(enough, variance, -1)), variance.shape)
    size, (y_um, x_um) = gene_map.bin_um, gene_map.origin_um
    return (y_um + row * size, x_um + column * size, y_um + (row + side) * size, x_um + (column + side) * size)


def tissue_box(gene_map: GeneMap, margin_bins: int = 2) -> Box:
    """Box the tissue, (y0, x0, y1, x1) in um, so that a small region fills the figure."""
    ends = []
    for axis, (origin, length) in enumerate(zip(gene_map.origin_um, gene_map.shape, strict=True)):
        lines = np.flatnonzero(gene_map.tissue.any(axis=1 - axis))
        first, last = (0, length) if not lines.size else (lines[0] - margin_bins, lines[-1] + 1 + margin_bins)
        ends.append([origin + line * gene_map.bin_um for line in (max(first, 0), min(last, length))])
    return (ends[0][0], ends[1][0], ends[0][1], ends[1][1])


def _panels(
    sparse: SparseMap,
    imputed: GeneMap,
    truth: GeneMap | None,
    methods: Sequence[str],
    scores: Mapping[str, Scores],
) -> list[Panel]:
    lattice = measured_values(sparse, imputed)
    panels = [Panel(name="low-resolution input", values=lattice, shift=pixel_places(sparse, "measured"))]
    if truth is None:
        panels.append(Panel(name="imputed", values=inside(imputed, imputed.values)))
        if imputed.uncertainty is not None:
            unsure = inside(imputed, imputed.uncertainty)
            panels.append(Panel(name="uncertainty", values=unsure, is_uncertainty=True))
        return panels
    kind = imputed.normalisation.kind
    maps = {OURS: imputed} | {name: interpolate(sparse, method=name, normalisation=kind) for name in methods}
    for name, estimate in maps.items():
        known = scores.get(name) or score(estimate, truth=truth, sparse=sparse)
        values = inside(imputed, estimate.values)
        panels.append(Panel(name=name, values=values, error=error_map(estimate, truth), scores=known))
    panels.append(Panel(name="truth", values=inside(imputed, truth_like(imputed, truth))))
    return panels


def _figures(scores: Scores) -> tuple[float, float, float]:
    return scores.mae_unmeasured, scores.pcc_unmeasured, scores.ssim_unmeasured


def _best(scores: Sequence[Scores | None]) -> dict[str, str]:
    """Score -> the best one as it is printed."""
    known = np.array([_figures(of_panel) for of_panel in scores if of_panel is not None])
    if not known.size:
        return {}
    best = {}
    for name, column, choose in zip(("MAE", "PCC", "SSIM"), known.T, (np.nanmin, np.nanmax, np.nanmax), strict=True):
        best[name] = f"{choose(column):.3f}" if np.isfinite(column).any() else ""
    return best


def _finite(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([array[np.isfinite(array)] for array in arrays]) if arrays else np.zeros(0)


def _sums(values: np.ndarray, side: int) -> np.ndarray:
    """(rows - side + 1, columns - side + 1) sums over every square of that side."""
    total = np.pad(values.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]


def _checked(inset: Box, gene_map: GeneMap) -> Box:
    y0, x0, y1, x1 = inset
    (top, left), size = gene_map.origin_um, gene_map.bin_um
    bottom, right = top + gene_map.shape[0] * size, left + gene_map.shape[1] * size
    if not (top <= y0 < y1 <= bottom and left <= x0 < x1 <= right):
        raise S2SSTError(
            f"The inset {inset} (y0, x0, y1, x1 in um) does not lie inside the map, which spans y {top:g} to {bottom:g} and "
            f"x {left:g} to {right:g} um. Choose one inside."
        )
    return inset


def _crop(axes: Axes, box: Box) -> None:
    axes.set_xlim(box[1], box[3])
    axes.set_ylim(box[2], box[0])


def _mark(whole: Axes, zoom: Axes, inset: Box) -> None:
    """The square in the map, and the same frame about its enlargement."""
    from matplotlib.patches import Rectangle

    y0, x0, y1, x1 = inset
    for colour, width in (("white", 1.8), (INK, 0.8)):
        whole.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=width))
    for edge in zoom.spines.values():
        edge.set_visible(True)
        edge.set_color(INK)
        edge.set_linewidth(0.8)
