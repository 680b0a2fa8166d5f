"""The values that travel: a gene's dense map, the sparse map that a cheaper experiment would have measured, and how one is made
of the other's parts.

Both are frozen and hold read-only arrays. Axes are (row, column) = (y, x); everything a user sees is in um. Only here is it
known which fields of a sparse map lie on the lattice and which on the full grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .errors import BundleError

COVERAGE = 0.9
"""Share of unmeasured bins whose value the interval from ``lower`` to ``upper`` is to hold."""

NormalisationKind = Literal["none", "log1p", "median-log1p"]


@dataclass(frozen=True)
class Normalisation:
    """Normalisation that turned counts into values.

    ``log1p``: the logarithm of 1 + counts. ``median-log1p``: every bin is first scaled to the median total count
    (the paper's section 2.4); that median comes from measured bins only. ``none``: values are taken as they are.
    """

    kind: NormalisationKind = "log1p"
    median_total: float | None = None
    """Median total count of the measured tissue bins; only for ``median-log1p``."""

    def __call__(self, counts: np.ndarray, totals: np.ndarray | None = None) -> np.ndarray:
        """Counts (any shape) with the bins' total counts of all genes (same shape) -> values, float32.

        Raises :class:`BundleError` where ``median-log1p`` lacks the totals.
        """
        counts = np.asarray(counts, dtype=np.float32)
        if self.kind == "none":
            return counts
        if self.kind == "median-log1p":
            if totals is None or self.median_total is None:
                raise BundleError(
                    "The normalisation 'median-log1p' needs the total count of every bin, and this map has none. "
                    "Choose 'log1p', or give GeneMap(totals=...)."
                )
            counts = counts * (self.median_total / np.maximum(totals, 1)).astype(np.float32)
        return np.log1p(np.maximum(counts, 0))


def _readonly(array: np.ndarray, dtype: type) -> np.ndarray:
    view = np.asarray(array, dtype=dtype).view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, eq=False)
class GeneMap:
    """One gene on the full grid of square bins, (rows, columns): counts, or imputed values in a normalised space.

    Row 0 is the smallest y; ``bin_um`` and ``origin_um`` are um. Raises :class:`BundleError` where an array has another shape, a
    bin has no size, or a value inside the tissue is not finite.
    """

    values: np.ndarray
    """(rows, columns), float32."""
    tissue: np.ndarray | None = None
    """(rows, columns) True inside the tissue; the whole map when left out."""
    gene: str = ""
    bin_um: float = 20.0
    """Side of a bin, um."""
    origin_um: tuple[float, float] = (0.0, 0.0)
    """(y, x) of the outer corner of bin (0, 0); its centre is half a bin further."""
    totals: np.ndarray | None = None
    """Total count of all genes per bin (rows, columns); needed for ``median-log1p``."""
    normalisation: Normalisation | None = None
    """None: ``values`` are counts. Otherwise the values are in this normalised space."""
    uncertainty: np.ndarray | None = None
    """(rows, columns) half width of the 90 % interval in the units of ``values``; zero at measured bins."""
    lower: np.ndarray | None = None
    """(rows, columns) lower end of that interval, where the network predicts one."""
    upper: np.ndarray | None = None
    context: np.ndarray | None = None
    """(rows, columns) True where tissue lies outside the regions: counted as well, to be looked at and never told about."""

    def __post_init__(self) -> None:
        values = _readonly(self.values, np.float32)
        if values.ndim != 2 or 0 in values.shape:
            raise BundleError(f"A gene map needs rows and columns, and this array has the shape {values.shape}.")
        if not self.bin_um > 0:
            raise BundleError(f"A bin needs a size above 0 um, and this is {self.bin_um}.")
        object.__setattr__(self, "values", values)
        tissue = np.ones(values.shape, bool) if self.tissue is None else self.tissue
        object.__setattr__(self, "tissue", _readonly(tissue, bool))
        for name, array in (("tissue", self.tissue), ("totals", self.totals), ("uncertainty", self.uncertainty),
                            ("lower", self.lower), ("upper", self.upper), ("context", self.context)):  # fmt: skip
            if array is None:
                continue
            if array.shape != values.shape:
                raise BundleError(
                    f"The {name} of gene map {self.gene!r} has the shape {array.shape}, its values {values.shape}; "
                    "both need the same rows and columns."
                )
            if name != "tissue":
                object.__setattr__(self, name, _readonly(array, bool if name == "context" else np.float32))
        bad = np.isfinite(values)
        bad = np.logical_not(bad, out=bad)
        if bad.any() and bad[self.tissue].any():
            raise BundleError(
                f"Gene map {self.gene!r} has {int(bad[self.tissue].sum())} values inside the tissue that are not numbers. "
                "Take those bins out of `tissue`, or give them a value."
            )

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.values.shape

    @property
    def counted(self) -> np.ndarray:
        """(rows, columns) True in all tissue, in the regions and around them."""
        return self.tissue if self.context is None else self.tissue | self.context

    def normalised(self, normalisation: Normalisation) -> GeneMap:
        """This map in a normalised space; a map that already is in one is returned as it is. Raises :class:`BundleError`."""
        if self.normalisation is not None:
            return self
        return replace(self, values=normalisation(self.values, self.totals), normalisation=normalisation)


Slices = tuple[slice, slice]
"""Rows and columns of a grid."""

_ON_LATTICE = ("values", "measured", "totals", "context", "coexpressed")
"""Fields of a sparse map that are (lattice rows, lattice columns)."""

_ON_GRID = ("tissue", "image")
"""Fields that are (rows, columns) of the full grid."""

_KINDS = {"measured": bool, "tissue": bool, "context": bool}
"""Of their elements; float32 is that of all others."""


@dataclass(frozen=True, eq=False)
class SparseMap:
    """Counts of one gene in the bins of a lattice, and nothing else of the map: the sparse X_m of Fang et al. 2025 (section 2.1).

    Bin (i, j) of ``values`` lies at bin (phase[0] + i * stride, phase[1] + j * stride) of the full grid.
    Unmeasured bins are not in here at all, so nothing that is given a SparseMap can look at them.
    """

    values: np.ndarray
    """(lattice rows, lattice columns) counts, float32."""
    measured: np.ndarray
    """(lattice rows, lattice columns) True where the lattice bin lies in the tissue."""
    tissue: np.ndarray
    """(rows, columns) of the full grid: where values are wanted."""
    stride: int
    """Distance between measured bins, in bins of the full grid."""
    phase: tuple[int, int] = (0, 0)
    """(row, column) of the first measured bin."""
    gene: str = ""
    bin_um: float = 20.0
    """Side of a bin of the full grid."""
    origin_um: tuple[float, float] = (0.0, 0.0)
    """(y, x) of the outer corner of the full grid's bin (0, 0)."""
    totals: np.ndarray | None = None
    """(lattice rows, lattice columns) total counts of all genes at the measured bins."""
    median_total: float | None = None
    """Of the map that this one was thinned from: both must be in one normalised space to be compared. None: its own."""
    context: np.ndarray | None = None
    """(lattice rows, lattice columns) True at lattice bins around the regions. They were measured too, and ``values`` holds
    them: what is imputed is told from them as well, but no loss, score or result is about them. None where there are none."""
    coexpressed: np.ndarray | None = None
    """(lattice rows, lattice columns) what the panel's other genes at the same bin lead to expect of this one, with mean 0 and
    standard deviation 1 over all that was measured (see :mod:`.sampling.panel`)."""
    image: np.ndarray | None = None
    """(rows, columns, features) what the morphology image shows in every bin of the full grid (see :mod:`.sampling.image`)."""

    def __post_init__(self) -> None:
        for name in (*_ON_LATTICE, *_ON_GRID):
            if (array := getattr(self, name)) is not None:
                object.__setattr__(self, name, _readonly(array, _KINDS.get(name, np.float32)))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns) of the full grid."""
        return self.tissue.shape

    @property
    def seen(self) -> np.ndarray:
        """(lattice rows, lattice columns) True at all that was measured, in the regions and around them."""
        return self.measured if self.context is None else self.measured | self.context

    @property
    def on_lattice(self) -> Slices:
        """Slices of the lattice's bins in an array of the full grid."""
        return slice(self.phase[0], None, self.stride), slice(self.phase[1], None, self.stride)

    def lattice_mask(self) -> np.ndarray:
        """(rows, columns) of the full grid, True at measured bins."""
        mask = np.zeros(self.shape, bool)
        mask[self.on_lattice] = self.measured
        return mask

    def normalisation(self, kind: NormalisationKind) -> Normalisation:
        """The named normalisation with its constants taken from the measured bins alone.

        Raises :class:`BundleError` where it needs the bins' totals, and there are none.
        """
        if kind != "median-log1p":
            return Normalisation(kind)
        if self.totals is None:
            raise BundleError(
                f"The normalisation 'median-log1p' needs the total count of every bin, and map {self.gene!r} has none. "
                "Choose 'log1p', or give GeneMap(totals=...)."
            )
        if self.median_total is not None:
            return Normalisation(kind, self.median_total)
        totals = self.totals[self.measured & (self.totals > 0)]
        return Normalisation(kind, float(np.median(totals)) if totals.size else 1.0)

    def normalised(self, kind: NormalisationKind) -> np.ndarray:
        """(lattice rows, lattice columns) values in the normalised space, float32; 0 where nothing was measured."""
        values = self.normalisation(kind)(self.values, self.totals)
        return np.where(self.seen, values, np.float32(0))

    def with_context(self) -> SparseMap:
        """This map with the context as measured bins, in the same normalised space: what an estimate is told from."""
        if self.context is None:
            return self
        return replace(self, measured=self.seen, context=None, median_total=self._median_total())

    def cut(self, lattice: Slices) -> SparseMap:
        """The piece that lies in these lattice rows and columns, in the same normalised space.

        It has the bins of the full grid that :meth:`grid_of` gives, and its phase is the same.
        """
        grid = self.grid_of(lattice)
        origin_um = tuple(begin + bins.start * self.bin_um for begin, bins in zip(self.origin_um, grid, strict=True))
        pieces = self._taken(_ON_LATTICE, lattice) | self._taken(_ON_GRID, grid)
        return replace(self, **pieces, origin_um=origin_um, median_total=self._median_total())

    def grid_of(self, lattice: Slices) -> Slices:
        """Rows and columns of the full grid that belong to those of the lattice; what is left over belongs to the last."""
        return tuple(
            slice(part.start * self.stride, bins if part.stop == length else part.stop * self.stride)
            for part, length, bins in zip(lattice, self.measured.shape, self.shape, strict=True)
        )

    def thinned(self) -> SparseMap:
        """Sparse -> sparser: the lattice taken as a grid of its own, of which every S-th bin is kept (Fang et al. 2025, eq. 1).

        Its unmeasured bins *were* measured, which is what makes training and honest validation possible. Both maps are in one
        normalised space.
        """
        every = slice(None, None, self.stride)
        return replace(
            self,
            **self._taken(_ON_LATTICE, (every, every)),
            **self._taken(("image",), self.on_lattice),
            tissue=self.measured,
            phase=(0, 0),
            bin_um=self.bin_um * self.stride,
            median_total=self._median_total(),
        )

    def without(self, hidden: np.ndarray) -> SparseMap:
        """This map as though some bins had not been measured; ``hidden`` (lattice rows, lattice columns). The lattice stays."""
        values = np.where(self.seen & ~hidden, self.values, np.float32(0))
        return replace(self, values=values, measured=self.measured & ~hidden, median_total=self._median_total())

    def filled(
        self,
        values: np.ndarray,
        kind: NormalisationKind,
        *,
        interval: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> GeneMap:
        """The whole map of this gene: (rows, columns) ``values`` in the normalised space of ``kind``.

        ``interval``: lower and upper end of the 90 % interval, each (rows, columns). Values are taken as they are; see
        :meth:`restore` for those of the measured bins.
        """
        lower, upper = interval or (None, None)
        return GeneMap(
            values=values,
            tissue=self.tissue,
            gene=self.gene,
            bin_um=self.bin_um,
            origin_um=self.origin_um,
            normalisation=self.normalisation(kind),
            uncertainty=None if interval is None else (upper - lower) / 2,
            lower=lower,
            upper=upper,
        )

    def restore(self, values: np.ndarray, kind: NormalisationKind) -> None:
        """Write the measured bins, in the normalised space, into ``values`` (rows, columns) of the full grid (eq. 11)."""
        values[self.lattice_mask()] = self.normalised(kind)[self.measured]

    def _taken(self, names: Sequence[str], at: Slices) -> dict[str, np.ndarray | None]:
        arrays = {name: getattr(self, name) for name in names}
        return {name: None if array is None else array[at] for name, array in arrays.items()}

    def _median_total(self) -> float | None:
        """The median total that a map made of this one must keep, to be in its normalised space."""
        return None if self.totals is None else self.normalisation("median-log1p").median_total
