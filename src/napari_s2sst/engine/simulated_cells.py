"""A gene's rate -> what its cells make of it: expected transcripts of each bin, more uneven than the rate.

Counts of real tissue vary more than chance alone would make them, because transcripts come from cells, and those differ. Which
way they differ decides how far a high bin tells of the next ones, so several ways are simulated.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

FINER = 3
"""Cells lie anywhere, not in the middle of bins: so many places along a bin's side."""

MOST_CELLS = 20.0
"""To a bin that have the gene, where its rate is average."""

WIDEST = 8
"""Bins, half the side of the window in which a factor's smoothing is worked out."""


def expressing_cells(rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) of the rate's mean: the gene is in some cells and in no others, each with its own number of transcripts.

    Cells are points of a Poisson process whose density follows the rate (shot noise), so where the gene is frequent it is also
    more even. A high bin then holds a cell or two, of which the next bins know little.
    """
    mean = max(float(rate.mean()), 1e-9)
    cells = np.exp(rng.uniform(np.log(0.01), np.log(MOST_CELLS)))  # to a bin
    evenness = np.exp(rng.uniform(np.log(0.4), np.log(8.0)))  # of cells that have the gene, 1 / variance
    extent = np.exp(rng.uniform(np.log(0.1), np.log(1.2)))  # of a cell, standard deviation in bins
    everywhere = rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0  # what all cells have a little of
    fine = np.repeat(np.repeat(rate * (cells / mean / FINER**2), FINER, 0), FINER, 1)
    number = rng.poisson(fine)
    own = np.zeros(number.shape)
    some = number > 0
    own[some] = rng.gamma(evenness * number[some], mean / (evenness * cells))
    own = ndimage.gaussian_filter(own, extent * FINER, mode="reflect")
    rows, columns = rate.shape
    own = own.reshape(rows, FINER, columns, FINER).sum((1, 3))
    return (1 - everywhere) * own + everywhere * rate


def uneven_cells(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) factors about 1: all cells have the gene, some more of it; a cell may lie in several bins."""
    evenness = np.exp(rng.uniform(np.log(0.06), np.log(15.0)))  # 1 / variance
    kind = rng.random()
    if kind < 0.15:
        return _mosaic(shape, evenness, rng)
    # A cell straddles bins even where it is smaller than one: of what differs from cell to cell, next bins share a fifth
    # to a half, and those after next hardly any. No lattice can tell, for it has no next bins; it must be learnt here.
    width = rng.uniform(0.45, 0.68) if kind < 0.75 else np.exp(rng.uniform(np.log(0.6), np.log(2.2)))  # in bins
    width = width if kind < 0.95 else 0.0
    if not width:
        return rng.gamma(evenness, 1 / evenness, shape)
    spike = np.zeros((2 * WIDEST + 1, 2 * WIDEST + 1))
    spike[WIDEST, WIDEST] = 1
    kept = (ndimage.gaussian_filter(spike, width) ** 2).sum()  # of the variance, after smoothing
    evenness = max(evenness * kept, 0.02)
    return ndimage.gaussian_filter(rng.gamma(evenness, 1 / evenness, shape), width, mode="reflect")


def _mosaic(shape: tuple[int, int], evenness: float, rng: np.random.Generator) -> np.ndarray:
    """Cells side by side, several bins each, every one with its own factor: bins far smaller than a cell."""
    across = np.exp(rng.uniform(np.log(1.5), np.log(8.0)))  # bins to a cell
    cells = max(2, round(shape[0] * shape[1] / across**2))
    bins = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    nearest = cKDTree(rng.uniform(-0.5, np.array(shape) - 0.5, (cells, 2))).query(bins)[1]
    return ndimage.gaussian_filter(rng.gamma(evenness, 1 / evenness, cells)[nearest], rng.uniform(0.2, 0.7))
