"""The network so far -> how the first gene's map looks now, as often as is asked for and time allows."""

from __future__ import annotations

import time

from ..config import RunConfig
from ..imputing.blend import Blend, blend_for
from ..imputing.impute import impute_with
from ..maps import GeneMap, SparseMap
from ..network.cdcin import CDCIN

MOST_TIME = 1 / 5
"""Share of a training's time that previews may take, however large the map."""


class Previews:
    """Maps of one gene on the way, each as the final one but for the turns and flips that it is a mean of."""

    def __init__(self, sparse: SparseMap, config: RunConfig, every_s: float | None) -> None:
        """``every_s``: seconds between two; None for those alone that are asked for."""
        self._sparse, self._config, self._every_s = sparse, config, every_s
        self._blend: Blend | None = None  # what takes part beside the network, and never changes
        self._rested_at = time.perf_counter()
        self._cost_s = 0.0

    @property
    def are_due(self) -> bool:
        """Whether it is time for one."""
        return self._every_s is not None and time.perf_counter() - self._rested_at >= self._every_s

    def of(self, network: CDCIN) -> GeneMap:
        """The map as this network has it, in the normalised space."""
        began = time.perf_counter()
        symmetries = 1 if self._config.network.quantiles else 8
        quick = self._config.imputation.model_copy(update={"symmetries": symmetries, "overlap": "hann"})
        kind = self._config.grid.normalisation
        if self._blend is None:
            self._blend = blend_for(self._sparse, quick, kind)
        imputed = impute_with(
            network, self._sparse, quick, kind=kind, precision=self._config.training.precision, blend=self._blend
        )
        self._cost_s = time.perf_counter() - began
        return imputed

    def rest(self) -> None:
        """Wait from now on, after the last one was told."""
        pause_s = (1 / MOST_TIME - 1) * self._cost_s
        self._rested_at = time.perf_counter() + max(0.0, pause_s - (self._every_s or 0))
