"""Image and other genes -> what they tell of a gene beyond its measured neighbours: a regression, learnt at its measured bins.

Each measured bin is first expected from the others, by a Gaussian mean that leaves it out. The residual is regressed on
how its image differs from what the images of those others would lead to expect, as regression kriging does (Hengl et al. 2007,
doi:10.1016/j.cageo.2007.05.001), and on what the panel's other genes tell of those others, near and less near: how many
transcripts all have together, and what they lead to expect of the gene (see :mod:`.sampling.panel`). What the gene's own counts
about a bin say of these is taken out first (Frisch and Waugh 1933, doi:10.2307/1907330): the network knows it better.
The same at unmeasured bins gives what is added to an estimate there. Measured bins that a regression did not see decide whether
it may look at the expectation as well, and nothing is added unless they show, beyond chance, that it helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..maps import NormalisationKind, SparseMap
from ..sampling.crops import around_tissue

WIDTHS_LATTICE = (0.6, 0.8, 1.1, 1.5)
"""Of the Gaussian, in lattice bins; the one from which measured bins are expected best is taken."""

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
"""In which a feature takes part: as it is, times the gene's expected intensity, and times the root of that."""

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
    if not image:
        sparse = replace(sparse, image=None)
    if not panel:
        sparse = replace(sparse, coexpressed=None)
    if sparse.image is None and (sparse.totals is None or not panel) and sparse.coexpressed is None:
        return None
    part = around_tissue(sparse)
    share = _share(part.sparse.with_context(), kind, panel=panel)
    return None if share is None else part.spread(share)


def _share(sparse: SparseMap, kind: NormalisationKind, *, panel: bool) -> np.ndarray | None:
    """The regression of one piece of a map, learnt at its measured bins and applied to the others of its tissue."""
    known = sparse.lattice_mask()
    if np.count_nonzero(known) < MIN_BINS:
        return None
    values = np.zeros(sparse.shape, np.float32)
    sparse.restore(values, kind)

    # What each bin is expected to be, from the known bins around it.
    surroundings = [_Others(known, width * sparse.stride) for width in WIDTHS_LATTICE]
    others = min(surroundings, key=lambda others: others.error(values))
    learnable, wanted = known & others.reached, sparse.tissue & ~known & others.reached
    if np.count_nonzero(learnable) < MIN_BINS:
        return None
    expected = others.mean(values)
    shown = sparse if panel else replace(sparse, totals=None)  # which the normalisation may need all the same
    evidence, choices = _evidence(shown, values, np.maximum(expected, 0), others)

    # What remains of the known bins, regressed on what the features say and the gene's own counts don't.
    learnt = _some(learnable)
    residual = (values - expected)[learnt]
    regressors, controls = evidence.at(learnt)
    known_of_features = np.linalg.lstsq(controls, regressors)[0]
    model = _learnt(regressors - controls @ known_of_features, residual, _folds(learnt, sparse.stride), choices)
    if model is None:
        return None

    # The same where nothing was measured.
    share, control_model = np.zeros(sparse.shape, np.float32), known_of_features @ model
    flat = evidence.flat()
    for bins in _pieces(np.flatnonzero(wanted)):
        regressors, controls = flat.at(bins)
        share.flat[bins] = regressors @ model - controls @ control_model
    return share


@dataclass(frozen=True, eq=False)
class _Evidence:
    """Evidence on every bin, itself left out; (..., layers) of (rows, columns) or (bins,)."""

    intensity: np.ndarray
    """(...) how much of the gene there is expected to be, at least 0."""
    features: np.ndarray
    """(..., features) what image and other genes show, in :func:`_learnt`'s order."""
    own: np.ndarray
    """(..., widths) what the gene's own counts about the bin show."""

    def at(self, bins: np.ndarray | tuple[np.ndarray, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Regressors and controls of the bins with these indices."""
        intensity = self.intensity[bins]
        return _regressors(intensity, self.features[bins]), _controls(intensity, self.own[bins])

    def flat(self) -> _Evidence:
        """Rows and columns in one axis."""
        count = self.intensity.size
        return _Evidence(self.intensity.ravel(), self.features.reshape(count, -1), self.own.reshape(count, -1))


def _evidence(
    sparse: SparseMap, values: np.ndarray, intensity: np.ndarray, others: _Others
) -> tuple[_Evidence, set[int]]:
    """Evidence on every bin, and how many of its features, from the first, may be looked at: all but what other genes lead to
    expect, or all."""
    known = sparse.lattice_mask()
    near = [_Others(known, width * sparse.stride) for width in PANEL_LATTICE]
    sure = [*_of_image(sparse, others), *_of_totals(sparse, near)]
    features = [*sure, *_of_coexpressed(sparse, near)]
    own = [_Others(known, width * sparse.stride).mean(values) for width in OWN_LATTICE]
    return _Evidence(intensity, np.stack(features, -1), np.stack(own, -1)), {len(sure), len(features)}


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


def _about(sparse: SparseMap, of_bins: np.ndarray, near: Sequence[_Others]) -> Iterator[np.ndarray]:
    """(measured bins,) -> (rows, columns) of each width, each bin left out of its own mean."""
    layer = np.zeros(sparse.shape, np.float32)
    layer[sparse.lattice_mask()] = (of_bins - of_bins.mean()) / max(float(of_bins.std()), 1e-6)
    return (others.mean(layer) for others in near)


class _Others:
    """Gaussian means of the known bins about every bin, which itself is left out."""

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
        """Mean squared error of a layer's (rows, columns) known bins as expected from the others."""
        return float(np.square(layer - self.mean(layer))[self._known].mean())

    def _smooth(self, layer: np.ndarray) -> np.ndarray:
        from scipy import ndimage

        return ndimage.gaussian_filter(layer, self._width)


def _some(useful: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the bins that are learnt from."""
    rows, columns = np.nonzero(useful)
    some = np.linspace(0, len(rows) - 1, min(len(rows), LEARNT_FROM)).round().astype(int)
    return rows[some], columns[some]


def _pieces(bins: np.ndarray) -> Iterator[np.ndarray]:
    for begin in range(0, len(bins), BINS_AT_ONCE):
        yield bins[begin : begin + BINS_AT_ONCE]


def _regressors(intensity: np.ndarray, features: np.ndarray) -> np.ndarray:
    """(bins,), (bins, features) -> (bins, 3 x features). What a feature changes grows with how much of the gene there is."""
    intensity = intensity[:, None]
    return np.concatenate([features, features * intensity, features * np.sqrt(intensity)], axis=-1).astype(np.float64)


def _controls(intensity: np.ndarray, own: np.ndarray) -> np.ndarray:
    """(bins,), (bins, widths) -> (bins, 3 x widths + 3) what the gene's own counts about a bin tell."""
    constant = np.ones((len(intensity), 1))
    return np.concatenate([_regressors(intensity, own), _regressors(intensity, constant)], axis=-1)


def _folds(bins: tuple[np.ndarray, np.ndarray], stride: int) -> np.ndarray:
    """Rows and columns of bins -> which fold each is in; squares of bins stay together."""
    rows, columns = (at // (BLOCK_LATTICE * stride) for at in bins)
    return (rows + 2 * columns) % FOLDS


def _learnt(regressors: np.ndarray, residual: np.ndarray, folds: np.ndarray, choices: set[int]) -> np.ndarray | None:
    """(regressors,) coefficients; None unless bins that were left out become better by more than the standard error.

    ``choices``: how many of the features, from the first, are looked at; of several the surest gain is taken.
    """
    scale = np.maximum(regressors.std(0), 1e-9)
    regressors, residual = regressors / scale, residual.astype(np.float64)
    if not residual.any():
        return None
    features = regressors.shape[1] // FORMS
    columns = {count: np.arange(regressors.shape[1]) % features < count for count in sorted(choices - {0})}
    gains = {count: _gain(regressors[:, taken], residual, folds) for count, taken in columns.items()}
    best = max(gains, key=gains.get)
    if gains[best] <= 0:
        return None
    coefficients = np.zeros(len(scale))
    coefficients[columns[best]] = _fitted(regressors[:, columns[best]], residual)
    return coefficients / scale


def _gain(regressors: np.ndarray, residual: np.ndarray, folds: np.ndarray) -> float:
    """Gain in the error of bins that were left out, less its standard error."""
    left = residual.copy()
    for fold in range(FOLDS):
        out = folds == fold
        if out.any() and not out.all():
            left[out] -= regressors[out] @ _fitted(regressors[~out], residual[~out])
    before, after = np.abs(residual), np.abs(left)
    gain = (before - after) / before.mean() + (before**2 - after**2) / np.square(before).mean()
    return float(gain.mean() - gain.std() / len(gain) ** 0.5)


def _fitted(regressors: np.ndarray, residual: np.ndarray) -> np.ndarray:
    """Coefficients that make absolute and squared errors small, each in units of what it is without a regression."""
    absolute, squared = max(np.abs(residual).mean(), 1e-12), max(np.square(residual).mean(), 1e-12)
    error = residual
    coefficients = np.zeros(regressors.shape[1])
    for _ in range(ROUNDS):
        weights = 0.5 / (absolute * np.maximum(np.abs(error), LEAST_ERROR * absolute)) + SQUARES / squared
        weights /= weights.mean()
        weighted = regressors * weights[:, None]
        penalty = RIDGE * np.eye(len(coefficients))
        coefficients = np.linalg.solve(regressors.T @ weighted + penalty, weighted.T @ residual)
        error = residual - regressors @ coefficients
    return coefficients
