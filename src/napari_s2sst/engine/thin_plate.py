"""Local smoothed thin-plate splines (Duchon 1977; Wahba 1990, "Spline Models for Observational Data", chapter 2).

The surface through a bin's neighbours that bends least, allowed to miss them at a price: with the same neighbours, kernel
r^2 log r and linear drift it is what `scipy.interpolate.RBFInterpolator` gives, but its weights are worked out once for each
pattern. Distances are in lattice pitches. How much it smooths is chosen by predicting measured bins from the others.
"""

from __future__ import annotations

import numpy as np

from .measured_bins import Problem
from .neighbourhoods import Neighbourhoods, Weights, distances, solve

NEIGHBOURS = 48
"""At most."""

SMOOTHINGS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Candidates for the price of bending, added to the kernel's diagonal."""

MOST_LEFT_OUT = 4000
"""Measured bins, evenly over the map, on which the smoothing is chosen."""


def thin_plate(problem: Problem) -> np.ndarray:
    """(wanted bins,) smoothed thin-plate spline through the nearest measured bins."""
    weights_of = spline(choose_smoothing(problem))
    return Neighbourhoods(problem, problem.wanted_at, NEIGHBOURS).predict(weights_of)


def choose_smoothing(problem: Problem) -> float:
    """The candidate with the least squared error on measured bins, each predicted without itself."""
    step = -(-len(problem.known) // MOST_LEFT_OUT)
    some = slice(None, None, step)
    without = Neighbourhoods(problem, problem.known_at[some], NEIGHBOURS, leave_out=True)
    errors = [np.mean((without.predict(spline(smoothing)) - problem.known[some]) ** 2) for smoothing in SMOOTHINGS]
    return SMOOTHINGS[int(np.argmin(errors))]


def spline(smoothing: float) -> Weights:
    """The weights of a thin-plate spline."""

    def weights_of(offsets: np.ndarray, used: np.ndarray) -> np.ndarray:
        between, here = distances(offsets)
        kernel = _bending(between) + smoothing * np.eye(offsets.shape[1])
        drift = np.concatenate([np.ones((*used.shape, 1)), offsets], axis=-1)
        return solve(kernel, _bending(here), drift, np.array([1.0, 0.0, 0.0]), used)

    return weights_of


def _bending(r: np.ndarray) -> np.ndarray:
    return r**2 * np.log(np.maximum(r, 1e-300))
