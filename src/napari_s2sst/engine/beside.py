"""What takes part in a map beside the network: the classical methods' mean, and what image and other genes tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from .baselines import interpolate
from .blas_threads import one_blas_thread
from .config import ImputationConfig
from .cropping import Part, around_tissue
from .maps import NormalisationKind, SparseMap
from .regression_share import regression_share


@dataclass(frozen=True, eq=False)
class Beside:
    """What takes part in a map beside the network, and does not change while that learns."""

    classical: np.ndarray | None
    """(rows, columns) mean of the classical methods, of which the map takes a share."""
    regression: np.ndarray | None
    """(rows, columns) what is added because of the morphology image and the panel's other genes."""

    def cut(self, part: Part) -> Beside:
        return Beside(*(None if each is None else part.cut(each) for each in (self.classical, self.regression)))


def beside_network(sparse: SparseMap, config: ImputationConfig, kind: NormalisationKind) -> Beside:
    """The classical methods' estimate and what image and other genes tell, as far as the settings ask for them."""
    with one_blas_thread():
        told = regression_share(sparse, kind, image=config.image, panel=config.panel)
        return Beside(classical_estimate(sparse, config, kind), told)


def classical_estimate(sparse: SparseMap, config: ImputationConfig, kind: NormalisationKind) -> np.ndarray | None:
    """(rows, columns) mean of the config's classical methods, in the normalised space; None where the map takes no share."""
    if not config.classical_share or not config.classical:
        return None
    part = around_tissue(sparse)
    with ThreadPoolExecutor(len(config.classical)) as pool:
        found = pool.map(lambda method: interpolate(part.sparse, method, kind).values, config.classical)
        return part.spread(np.mean(list(found), axis=0))
