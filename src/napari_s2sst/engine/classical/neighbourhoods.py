"""A sparse map -> what the classical methods work on: measured bins, wanted bins, and the nearest of the first about the second.

Predictions are linear, with the weights worked out once for each pattern of neighbours. On a lattice nearly every bin has its
neighbours at the same places as all others of its phase: S * S patterns serve the whole map. Where the tissue ends, bins take
their own nearest measured bins, and those that look alike share a pattern.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from ..maps import NormalisationKind, SparseMap

PATTERNS_AT_ONCE = 2048
"""Systems solved in one call; some tens of MB."""

MOST_WEIGHT = 4.0
"""Sum of the weights' sizes above which neighbours are too few or too one-sided for a system of equations to be trusted."""

Weights = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(patterns, n, 2) positions of neighbours seen from the wanted bin, in lattice pitches, (patterns, n) which of them
count -> (patterns, n) weights."""


@dataclass(frozen=True, eq=False, kw_only=True)
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
        """(n, 2) bins of the full grid -> (n, 2) fractional lattice positions, kept within the lattice."""
        where = (at - np.asarray(self.sparse.phase)) / self.sparse.stride
        return np.clip(where, 0, np.asarray(self.lattice.shape) - 1)


def problem_of(sparse: SparseMap, normalisation: NormalisationKind, colour: np.ndarray | None = None) -> Problem:
    """The sparse map in the normalised space, its measured bins, those around its regions too, and its wanted ones.

    ``colour`` is (rows, columns, channels). Raises :class:`BundleError` where ``median-log1p`` lacks the totals.
    """
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


@dataclass(frozen=True, eq=False, kw_only=True)
class _Group:
    """Wanted bins that share patterns."""

    rows: np.ndarray
    """(m,) which of the wanted bins."""
    neighbours: np.ndarray
    """(m, n) which of the measured bins."""
    offsets: np.ndarray
    """(patterns, n, 2) in lattice pitches."""
    used: np.ndarray
    """(patterns, n) False for places without a neighbour."""
    pattern: np.ndarray
    """(m,) the pattern of each wanted bin."""


class Neighbourhoods:
    """The nearest measured bins of some bins of the full grid: at most ``count`` of them, in whole rings.

    A ring of equally near bins is taken whole or not at all, so that turning the slide turns the result.
    """

    def __init__(self, problem: Problem, wanted_at: np.ndarray, count: int) -> None:
        self.problem = problem
        self.size = len(wanted_at)
        sparse = problem.sparse
        self._index = np.full(sparse.measured.shape, -1)
        self._index[sparse.measured] = np.arange(len(problem.known))
        seen_from = wanted_at - np.asarray(sparse.phase)
        cell, phase = seen_from // sparse.stride, seen_from % sparse.stride
        self._groups: list[_Group] = []
        left = np.ones(self.size, bool)
        for kind in np.unique(phase, axis=0):
            rows = np.flatnonzero((phase == kind).all(1))
            places = rings(kind, sparse.stride, count)
            neighbours = self._look_up(cell[rows], places)
            complete = (neighbours >= 0).all(1)
            left[rows[complete]] = False
            offsets = places - kind / sparse.stride
            self._groups.append(
                _Group(
                    rows=rows[complete],
                    neighbours=neighbours[complete],
                    offsets=offsets[None],
                    used=np.ones((1, len(places)), bool),
                    pattern=np.zeros(int(complete.sum()), int),
                )
            )
        if left.any():
            self._groups.append(self._irregular(np.flatnonzero(left), wanted_at, count))

    def predict(self, weights_of: Weights) -> np.ndarray:
        """(wanted bins,) weighted sums of the neighbours' values."""
        predicted = np.empty(self.size)
        for group in self._groups:
            weights = np.concatenate([
                _trusted(weights_of(group.offsets[part], group.used[part]), group.offsets[part], group.used[part])
                for part in _parts(len(group.offsets))
            ])  # fmt: skip
            values = self.problem.known[group.neighbours]
            predicted[group.rows] = np.einsum("ij,ij->i", values, weights[group.pattern])
        return predicted

    def _look_up(self, cell: np.ndarray, places: np.ndarray) -> np.ndarray:
        """(m, 2) lattice cells and (n, 2) places about them -> (m, n) measured bins, -1 where there is none."""
        at = cell[:, None] + places
        shape = np.asarray(self._index.shape)
        inside = ((at >= 0) & (at < shape)).all(-1)
        at = np.clip(at, 0, shape - 1)
        return np.where(inside, self._index[at[..., 0], at[..., 1]], -1)

    def _irregular(self, rows: np.ndarray, wanted_at: np.ndarray, count: int) -> _Group:
        known_at, wanted = self.problem.known_at, wanted_at[rows]
        most = min(count + 1, len(known_at))
        distance, near = cKDTree(known_at).query(wanted, k=most)
        distance, near = distance.reshape(-1, most), near.reshape(-1, most)
        beyond = np.full(len(rows), np.inf) if most < count + 1 else distance[:, -1]
        used = distance < beyond[:, None]
        offsets = known_at[near] - wanted[:, None]
        reach = int(np.abs(offsets).max()) + 1
        key = np.where(used, offsets[..., 0] * 2 * reach + offsets[..., 1], 4 * reach * reach)
        order = np.argsort(key, axis=1)  # bins with the same neighbours must list them alike
        key, near, used = (np.take_along_axis(part, order, 1) for part in (key, near, used))
        _, first, pattern = np.unique(_as_rows(key), return_index=True, return_inverse=True)
        offsets = np.take_along_axis(offsets, order[..., None], 1)[first] / self.problem.sparse.stride
        return _Group(rows=rows, neighbours=near, offsets=offsets, used=used[first], pattern=pattern.reshape(-1))


def solve(
    kernel: np.ndarray, towards: np.ndarray, drift: np.ndarray, drift_here: np.ndarray, used: np.ndarray
) -> np.ndarray:
    """Weights that predict best under a covariance and are exact for a drift: [[K, F], [F', 0]] [w, m] = [k, f].

    ``kernel`` (patterns, n, n), ``towards`` (patterns, n) of the neighbours and the wanted bin, ``drift``
    (patterns, n, q), ``drift_here`` (q,), ``used`` (patterns, n). NaN where the system has no solution.
    """
    patterns, n, q = drift.shape
    both = used[:, :, None] & used[:, None, :]
    system = np.zeros((patterns, n + q, n + q))
    system[:, :n, :n] = np.where(both, kernel, 0)
    spare = np.arange(n)
    system[:, spare, spare] = np.where(used, system[:, spare, spare], 1)
    system[:, :n, n:] = drift * used[..., None]
    system[:, n:, :n] = system[:, :n, n:].transpose(0, 2, 1)
    right = np.concatenate([towards * used, np.broadcast_to(drift_here, (patterns, q))], axis=1)[..., None]
    try:
        return np.linalg.solve(system, right)[:, :n, 0]
    except np.linalg.LinAlgError:  # one singular system spoils the call
        if patterns == 1:
            return np.full((1, n), np.nan)
        halves = np.array_split(np.arange(patterns), 2)
        return np.concatenate([
            solve(kernel[half], towards[half], drift[half], drift_here, used[half]) for half in halves
        ])  # fmt: skip


def distances(offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(patterns, n, 2) -> (patterns, n, n) between neighbours and (patterns, n) to the wanted bin, in pitches."""
    between = offsets[:, :, None] - offsets[:, None]
    return np.sqrt((between**2).sum(-1)), np.sqrt((offsets**2).sum(-1))


def _trusted(weights: np.ndarray, offsets: np.ndarray, used: np.ndarray) -> np.ndarray:
    """The weights, or those of inverse distance where they don't add up to one or nearly cancel each other."""
    weights = np.where(used, weights, 0)
    good = (np.abs(weights.sum(1) - 1) < 1e-6) & (np.abs(weights).sum(1) <= MOST_WEIGHT)
    simple = used / np.maximum(np.sqrt((offsets**2).sum(-1)), 1e-6)
    return np.where(good[:, None], weights, simple / simple.sum(1, keepdims=True))


def rings(phase: np.ndarray, stride: int, count: int) -> np.ndarray:
    """(n, 2) lattice places nearest to a bin of that phase in cell (0, 0), in whole rings, at most ``count``."""
    side = int(np.ceil(np.sqrt(count))) + 2
    places = np.stack(np.meshgrid(*[np.arange(-side, side + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    squared = ((places * stride - phase) ** 2).sum(1)
    order = np.argsort(squared, kind="stable")
    return places[order[: count + 1]][squared[order[: count + 1]] < squared[order[count]]]


def _parts(length: int) -> list[slice]:
    return [slice(first, first + PATTERNS_AT_ONCE) for first in range(0, length, PATTERNS_AT_ONCE)]


def _as_rows(table: np.ndarray) -> np.ndarray:
    """(rows,) each row of whole numbers as one value, which is far faster to tell apart."""
    table = np.ascontiguousarray(table, np.int64)
    return table.view(np.dtype((np.void, table.itemsize * table.shape[1]))).reshape(-1)
