"""The classical methods, on the same sparse input and with the same result as the network's `impute`.

Each works in the normalised space on the measured tissue bins and gives every tissue bin a value; measured bins are put
back exactly. None looks at anything else of the map. Distances are in bins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator
from scipy.spatial import cKDTree

from .errors import ConfigError
from .maps import GeneMap, NormalisationKind, SparseMap

NEIGHBOURS = 10
"""Of inverse distance weighting, as in TESLA (Hu et al. 2023)."""

WIDTHS = (0.6, 0.8, 1.0, 1.3, 1.6, 2.0, 2.5, 3.2, 4.0)
"""Candidate widths of the Gaussian kernel, in lattice pitches over 2: 1.6 is 1.6 bins at stride 2."""


@dataclass(frozen=True)
class _Problem:
    """A sparse map ready to interpolate."""

    sparse: SparseMap
    lattice: np.ndarray
    """(lattice rows, lattice columns) values; unmeasured bins hold their nearest measured one's."""
    known_at: np.ndarray
    """(n, 2) bins that were measured."""
    known: np.ndarray
    """(n,) their values."""
    wanted_at: np.ndarray
    """(m, 2) tissue bins."""

    def on_lattice(self, at: np.ndarray) -> np.ndarray:
        """Bins of the full grid -> fractional lattice positions, kept within the lattice."""
        where = (at - np.asarray(self.sparse.phase)) / self.sparse.stride
        return np.clip(where, 0, np.asarray(self.lattice.shape) - 1)


def _nearest(problem: _Problem) -> np.ndarray:
    _, index = cKDTree(problem.known_at).query(problem.wanted_at)
    return problem.known[index]


def _on_grid(problem: _Problem, method: str) -> np.ndarray:
    axes = tuple(np.arange(length) for length in problem.lattice.shape)
    grid = RegularGridInterpolator(axes, problem.lattice.astype(np.float64), method=method)
    return grid(problem.on_lattice(problem.wanted_at))


def _bilinear(problem: _Problem) -> np.ndarray:
    return _on_grid(problem, "linear")


def _bicubic(problem: _Problem) -> np.ndarray:
    at = problem.on_lattice(problem.wanted_at).T
    return ndimage.map_coordinates(problem.lattice, at, order=3, mode="nearest")


def _inverse_distance(problem: _Problem) -> np.ndarray:
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


def _gaussian(problem: _Problem) -> np.ndarray:
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


METHODS: dict[str, Callable[[_Problem], np.ndarray]] = {
    "nearest": _nearest,
    "bilinear": _bilinear,
    "bicubic": _bicubic,
    "inverse distance": _inverse_distance,
    "Gaussian": _gaussian,
}


def interpolate(
    sparse: SparseMap, method: str = "inverse distance", normalisation: NormalisationKind = "log1p"
) -> GeneMap:
    """A classical method's map of the whole tissue, in the normalised space; 0 outside the tissue.

    Raises :class:`ConfigError` on an unknown method.
    """
    if method not in METHODS:
        raise ConfigError(f"There is no method {method!r}. Choose one of {', '.join(METHODS)}.")
    lattice = sparse.normalised(normalisation)
    known_at = np.argwhere(sparse.measured) * sparse.stride + np.asarray(sparse.phase)
    problem = _Problem(
        sparse=sparse,
        lattice=_filled(lattice, sparse.measured),
        known_at=known_at,
        known=lattice[sparse.measured].astype(np.float64),
        wanted_at=np.argwhere(sparse.tissue),
    )
    values = np.zeros(sparse.shape, np.float32)
    values[sparse.tissue] = METHODS[method](problem)
    values[sparse.lattice_mask()] = lattice[sparse.measured]
    return GeneMap(
        values=values, tissue=sparse.tissue, gene=sparse.gene, bin_um=sparse.bin_um, origin_um=sparse.origin_um,
        normalisation=sparse.normalisation(normalisation),
    )  # fmt: skip


def _filled(lattice: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """The lattice with unmeasured bins given the value of the nearest measured one."""
    if measured.all():
        return lattice
    index = ndimage.distance_transform_edt(~measured, return_distances=False, return_indices=True)
    return lattice[tuple(index)]
