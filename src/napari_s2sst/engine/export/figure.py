"""Draw one gene's maps for print: measured, imputed and true values on one colour scale, error, uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ExportError
from ..files import written_whole
from ..maps import GeneMap, SparseMap
from ..scores.metrics import Scores, error_map, truth_like

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VALUE_COLOURS, ERROR_COLOURS, UNCERTAINTY_COLOURS = "viridis", "RdBu_r", "magma"
"""Told apart with any colour vision."""

FORMATS = ("png", "pdf", "svg")

VECTOR_TEXT = {"svg.fonttype": "none", "pdf.fonttype": 42}
"""Letters as letters, not as outlines: journals ask for it, and a drawing program can change them."""

GLASS = "#ececec"
INK = "#222222"
_PANEL_INCHES = 3.4


def write_figure(
    path: str | Path,
    *,
    sparse: SparseMap,
    imputed: GeneMap,
    truth: GeneMap | None = None,
    scores: Mapping[str, Scores] | Scores | None = None,
) -> Path:
    """Write a PNG, PDF or SVG, by the path's ending. ``scores`` are one method's, or method -> scores with our own first.

    Without a truth there are no panels for it, for the error and the scores. Raises :class:`ExportError`.
    """
    figure = draw_figure(sparse=sparse, imputed=imputed, truth=truth, scores=scores)
    return save_figure(path, figure, dpi=180, bbox_inches="tight", pad_inches=0.12)


def save_figure(path: str | Path, figure: Figure, **how: Any) -> Path:
    """Write a figure in the format of the path's ending; text stays text. Raises :class:`ExportError`."""
    import matplotlib

    kind = Path(path).suffix[1:].lower()
    if kind not in FORMATS:
        raise ExportError(
            f"{path} can't be a figure: its name ends in none of .{', .'.join(FORMATS)}. Choose one of them."
        )
    with matplotlib.rc_context(VECTOR_TEXT), written_whole(path) as beside:
        figure.savefig(beside, format=kind, facecolor="white", **how)
    return Path(path)


def draw_figure(
    *,
    sparse: SparseMap,
    imputed: GeneMap,
    truth: GeneMap | None = None,
    scores: Mapping[str, Scores] | Scores | None = None,
) -> Figure:
    """Draw the figure of :func:`write_figure` as a matplotlib Figure of its own, untouched by pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    maps = {"measured": measured_values(sparse, imputed), "imputed": inside(imputed, imputed.values)}
    if truth is not None:
        maps["truth"] = inside(imputed, truth_like(imputed, truth))
    shown = np.concatenate([values[np.isfinite(values)] for values in maps.values()])
    low, high = colour_limits(shown)
    rows, columns = imputed.shape
    panel_height = _PANEL_INCHES * float(np.clip(rows / columns, 0.32, 1.5))
    lines = 2 if truth is not None else 1
    figure = Figure(figsize=(3 * _PANEL_INCHES + 1.4, lines * (panel_height + 0.75) + 0.75), layout="compressed")
    FigureCanvasAgg(figure)
    grid = figure.subplots(lines, 3, squeeze=False)

    for axes, (name, values) in zip(grid[0], maps.items(), strict=False):
        picture = draw_map(axes, imputed, values, name, VALUE_COLOURS, low, high, pixel_places(sparse, name))
    label = "counts" if imputed.normalisation.kind == "none" else f"{imputed.normalisation.kind} counts"
    free = list(grid[0, len(maps) :]) + [axes for line in grid[1:] for axes in line]
    extend = "max" if high < shown.max() else "neither"
    figure.colorbar(picture, ax=list(grid[0, : len(maps)]), label=label, pad=0.015, extend=extend)
    if truth is not None:
        error = error_map(imputed, truth)
        reach = colour_limits(np.abs(error[np.isfinite(error)]))[1]
        axes = free.pop(0)
        picture = draw_map(axes, imputed, error, "error: imputed − truth", ERROR_COLOURS, -reach, reach)
        figure.colorbar(picture, ax=axes, pad=0.02, extend="both")
    axes = free.pop(0)
    if imputed.uncertainty is None:
        axes.set_axis_off()
    else:
        unsure = inside(imputed, imputed.uncertainty)
        top = colour_limits(unsure[np.isfinite(unsure)])[1]
        picture = draw_map(axes, imputed, unsure, "uncertainty: half the 90 % interval", UNCERTAINTY_COLOURS, 0, top)
        figure.colorbar(picture, ax=axes, pad=0.02, extend="max")
    for axes in free:
        axes.set_axis_off()
    methods = by_method(scores)
    if free and methods:
        free[-1].set_box_aspect(rows / columns)
        _table(free[-1], methods)
    draw_scale_bar(grid[0, 0], imputed)
    every = f"1 bin of {sparse.stride**2} measured, bins of {imputed.bin_um:g} µm"
    heading = f"{imputed.gene}   {every}"
    if methods:
        ours = next(iter(methods.values()))
        heading += (
            f"\non unmeasured bins: MAE {ours.mae_unmeasured:.3f}, PCC {ours.pcc_unmeasured:.3f}, "
            f"SSIM {ours.ssim_unmeasured:.3f}"
        )
    figure.suptitle(heading, fontsize=11, color=INK, parse_math=False)
    return figure


def measured_values(sparse: SparseMap, imputed: GeneMap) -> np.ndarray:
    """(lattice rows, lattice columns) values, NaN where unmeasured; each is drawn over S x S bins, so that print shows it."""
    return np.where(sparse.measured, sparse.normalised(imputed.normalisation.kind), np.float32(np.nan))


def inside(gene_map: GeneMap, values: np.ndarray) -> np.ndarray:
    """Leave values (rows, columns) inside the tissue, and NaN outside."""
    return np.where(gene_map.tissue, values, np.float32(np.nan))


def colour_limits(values: np.ndarray) -> tuple[float, float]:
    """Choose the ends of a colour scale for values of any shape: 0 or below, the brightest but for 1 in 500; never equal."""
    if not values.size:
        return 0.0, 1.0
    low, high = min(0.0, float(values.min())), float(np.quantile(values, 0.998))
    return low, high if high > low else low + 1.0


def pixel_places(sparse: SparseMap, name: str) -> tuple[float, float, int]:
    """Place a panel's pixels: (row, column) in bins of the first one's outer corner, and a pixel's side in bins."""
    if name != "measured":
        return 0.0, 0.0, 1
    margin = (sparse.stride - 1) / 2
    return sparse.phase[0] - margin, sparse.phase[1] - margin, sparse.stride


def draw_map(
    axes: Axes,
    gene_map: GeneMap,
    values: np.ndarray,
    title: str,
    colours: str,
    low: float,
    high: float,
    shift: tuple[float, float, int] = (0.0, 0.0, 1),
):
    """Draw ``values`` (rows, columns) of one map in um, row 0 on top, glass in grey. ``shift`` as :func:`pixel_places`."""
    size, (y_um, x_um) = gene_map.bin_um, gene_map.origin_um
    top, left = y_um + shift[0] * size, x_um + shift[1] * size
    bottom, right = (start + length * shift[2] * size for start, length in zip((top, left), values.shape, strict=True))
    picture = axes.imshow(
        values, cmap=colours, vmin=low, vmax=high, extent=(left, right, bottom, top), interpolation="nearest"
    )
    axes.set_xlim(x_um, x_um + gene_map.shape[1] * size)
    axes.set_ylim(y_um + gene_map.shape[0] * size, y_um)
    axes.set_facecolor(GLASS)
    axes.set_title(title, fontsize=9, color=INK)
    axes.set_xticks([])
    axes.set_yticks([])
    for edge in axes.spines.values():
        edge.set_visible(False)
    return picture


def draw_scale_bar(axes: Axes, gene_map: GeneMap) -> None:
    """Draw a bar of a round length, below the map so that it hides nothing."""
    width_um = gene_map.shape[1] * gene_map.bin_um
    decade = 10.0 ** np.floor(np.log10(width_um / 4))
    length = decade * max(step for step in (1, 2, 5) if step * decade <= width_um / 4)
    start = gene_map.origin_um[1]
    place = dict(transform=axes.get_xaxis_transform(), color=INK, clip_on=False)
    axes.plot([start, start + length], [-0.035, -0.035], lw=2.5, solid_capstyle="butt", **place)
    label = f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"
    axes.text(start, -0.06, label, ha="left", va="top", fontsize=8, **place)


def by_method(scores: Mapping[str, Scores] | Scores | None) -> dict[str, Scores]:
    """Name the method of scores that have none."""
    if scores is None:
        return {}
    return dict(scores) if isinstance(scores, Mapping) else {"imputed": scores}


def _table(axes: Axes, methods: dict[str, Scores]) -> None:
    """Scores of every method on the unmeasured bins, the best of each in bold."""
    figures = np.array([[one.mae_unmeasured, one.pcc_unmeasured, one.ssim_unmeasured] for one in methods.values()])
    best = [np.nanargmin(column) if np.isfinite(column).any() else -1 for column in (figures * (1, -1, -1)).T]
    step = min(0.13, 0.9 / (len(methods) + 2))
    axes.set_title("scores on unmeasured bins", fontsize=9, color=INK)
    style = dict(fontsize=8, va="top", color=INK, transform=axes.transAxes, parse_math=False)
    for place, name in zip((0.64, 0.82, 1.0), ("MAE", "PCC", "SSIM"), strict=True):
        axes.text(place, 0.95, name, ha="right", **style)
    for row, (method, line) in enumerate(zip(methods, figures, strict=True)):
        height = 0.95 - step * (row + 1)
        axes.text(0.0, height, method, **style)
        for column, (place, value) in enumerate(zip((0.64, 0.82, 1.0), line, strict=True)):
            weight = "bold" if best[column] == row else "normal"
            axes.text(place, height, f"{value:.3f}", ha="right", weight=weight, **style)
