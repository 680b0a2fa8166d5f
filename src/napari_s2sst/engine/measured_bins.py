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

    def on_lattice(self, at: np.ndarray) -> np.ndarray:
        """Bins of the full grid -> fractional lattice positions, kept within the lattice."""
        where = (at - np.asarray(self.sparse.phase)) / self.sparse.stride
        return np.clip(where, 0, np.asarray(self.lattice.shape) - 1)


def problem_of(sparse: SparseMap, normalisation: NormalisationKind, colour: np.ndarray | None = None) -> Problem:
    """The sparse map in the normalised space, its measured and its wanted bins."""
    lattice = sparse.normalised(normalisation)
    return Problem(
        sparse=sparse,
        lattice=_filled(lattice, sparse.measured),
        known_at=np.argwhere(sparse.measured) * sparse.stride + np.asarray(sparse.phase),
        known=lattice[sparse.measured].astype(np.float64),
        wanted_at=np.argwhere(sparse.tissue),
        colour=colour,
    )


def _filled(lattice: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """The lattice with unmeasured bins given the value of the nearest measured one."""
    if measured.all():
        return lattice
    index = ndimage.distance_transform_edt(~measured, return_distances=False, return_indices=True)
    return lattice[tuple(index)]
