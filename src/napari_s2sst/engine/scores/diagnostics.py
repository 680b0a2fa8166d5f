"""Sparse, imputed and true map -> how the errors on unmeasured bins are spread, and whether the uncertainty is honest.

All in the normalised space, on unmeasured tissue bins alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import S2SSTError
from ..maps import COVERAGE, GeneMap, SparseMap
from .metrics import Scores, truth_like

HISTOGRAM_BINS = 41
"""Odd, so that the middle one has 0 in its middle."""

REACH_QUANTILE = 0.995
"""Of the errors' sizes: where the histogram ends. The few beyond are counted in its outermost bins."""

GROUPS = 10
"""Of about as many bins each, by predicted uncertainty."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ErrorHistogram:
    """Imputed minus true value of every unmeasured tissue bin, counted in bins that lie symmetric about 0."""

    edges: np.ndarray
    """(n + 1,) in the normalised space."""
    counts: np.ndarray
    """(n,) bins of the map; what lies beyond the edges is in the outermost two."""
    mae: float
    bias: float
    """Mean error: above 0 where the map is too high on the whole."""
    classical: np.ndarray | None = None
    """(n,) bins of a classical method's map."""
    classical_name: str = ""
    classical_mae: float = float("nan")


@dataclass(frozen=True, eq=False, kw_only=True)
class Reliability:
    """Unmeasured bins grouped by predicted uncertainty, from the surest group to the least sure one."""

    predicted: np.ndarray
    """(groups,) mean half width of the predicted 90 % interval."""
    observed: np.ndarray
    """(groups,) 90th percentile of the errors' sizes: what the half width should have been."""
    coverage: np.ndarray
    """(groups,) share of bins whose true value lies inside the interval."""
    bins: np.ndarray
    """(groups,) number of bins."""
    overall: float
    """Coverage of all of them."""


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """Diagnostics of one gene, which the results page draws."""

    gene: str
    histogram: ErrorHistogram
    reliability: Reliability | None
    """None where the map has no uncertainty."""


def diagnose(
    sparse: SparseMap, imputed: GeneMap, truth: GeneMap, scores: Mapping[str, Scores] | None = None
) -> Diagnostics:
    """The histogram of errors and the reliability of one map.

    With ``scores`` (method -> scores, ours first) the best classical method's errors are shown beside, which takes up to a second
    for its map. Raises :class:`S2SSTError` as :func:`error_histogram` and :func:`reliability` do.
    """
    name = best_classical(scores or {})
    classical = None
    if name:
        from ..classical.methods import interpolate

        classical = interpolate(sparse, method=name, normalisation=imputed.normalisation.kind)
    histogram = error_histogram(sparse, imputed, truth, classical=classical, classical_name=name)
    has_any = imputed.uncertainty is not None
    return Diagnostics(imputed.gene, histogram, reliability(sparse, imputed, truth) if has_any else None)


def best_classical(scores: Mapping[str, Scores]) -> str:
    """The classical method with the lowest error on unmeasured bins; empty where there is none. Ours is the first."""
    others = {name: one.mae_unmeasured for name, one in list(scores.items())[1:] if np.isfinite(one.mae_unmeasured)}
    return min(others, key=others.get, default="")


def error_histogram(
    sparse: SparseMap,
    imputed: GeneMap,
    truth: GeneMap,
    *,
    classical: GeneMap | None = None,
    classical_name: str = "",
    bins: int = HISTOGRAM_BINS,
) -> ErrorHistogram:
    """Count the errors. ``truth`` may hold counts. Raises :class:`S2SSTError` when the maps don't fit or leave no bin."""
    errors = _errors(sparse, imputed, truth)
    others = None if classical is None else _errors(sparse, classical, truth)
    sizes = np.abs(errors if others is None else np.concatenate([errors, others]))
    reach = float(np.quantile(sizes, REACH_QUANTILE)) or float(sizes.max()) or 1.0
    edges = np.linspace(-reach, reach, bins + 1)

    def counted(values: np.ndarray) -> np.ndarray:
        return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0]

    return ErrorHistogram(
        edges=edges,
        counts=counted(errors),
        mae=float(np.abs(errors).mean()),
        bias=float(errors.mean()),
        classical=None if others is None else counted(others),
        classical_name=classical_name,
        classical_mae=float("nan") if others is None else float(np.abs(others).mean()),
    )


def reliability(sparse: SparseMap, imputed: GeneMap, truth: GeneMap, *, groups: int = GROUPS) -> Reliability:
    """Compare predicted with observed errors. Bins of the same uncertainty stay in one group, so there may be fewer.

    The interval is ``lower`` to ``upper`` of the map, or its values plus and minus its uncertainty. Raises
    :class:`S2SSTError` when the map has no uncertainty, the maps don't fit or leave no bin.
    """
    if imputed.uncertainty is None:
        raise S2SSTError(f"The map of {imputed.gene!r} has no uncertainty to compare with its errors. Impute it again.")
    unmeasured = _unmeasured(sparse, imputed)
    expected = truth_like(imputed, truth)
    half = imputed.uncertainty.astype(np.float64)
    lower = imputed.values - half if imputed.lower is None else imputed.lower
    upper = imputed.values + half if imputed.upper is None else imputed.upper
    inside = ((expected >= lower) & (expected <= upper))[unmeasured]
    half, size = half[unmeasured], np.abs(imputed.values - expected)[unmeasured].astype(np.float64)
    # Unique, or a group between two equal ends would be empty.
    ends = np.unique(np.quantile(half, np.linspace(0, 1, groups + 1)))
    group = np.searchsorted(ends[1:-1], half, side="right")
    members = [group == number for number in np.unique(group)]
    return Reliability(
        predicted=np.array([half[mask].mean() for mask in members]),
        observed=np.array([np.quantile(size[mask], COVERAGE) for mask in members]),
        coverage=np.array([inside[mask].mean() for mask in members]),
        bins=np.array([int(mask.sum()) for mask in members]),
        overall=float(inside.mean()),
    )


def _errors(sparse: SparseMap, imputed: GeneMap, truth: GeneMap) -> np.ndarray:
    """(bins,) imputed minus true value."""
    unmeasured = _unmeasured(sparse, imputed)
    return (imputed.values - truth_like(imputed, truth))[unmeasured].astype(np.float64)


def _unmeasured(sparse: SparseMap, imputed: GeneMap) -> np.ndarray:
    """(rows, columns) True at the bins that count."""
    if sparse.shape != imputed.shape:
        raise S2SSTError(
            f"The sparse map has {sparse.shape[0]} x {sparse.shape[1]} bins, the imputed one {imputed.shape[0]} x "
            f"{imputed.shape[1]}; both must be of the same grid."
        )
    unmeasured = imputed.tissue & ~sparse.lattice_mask()
    if not unmeasured.any():
        raise S2SSTError(
            f"Every tissue bin of {imputed.gene!r} was measured, so there are no errors to look at. Choose a larger region."
        )
    return unmeasured
