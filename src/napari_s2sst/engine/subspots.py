"""A lattice's measured bins -> BayesSpace's spots and the sub-spots of each.

A spot is a measured bin; its sub-spots are the S x S bins about it, in which it lies at ((S - 1) // 2, (S - 1) // 2) as in
`sampling.refine`: in the middle where S is odd, at the upper left of the middle where S is even.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from .maps import SparseMap


@dataclass(frozen=True, eq=False)
class Subspots:
    """Which bins belong to which spot. Slot a * S + b of spot i is the bin (a, b) of its block of S x S bins."""

    shape: tuple[int, int]
    """(rows, columns) of the full grid."""
    at: np.ndarray
    """(slots, spots, 2) bin of every slot; some lie outside the grid."""
    used: np.ndarray
    """(slots, spots) True where that bin lies in the tissue."""
    inside: np.ndarray
    """(rows, columns) True where values are wanted."""

    def on_grid(self, values: np.ndarray) -> np.ndarray:
        """(..., slots, spots) -> (..., wanted bins) in the order of ``np.argwhere(inside)``.

        A bin in a block whose spot lies outside the tissue has no sub-spot, and gets that of the nearest bin that has one.
        """
        at = self.at[self.used]
        owner = np.full(self.shape, -1)
        owner[tuple(at.T)] = np.arange(len(at))
        owner = owner[self.inside]
        if (owner < 0).any():
            owner[owner < 0] = cKDTree(at).query(np.argwhere(self.inside)[owner < 0])[1]
        return values[..., self.used][..., owner]


def subspots_of(sparse: SparseMap) -> Subspots:
    """The sub-spots of a lattice's measured bins, which come in the order of ``sparse.values[sparse.measured]``."""
    stride, before = sparse.stride, (sparse.stride - 1) // 2
    corner = np.argwhere(sparse.measured) * stride + np.asarray(sparse.phase) - before
    slots = np.argwhere(np.ones((stride, stride), bool))
    at = slots[:, None] + corner[None]
    inside = sparse.tissue | sparse.lattice_mask()
    on_map = ((at >= 0) & (at < sparse.shape)).all(-1)
    used = on_map & inside[tuple(np.where(on_map[..., None], at, 0).transpose(2, 0, 1))]
    return Subspots(sparse.shape, at, used, inside)
