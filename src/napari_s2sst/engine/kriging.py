"""Local ordinary kriging with a nugget (Matheron 1963; Cressie 1993, "Statistics for Spatial Data", section 3.2).

The variogram nugget + sill * (1 - exp(-h / range)) is fitted to the measured bins alone, by weighted least squares
(Cressie 1985, Math. Geology 17: 563). Distances are in lattice pitches. Counts are noisy, and the nugget is that noise: what
is predicted is the map without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from .measured_bins import Problem
from .neighbourhoods import Neighbourhoods, distances, solve

NEIGHBOURS = 24
"""At most; weights beyond the second ring are next to nothing unless the nugget is large."""

MAX_LAG = 10
"""Pitches; the neighbours lie within 4 of the wanted bin, so farther lags would only spoil the fit near 0."""

RANGES = tuple(np.geomspace(0.3, 60, 40))
"""Candidates for the range, in pitches."""

ROUNDS = 3
"""Of fitting and weighting anew; the weights N / variogram^2 hardly change after."""


@dataclass(frozen=True)
class Variogram:
    """Half the mean squared difference of two bins ``h`` pitches apart: nugget + sill * (1 - exp(-h / range))."""

    nugget: float
    sill: float
    range: float

    def __call__(self, h: np.ndarray) -> np.ndarray:
        return self.nugget + self.sill * (1 - np.exp(-h / self.range))


def kriging(problem: Problem) -> np.ndarray:
    """(wanted bins,) ordinary kriging from the nearest measured bins."""
    variogram = fit_variogram(problem)
    total = variogram.sill + variogram.nugget
    structured = variogram.sill / total if total > 0 else 0.0

    def weights_of(offsets: np.ndarray, used: np.ndarray) -> np.ndarray:
        between, here = distances(offsets)
        kernel = structured * np.exp(-between / variogram.range) + (1 - structured) * np.eye(offsets.shape[1])
        towards = structured * np.exp(-here / variogram.range)
        return solve(kernel, towards, np.ones((*used.shape, 1)), np.ones(1), used)

    return Neighbourhoods(problem, problem.wanted_at, NEIGHBOURS).predict(weights_of)


def fit_variogram(problem: Problem) -> Variogram:
    """The variogram of the measured bins; nothing but a nugget where there are too few pairs to tell."""
    lag, half, pairs = _experimental(problem)
    if len(lag) < 3 or not half.any():
        return Variogram(float(half.mean()) if len(half) else 0.0, 0.0, 1.0)
    weight = pairs / np.maximum(half, half[half > 0].min()) ** 2
    best = Variogram(float(half.mean()), 0.0, 1.0)
    for _ in range(ROUNDS):
        root = np.sqrt(weight)
        errors, fits = [], []
        for reach in RANGES:
            terms = np.stack([np.ones_like(lag), 1 - np.exp(-lag / reach)], 1)
            (nugget, sill), error = nnls(terms * root[:, None], half * root)
            errors.append(error)
            fits.append(Variogram(float(nugget), float(sill), float(reach)))
        best = fits[int(np.argmin(errors))]
        weight = pairs / np.maximum(best(lag), 1e-12) ** 2
    return best


def _experimental(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances in pitches, half the mean squared differences at them, and how many pairs each comes from."""
    values, measured = problem.lattice.astype(np.float64), problem.sparse.measured
    lag, half, pairs = [], [], []
    for down in range(MAX_LAG + 1):
        for right in range(-MAX_LAG, MAX_LAG + 1):
            if not 0 < down * down + right * right <= MAX_LAG**2 or (down == 0 and right < 0):
                continue
            one, other = _shifted(down, right)
            both = measured[one] & measured[other]
            count = int(both.sum())
            if count:
                lag.append(np.hypot(down, right))
                half.append(((values[one] - values[other])[both] ** 2).mean() / 2)
                pairs.append(count)
    return np.asarray(lag), np.asarray(half), np.asarray(pairs, float)


def _shifted(down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Two views of a grid whose bins lie (down, right) apart."""
    along = (slice(max(0, -right), -right if right > 0 else None), slice(max(0, right), right if right < 0 else None))
    return (slice(None, -down or None), along[0]), (slice(down, None), along[1])
