"""Measured bins that training never saw -> how good the network is, against the classical methods, and how sure to be.

The sparse map is thinned once more and both must predict the held-out bins from the sparser one. That is a harder task than
the real one, for its lattice is wider; but it is honest, and it needs nothing that was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .baselines import METHODS, interpolate
from .config import RunConfig
from .imputation import impute_with
from .maps import GeneMap, SparseMap
from .network import CDCIN
from .sampling import thin
from .trained import Calibration

MOST_GENES = 8
"""Genes that the network is tried on. Keeps a panel's validation from costing more than its training."""

COVERAGE = 0.9
"""What the interval between the outer quantiles is meant to cover."""

MIN_BINS = 20
"""Fewer held-out bins calibrate nothing."""


@dataclass(frozen=True)
class HeldOut:
    """One gene's held-out bins."""

    sparser: SparseMap
    truth: np.ndarray
    """(lattice rows, lattice columns) measured values in the normalised space."""
    hidden: np.ndarray
    """(lattice rows, lattice columns) True at held-out bins."""
    seen: np.ndarray
    """(lattice rows, lattice columns) True at the bins that training uses as targets and the sparser map lacks."""


def held_out_of(maps: Sequence[SparseMap], hidden: Sequence[np.ndarray], config: RunConfig) -> list[HeldOut]:
    """The held-out bins of every map that has some and is large enough to thin; of at most eight, spread over a panel."""
    found = []
    for sparse, mask in zip(maps, hidden, strict=True):
        sparser = thin(sparse)
        if mask.any() and min(sparser.values.shape) >= 2 and sparser.measured.any():
            seen = sparse.measured & ~mask & ~sparser.lattice_mask()
            found.append(HeldOut(sparser, sparse.normalised(config.grid.normalisation), mask, seen))
    return found[:: -(-len(found) // MOST_GENES) or 1]


def classical_errors(held_out: Sequence[HeldOut], config: RunConfig) -> dict[str, float]:
    """Method -> mean absolute error on the held-out bins of all maps."""
    if not held_out:
        return {}
    kind = config.grid.normalisation
    return {
        method: _mean_error([interpolate(part.sparser, method, kind).values for part in held_out], held_out, "hidden")
        for method in METHODS
    }


def estimates(
    network: CDCIN, held_out: Sequence[HeldOut], config: RunConfig, calibration: Calibration | None = None
) -> list[GeneMap]:
    """Each map predicted from the sparser one, without symmetries; (lattice rows, lattice columns)."""
    once = config.imputation.model_copy(update={"symmetries": 1, "overlap": "hann"})
    kind, precision = config.grid.normalisation, config.training.precision
    return [
        impute_with(network, part.sparser, once, kind=kind, precision=precision, calibration=calibration)
        for part in held_out
    ]


def errors(found: Sequence[GeneMap], held_out: Sequence[HeldOut]) -> tuple[float, float]:
    """Mean absolute error on held-out bins, and on those that training sees."""
    values = [estimate.values for estimate in found]
    return _mean_error(values, held_out, "hidden"), _mean_error(values, held_out, "seen")


def calibrate(found: Sequence[GeneMap], held_out: Sequence[HeldOut]) -> Calibration:
    """Stretch the interval so that it covers 90 % of the held-out bins (split conformal prediction, Lei et al. 2018)."""
    if sum(int(part.hidden.sum()) for part in held_out) < MIN_BINS:
        return Calibration()
    needed = []
    for estimate, part in zip(found, held_out, strict=True):
        value, lower, upper = (each[part.hidden] for each in (estimate.values, estimate.lower, estimate.upper))
        truth = part.truth[part.hidden]
        reach = np.where(truth < value, value - lower, upper - value)
        needed.append(np.abs(truth - value) / np.maximum(reach, 1e-6))
    return Calibration(float(np.quantile(np.concatenate(needed), COVERAGE)))


def _mean_error(found: Sequence[np.ndarray], held_out: Sequence[HeldOut], where: str) -> float:
    every = [np.abs(values - part.truth)[getattr(part, where)] for values, part in zip(found, held_out, strict=True)]
    every = np.concatenate(every) if every else np.empty(0)
    return float(every.mean(dtype=np.float64)) if every.size else float("nan")
