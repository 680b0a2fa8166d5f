"""TESLA's imputation (Hu et al. 2023, Cell Systems 14: 404): inverse distance in position and image colour.

A bin lies at (row, column, z), where z is its colour scaled to ``COLOUR_WEIGHT`` times the spread of the positions; the ten
nearest measured bins in these three dimensions count by the inverse square of their distance. Without an image z is 0.
The authors' limit on how far a neighbour may be is left out: on a lattice it removes nothing but bins at the border.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from .measured_bins import Problem

NEIGHBOURS = 10
POWER = 2
COLOUR_WEIGHT = 1.0
"""All three are the authors' defaults (num_nbs, k, s)."""

NEAREST = 0.1
"""Added to every distance so that none is 0, as the authors do."""


def tesla(problem: Problem) -> np.ndarray:
    """(wanted bins,) inverse squared distance over the nearest measured bins, without an image."""
    return _weighted(problem, problem.known_at, problem.wanted_at)


def tesla_with_image(problem: Problem) -> np.ndarray:
    """(wanted bins,) the same with the image's colour as a third dimension; ``problem.colour`` must be there."""
    depth = _depth(problem.colour, problem.sparse.tissue)
    known_at, wanted_at = (np.column_stack([at, depth[tuple(at.T)]]) for at in (problem.known_at, problem.wanted_at))
    return _weighted(problem, known_at, wanted_at)


def _weighted(problem: Problem, known_at: np.ndarray, wanted_at: np.ndarray) -> np.ndarray:
    count = min(NEIGHBOURS, len(problem.known))
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
