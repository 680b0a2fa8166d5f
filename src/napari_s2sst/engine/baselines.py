"""The classical methods, on the same sparse input and with the same result as the network's `impute`.

Each works in the normalised space on the measured tissue bins and gives every tissue bin a value; measured bins are put
back exactly. None looks at anything else of the map. Distances are in bins.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from .errors import ConfigError
from .kriging import kriging
from .maps import GeneMap, NormalisationKind, SparseMap
from .measured_bins import Problem, problem_of
from .tesla import tesla
from .thin_plate import thin_plate

NEIGHBOURS = 10
"""Of inverse distance weighting, as in TESLA (Hu et al. 2023)."""

WIDTHS = (0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2, 4.0)
"""Candidate widths of the Gaussian kernel, in lattice pitches over 2: 1.6 is 1.6 bins at stride 2."""


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


def _smooth_lattice(values: np.ndarray, measured: np.ndarray, width: float, out: float = 0.0) -> np.ndarray:
    """Normalised Gaussian smoothing of the lattice; ``out`` takes that much of the bin itself out again."""
    weight = ndimage.gaussian_filter(measured.astype(np.float64), width, mode="constant")
    total = ndimage.gaussian_filter(np.where(measured, values, 0).astype(np.float64), width, mode="constant")
    return (total - out * values) / np.maximum(weight - out, 1e-12)


def _gaussian(problem: Problem) -> np.ndarray:
    """Nadaraya-Watson smoothing; the width is the one that best predicts measured bins from the others."""
    sparse, lattice = problem.sparse, problem.lattice
    inside = sparse.measured
    spike = np.zeros((41, 41))
    spike[20, 20] = 1
    best_error, best = np.inf, WIDTHS[0]
    for width in WIDTHS:
        own = ndimage.gaussian_filter(spike, width / 2, mode="constant")[20, 20]
        guess = _smooth_lattice(lattice, inside, width / 2, out=own)
        error = np.mean((guess - lattice)[inside] ** 2)
        if error < best_error:
            best_error, best = error, width
    sigma = best * sparse.stride / 2
    full = np.zeros(sparse.shape)
    full[sparse.lattice_mask()] = problem.known
    smooth = _smooth_lattice(full, sparse.lattice_mask(), sigma)
    return smooth[tuple(problem.wanted_at.T)]


METHODS: dict[str, Callable[[Problem], np.ndarray]] = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "inverse distance": _inverse_distance,
    "Gaussian": _gaussian,
    "kriging": kriging,
}
"""Shown in the window and in every table of scores: under a second for a map of 182 x 513 bins."""

BENCHMARK_METHODS: dict[str, Callable[[Problem], np.ndarray]] = {
    "thin plate": thin_plate,
    "TESLA": tesla,
}
"""Only in the benchmark: slower, or in need of the morphology image to be more than another method's twin."""


def interpolate(
    sparse: SparseMap,
    method: str = "inverse distance",
    normalisation: NormalisationKind = "log1p",
    *,
    colour: np.ndarray | None = None,
) -> GeneMap:
    """A classical method's map of the whole tissue, in the normalised space; 0 outside the tissue.

    ``colour`` (rows, columns, channels) is the morphology image per bin; TESLA alone looks at it.
    Raises :class:`ConfigError` on an unknown method or a colour map of another grid.
    """
    every = METHODS | BENCHMARK_METHODS
    if method not in every:
        raise ConfigError(f"There is no method {method!r}. Choose one of {', '.join(every)}.")
    if colour is not None and (colour.ndim != 3 or colour.shape[:2] != sparse.shape):
        raise ConfigError(
            f"The colour map has the shape {colour.shape}, the map {sparse.shape[0]} x {sparse.shape[1]} bins; "
            "give (rows, columns, channels) of the same grid."
        )
    problem = problem_of(sparse, normalisation, colour)
    values = np.zeros(sparse.shape, np.float32)
    values[sparse.tissue] = every[method](problem)
    values[sparse.lattice_mask()] = sparse.normalised(normalisation)[sparse.measured]
    return GeneMap(
        values=values, tissue=sparse.tissue, gene=sparse.gene, bin_um=sparse.bin_um, origin_um=sparse.origin_um,
        normalisation=sparse.normalisation(normalisation),
    )  # fmt: skip
