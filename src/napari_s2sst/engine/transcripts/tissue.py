"""Find the tissue: bins with transcripts -> the mask of all bins that are tissue, gaps closed and stray islands dropped."""

from __future__ import annotations

import math

import numpy as np

TISSUE_CELL_UM = 10.0
"""The tissue's outline is found on cells at least this large; finer bins share a cell's answer."""
CLOSING_UM = 40.0
"""Gaps up to about twice this are bridged: the distance between cells that express anything in loose tissue."""
ISLAND_UM2 = 10_000.0
"""Islands smaller than this, 100 x 100 um, are dropped: dust and stray transcripts, not tissue."""


def tissue_mask(totals: np.ndarray, bin_um: float) -> np.ndarray:
    """(rows, columns) True in the tissue: bins with any transcript, closed, holes filled, small islands dropped.

    ``totals`` (rows, columns) transcripts of all genes. Lengths are in um, so that the outline stays much the same when
    the bin size changes. Where nearly everything is small islands (a subsampled table), they are kept: the mask is
    empty only where there are no transcripts.
    """
    from scipy import ndimage
    from skimage.measure import block_reduce

    occupied = totals > 0
    if not occupied.any():
        return occupied
    block = max(1, math.floor(TISSUE_CELL_UM / bin_um))
    cells = block_reduce(occupied, block, np.max) if block > 1 else occupied
    cell_um = block * bin_um
    mask = ndimage.binary_fill_holes(_closed(cells, max(1, round(CLOSING_UM / cell_um))))
    mask = _without_islands(mask, cells, ISLAND_UM2 / cell_um**2)
    if block > 1:
        mask = mask.repeat(block, axis=0).repeat(block, axis=1)[: totals.shape[0], : totals.shape[1]]
    return mask


def _closed(mask: np.ndarray, radius: int) -> np.ndarray:
    from skimage.morphology import isotropic_closing

    # Padded, because the erosion would otherwise take the map's edge for tissue.
    padded = np.pad(mask, radius + 1)
    inner = np.s_[radius + 1 : -radius - 1, radius + 1 : -radius - 1]
    return isotropic_closing(padded, radius)[inner]


def _without_islands(mask: np.ndarray, occupied: np.ndarray, smallest: float) -> np.ndarray:
    """The mask without connected parts of fewer than ``smallest`` bins, unless they hold most of the occupied bins."""
    from scipy import ndimage

    labels, _ = ndimage.label(mask)
    large = np.bincount(labels.ravel()) >= smallest
    large[0] = False
    kept = large[labels]
    return kept if 2 * np.count_nonzero(kept & occupied) >= np.count_nonzero(occupied) else mask
