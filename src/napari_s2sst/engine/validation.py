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
from .imputation import predict, read_distribution
from .maps import SparseMap
from .network import CDCIN
from .sampling import thin
from .trained import Calibration

MOST_GENES = 4
"""Genes tried while training; all are when it ends. Keeps a panel's validation from costing more than its training."""

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
    """The held-out bins of every map that has some and is large enough to thin."""
    found = []
    for sparse, mask in zip(maps, hidden, strict=True):
        sparser = thin(sparse)
        if mask.any() and min(sparser.values.shape) >= 2 and sparser.measured.any():
            seen = sparse.measured & ~mask & ~sparser.lattice_mask()
            found.append(HeldOut(sparser, sparse.normalised(config.grid.normalisation), mask, seen))
    return found


def classical_errors(held_out: Sequence[HeldOut], config: RunConfig) -> dict[str, float]:
    """Method -> mean absolute error on the held-out bins of all maps."""
    return {
        method: _mean_error([interpolate(part.sparser, method, config.grid.normalisation).values for part in held_out],
                            held_out, "hidden")
        for method in METHODS
    } if held_out else {}  # fmt: skip


def network_outputs(network: CDCIN, held_out: Sequence[HeldOut], config: RunConfig) -> list[np.ndarray]:
    """(outputs, lattice rows, lattice columns) of each map, predicted from the sparser one without symmetries."""
    once = config.imputation.model_copy(update={"symmetries": 1, "overlap": "hann"})
    kind, precision = config.grid.normalisation, config.training.precision
    return [predict(network, part.sparser, once, kind=kind, precision=precision)[0] for part in held_out]


def errors(
    outputs: Sequence[np.ndarray], held_out: Sequence[HeldOut], config: RunConfig, calibration: Calibration
) -> tuple[float, float]:
    """Mean absolute error on held-out bins, and on those that training sees."""
    estimates = [_estimate(output, config, calibration)[0] for output in outputs]
    return _mean_error(estimates, held_out, "hidden"), _mean_error(estimates, held_out, "seen")


def calibrate(outputs: Sequence[np.ndarray], held_out: Sequence[HeldOut], config: RunConfig) -> Calibration:
    """Stretch the interval so that it covers 90 % of the held-out bins (split conformal prediction, Lei et al. 2018)."""
    start = Calibration()
    if not config.network.quantiles or sum(int(part.hidden.sum()) for part in held_out) < MIN_BINS:
        return start
    needed = []
    for output, part in zip(outputs, held_out, strict=True):
        value, lower, upper = (each[part.hidden] for each in _estimate(output, config, start))
        truth = part.truth[part.hidden]
        reach = np.where(truth < value, value - lower, upper - value)
        needed.append(np.abs(truth - value) / np.maximum(reach, 1e-6))
    return Calibration(start.mean_share, float(np.quantile(np.concatenate(needed), COVERAGE)))


def _estimate(output: np.ndarray, config: RunConfig, calibration: Calibration) -> tuple[np.ndarray, ...]:
    if config.network.quantiles:
        return read_distribution(output, config.network.quantiles, calibration)
    return output[0], output[0], output[0]


def _mean_error(estimates: Sequence[np.ndarray], held_out: Sequence[HeldOut], where: str) -> float:
    every = [
        np.abs(estimate - part.truth)[getattr(part, where)] for estimate, part in zip(estimates, held_out, strict=True)
    ]
    every = np.concatenate(every) if every else np.empty(0)
    return float(every.mean(dtype=np.float64)) if every.size else float("nan")
