"""BayesSpace's chain: a lattice's measured bins as spots, and their components -> those of the sub-spots of each spot.

Zhao et al. 2021, Nat. Biotechnol. 39: 1375.

The model, y being the principal components of sub-spot j, z its cluster, and y0 the components of its spot:

    y_j | z_j = k, w_j ~ Normal(mu_k, (w_j Lambda)^-1)    w_j ~ Gamma(2, 2): together Student's t with 4 degrees of freedom
    mean of y_j over the spot = y0                        p(y) ~ exp(-c sum |y_j - y0|^2): sub-spots are like their spot
    p(z) ~ exp(2 gamma / 4 * number of alike neighbours)  the Potts model on the four neighbours of a square lattice
    mu_k ~ Normal(0, 100 I), Lambda ~ Wishart(1, 100 I)

All spots jitter their components at once, as given the clusters they know nothing of one another. The labels of a bin
depend on its four neighbours, which are all of the other colour of a checkerboard; so all bins of a colour change at once,
and going through the two colours is as good a Metropolis-within-Gibbs scan as going through the bins one by one.
The paper divides by each bin's own number of neighbours, which is 4 but at the border of the tissue; dividing by 4 there too
makes the conditional distributions those of one joint distribution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from ..maps import SparseMap

GAMMA = 2.0
"""Smoothness of the Potts model: BayesSpace's default for square lattices (its manual: 1 to 3 work well)."""

FREEDOM = 4.0
"""Degrees of freedom of the t-distribution: the paper's weights are Gamma(2, 2)."""

JITTER_PRIOR = 0.3
"""Prior variance of a sub-spot about its spot, as a share of the components' mean variance: BayesSpace's manual and default.

Its program takes the reciprocal instead, and so lets sub-spots stray 11 times as far (in variance) before the prior holds
them; maps are worse for it, smooth ones by a quarter in MAE.
"""

MEAN_PRECISION = 0.01
"""Prior precision of the clusters' means (lambda0 in BayesSpace's manual)."""

WISHART_FREEDOM = 1.0
WISHART_SCALE = 0.01
"""Prior of the precision (alpha and beta in BayesSpace's manual)."""

ACCEPTED = 0.3
"""Share of jitters to accept, which BayesSpace's manual wants between 25 % and 40 %; the width is set during the burn-in."""

ADAPT_EVERY = 10
"""Iterations between two looks at that share."""

KEEP_EVERY = 10
"""Iterations between two that count; BayesSpace keeps every hundredth, for its chains are longer and written to a file."""

REPORT_EVERY = 50
"""Iterations between two calls of ``on_step``."""

ROUNDING = 1e-6
"""Of the scatter's trace, added to its diagonal: what float32 can't tell from 0."""


@dataclass(frozen=True, eq=False)
class Subspots:
    """Bins of every spot. Slot a * S + b of spot i is the bin (a, b) of its block of S x S bins.

    The measured bin lies at ((S - 1) // 2, (S - 1) // 2) of its block, as in :func:`~.sampling.lattice.refine`: in the middle
    where S is odd, at the upper left of the middle where S is even.
    """

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


@dataclass(frozen=True, eq=False)
class Enhanced:
    """Result of the chain for the sub-spots."""

    components: np.ndarray
    """(components, slots, spots) mean after the burn-in."""
    labels: np.ndarray
    """(slots, spots) the cluster that each was in most often."""
    accepted: float
    """Share of jitters that were accepted after the burn-in."""


class Chain:
    """The state of the chain, changed in place; ``components`` is (components, slots * spots) and so are all like it."""

    def __init__(
        self,
        spots: np.ndarray,
        labels: np.ndarray,
        subspots: Subspots,
        *,
        clusters: int,
        gamma: float = GAMMA,
        seed: int = 0,
    ) -> None:
        """``spots`` (spots, components), centred; ``labels`` (spots,) their clusters at the start, from 0."""
        slots, count = subspots.used.shape
        self._rng = np.random.Generator(np.random.SFC64(seed))
        self._slots, self._clusters, self._gamma = slots, clusters, gamma
        self._used = subspots.used.ravel()
        self._used32 = self._used.astype(np.float32)
        self._per_spot = np.maximum(subspots.used.sum(0), 1).astype(np.float32)
        self._movable = subspots.used.sum(0) > 1
        self._spots = spots.T.astype(np.float32)
        self.components = np.tile(self._spots, (1, slots))
        self.labels = np.tile(labels.astype(np.intp), slots)
        self.weights = self._used32.copy()
        self._pull = 1 / (2 * JITTER_PRIOR * spots.var(axis=0).mean())
        moves = max(spots.shape[1] * (slots - 1), 1)
        # A random walk's best width for a normal distribution (Roberts et al. 1997); the burn-in sets it.
        self.jitter = 2.4 / np.sqrt(moves)
        self._noise = np.empty_like(self.components)
        self._column = np.arange(slots * count)
        self._see_neighbours(subspots)
        size = spots.shape[1]
        self.settle(np.zeros((size, clusters)), np.eye(size) / np.sqrt(spots.var(axis=0).mean()))

    def _see_neighbours(self, subspots: Subspots) -> None:
        rows, columns = subspots.shape
        at = subspots.at.reshape(-1, 2)
        place = (at[:, 0] + 1) * (columns + 2) + at[:, 1] + 1
        # A frame around the grid and glass hold -1, which is nobody's label.
        self._map = np.full((rows + 2) * (columns + 2), -1, np.int16)
        self._map[place[self._used]] = self.labels[self._used]
        steps = np.array([-1, 1, -(columns + 2), columns + 2])
        self._colours = []
        for colour in (0, 1):
            mine = np.flatnonzero(self._used & (at.sum(1) % 2 == colour))
            self._colours.append((mine, place[mine], place[mine] + steps[:, None]))

    def step(self) -> float:
        """One iteration; returns the share of spots whose jitter was accepted."""
        self.update_clusters()
        self.update_weights()
        accepted = self.update_components()
        self.update_labels()
        return accepted

    def settle(self, means: np.ndarray, precision_root: np.ndarray) -> None:
        """Take these (components, clusters) means and this T, T T' = Lambda; all distances follow from them."""
        self._settle(means, precision_root, self._residual(means))

    def _settle(self, means: np.ndarray, precision_root: np.ndarray, residual: np.ndarray) -> None:
        self.means, self.root = means, precision_root
        self._white = precision_root.T.astype(np.float32) @ residual
        self._distance = np.square(self._white).sum(0)

    def _residual(self, means: np.ndarray) -> np.ndarray:
        return self.components - means.astype(np.float32)[:, self.labels]

    def update_clusters(self) -> None:
        """Draw the means, then the precision, each from its conditional distribution (both are conjugate)."""
        size = len(self.components)
        share = (self.labels == np.arange(self._clusters)[:, None]) * self.weights
        counts = share.sum(1, dtype=np.float64)
        sums = (self.components @ share.T).T.astype(np.float64)  # (clusters, components)
        precision = self.root @ self.root.T
        posterior = MEAN_PRECISION * np.eye(size) + counts[:, None, None] * precision
        root = np.linalg.cholesky(posterior)
        normal = self._rng.standard_normal((self._clusters, size, 1))
        pulled = np.linalg.solve(root, (sums @ precision)[..., None]) + normal
        means = np.linalg.solve(root.transpose(0, 2, 1), pulled)[..., 0].T

        residual = self._residual(means)
        scatter = ((residual * self.weights) @ residual.T).astype(np.float64)
        scatter[np.diag_indices(size)] += WISHART_SCALE + ROUNDING * np.trace(scatter)
        self._settle(means, _wishart_root(self._rng, WISHART_FREEDOM + self._used.sum(), scatter), residual)

    def update_weights(self) -> None:
        """Draw the weights, which make the normal distribution a t-distribution."""
        shape = (FREEDOM + len(self.components)) / 2
        drawn = self._rng.standard_gamma(shape, len(self.weights), dtype=np.float32)
        self.weights = self._used32 * drawn / ((np.float32(FREEDOM) + self._distance) / 2)

    def update_components(self) -> float:
        """Jitter every spot's sub-spots so that their mean stays, and accept by Metropolis' rule; returns the share accepted.

        The jitter has the clusters' own covariance, so that it suits strong and weak components alike.
        """
        size = len(self.components)
        by_spot = (size, self._slots, -1)
        noise = self._rng.standard_normal(out=self._noise, dtype=np.float32)
        noise *= self._used32
        cube = noise.reshape(by_spot)
        cube -= (cube.sum(1) / self._per_spot)[:, None]
        # An outlying spot, whose weights are low, has more room to move; the weights are fixed here, so this is fair.
        room = self._per_spot / np.maximum(self.weights.reshape(self._slots, -1).sum(0), np.float32(1e-6))
        noise *= self._used32 * np.tile(np.float32(self.jitter) * np.sqrt(room), self._slots)
        moved = self._white + noise
        distance = np.square(moved).sum(0)
        change = np.linalg.inv(self.root.T).astype(np.float32) @ noise
        # The sum of a spot's jitters is 0, so how far its sub-spots lie from it changes as their squares do.
        spread = (change * (2 * self.components + change)).sum(0)
        gain = -0.5 * self.weights * (distance - self._distance) - np.float32(self._pull) * spread
        gain = gain.reshape(self._slots, -1).sum(0)
        yes = self._movable & (gain > -self._rng.standard_exponential(len(gain), dtype=np.float32))
        every = np.tile(yes, self._slots)
        self.components += change * every
        np.copyto(self._white, moved, where=every)
        np.copyto(self._distance, distance, where=every)
        return float(yes.sum() / max(self._movable.sum(), 1))

    def expected_components(self) -> np.ndarray:
        """(components, slots * spots) what jittering for ever would give on average, with clusters and weights as they are.

        Along the eigenvectors of Lambda a component is normal with precision w lambda + 2 c before its spot's mean is held.
        Averaging this instead of the jittered values has the same limit and less noise (Gelfand and Smith 1990).
        """
        strength, axes = np.linalg.eigh(self.root @ self.root.T)
        axes = axes.astype(np.float32)
        pull = np.float32(2 * self._pull)
        towards = strength.astype(np.float32)[:, None] * self.weights
        spots = np.tile(self._spots, (1, self._slots))
        deviation = axes.T @ (self.means.astype(np.float32)[:, self.labels] - spots)
        variance = self._used32 / (towards + pull)
        by_spot = (len(strength), self._slots, -1)
        offset = (towards * deviation * variance).reshape(by_spot)
        variance = variance.reshape(by_spot)
        offset = offset - variance * (offset.sum(1) / variance.sum(1))[:, None]
        return spots + axes @ offset.reshape(self.components.shape)

    def update_labels(self) -> None:
        """Offer every sub-spot another cluster, one colour of the checkerboard after the other (Metropolis' rule)."""
        if self._clusters == 1:
            return
        width, column = len(self.labels), self._column
        offered = (self.labels + self._rng.integers(1, self._clusters, width)) % self._clusters
        white_means = self.root.T @ self.means
        apart = ((white_means[:, :, None] - white_means[:, None]) ** 2).sum(0).astype(np.float32)
        along = (white_means.T.astype(np.float32) @ self._white).ravel()  # (clusters * bins,)
        # |v + m - m'|^2 - |v|^2, v being the whitened distance to the present mean m and m' the mean offered.
        further = along[self.labels * width + column] - along[offered * width + column]
        further = apart[self.labels, offered] + 2 * further
        gain = -0.5 * self.weights * further + self._rng.standard_exponential(width, dtype=np.float32)
        for mine, place, around in self._colours:
            theirs, now, then = self._map[around], self.labels[mine], offered[mine]
            more = (theirs == then).sum(0) - (theirs == now).sum(0)
            label = np.where(gain[mine] + 2 * self._gamma / 4 * more > 0, then, now)
            self.labels[mine] = label
            self._map[place] = label


def _wishart_root(rng: np.random.Generator, freedom: float, inverse_scale: np.ndarray) -> np.ndarray:
    """T, T T' ~ Wishart(freedom, inverse_scale^-1) (Bartlett 1933)."""
    size = len(inverse_scale)
    lower = np.tril(rng.standard_normal((size, size)), -1)
    lower[np.diag_indices(size)] = np.sqrt(rng.chisquare(freedom - np.arange(size)))
    return np.linalg.cholesky(np.linalg.inv(inverse_scale)) @ lower


def enhance(
    spots: np.ndarray,
    labels: np.ndarray,
    subspots: Subspots,
    *,
    clusters: int,
    iterations: int,
    burn_in: int,
    seed: int = 0,
    on_step: Callable[[int, int], Any] | None = None,
) -> Enhanced:
    """Run the chain: (spots, components) and their (spots,) first clusters -> components and clusters of the sub-spots."""
    chain = Chain(spots, labels, subspots, clusters=clusters, seed=seed)
    total = np.zeros(chain.components.shape)
    votes = np.zeros((clusters, len(chain.labels)), np.int32)
    kept, shares = 0, []
    for iteration in range(1, iterations + 1):
        shares.append(chain.step())
        if iteration <= burn_in:
            if iteration % ADAPT_EVERY == 0:
                chain.jitter *= np.exp(np.mean(shares) - ACCEPTED)
                shares.clear()
            if iteration == burn_in:
                shares.clear()
        elif (iteration - burn_in) % KEEP_EVERY == 0 or iteration == iterations:
            total += chain.expected_components()
            votes[chain.labels, np.arange(len(chain.labels))] += 1
            kept += 1
        if on_step is not None and (iteration % REPORT_EVERY == 0 or iteration == iterations):
            on_step(iteration, iterations)
    by_spot = subspots.used.shape
    mean = (total / kept).astype(np.float32).reshape(-1, *by_spot)
    return Enhanced(mean, votes.argmax(0).reshape(by_spot), float(np.mean(shares)))
