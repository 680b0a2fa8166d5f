"""Turn a .npz of counts, a count cube, into a slide.

The .npz holds ``counts[gene, row, column]``, ``genes`` and ``bin_um``, as ``numpy.savez_compressed`` writes them; other
arrays in it are left alone. Maps start at (0, 0) um.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..files import local_path
from ..transcripts.tissue import tissue_mask
from .slide import FixedBins


@dataclass(frozen=True, eq=False, kw_only=True)
class CountCube(FixedBins):
    """Counts of some genes on one grid, wherever they came from."""

    path: Path
    counts: np.ndarray
    """(genes, rows, columns) float32, in the order of ``names``."""
    names: tuple[str, ...]
    bin_um: float = field()  # or the base's None would be its default
    given_um: float | None = None
    """The bin's side as somebody said it, where the file does not."""

    version = "count cube"

    @property
    def name(self) -> str:
        return self.path.stem

    @cached_property
    def genes(self) -> dict[str, int]:
        """Gene -> total count, most frequent first."""
        sums = self.counts.sum(axis=(1, 2), dtype=np.float64)
        order = sorted(zip(self.names, sums.tolist(), strict=True), key=lambda gene: (-gene[1], gene[0]))
        return {name: round(total) for name, total in order}

    @cached_property
    def num_transcripts(self) -> int:
        return round(float(self.counts.sum(dtype=np.float64)))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.counts.shape[1:]

    def summary(self) -> str:
        """One line: ``24 genes on 128 x 250 bins of 16 um, 0.42 M counts``."""
        genes, rows, columns = self.counts.shape
        n = self.num_transcripts
        amount = f"{n / 1e6:.2f} M" if n >= 1e6 else f"{n:,}"
        return f"{genes} genes on {rows} x {columns} bins of {self.bin_um:g} um, {amount} counts"

    def counts_on_grid(self, name: str) -> np.ndarray:
        return self.counts[self._row[name]]

    def totals_and_tissue(self) -> tuple[np.ndarray, np.ndarray]:
        return self._totals_and_tissue

    @cached_property
    def _row(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names)}

    @cached_property
    def _totals_and_tissue(self) -> tuple[np.ndarray, np.ndarray]:
        totals = self.counts.sum(axis=0)
        return totals, tissue_mask(totals, self.bin_um)


def open_count_cube(path: str | Path, bin_um: float | None = None) -> CountCube:
    """Open a .npz with ``counts`` (genes, rows, columns), ``genes`` (genes,) and ``bin_um``, the side of a bin in um.

    ``bin_um`` may be given where the file lacks it. Raises :class:`BundleError` when it is not such a file.
    """
    given_um = bin_um
    path = local_path(path, "a .npz with counts, genes and bin_um")
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Choose a .npz with counts, genes and bin_um.")
    needed = ("counts", "genes", "bin_um")
    try:
        with path.open("rb") as file:
            arrays = np.load(file, allow_pickle=False)
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("a single array and not a .npz")
            missing = [name for name in needed if name not in arrays.files]
            if given_um is not None and missing == ["bin_um"]:
                missing = []
            if missing:
                raise BundleError(
                    f"{path} has no {' and no '.join(missing)}; it has {', '.join(arrays.files) or 'nothing'}. "
                    "Save it with counts[gene, row, column], genes and bin_um"
                    + (", or say the bin's side in um with --size-um." if missing == ["bin_um"] else ".")
                )
            counts, genes = arrays["counts"], arrays["genes"]
            bin_um = arrays["bin_um"] if "bin_um" in arrays.files else np.asarray(given_um)
    except BundleError:
        raise
    # zipfile and numpy raise nearly every kind: on passwords, on other packings, on what no memory holds.
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(
            f"{path} can't be read as a count cube ({reason}). Save it with numpy.savez_compressed, without objects."
        ) from None
    return CountCube(
        path=path,
        counts=_checked_counts(path, counts),
        names=_checked_genes(path, genes, counts),
        bin_um=_checked_bin(path, bin_um),
    )


def _checked_counts(path: Path, counts: np.ndarray) -> np.ndarray:
    if counts.ndim != 3 or 0 in counts.shape or counts.dtype.kind not in "iufb":
        raise BundleError(
            f"The counts in {path} are {counts.dtype} of shape {counts.shape}; numbers [gene, row, column] are needed."
        )
    counts = counts.astype(np.float32)
    if not np.isfinite(counts).all() or counts.min() < 0:
        raise BundleError(
            f"The counts in {path} hold values below 0 or not numbers. Save what was counted, 0 for nothing."
        )
    counts.flags.writeable = False
    return counts


def _checked_genes(path: Path, genes: np.ndarray, counts: np.ndarray) -> tuple[str, ...]:
    if genes.dtype.kind not in "US" or genes.shape != counts.shape[:1]:
        raise BundleError(
            f"The genes in {path} are {genes.dtype} of shape {genes.shape}; {counts.shape[0]} names are needed, "
            "one for each map in counts."
        )
    names = tuple(
        name.decode("utf-8", errors="replace") if isinstance(name, bytes) else name for name in genes.tolist()
    )
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise BundleError(
            f"The genes in {path} name {', '.join(twice[:3])} more than once. Give every map its own name."
        )
    return names


def _checked_bin(path: Path, bin_um: np.ndarray) -> float:
    if bin_um.size != 1 or bin_um.dtype.kind not in "iuf" or not (0 < float(bin_um.reshape(())) < math.inf):
        raise BundleError(
            f"The bin_um in {path} is {bin_um}; it must be one number above 0. Save the side of a bin in um."
        )
    return float(bin_um.reshape(()))
