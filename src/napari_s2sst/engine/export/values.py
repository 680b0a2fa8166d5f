"""Maps -> the arrays and notes that every exported file holds, whatever its format."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ExportError
from ..maps import GeneMap, SparseMap
from ..sampling.lattice import sparse_layer
from ..sampling.regions import Region, region_mask
from ..scores.metrics import error_map, truth_like
from ..scores.regions import WHOLE_SLIDE


def channels(sparse: SparseMap, imputed: GeneMap, truth: GeneMap | None = None) -> dict[str, np.ndarray]:
    """Make the channels: name -> (rows, columns) float32 in the normalised space, NaN outside the tissue and where not measured.

    ``sparse``, ``imputed``, ``uncertainty``; with a truth, which may be counts, also ``truth`` and ``error``
    (imputed minus truth).
    """
    check_alike(sparse, imputed)
    nothing = np.float32(np.nan)
    unsure = np.full(imputed.shape, nothing) if imputed.uncertainty is None else imputed.uncertainty
    maps = {
        "sparse": sparse_layer(sparse, imputed.normalisation.kind),
        "imputed": np.where(imputed.tissue, imputed.values, nothing),
        "uncertainty": np.where(imputed.tissue, unsure, nothing),
    }
    if truth is not None:
        maps["truth"] = np.where(imputed.tissue, truth_like(imputed, truth), nothing)
        maps["error"] = error_map(imputed, truth)
    return maps


def grid_of(sparse: SparseMap, imputed: GeneMap) -> dict[str, Any]:
    """Describe where bins and lattice lie, and what the values are, for :mod:`.reading`; as JSON knows it."""
    normalisation, (y_um, x_um) = imputed.normalisation, map(float, imputed.origin_um)
    grid = {
        "rows": imputed.shape[0], "columns": imputed.shape[1], "bin_um": float(imputed.bin_um), "y_um": y_um, "x_um": x_um,
        "stride": int(sparse.stride), "phase": [int(offset) for offset in sparse.phase],
        "normalisation": normalisation.kind,
    }  # fmt: skip
    if normalisation.median_total is not None:
        grid["median_total"] = float(normalisation.median_total)
    return grid


def region_of_bins(gene_map: GeneMap, regions: Sequence[Region] | None) -> np.ndarray:
    """Name each bin's region, (rows, columns): the first that holds its centre; None outside of all."""
    if not regions:
        return np.full(gene_map.shape, WHOLE_SLIDE, object)
    names = np.full(gene_map.shape, None, object)
    for region in reversed(regions):
        names[region_mask(region, gene_map.shape, gene_map.bin_um, gene_map.origin_um)] = region.name
    return names


def check_alike(sparse: SparseMap, imputed: GeneMap, first: GeneMap | None = None) -> None:
    """Raise :class:`ExportError` unless what was measured, what was imputed, and the other genes lie on one grid."""
    if imputed.normalisation is None:
        raise ExportError(f"Map {imputed.gene!r} holds counts, not imputed values. Impute it before the export.")
    for other, name in ((sparse, "measured"), (first, "first")):
        if other is None:
            continue
        places = [(one.shape, float(one.bin_um), tuple(map(float, one.origin_um))) for one in (imputed, other)]
        if places[0] != places[1]:
            raise ExportError(
                f"The imputed map of {imputed.gene!r} and the {name} map {other.gene!r} lie on different grids "
                f"(shape, bin, origin in um: {places[0]} and {places[1]}). Export maps of one slide and bin size."
            )


def plain(value: Any) -> Any:
    """Turn a value into what JSON knows: arrays and tuples are lists, numbers that are none are null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
