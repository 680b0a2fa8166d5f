"""Turn regions and an imputed map into a table: area, what was measured, what was imputed, how far off it is."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from ..errors import RegionError
from ..files import written_whole
from ..maps import GeneMap, SparseMap
from ..sampling.regions import Region, region_mask

WHOLE_SLIDE = "whole slide"
"""Region of every bin when none was chosen."""
UM2_PER_MM2 = 1e6


@dataclass(frozen=True, kw_only=True)
class RegionRow:
    """One region of one gene's map; None where there is nothing to tell.

    Means are in the normalised space of the imputed map. Imputed means are not turned back into counts: the exponential of a mean
    logarithm lies below the mean count, the more so the noisier the gene.
    """

    gene: str
    name: str
    area_mm2: float
    """Of the polygon, without its holes; of the tissue's bins where the whole slide is the region."""
    bins: int
    """Tissue bins whose centre lies in the region."""
    measured_bins: int
    """Those of them that were measured."""
    measured_mean: float | None
    """Of the measured bins, normalised."""
    imputed_mean: float | None
    """Of all tissue bins of the region, normalised; measured ones count with what was measured.
    Maps of rare genes lean low: compare regions by the measured mean."""
    measured_counts: float | None
    """Mean count of the measured bins, as counted."""
    mae: float | None
    """Mean absolute error of the unmeasured bins, normalised; None without a truth."""


def region_rows(
    regions: Sequence[Region], *, sparse: SparseMap, imputed: GeneMap, truth: GeneMap | None = None
) -> list[RegionRow]:
    """One row a region, in their order; one row for the whole slide where there is none. Regions may overlap.

    ``truth`` may hold counts. Raises :class:`RegionError` when the maps are not of one grid or ``imputed`` holds counts.
    """
    if imputed.normalisation is None:
        raise RegionError(f"Map {imputed.gene!r} holds counts, not imputed values; the table needs an imputed map.")
    for name, other in (("sparse map", sparse), ("truth", truth)):
        if other is not None and other.shape != imputed.shape:
            raise RegionError(
                f"The {name} has {other.shape[0]} x {other.shape[1]} bins, the imputed map {imputed.shape[0]} x "
                f"{imputed.shape[1]}; both must be of the same grid."
            )
    error = None
    if truth is not None:
        from .metrics import truth_like  # skimage is slow to import

        error = np.abs(imputed.values - truth_like(imputed, truth))
    measured = sparse.lattice_mask() & imputed.tissue
    counts, normalised = sparse.values, sparse.normalised(imputed.normalisation.kind)
    if not regions:
        area = float(imputed.tissue.sum()) * imputed.bin_um**2
        chosen = [(WHOLE_SLIDE, area, imputed.tissue)]
    else:
        chosen = [
            (region.name, region.polygon.area,
             imputed.tissue & region_mask(region, imputed.shape, imputed.bin_um, imputed.origin_um))
            for region in regions
        ]  # fmt: skip
    rows = []
    for name, area, inside in chosen:
        known = (inside & measured)[sparse.on_lattice]
        rows.append(RegionRow(
            gene=imputed.gene,
            name=name,
            area_mm2=area / UM2_PER_MM2,
            bins=int(inside.sum()),
            measured_bins=int(known.sum()),
            measured_mean=_mean(normalised[known]),
            imputed_mean=_mean(imputed.values[inside]),
            measured_counts=_mean(counts[known]),
            mae=None if error is None else _mean(error[inside & ~measured]),
        ))  # fmt: skip
    return rows


def write_regions_csv(path: str | Path, rows: Iterable[RegionRow]) -> Path:
    """Write the table, a line a gene and region, empty where nobody knows. Raises ExportError when it can't be written."""
    path = Path(path).expanduser()
    names = [field.name for field in fields(RegionRow)]
    with written_whole(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(names)
        for row in rows:
            cells = [getattr(row, name) for name in names]
            table.writerow([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells])
    return path


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean(dtype=np.float64)) if values.size else None
