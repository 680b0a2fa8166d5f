"""A sparse map -> what the classical methods work on: where bins were measured, their values, where values are wanted.

All in the normalised space. Nothing of the map but its measured bins is in here, and nothing is wanted outside the tissue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from .maps import NormalisationKind, SparseMap


@dataclass(frozen=True, eq=False)
class Problem:
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
    colour: np.ndarray | None = None
    """(rows, columns, channels) of the morphology image, known at every bin; None where there is no image."""
    counting_noise: float | None = None
    """Variance that counting alone gives a measured bin's value; None where the values are no counts."""

    def on_lattice(self, at: np.ndarray) -> np.ndarray:
        """Bins of the full grid -> fractional lattice positions, kept within the lattice."""
        where = (at - np.asarray(self.sparse.phase)) / self.sparse.stride
        return np.clip(where, 0, np.asarray(self.lattice.shape) - 1)


def problem_of(sparse: SparseMap, normalisation: NormalisationKind, colour: np.ndarray | None = None) -> Problem:
    """The sparse map in the normalised space, its measured bins, those around its regions too, and its wanted ones."""
    sparse = sparse.with_context()
    lattice = sparse.normalised(normalisation)
    return Problem(
        sparse=sparse,
        lattice=_filled(lattice, sparse.measured),
        known_at=np.argwhere(sparse.measured) * sparse.stride + np.asarray(sparse.phase),
        known=lattice[sparse.measured].astype(np.float64),
        wanted_at=np.argwhere(sparse.tissue),
        colour=colour,
        counting_noise=_counting_noise(sparse, normalisation),
    )


def _counting_noise(sparse: SparseMap, kind: NormalisationKind) -> float | None:
    """Mean over the measured bins of Var[log(1 + s N)] ~ s^2 N / (1 + s N)^2, N Poisson, s the bin's scale."""
    if kind == "none":
        return None
    counts = sparse.values[sparse.measured].astype(np.float64)
    scale = np.ones_like(counts)
    if kind == "median-log1p":
        scale = sparse.normalisation(kind).median_total / np.maximum(sparse.totals[sparse.measured], 1)
    return float(np.mean(scale**2 * counts / (1 + scale * counts) ** 2))


def _filled(lattice: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """The lattice with unmeasured bins given the value of the nearest measured one."""
    if measured.all():
        return lattice
    index = ndimage.distance_transform_edt(~measured, return_distances=False, return_indices=True)
    return lattice[tuple(index)]
