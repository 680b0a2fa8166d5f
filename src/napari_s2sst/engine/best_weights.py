"""The weights that did best on held-out bins: what was learnt after them only fits the bins that training sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .network import CDCIN
from .validation import Loss


class BestWeights:
    """Those of the network that is validated, whenever they are better than all before."""

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
        """Than the best so far; than a start that knows much already only if chance hardly explains it."""
        if loss.over(self._first).mean() >= self._loss.over(self._first).mean():
            return False
        return self._from_random or loss.is_below(self._first, self._first)

    def record(self) -> dict[str, Any]:
        """What is to be kept beside the tensors, for JSON."""
        return {"are_learnt": self.are_learnt, "since": self.since}

    def losses(self) -> dict[str, Tensor]:
        """Errors of every held-out bin, with the best weights and with the first ones."""
        found = {"best": self._loss, "first": self._first}
        return {name: torch.tensor(loss.errors) for name, loss in found.items() if loss is not None}

    def restore(self, record: Mapping[str, Any], weights: dict[str, Tensor], losses: Mapping[str, Tensor]) -> None:
        """Become what the three were. Raises KeyError, TypeError or ValueError."""
        self.weights, self.are_learnt, self.since = weights or None, bool(record["are_learnt"]), int(record["since"])
        if weights:
            self._loss, self._first = (Loss(losses[name].numpy()) for name in ("best", "first"))
