"""An imputed map and the truth -> MAE, PCC, SSIM and the map of errors (Fang et al. 2025, section 2.6).

All in the normalised space. Figures on unmeasured bins are the honest ones: measured bins are put back exactly, so
they flatter every method alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from ..errors import S2SSTError
from ..maps import GeneMap, SparseMap

SSIM_WINDOW = 7
"""skimage's default."""


@dataclass(frozen=True)
class Scores:
    """Scores of a map against the truth. Lower MAE, higher PCC and SSIM are better; NaN where undefined."""

    mae: float
    """Mean absolute error on all tissue bins."""
    pcc: float
    """Pearson correlation on all tissue bins."""
    ssim: float
    """Structural similarity, mean over tissue bins."""
    mae_unmeasured: float
    """Mean absolute error on unmeasured tissue bins."""
    pcc_unmeasured: float
    """Pearson correlation on unmeasured tissue bins."""
    ssim_unmeasured: float
    """Structural similarity, mean over unmeasured tissue bins."""
    ssim_full: float
    """Structural similarity over the whole rectangle, glass included, as it is often published."""
    coverage: float
    """Share of unmeasured tissue bins inside the predicted 90 % interval; NaN without one."""
    bins: int
    """Unmeasured tissue bins that were compared."""


def truth_like(imputed: GeneMap, truth: GeneMap) -> np.ndarray:
    """(rows, columns) the truth in the imputed map's normalised space, 0 outside the tissue.

    Raises :class:`S2SSTError` where the map holds counts or is of another grid.
    """
    if imputed.normalisation is None:
        raise S2SSTError(f"Map {imputed.gene!r} holds counts, not imputed values; scores need an imputed map.")
    if truth.shape != imputed.shape:
        raise S2SSTError(
            f"The truth has {truth.shape[0]} x {truth.shape[1]} bins, the imputed map {imputed.shape[0]} x {imputed.shape[1]}; "
            "both must be of the same grid."
        )
    return np.where(imputed.tissue, truth.normalised(imputed.normalisation).values, np.float32(0))


def score(imputed: GeneMap, *, truth: GeneMap, sparse: SparseMap) -> Scores:
    """Compare an imputed map with the truth, of which ``sparse`` was measured (Fang et al. 2025, section 2.6).

    All three are of one (rows, columns) grid; truth may hold counts. Errors are in the normalised space.
    Raises :class:`S2SSTError` where the map holds counts or the grids differ, :class:`BundleError` where totals are needed.
    """
    expected = truth_like(imputed, truth)
    estimated = np.where(imputed.tissue, imputed.values, np.float32(0))
    tissue = imputed.tissue
    unmeasured = tissue & ~sparse.lattice_mask()
    error = np.abs(estimated - expected)
    similarity, full = _ssim(estimated, expected)
    coverage = float("nan")
    if imputed.lower is not None and imputed.upper is not None and unmeasured.any():
        inside = (expected >= imputed.lower) & (expected <= imputed.upper)
        coverage = float(inside[unmeasured].mean())
    return Scores(
        mae=_mean(error, tissue),
        pcc=_pcc(estimated[tissue], expected[tissue]),
        ssim=_mean(similarity, tissue),
        mae_unmeasured=_mean(error, unmeasured),
        pcc_unmeasured=_pcc(estimated[unmeasured], expected[unmeasured]),
        ssim_unmeasured=_mean(similarity, unmeasured),
        ssim_full=full,
        coverage=coverage,
        bins=int(unmeasured.sum()),
    )


def error_map(imputed: GeneMap, truth: GeneMap) -> np.ndarray:
    """(rows, columns) imputed minus true value in the normalised space, float32, NaN outside the tissue.

    Raises :class:`S2SSTError` as :func:`score` does.
    """
    error = imputed.values - truth_like(imputed, truth)
    return np.where(imputed.tissue, error, np.float32(np.nan)).astype(np.float32)


def _mean(values: np.ndarray, where: np.ndarray) -> float:
    return float(values[where].mean(dtype=np.float64)) if where.any() else float("nan")


def _pcc(a: np.ndarray, b: np.ndarray) -> float:
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return float(np.corrcoef(a.astype(np.float64), b.astype(np.float64))[0, 1])


def _ssim(estimated: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, float]:
    """SSIM of every bin and over the whole rectangle; data_range is that of the truth."""
    data_range = float(np.ptp(expected))
    if min(estimated.shape) < SSIM_WINDOW or data_range == 0:
        return np.full(estimated.shape, np.nan), float("nan")
    mean, of_bins = structural_similarity(
        expected.astype(np.float64),
        estimated.astype(np.float64),
        win_size=SSIM_WINDOW,
        data_range=data_range,
        full=True,
    )
    return of_bins, float(mean)
