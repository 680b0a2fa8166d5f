"""What image and other genes tell of a gene beyond its measured neighbours: a regression, learnt at its measured bins.

Each measured bin is first told from the others, by a Gaussian mean that leaves it out. What remains of it is regressed on
how its image differs from what the images of those others would lead to expect, as regression kriging does (Hengl et al. 2007,
doi:10.1016/j.cageo.2007.05.001), and on what the panel's other genes tell of those others, near and less near: how many
transcripts all have together, and what they lead to expect of the gene (see :mod:`.coexpression`). What the gene's own counts
about a bin say of these is taken out first (Frisch and Waugh 1933, doi:10.2307/1907330): the network knows it better.
The same at unmeasured bins gives what is added to an estimate there. Measured bins that a regression did not see decide whether
it may look at the expectation as well, and nothing is added unless they show, beyond chance, that it helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..maps import NormalisationKind, SparseMap
from ..sampling.crops import around_tissue

WIDTHS_LATTICE = (0.6, 0.8, 1.1, 1.5)
"""Of the Gaussian, in lattice bins; the one that tells measured bins best from the others is taken."""

PANEL_LATTICE = (0.5, 1.0, 2.0)
"""Widths of the Gaussian means of what other genes tell, in lattice bins."""

OWN_LATTICE = (0.6, 1.2)
"""The same of the gene's own counts, whose part is taken out."""

RIDGE = 20.0
"""Weight of the squared coefficients of standardised regressors: as many bins that know nothing."""

SQUARES = 4.0
"""Weight of squared against absolute errors. Absolute ones make a sparse gene's map flat (with a weight of 1 weak genes lost up to
0.02 of their correlation), squares alone spoil its empty bins."""

ROUNDS = 4
"""Of reweighting, which turns squares into absolute errors."""

LEAST_ERROR = 0.05
"""Of the mean absolute error: what is smaller counts as this small, or single bins would rule."""

FOLDS = 3
BLOCK_LATTICE = 8
"""Lattice bins along the squares that are left out together: next bins are too alike to test each other."""

LEAST_WEIGHT = 1e-3
"""Of the known bins about a bin, of 1 for all bins; where there is less they are too far to tell anything."""

FORMS = 3
"""In which a feature takes part: as it is, and times as much and the root of as much as the gene is told to be."""

LEARNT_FROM = 20_000
"""Measured bins, evenly through the list of all."""

MIN_BINS = 200
"""Fewer measured bins teach no regression."""

BINS_AT_ONCE = 1 << 16


def regression_share(
    sparse: SparseMap, kind: NormalisationKind, *, image: bool = True, panel: bool = True
) -> np.ndarray | None:
    """(rows, columns) to be added to an estimate in the normalised space; 0 at measured bins and outside the tissue.

    ``image`` and ``panel``: whether to look at the image and at what other genes tell, where the map has them. None where it
    has neither, has too few measured bins, or nothing is to be learnt from them.
    """
    wanted = {"image": image, "totals": panel, "coexpressed": panel}
    sparse = replace(sparse, **{name: None for name, wants in wanted.items() if not wants})
    if all(getattr(sparse, name) is None for name in wanted):
        return None
    part = around_tissue(sparse)
    found = _share(part.sparse.with_context(), kind)
    return None if found is None else part.spread(found)


def _share(sparse: SparseMap, kind: NormalisationKind) -> np.ndarray | None:
    known = sparse.lattice_mask()
    if np.count_nonzero(known) < MIN_BINS:
        return None
    values = np.zeros(sparse.shape, np.float32)
    values[known] = sparse.normalised(kind)[sparse.measured]
    others = min(
        (_Others(known, width * sparse.stride) for width in WIDTHS_LATTICE), key=lambda others: others.error(values)
    )
    useful, wanted = known & others.reached, sparse.tissue & ~known & others.reached
    if np.count_nonzero(useful) < MIN_BINS:
        return None
    expected = others.mean(values)
    told = np.maximum(expected, 0)
    near = [_Others(known, width * sparse.stride) for width in PANEL_LATTICE]
    features = [*_of_image(sparse, others), *_of_totals(sparse, near)]
    wider = [*features, *_of_coexpressed(sparse, near)]
    seen = np.stack(wider, -1)
    own = np.stack([_Others(known, width * sparse.stride).mean(values) for width in OWN_LATTICE], -1)
    learnt = _some(useful)
    regressors, controls = _regressors(told[learnt], seen[learnt]), _controls(told[learnt], own[learnt])
    known_of = np.linalg.lstsq(controls, regressors)[0]
    rest, choices = (values - expected)[learnt], {len(features), len(wider)}
    model = _learnt(regressors - controls @ known_of, rest, _folds(learnt, sparse.stride), choices)
    if model is None:
        return None
    share, of_own = np.zeros(sparse.shape, np.float32), known_of @ model
    much, seen, own = told.ravel(), seen.reshape(told.size, -1), own.reshape(told.size, -1)
    for some in _pieces(np.flatnonzero(wanted)):
        found = _regressors(much[some], seen[some]) @ model
        share.flat[some] = found - _controls(much[some], own[some]) @ of_own
    return share


def _of_image(sparse: SparseMap, others: _Others) -> Iterator[np.ndarray]:
    """(rows, columns) of each feature, how far it is from what the others have, and itself."""
    for layer in () if sparse.image is None else np.moveaxis(sparse.image, -1, 0):
        yield layer - others.mean(layer)
        yield layer


def _of_totals(sparse: SparseMap, near: Sequence[_Others]) -> Iterator[np.ndarray]:
    """(rows, columns) of each width, mean logarithm of the total counts of the measured bins about every bin."""
    return iter(()) if sparse.totals is None else _about(sparse, np.log1p(sparse.totals[sparse.measured]), near)


def _of_coexpressed(sparse: SparseMap, near: Sequence[_Others]) -> Iterator[np.ndarray]:
    """(rows, columns) of each width, mean of what other genes lead to expect in the measured bins about every bin."""
    return iter(()) if sparse.coexpressed is None else _about(sparse, sparse.coexpressed[sparse.measured], near)


def _about(sparse: SparseMap, found: np.ndarray, near: Sequence[_Others]) -> Iterator[np.ndarray]:
    """(measured bins,) -> (rows, columns) of each width, each bin left out of its own mean."""
    layer = np.zeros(sparse.shape, np.float32)
    layer[sparse.lattice_mask()] = (found - found.mean()) / max(float(found.std()), 1e-6)
    return (others.mean(layer) for others in near)


class _Others:
    """Gaussian means of the known bins about every bin, without that bin itself."""

    def __init__(self, known: np.ndarray, width: float) -> None:
        """``known`` (rows, columns); ``width`` in bins."""
        self._known, self._width = known, width
        point = np.zeros((1 + 2 * int(np.ceil(4 * width)),) * 2)
        point[len(point) // 2, len(point) // 2] = 1
        self._own = float(self._smooth(point).max())  # weight of a bin in its own mean
        self._weight = self._smooth(known.astype(np.float32)) - self._own * known
        self.reached = self._weight > LEAST_WEIGHT
        """(rows, columns) where known bins are near enough."""

    def mean(self, layer: np.ndarray) -> np.ndarray:
        """(rows, columns), of which only known bins are looked at."""
        known = np.where(self._known, layer, np.float32(0))
        return (self._smooth(known) - self._own * known) / np.maximum(self._weight, LEAST_WEIGHT)

    def error(self, layer: np.ndarray) -> float:
        """Mean squared, of the known bins told from the others."""
        return float(np.square(layer - self.mean(layer))[self._known].mean())

    def _smooth(self, layer: np.ndarray) -> np.ndarray:
        from scipy import ndimage

        return ndimage.gaussian_filter(layer, self._width)


def _some(useful: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the bins that are learnt from."""
    rows, columns = np.nonzero(useful)
    some = np.linspace(0, len(rows) - 1, min(len(rows), LEARNT_FROM)).round().astype(int)
    return rows[some], columns[some]


def _pieces(at: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(at), BINS_AT_ONCE):
        yield at[begin : begin + BINS_AT_ONCE]


def _regressors(told: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(bins,), (bins, features) -> (bins, 3 x features). What an image changes grows with how much of a gene there is."""
    much = told[:, None]
    return np.concatenate([seen, seen * much, seen * np.sqrt(much)], axis=-1).astype(np.float64)


def _controls(told: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(bins,), (bins, widths) -> (bins, 3 x widths + 3) what the gene's own counts about a bin tell."""
    return np.concatenate([_regressors(told, own), _regressors(told, np.ones((len(told), 1)))], axis=-1)


def _folds(bins: tuple[np.ndarray, np.ndarray], stride: int) -> np.ndarray:
    """Rows and columns of bins -> which fold each is in; squares of bins stay together."""
    rows, columns = (at // (BLOCK_LATTICE * stride) for at in bins)
    return (rows + 2 * columns) % FOLDS


def _learnt(regressors: np.ndarray, rest: np.ndarray, folds: np.ndarray, choices: set[int]) -> np.ndarray | None:
    """(regressors,) coefficients; None unless bins that were left out become better by more than the standard error.

    ``choices``: how many of the features, from the first, are looked at; of several the surest gain is taken.
    """
    scale = np.maximum(regressors.std(0), 1e-9)
    regressors, rest = regressors / scale, rest.astype(np.float64)
    if not rest.any():
        return None
    several = regressors.shape[1] // FORMS
    chosen = {count: np.arange(regressors.shape[1]) % several < count for count in sorted(choices - {0})}
    gains = {count: _gain(regressors[:, taken], rest, folds) for count, taken in chosen.items()}
    best = max(gains, key=gains.get)
    if gains[best] <= 0:
        return None
    coefficients = np.zeros(len(scale))
    coefficients[chosen[best]] = _fitted(regressors[:, chosen[best]], rest)
    return coefficients / scale


def _gain(regressors: np.ndarray, rest: np.ndarray, folds: np.ndarray) -> float:
    """By how much bins that were left out become better, less the standard error."""
    left = rest.copy()
    for fold in range(FOLDS):
        out = folds == fold
        if out.any() and not out.all():
            left[out] -= regressors[out] @ _fitted(regressors[~out], rest[~out])
    before, after = np.abs(rest), np.abs(left)
    gain = (before - after) / before.mean() + (before**2 - after**2) / np.square(before).mean()
    return float(gain.mean() - gain.std() / len(gain) ** 0.5)


def _fitted(regressors: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Coefficients that make absolute and squared errors small, each in units of what it is without a regression."""
    absolute, squared = max(np.abs(rest).mean(), 1e-12), max(np.square(rest).mean(), 1e-12)
    weights, error = np.ones(len(rest)), rest
    found = np.zeros(regressors.shape[1])
    for _ in range(ROUNDS):
        weights = 0.5 / (absolute * np.maximum(np.abs(error), LEAST_ERROR * absolute)) + SQUARES / squared
        weights /= weights.mean()
        weighted = regressors * weights[:, None]
        found = np.linalg.solve(regressors.T @ weighted + RIDGE * np.eye(len(found)), weighted.T @ rest)
        error = rest - regressors @ found
    return found
