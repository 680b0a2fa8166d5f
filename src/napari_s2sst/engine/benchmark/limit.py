"""The information limit: how well a bin can be told from its neighbours at all. It looks at the truth, and is no method.

Every tissue bin is predicted from the dense map around it, itself left out, with normalised Gaussian weights; the width is
the best in hindsight, for each score its own. Counts are noisy, so even this is far from perfect: what a
method lacks to it is what a better use of neighbours could still gain. Only other genes or the image can go beyond.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import numpy as np
from scipy import ndimage

from ..maps import GeneMap, NormalisationKind, SparseMap
from ..scores.metrics import Scores, score

LIMIT = "information limit"
"""Its name in tables."""

WIDTHS_BINS = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.6, 2.0, 2.5, 3.2, 4.0, 6.0)
"""Candidate widths."""

_LOWER_IS_BETTER = ("mae", "mae_unmeasured")


def information_limit(sparse: SparseMap, *, truth: GeneMap, normalisation: NormalisationKind = "log1p") -> Scores:
    """Find the best scores over the widths, each score for itself; measured bins are put back as for every method."""
    estimates = dense_estimates(sparse, truth, normalisation)
    every = [score(estimate, truth=truth, sparse=sparse) for estimate in estimates]
    best = {}
    for name in (field.name for field in fields(Scores) if field.name not in ("coverage", "bins")):
        values = np.array([getattr(scores, name) for scores in every])
        if np.isfinite(values).any():
            best[name] = float(np.nanmin(values) if name in _LOWER_IS_BETTER else np.nanmax(values))
    return replace(every[0], **best)


def dense_estimates(sparse: SparseMap, truth: GeneMap, normalisation: NormalisationKind) -> Iterator[GeneMap]:
    """Maps, one for each width: every tissue bin predicted from the dense truth around it, itself left out."""
    kind = sparse.normalisation(normalisation)
    dense = np.where(truth.tissue, truth.normalised(kind).values, 0).astype(np.float64)
    tissue = truth.tissue.astype(np.float64)
    measured = sparse.lattice_mask()
    for width in WIDTHS_BINS:
        reach = max(1, round(4 * width))
        spike = np.zeros((2 * reach + 1,) * 2)
        spike[reach, reach] = 1
        smooth = {"sigma": width, "mode": "constant", "radius": reach}
        own = ndimage.gaussian_filter(spike, **smooth)[reach, reach]
        weight = ndimage.gaussian_filter(tissue, **smooth) - own * tissue
        total = ndimage.gaussian_filter(dense, **smooth) - own * dense
        alone = weight < 1e-12  # a bin without any neighbour in the tissue
        values = np.where(truth.tissue & ~alone, total / np.where(alone, 1, weight), 0)
        values[measured] = dense[measured]
        yield sparse.filled(values, normalisation)
