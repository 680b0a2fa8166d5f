"""Local smoothed thin-plate splines (Duchon 1977; Wahba 1990, "Spline Models for Observational Data", chapter 2).

The surface through a bin's neighbours that bends least, allowed to miss them at a price: with the same neighbours, kernel
r^2 log r and linear drift it is what `scipy.interpolate.RBFInterpolator` gives, but its weights are worked out once for each
pattern. Distances are in lattice pitches. The price is the one that the measured bins' covariance expects to do best.
"""

from __future__ import annotations

import numpy as np

from .kriging import covariance_of, expected_error
from .measured_bins import Problem
from .neighbourhoods import Neighbourhoods, Weights, distances, solve

NEIGHBOURS = 24
"""At most; 48 take far longer, and change PCC in the third digit."""

SMOOTHINGS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Candidates for the price of missing the neighbours, added to the kernel's diagonal."""


def thin_plate(problem: Problem) -> np.ndarray:
    """(wanted bins,) smoothed thin-plate spline through the nearest measured bins."""
    weights_of = spline(choose_smoothing(problem))
    return Neighbourhoods(problem, problem.wanted_at, NEIGHBOURS).predict(weights_of)


def choose_smoothing(problem: Problem) -> float:
    """The candidate with the least error expected at unmeasured bins, from the measured ones alone."""
    covariance, stride = covariance_of(problem), problem.sparse.stride
    return min(SMOOTHINGS, key=lambda price: expected_error(covariance, spline(price), stride, NEIGHBOURS))


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
