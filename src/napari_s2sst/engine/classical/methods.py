"""A sparse map -> its whole map by a classical method, with the same result as the network's `impute`.

The nearest measured bin; bilinear, bicubic and inverse-distance interpolation (Shepard 1968); Gaussian smoothing; kriging (see
:mod:`.kriging`); local smoothed thin-plate splines (Duchon 1977; Wahba 1990, "Spline Models for Observational Data", chapter 2);
TESLA's imputation by inverse distance in position and image colour (Hu et al. 2023, Cell Systems 14: 404).

Each works in the normalised space on the measured tissue bins and gives every tissue bin a value; measured bins are put
back exactly. None looks at anything else of the map. Distances are in bins.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from ..errors import ConfigError
from ..maps import GeneMap, NormalisationKind, SparseMap
from .kriging import covariance_of, expected_error, kriging
from .neighbourhoods import Neighbourhoods, Problem, Weights, distances, problem_of, solve

NEIGHBOURS = 10
"""Of inverse distance weighting, as in TESLA (Hu et al. 2023)."""

WIDTHS = (0.25, 0.3, 0.35, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.6, 2.0)
"""Candidate widths of the Gaussian kernel, in lattice pitches."""

BELL_NEIGHBOURS = 120
"""Measured bins looked at when its width is chosen; all that the widest kernel weighs."""

TRUNCATE = 6.0
"""Widths after which the kernel is 0; a narrow one must still reach the nearest measured bin."""

THIN_PLATE_NEIGHBOURS = 24
"""At most; 48 take far longer, and change PCC in the third digit."""

SMOOTHINGS = (0.0, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Candidates for the price of missing the neighbours, added to the kernel's diagonal."""

TESLA_NEIGHBOURS = 10
POWER = 2
COLOUR_WEIGHT = 1.0
"""Of TESLA; all three are the authors' defaults (num_nbs, k, s)."""

NEAREST = 0.1
"""Added to every distance of TESLA so that none is 0, as the authors do."""


def _nearest(problem: Problem) -> np.ndarray:
    _, index = cKDTree(problem.known_at).query(problem.wanted_at)
    return problem.known[index]


def _on_grid(problem: Problem, method: str) -> np.ndarray:
    axes = tuple(np.arange(length) for length in problem.lattice.shape)
    grid = RegularGridInterpolator(axes, problem.lattice.astype(np.float64), method=method)
    return grid(problem.on_lattice(problem.wanted_at))


def _bilinear(problem: Problem) -> np.ndarray:
    return _on_grid(problem, "linear")


def _bicubic(problem: Problem) -> np.ndarray:
    at = problem.on_lattice(problem.wanted_at).T
    return ndimage.map_coordinates(problem.lattice, at, order=3, mode="nearest")


def _inverse_distance(problem: Problem) -> np.ndarray:
    """Weights 1 / distance over the nearest measured bins (Shepard 1968)."""
    count = min(NEIGHBOURS, len(problem.known))
    distance, index = cKDTree(problem.known_at).query(problem.wanted_at, k=count)
    distance, index = distance.reshape(-1, count), index.reshape(-1, count)
    weight = 1 / np.maximum(distance, 1e-6)
    return (problem.known[index] * weight).sum(1) / weight.sum(1)


def _gaussian(problem: Problem) -> np.ndarray:
    """Nadaraya-Watson smoothing; the width is the one that the measured bins' covariance expects to do best."""
    sparse = problem.sparse
    covariance = covariance_of(problem)
    pitches = min(WIDTHS, key=lambda width: expected_error(covariance, _bell(width), sparse.stride, BELL_NEIGHBOURS))
    sigma = pitches * sparse.stride
    values, measured = np.zeros(sparse.shape), sparse.lattice_mask()
    values[measured] = problem.known
    weight, total = (ndimage.gaussian_filter(part, sigma, mode="constant", truncate=TRUNCATE)
                     for part in (measured.astype(np.float64), values))  # fmt: skip
    smooth = total / np.maximum(weight, 1e-300)
    # Where no measured bin is within reach of the kernel, the nearest one is all there is.
    smooth = np.where(weight > 1e-12, smooth, np.nan)[tuple(problem.wanted_at.T)]
    return np.where(np.isnan(smooth), _nearest(problem), smooth)


def _bell(width: float) -> Weights:
    """Gaussian weights of that width in pitches."""

    def weights_of(offsets: np.ndarray, used: np.ndarray) -> np.ndarray:
        weights = used * np.exp(-(offsets**2).sum(-1) / (2 * width**2))
        return weights / weights.sum(1, keepdims=True)

    return weights_of


def thin_plate(problem: Problem) -> np.ndarray:
    """(wanted bins,) smoothed thin-plate spline through the nearest measured bins.

    The surface through them that bends least, allowed to miss them at a price, which is the one that the measured bins'
    covariance expects to do best. With the same neighbours, kernel r^2 log r and linear drift it is what
    `scipy.interpolate.RBFInterpolator` gives, but the weights are worked out once for each pattern. Distances are in lattice
    pitches.
    """
    weights_of = spline(choose_smoothing(problem))
    return Neighbourhoods(problem, problem.wanted_at, THIN_PLATE_NEIGHBOURS).predict(weights_of)


def choose_smoothing(problem: Problem) -> float:
    """The candidate with the least error expected at unmeasured bins, from the measured ones alone."""
    covariance, stride = covariance_of(problem), problem.sparse.stride
    return min(SMOOTHINGS, key=lambda price: expected_error(covariance, spline(price), stride, THIN_PLATE_NEIGHBOURS))


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


def tesla(problem: Problem) -> np.ndarray:
    """(wanted bins,) inverse squared distance over the nearest measured bins, without an image."""
    return _weighted(problem, problem.known_at, problem.wanted_at)


def tesla_with_image(problem: Problem) -> np.ndarray:
    """(wanted bins,) as :func:`tesla`, with the image's colour as a third dimension; ``problem.colour`` must be there.

    A bin lies at (row, column, z), where z is its colour scaled to ``COLOUR_WEIGHT`` times the spread of the positions. The
    authors' limit on how far a neighbour may be is left out: on a lattice it removes nothing but bins at the border.
    """
    depth = _depth(problem.colour, problem.sparse.tissue)
    known_at, wanted_at = (np.column_stack([at, depth[tuple(at.T)]]) for at in (problem.known_at, problem.wanted_at))
    return _weighted(problem, known_at, wanted_at)


def _weighted(problem: Problem, known_at: np.ndarray, wanted_at: np.ndarray) -> np.ndarray:
    count = min(TESLA_NEIGHBOURS, len(problem.known))
    distance, index = cKDTree(known_at).query(wanted_at, k=count)
    distance, index = distance.reshape(-1, count) + NEAREST, index.reshape(-1, count)
    weight = (distance[:, :1] / distance) ** POWER
    return (problem.known[index] * weight).sum(1) / weight.sum(1)


def _depth(colour: np.ndarray, tissue: np.ndarray) -> np.ndarray:
    """(rows, columns, channels) -> (rows, columns) z, in bins: channels count by their variance, as the authors have it."""
    inside = colour[tissue].astype(np.float64)
    variance = inside.var(axis=0)
    if not variance.any():
        return np.zeros(tissue.shape)
    grey = colour.astype(np.float64) @ (variance / variance.sum())
    spread = np.argwhere(tissue).std(axis=0).max()
    return (grey - grey[tissue].mean()) / max(float(grey[tissue].std()), 1e-12) * spread * COLOUR_WEIGHT


METHODS: dict[str, Callable[[Problem], np.ndarray]] = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "inverse distance": _inverse_distance,
    "Gaussian": _gaussian,
    "kriging": kriging,
    "thin plate": thin_plate,
    "TESLA": tesla,
}
"""Shown in the window and in every table of scores: each under a second for a map of 182 x 513 bins."""

BENCHMARK_METHODS: dict[str, Callable[[Problem], np.ndarray]] = {
    "TESLA with image": tesla_with_image,
}
"""Only in the benchmark: slow, or in need of something that not every slide has."""


def interpolate(
    sparse: SparseMap,
    method: str = "inverse distance",
    normalisation: NormalisationKind = "log1p",
    *,
    colour: np.ndarray | None = None,
) -> GeneMap:
    """A classical method's map of the whole tissue, (rows, columns) in the normalised space; 0 outside the tissue.

    ``method`` is one of :data:`METHODS` or :data:`BENCHMARK_METHODS`; the baselines are in Fang et al. 2025, section 2.6.
    ``colour`` (rows, columns, channels) is the morphology image per bin; only "TESLA with image" needs it.
    Raises :class:`ConfigError` on an unknown method, or a colour map that is missing or of another grid;
    :class:`BundleError` where ``median-log1p`` lacks the totals.
    """
    every = METHODS | BENCHMARK_METHODS
    if method not in every:
        raise ConfigError(f"There is no method {method!r}. Choose one of {', '.join(every)}.")
    if method == "TESLA with image" and colour is None:
        raise ConfigError(
            f"The method {method!r} needs the morphology image as a colour map; give one, or choose 'TESLA'."
        )
    if colour is not None and (colour.ndim != 3 or colour.shape[:2] != sparse.shape):
        raise ConfigError(
            f"The colour map has the shape {colour.shape}, the map {sparse.shape[0]} x {sparse.shape[1]} bins; "
            "give (rows, columns, channels) of the same grid."
        )
    problem = problem_of(sparse, normalisation, colour)
    values = np.zeros(sparse.shape, np.float32)
    values[sparse.tissue] = every[method](problem)
    sparse.restore(values, normalisation)
    return sparse.filled(values, normalisation)
