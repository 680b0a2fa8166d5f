"""Turn a training's curves into a table, and a picture of them for white paper."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np

from ....engine.files import written_whole

TRAINING_COLOUR = "#56b4e9"
HELD_OUT_COLOUR = "#e69f00"
CLASSICAL_COLOUR = "#009e73"
"""Okabe and Ito's set: told apart with any colour vision, on black and on white."""

PICTURE_MM = (140.0, 80.0)
"""A column and a half of a journal's page."""
DPI = 300


def _none() -> np.ndarray:
    return np.zeros(0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """Curves of a plot of losses. Arrays (points,), float64; errors in the normalised space."""

    steps: np.ndarray = field(default_factory=_none)
    training: np.ndarray = field(default_factory=_none)
    held_out: np.ndarray = field(default_factory=_none)
    loss: np.ndarray | None = None
    """The total loss, in place of the errors where nothing is held out."""
    classical_name: str = ""
    classical: float | None = None
    """Error of the best classical method."""

    def with_errors(self, steps: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> Self:
        """Curves of errors in place of those there were."""
        return replace(self, steps=steps, training=training, held_out=held_out, loss=None)

    def with_loss(self, steps: np.ndarray, loss: np.ndarray) -> Self:
        """A curve of the total loss in place of the errors."""
        return replace(self, steps=steps, training=_none(), held_out=_none(), loss=loss)

    def with_classical(self, name: str, error: float | None) -> Self:
        """Curves beside the error of another classical method."""
        return replace(self, classical_name=name, classical=error)

    def columns(self) -> dict[str, np.ndarray]:
        """Name -> values at the steps."""
        if self.loss is not None:
            return {"training loss": self.loss}
        return {"training": self.training, "held out": self.held_out}


def write_curves(path: str | Path, curves: Curves) -> Path:
    """One row a point: its step, the errors or the loss, and the best classical method's error in each row.

    Raises :class:`ExportError` when the place can't be written.
    """
    path = Path(path)
    if curves.loss is not None:
        columns = {"step": curves.steps, "training_loss": curves.loss}
    else:
        columns = {"step": curves.steps, "training_mae": curves.training, "held_out_mae": curves.held_out}
    if curves.classical is not None:
        columns[f"{curves.classical_name.replace(' ', '_')}_mae"] = np.full(curves.steps.shape, curves.classical)
    with written_whole(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        for step, *errors in zip(*columns.values(), strict=True):
            rows.writerow([int(step), *(f"{error:.7g}" for error in errors)])
    return path


def write_picture(path: str | Path, curves: Curves, **view) -> Path:
    """:func:`picture` as a file. Raises :class:`ExportError` when the place can't be written."""
    path, data = Path(path), picture(curves, **view)
    with written_whole(path) as beside:
        beside.write_bytes(data)
    return path


def picture(
    curves: Curves,
    *,
    log: bool = False,
    steps: tuple[float, float] | None = None,
    errors: tuple[float, float] | None = None,
) -> bytes:
    """The curves as a PNG on white, with a legend; ``steps`` and ``errors`` are the ranges to show, all where left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(PICTURE_MM[0] / 25.4, PICTURE_MM[1] / 25.4), dpi=DPI, layout="constrained", facecolor="white"
    )
    axes = figure.add_subplot()
    for (name, values), colour in zip(curves.columns().items(), (TRAINING_COLOUR, HELD_OUT_COLOUR), strict=False):
        axes.plot(curves.steps, values, color=colour, linewidth=1.5, label=name)
    if curves.classical is not None and curves.loss is None:
        axes.axhline(
            curves.classical, color=CLASSICAL_COLOUR, linewidth=1.5, linestyle="--", label=curves.classical_name
        )
    if log:
        axes.set_yscale("log")
    axes.set_xlim(steps)
    axes.set_ylim(errors)
    axes.set_xlabel("step")
    axes.set_ylabel("loss" if curves.loss is not None else "mean absolute error")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()
