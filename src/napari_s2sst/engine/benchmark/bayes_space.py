"""BayesSpace (Zhao et al. 2021, Nat. Biotechnol. 39: 1375): genes at the measured bins -> genes at every bin.

The panel's principal components at the measured bins; k-means clusters to start from; components of the sub-spots by MCMC
(`potts`); a linear regression from components to genes, fitted at the measured bins and applied at the sub-spots. BayesSpace
takes a spot for the mean of its sub-spots; here it is one of them, which is why a measured bin is put back in the end.
Written from the paper and the program's manual; boosted trees, the program's other regression, are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import TrainingError
from ..maps import GeneMap, NormalisationKind, SparseMap
from .potts import enhance, subspots_of

ITERATIONS = 10_000
"""The fewest that the paper takes; its program's default is 100,000."""

BURN_IN = 0.1
"""Share of the iterations that are thrown away: 10,000 of the program's 100,000."""

COMPONENTS = 15
"""The paper's, and the program's default."""

CLUSTERS = 10
"""The most that the program's manual tries (2 to 10); it leaves the choice to the eye, and a table needs one for all slides."""

STARTS = 5
"""Of k-means, of which the best is taken."""

ROUNDS = 50
"""Most rounds of k-means; it only starts the chain."""

NO_VARIANCE = 1e-6
"""Of the first component's variance: components with less are rounding."""


@dataclass(frozen=True)
class Mcmc:
    """Length of the chain, and how many components and clusters it works on."""

    iterations: int = ITERATIONS
    burn_in: int | None = None
    """Iterations that are thrown away; None: a tenth."""
    clusters: int = CLUSTERS
    components: int = COMPONENTS
    """There are fewer when the panel has no more."""

    @property
    def thrown_away(self) -> int:
        return round(BURN_IN * self.iterations) if self.burn_in is None else self.burn_in


def bayes_space(
    maps: Sequence[SparseMap],
    wanted: Sequence[int],
    *,
    normalisation: NormalisationKind = "log1p",
    seed: int = 0,
    chain: Mcmc = Mcmc(),
    on_step: Callable[[int, int], Any] | None = None,
) -> list[GeneMap]:
    """The wanted genes (indices into ``maps``) on the whole tissue, in the normalised space; 0 outside the tissue.

    ``maps`` are all genes of a slide, sampled on one lattice. ``on_step(iteration, iterations)`` is called every
    50 iterations. The same seed gives the same maps. Raises :class:`TrainingError` when the maps are of different lattices,
    a wanted gene is not among them, or a number is out of range.
    """
    _check(maps, wanted, chain)
    panel = np.stack([sparse.normalised(normalisation)[sparse.measured] for sparse in maps], axis=1)  # (spots, genes)
    spots, subspots = principal_components(panel, chain.components), subspots_of(maps[0])
    dense = np.empty((0, int(subspots.inside.sum())), np.float32)
    # A panel without any variance has no component, and every bin gets the genes' means.
    if spots.shape[1]:
        labels = k_means(spots, chain.clusters, np.random.default_rng(seed))
        enhanced = enhance(
            spots, labels, subspots, clusters=int(labels.max()) + 1, iterations=chain.iterations, burn_in=chain.thrown_away,
            seed=seed, on_step=on_step,
        )  # fmt: skip
        dense = subspots.on_grid(enhanced.components)
    genes = _regress(spots, panel[:, list(wanted)], dense.T)
    wanted_values = zip(wanted, genes.T, strict=True)
    return [_as_map(maps[index], values, subspots.inside, normalisation) for index, values in wanted_values]


def _check(maps: Sequence[SparseMap], wanted: Sequence[int], chain: Mcmc) -> None:
    if not maps or not maps[0].measured.any():
        raise TrainingError("BayesSpace was given no measured bin; give the sparse maps of all genes of a slide.")
    first = maps[0]
    for sparse in maps[1:]:
        alike = (
            (sparse.stride, tuple(sparse.phase), sparse.shape) == (first.stride, tuple(first.phase), first.shape)
            and np.array_equal(sparse.measured, first.measured)
            and np.array_equal(sparse.tissue, first.tissue)
        )
        if not alike:
            raise TrainingError(
                f"The maps {first.gene!r} and {sparse.gene!r} were measured on different lattices or tissues, and BayesSpace "
                "needs all genes at the same bins. Sample them with the same stride, phase and region."
            )
    missing = [index for index in wanted if not 0 <= index < len(maps)]
    if missing:
        raise TrainingError(f"There is no map {missing[0]}; choose from 0 to {len(maps) - 1}.")
    if chain.iterations < 1 or not 0 <= chain.thrown_away < chain.iterations:
        raise TrainingError(
            f"A burn-in of {chain.thrown_away} iterations leaves none of {chain.iterations} to average; choose at least 1 more "
            "than that."
        )
    if chain.clusters < 1 or chain.components < 1:
        raise TrainingError(
            f"There are {chain.clusters} clusters and {chain.components} components; choose at least 1 of each."
        )


def principal_components(panel: np.ndarray, most: int) -> np.ndarray:
    """(spots, genes) -> (spots, at most ``most``) scores, the strongest first; none where all spots are alike.

    Genes are centred and not scaled, as the program does.
    """
    centred = panel.astype(np.float64) - panel.mean(axis=0, dtype=np.float64)
    variance, directions = np.linalg.eigh(centred.T @ centred / len(panel))
    variance, directions = variance[::-1], directions[:, ::-1]
    # The scale of the values themselves tells a constant panel's rounding from variance.
    floor = NO_VARIANCE * max(variance[0], NO_VARIANCE * float(np.mean(panel.astype(np.float64) ** 2)))
    count = min(most, int((variance > floor).sum()))
    return centred @ directions[:, :count]


def k_means(points: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """(points, dimensions) -> (points,) labels from 0 without a gap, at most ``clusters`` of them (Lloyd 1982)."""
    best, least = np.zeros(len(points), np.intp), np.inf
    for _ in range(STARTS):
        centres = _spread_out(points, clusters, rng)
        labels = np.full(len(points), -1)
        for _ in range(ROUNDS):
            nearest = ((centres**2).sum(1) - 2 * points @ centres.T).argmin(1)
            if (nearest == labels).all():
                break
            _, labels = np.unique(nearest, return_inverse=True)
            centres = np.stack([points[labels == label].mean(0) for label in range(labels.max() + 1)])
        cost = ((points - centres[labels]) ** 2).sum()
        if cost < least:
            best, least = labels, cost
    return best


def _spread_out(points: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    """First centres, each drawn by its squared distance to those there (k-means++, Arthur and Vassilvitskii 2007)."""
    centres = points[rng.integers(len(points))][None]
    away = ((points - centres[0]) ** 2).sum(1)
    while len(centres) < clusters and away.max() > 0:
        centres = np.vstack([centres, points[rng.choice(len(points), p=away / away.sum())]])
        away = np.minimum(away, ((points - centres[-1]) ** 2).sum(1))
    return centres


def _regress(spots: np.ndarray, genes: np.ndarray, dense: np.ndarray) -> np.ndarray:
    """Least squares from (spots, components) to (spots, genes), applied to (bins, components) -> (bins, genes)."""
    design = np.column_stack([np.ones(len(spots)), spots])
    weights = np.linalg.lstsq(design, genes.astype(np.float64))[0]
    return weights[0] + dense @ weights[1:]


def _as_map(sparse: SparseMap, estimate: np.ndarray, inside: np.ndarray, normalisation: NormalisationKind) -> GeneMap:
    values = np.zeros(sparse.shape, np.float32)
    values[inside] = estimate if normalisation == "none" else np.maximum(estimate, 0)
    sparse.restore(values, normalisation)
    return sparse.filled(values, normalisation)
