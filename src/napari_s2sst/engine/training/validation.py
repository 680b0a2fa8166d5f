"""Measured bins that training never saw -> how good the network is, against the classical methods; which weights did best on
them; and how sure to be of an estimate.

Either the sparse map is thinned once more and both must predict the held-out bins from the sparser one, or the held-out bins
are taken out of the map, as scattered gaps. Both are harder than the real task, for the nearest measured bins are twice as
far away; but they are honest, and need nothing that was not measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..classical.methods import METHODS, interpolate
from ..config import RunConfig
from ..imputing.blend import Blend, blend_for
from ..imputing.impute import impute_with
from ..maps import COVERAGE, GeneMap, SparseMap
from ..network.cdcin import CDCIN
from ..network.model import Calibration

MOST_GENES = 4
"""Genes that the network is tried on. Keeps a panel's validation from costing more than its training."""

MIN_BINS = 20
"""Fewer held-out bins calibrate nothing."""


@dataclass(frozen=True, kw_only=True, eq=False)
class HeldOut:
    """One gene's held-out bins, and what they are to be predicted from."""

    given: SparseMap
    """What is told from: the thinned map, or the one with gaps."""
    at: tuple[slice, slice]
    """Where the lattice's bins lie in an estimate of it."""
    truth: np.ndarray
    """(lattice rows, lattice columns) measured values in the normalised space."""
    hidden: np.ndarray
    """(lattice rows, lattice columns) True at held-out bins."""
    targets: np.ndarray
    """(lattice rows, lattice columns) True at the bins that training uses as targets and the given map lacks."""
    blend: Blend | None
    """What takes part in every estimate of it beside the network, and stays the same."""


def held_out_of(maps: Sequence[SparseMap], hidden: Sequence[np.ndarray], config: RunConfig) -> list[HeldOut]:
    """The held-out bins of every map that has some and is large enough to thin; of at most four, spread over a panel.

    ``hidden``: (lattice rows, lattice columns) of each map, True at its held-out bins.
    """
    able = []
    for number, mask in enumerate(hidden):
        if mask.any():
            given = _given(maps[number], mask, config)[0]
            if min(given.values.shape) >= 2 and given.measured.any():
                able.append(number)
    chosen = able[:: -(-len(able) // MOST_GENES) or 1]
    return [_held_out(maps[number], hidden[number], config) for number in chosen]


def _held_out(sparse: SparseMap, hidden: np.ndarray, config: RunConfig) -> HeldOut:
    kind = config.grid.normalisation
    given, at, targets = _given(sparse, hidden, config)
    return HeldOut(
        given=given,
        at=at,
        truth=sparse.normalised(kind),
        hidden=hidden,
        targets=targets,
        blend=blend_for(given, config.imputation, kind),
    )


def _given(
    sparse: SparseMap, hidden: np.ndarray, config: RunConfig
) -> tuple[SparseMap, tuple[slice, slice], np.ndarray]:
    """Map that the hidden bins are told from, where they lie in an estimate of it, and the targets of training that it lacks."""
    if config.training.hiding == "scattered":
        targets = _as_many(sparse.measured & ~hidden, hidden)
        given = sparse.without(hidden | targets)
        # Classical methods compute where there is tissue; gaps make every neighbourhood another one, which is slow.
        wanted = np.zeros(sparse.shape, bool)
        wanted[sparse.on_lattice] = hidden | targets
        return replace(given, tissue=wanted), sparse.on_lattice, targets
    given = sparse.thinned()
    return given, np.s_[:, :], sparse.measured & ~hidden & ~given.lattice_mask()


def _as_many(able: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """(lattice rows, lattice columns) as many of the able bins as are hidden, or half of them; always the same."""
    where = np.flatnonzero(able)
    chosen = np.zeros_like(able)
    count = min(int(hidden.sum()), len(where) // 2)
    chosen.flat[np.random.default_rng(0).choice(where, count, replace=False)] = True
    return chosen


def classical_errors(held_out: Sequence[HeldOut], config: RunConfig) -> dict[str, float]:
    """Method -> mean absolute error on the held-out bins of all maps."""
    if not held_out:
        return {}
    kind = config.grid.normalisation
    return {
        method: _mean(_hidden_errors([interpolate(part.given, method, kind) for part in held_out], held_out))
        for method in METHODS
    }


def estimates(
    network: CDCIN, held_out: Sequence[HeldOut], config: RunConfig, calibration: Calibration | None = None
) -> list[GeneMap]:
    """Maps predicted from what is given of each, without symmetries."""
    once = config.imputation.model_copy(update={"symmetries": 1, "overlap": "hann"})
    kind, precision = config.grid.normalisation, config.training.precision
    return [
        impute_with(
            network, part.given, once, kind=kind, precision=precision, calibration=calibration, blend=part.blend
        )
        for part in held_out
    ]


def errors(estimated: Sequence[GeneMap], held_out: Sequence[HeldOut]) -> tuple[float, float]:
    """Mean absolute error on held-out bins, and on those that training has as targets."""
    return _mean(_hidden_errors(estimated, held_out)), _mean(_target_errors(estimated, held_out))


def _hidden_errors(estimated: Sequence[GeneMap], held_out: Sequence[HeldOut]) -> np.ndarray:
    """(held-out bins of all maps,) absolute."""
    return _errors(estimated, held_out, [part.hidden for part in held_out])


def _target_errors(estimated: Sequence[GeneMap], held_out: Sequence[HeldOut]) -> np.ndarray:
    """(targets of all maps,) absolute."""
    return _errors(estimated, held_out, [part.targets for part in held_out])


def _errors(estimated: Sequence[GeneMap], held_out: Sequence[HeldOut], masks: Sequence[np.ndarray]) -> np.ndarray:
    of_maps = [
        np.abs(estimate.values[part.at] - part.truth)[mask]
        for estimate, part, mask in zip(estimated, held_out, masks, strict=True)
    ]
    return np.concatenate(of_maps) if of_maps else np.empty(0)


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")


@dataclass(frozen=True)
class Loss:
    """Loss by which weights are chosen: every held-out bin's absolute and squared error, each over its mean for the weights
    that came first, so that neither the median nor the mean is bought with the other."""

    errors: np.ndarray
    """(held-out bins of all maps,) absolute."""

    def over(self, first: Loss) -> np.ndarray:
        """(bins,) with a mean of 2 for the first weights themselves."""
        absolute, squared = first.errors.mean(), np.square(first.errors).mean()
        return self.errors / max(absolute, 1e-12) + np.square(self.errors) / max(squared, 1e-12)

    def is_below(self, other: Loss, first: Loss) -> bool:
        """Whether it is lower on average, and by more than the standard error of the difference."""
        gain = other.over(first) - self.over(first)
        return bool(gain.mean() > gain.std() / max(1, len(gain)) ** 0.5)


def loss(estimated: Sequence[GeneMap], held_out: Sequence[HeldOut]) -> Loss:
    """The loss of estimates on the held-out bins."""
    return Loss(_hidden_errors(estimated, held_out))


def calibrate(estimated: Sequence[GeneMap], held_out: Sequence[HeldOut]) -> Calibration:
    """Stretch the interval so that it covers 90 % of the held-out bins (split conformal prediction, Lei et al. 2018)."""
    if sum(int(part.hidden.sum()) for part in held_out) < MIN_BINS:
        return Calibration()
    stretches = []
    for estimate, part in zip(estimated, held_out, strict=True):
        value, lower, upper = (
            values[part.at][part.hidden] for values in (estimate.values, estimate.lower, estimate.upper)
        )
        truth = part.truth[part.hidden]
        reach = np.where(truth < value, value - lower, upper - value)
        stretches.append(np.abs(truth - value) / np.maximum(reach, 1e-6))
    return Calibration(float(np.quantile(np.concatenate(stretches), COVERAGE)))


class BestWeights:
    """Weights of the network that is validated, whenever they are better than all before.

    What was learnt after them only fits the bins that training has as targets.
    """

    def __init__(self, *, from_random: bool) -> None:
        """``from_random``: the first weights know nothing, so that any gain counts."""
        self._from_random = from_random
        self.weights: dict[str, Tensor] | None = None
        """Of the network, by name; None until one was validated."""
        self.are_learnt = False
        """Whether they are others than the first ones."""
        self.since = 0
        """Validations after them."""
        self._loss: Loss | None = None
        self._first: Loss | None = None

    def consider(self, loss: Loss, network: CDCIN, *, has_learnt: bool) -> None:
        """Keep a copy of the network's weights if they are the best so far."""
        with np.errstate(over="ignore"):
            exploded = not np.isfinite(np.square(loss.errors)).all()
        if exploded:
            self.since += 1
            return
        self._first = self._first or loss
        if self._loss is not None and not self._is_better(loss):
            self.since += 1
            return
        self._loss, self.are_learnt, self.since = loss, has_learnt, 0
        self.weights = {name: weight.clone() for name, weight in network.state_dict().items()}

    def _is_better(self, loss: Loss) -> bool:
        """Whether it is better than the best so far; than a start that knows much already only if chance hardly explains it."""
        if loss.over(self._first).mean() >= self._loss.over(self._first).mean():
            return False
        return self._from_random or loss.is_below(self._first, self._first)

    def record(self) -> dict[str, Any]:
        """Values to keep beside the tensors, for JSON."""
        return {"are_learnt": self.are_learnt, "since": self.since}

    def losses(self) -> dict[str, Tensor]:
        """(held-out bins,) absolute errors, with the best weights and with the first ones."""
        losses = {"best": self._loss, "first": self._first}
        return {name: torch.tensor(loss.errors) for name, loss in losses.items() if loss is not None}

    def restore(self, record: Mapping[str, Any], weights: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> None:
        """Become what the three were. Raises KeyError, TypeError or ValueError."""
        self.weights = dict(weights) or None
        self.are_learnt, self.since = bool(record["are_learnt"]), int(record["since"])
        if weights:
            self._loss, self._first = (Loss(losses[name].numpy()) for name in ("best", "first"))
