"""Local ordinary kriging with a nugget (Matheron 1963; Cressie 1993, "Statistics for Spatial Data", section 3.2).

The variogram nugget + sill * (1 - exp(-h / range)) is fitted to the measured bins alone, by weighted least squares
(Cressie 1985, Math. Geology 17: 563). A nugget is what two neighbouring measured bins do not share: noise of counting, which is
known (Monestiez et al. 2006, Ecol. Modelling 193: 615), and structure finer than the lattice, which a wanted bin
between them does share with both. So the nugget is split in these two. Distances are in lattice pitches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import fft
from scipy.optimize import nnls

from .neighbourhoods import Neighbourhoods, Problem, Weights, distances, rings, solve

NEIGHBOURS = 24
"""At most; weights beyond the second ring are next to nothing unless the nugget is large."""

MAX_LAG = 10
"""Pitches; the neighbours lie within 4 of the wanted bin, so farther lags would only spoil the fit near 0."""

RANGES = tuple(np.geomspace(0.3, 60, 40))
"""Candidates for the range, in pitches."""

ROUNDING = 1e-9
"""Of the variance; half squared differences below it are what rounding leaves of none."""

ROUNDS = 3
"""Of fitting and weighting anew; the weights N / variogram^2 hardly change after."""


FINE_RANGE_BINS = 1.0
"""Range of the structure finer than the lattice; bins are about the size of cells."""


@dataclass(frozen=True)
class Variogram:
    """Half the mean squared difference of two bins ``h`` pitches apart: nugget + sill * (1 - exp(-h / range))."""

    nugget: float
    sill: float
    range: float
    most_noise: float = 0.0
    """The measured one continued straight from 2 pitches over 1 to 0: as it bends down, noise can't be more."""

    def __call__(self, h: np.ndarray) -> np.ndarray:
        """Semivariance at distances ``h`` in pitches, of any shape."""
        return self.nugget + self.sill * (1 - np.exp(-h / self.range))


@dataclass(frozen=True, kw_only=True)
class Covariance:
    """Covariance of two bins, as parts of a measured bin's variance, and the noise that none shares; together 1."""

    coarse: float
    coarse_range: float
    fine: float
    fine_range: float
    noise: float

    def __call__(self, h: np.ndarray) -> np.ndarray:
        """Covariance at distances ``h`` in pitches, of any shape."""
        return self.coarse * np.exp(-h / self.coarse_range) + self.fine * np.exp(-h / self.fine_range)


def kriging(problem: Problem) -> np.ndarray:
    """(wanted bins,) ordinary kriging from the nearest measured bins."""
    covariance = covariance_of(problem)

    def weights_of(offsets: np.ndarray, used: np.ndarray) -> np.ndarray:
        between, here = distances(offsets)
        kernel = covariance(between) + covariance.noise * np.eye(offsets.shape[1])
        return solve(kernel, covariance(here), np.ones((*used.shape, 1)), np.ones(1), used)

    return Neighbourhoods(problem, problem.wanted_at, NEIGHBOURS).predict(weights_of)


def covariance_of(problem: Problem) -> Covariance:
    """The covariance that the fitted variogram and the noise of counting lead to; all noise where nothing is shared."""
    variogram = fit_variogram(problem)
    total = variogram.nugget + variogram.sill
    if total == 0:
        return Covariance(coarse=0, coarse_range=1, fine=0, fine_range=1, noise=1)
    noise = variogram.nugget
    if problem.counting_noise is not None:
        # The fit may have put noise into a short range; and values that are smoother than counts hold no noise of counting.
        noise = min(problem.counting_noise, max(variogram.nugget, variogram.most_noise), total)
    fine = max(0.0, variogram.nugget - noise)
    return Covariance(
        coarse=(total - noise - fine) / total,
        coarse_range=variogram.range,
        fine=fine / total,
        fine_range=FINE_RANGE_BINS / problem.sparse.stride,
        noise=noise / total,
    )


def expected_error(covariance: Covariance, weights_of: Weights, stride: int, count: int) -> float:
    """Mean squared error that weights have in the middle of such a map, over the phases that are not measured.

    In parts of a measured bin's variance. This is how the other methods choose how much they smooth: leaving measured bins
    out would ask them to bridge twice the distance, and make them smooth too much.
    """
    errors = []
    for phase in np.ndindex(stride, stride):
        if phase == (0, 0):
            continue
        offsets = (rings(np.asarray(phase), stride, count) - np.asarray(phase) / stride)[None]
        weights = weights_of(offsets, np.ones(offsets.shape[:2], bool))[0]
        between, here = distances(offsets)
        kernel = covariance(between[0]) + covariance.noise * np.eye(len(weights))
        errors.append(1 - covariance.noise - 2 * weights @ covariance(here[0]) + weights @ kernel @ weights)
    return float(np.mean(errors))


def fit_variogram(problem: Problem) -> Variogram:
    """The variogram of the measured bins; nothing but a nugget where there are too few pairs to tell."""
    lag, half, pairs = experimental_variogram(problem)
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
    one, two = (half[lag == pitches] for pitches in (1, 2))
    most_noise = max(0.0, 2 * float(one.mean()) - float(two.mean())) if one.size and two.size else best.nugget
    return replace(best, most_noise=most_noise)


def experimental_variogram(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances in pitches, half the mean squared differences at them, and how many pairs each comes from.

    All pairs of a distance at once, by correlation (Marcotte 1996, Computers & Geosciences 22: 1175).
    """
    measured = problem.sparse.measured
    lattice = problem.lattice.astype(np.float64)
    known = np.where(measured, lattice - lattice[measured].mean(), 0)
    shape = [fft.next_fast_len(length + MAX_LAG, real=True) for length in measured.shape]
    mask, values, squares = (fft.rfft2(part, shape) for part in (measured.astype(np.float64), known, known**2))
    count = np.rint(fft.irfft2(np.abs(mask) ** 2, shape))
    total = fft.irfft2(2 * (mask.conj() * squares).real - 2 * np.abs(values) ** 2, shape)
    down, right = np.mgrid[: MAX_LAG + 1, -MAX_LAG : MAX_LAG + 1]
    near = (np.hypot(down, right) <= MAX_LAG) & ((down > 0) | (right > 0))
    down, right = down[near], right[near]
    pairs, total = count[down, right], total[down, right]
    some = pairs > 0
    half = total[some] / pairs[some] / 2
    half[half < ROUNDING * np.square(known).mean()] = 0
    return np.hypot(down, right)[some], half, pairs[some]
