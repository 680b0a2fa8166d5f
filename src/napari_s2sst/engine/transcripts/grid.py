"""Turn points in um into the square bins that they lie in.

Bins are numbered from the slide's origin, the corner of the morphology image: bin (i, j) covers
``[i * bin_um, (i + 1) * bin_um)`` down and ``[j * bin_um, (j + 1) * bin_um)`` across. So maps of one slide with the
same bin size share their edges, whatever part of the slide they cover.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import BundleError

MAX_BINS = 200_000_000
"""A larger map is a slip of the finger (bins of 0.1 um): no screen shows it and no memory holds its arrays."""
_LARGEST = 2.0**30
"""Bin numbers along one axis stay below, from the slide's origin, to be counted in 32 bits."""


@dataclass(frozen=True)
class Grid:
    """Square bins over a part of the slide."""

    bin_um: float
    first: tuple[int, int]
    """(row, column) of the first bin, counted from the slide's origin."""
    shape: tuple[int, int]
    """(rows, columns)."""

    @classmethod
    def over(cls, extent_um: tuple[float, float, float, float], bin_um: float) -> Grid:
        """The bins that hold every point of ``extent_um`` = (y0, x0, y1, x1), all ends included.

        Raises :class:`BundleError` when the bin size is not above 0 or gives more than ``MAX_BINS`` bins.
        """
        if not (bin_um > 0 and math.isfinite(bin_um)):
            raise BundleError(f"The bin size is {bin_um} um; choose one above 0, such as 20.")
        y0, x0, y1, x1 = extent_um
        shape = [math.floor(high / bin_um) - math.floor(low / bin_um) + 1 for low, high in ((y0, y1), (x0, x1))]
        if math.prod(shape) > MAX_BINS:
            raise BundleError(
                f"Bins of {bin_um:g} um cut this slide of {(x1 - x0) / 1000:.1f} x {(y1 - y0) / 1000:.1f} mm into "
                f"{shape[1]:,} x {shape[0]:,} bins, more than {MAX_BINS // 1_000_000} million. Choose larger bins."
            )
        return cls(float(bin_um), (math.floor(y0 / bin_um), math.floor(x0 / bin_um)), (shape[0], shape[1]))

    @property
    def origin_um(self) -> tuple[float, float]:
        """(y, x) of the outer corner of the first bin."""
        return (self.first[0] * self.bin_um, self.first[1] * self.bin_um)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    def bins_of(self, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
        """(n,) flat bin number of each point, int32; -1 for points that are off the grid or not numbers."""
        if not len(y_um):
            return np.zeros(0, np.int32)
        if not all(self._holds(axis, positions) for axis, positions in enumerate((y_um, x_um))):
            return self._bins_of_any(y_um, x_um)
        bins, columns = self._along(y_um), self._along(x_um)
        bins -= np.int32(self.first[0])
        bins *= np.int32(self.shape[1])
        bins += columns
        bins -= np.int32(self.first[1])
        return bins

    def _holds(self, axis: int, position_um: np.ndarray) -> bool:
        """Whether all points are numbers from 0 on and on the grid: then the ends tell of all, and a cast rounds down."""
        low, high = float(position_um.min()), float(position_um.max())
        # A NaN makes both ends NaN, and no comparison with it is true.
        if not (low >= 0 and high / self.bin_um < _LARGEST):
            return False
        ends = (math.floor(end / self.bin_um) - self.first[axis] for end in (low, high))
        return all(0 <= end < self.shape[axis] for end in ends)

    def _along(self, position_um: np.ndarray) -> np.ndarray:
        """(n,) int32 bin numbers along one axis, from the slide's origin."""
        # Divided in float64, exactly as `over` divides the ends, so that the largest coordinate stays on the grid.
        return np.divide(position_um, self.bin_um, dtype=np.float64).astype(np.int32)

    def _bins_of_any(self, y_um: np.ndarray, x_um: np.ndarray) -> np.ndarray:
        inside, bins = np.ones(len(y_um), bool), np.zeros(len(y_um), np.float64)
        for positions, first, length in zip((y_um, x_um), self.first, self.shape, strict=True):
            along = np.floor(np.divide(positions, self.bin_um, dtype=np.float64)) - first
            inside &= (along >= 0) & (along < length)
            bins *= length
            bins += along
        return np.where(inside, bins, -1).astype(np.int32)
