"""What takes part in a map beside the network: the classical methods' mean, and what image and other genes tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ..classical.methods import interpolate
from ..config import ImputationConfig
from ..maps import NormalisationKind, SparseMap
from ..sampling.crops import Piece, around_tissue
from ..threads import one_blas_thread
from .regression import regression_share


@dataclass(frozen=True, eq=False)
class Blend:
    """Estimates that take part in a map beside the network, and do not change while that learns."""

    classical: np.ndarray | None
    """(rows, columns) mean of the classical methods, of which the map takes a share."""
    share: float
    """That share."""
    regression: np.ndarray | None
    """(rows, columns) what is added because of the morphology image and the panel's other genes."""

    def cut(self, part: Piece) -> Blend:
        """The blend of a piece of the map."""
        classical = None if self.classical is None else part.cut(self.classical)
        regression = None if self.regression is None else part.cut(self.regression)
        return Blend(classical, self.share, regression)


def blend_for(sparse: SparseMap, config: ImputationConfig, kind: NormalisationKind) -> Blend:
    """The classical methods' estimate and what image and other genes tell, as far as the settings ask for them."""
    with one_blas_thread():
        regression = regression_share(sparse, kind, image=config.image, panel=config.panel)
        return Blend(classical_estimate(sparse, config, kind), classical_share(sparse, config), regression)


def classical_share(sparse: SparseMap, config: ImputationConfig) -> float:
    """The share of a map that is classical, from what is known beside the gene's own bins: more where that is nothing."""
    if not (config.classical and config.classical_share):
        return 0.0
    has_image = config.image and sparse.image is not None
    has_panel = config.panel and not (sparse.totals is None and sparse.coexpressed is None)
    return config.classical_share if has_image or has_panel else max(config.classical_share, config.classical_alone)


def classical_estimate(sparse: SparseMap, config: ImputationConfig, kind: NormalisationKind) -> np.ndarray | None:
    """(rows, columns) mean of the config's classical methods, in the normalised space; None where the map takes no share."""
    if not classical_share(sparse, config):
        return None
    part = around_tissue(sparse)
    with ThreadPoolExecutor(len(config.classical)) as pool:
        estimates = pool.map(lambda method: interpolate(part.sparse, method, kind).values, config.classical)
        return part.spread(np.mean(list(estimates), axis=0))
