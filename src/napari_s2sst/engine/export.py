"""Turn imputed maps into files that others open: OME-TIFF, AnnData, CSV, JSON; the figure is `figure.py`'s.

Every map file carries the run that made it. Values are in the normalised space, positions in um, and what lies
outside the tissue or was not measured is NaN.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ExportError
from .figure import write_figure
from .maps import GeneMap, SparseMap
from .metrics import error_map, truth_like
from .region import Region, region_mask
from .sampling import sparse_layer
from .writing import check_output_folder, safe_name, written_whole

if TYPE_CHECKING:
    import anndata

__all__ = [
    "check_output_folder",
    "safe_name",
    "write_figure",
    "write_h5ad",
    "write_losses_csv",
    "write_ome_tiff",
    "write_run_json",
    "write_scores_csv",
]

PYRAMID_ABOVE = 2048
"""Bins along a side; larger maps are written with coarser levels, for viewers that would else load all of it."""

WHOLE_SLIDE = "whole slide"
"""Region of every bin when none was chosen."""


def channels(sparse: SparseMap, imputed: GeneMap, truth: GeneMap | None = None) -> dict[str, np.ndarray]:
    """Channel name -> (rows, columns) float32 in the normalised space, NaN outside the tissue and where not measured.

    ``sparse``, ``imputed``, ``uncertainty``; with a truth, which may be counts, also ``truth`` and ``error``
    (imputed minus truth).
    """
    _check_alike(sparse, imputed)
    nothing = np.float32(np.nan)
    unsure = np.full(imputed.shape, nothing) if imputed.uncertainty is None else imputed.uncertainty
    found = {
        "sparse": sparse_layer(sparse, imputed.normalisation.kind),
        "imputed": np.where(imputed.tissue, imputed.values, nothing),
        "uncertainty": np.where(imputed.tissue, unsure, nothing),
    }
    if truth is not None:
        found["truth"] = np.where(imputed.tissue, truth_like(imputed, truth), nothing)
        found["error"] = error_map(imputed, truth)
    return found


def write_ome_tiff(
    path: str | Path, *, sparse: SparseMap, imputed: GeneMap, truth: GeneMap | None = None, run: Mapping[str, Any]
) -> Path:
    """Write one gene's maps as float32 channels of one OME-TIFF series, with a pyramid above 2048 bins.

    PhysicalSize is the bin in um, Position the map's outer corner in um; ``run`` is JSON in a map annotation of the
    namespace s2sst. Raises :class:`ExportError`.
    """
    import tifffile

    found = channels(sparse, imputed, truth)
    levels = [np.stack(list(found.values())).astype(np.float32)]
    if max(imputed.shape) > PYRAMID_ABOVE:
        while max(levels[-1].shape[1:]) > PYRAMID_ABOVE // 4:
            levels.append(_halved(levels[-1]))
    y_um, x_um = imputed.origin_um
    count = len(found)
    metadata = {
        "axes": "CYX",
        "Name": imputed.gene,
        "Channel": {"Name": list(found)},
        "PhysicalSizeX": imputed.bin_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": imputed.bin_um,
        "PhysicalSizeYUnit": "µm",
        "Plane": {
            "PositionX": [x_um] * count,
            "PositionXUnit": ["µm"] * count,
            "PositionY": [y_um] * count,
            "PositionYUnit": ["µm"] * count,
        },
        "MapAnnotation": {"Namespace": "s2sst", "gene": imputed.gene, "run": json.dumps(plain(run))},
    }
    options = dict(photometric="minisblack", tile=(256, 256), compression="zlib", resolutionunit="CENTIMETER")
    with written_whole(path) as beside, tifffile.TiffWriter(beside, ome=True) as file:
        for depth, level in enumerate(levels):
            file.write(
                level,
                resolution=(1e4 / (imputed.bin_um * 2**depth),) * 2,
                **options,
                **(dict(subfiletype=1) if depth else dict(subifds=len(levels) - 1, metadata=metadata)),
            )
    return Path(path)


def write_h5ad(
    path: str | Path,
    *,
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    regions: Sequence[Region] | None = None,
    run: Mapping[str, Any],
) -> Path:
    """Write all genes as AnnData: one row per tissue bin, one column per gene. Raises :class:`ExportError`.

    X = imputed; layers ``measured`` (NaN where not measured) and ``uncertainty``; obs ``row``, ``column``,
    ``measured``, ``region``; obsm ``spatial`` = bin centres (x, y) in um; uns ``s2sst`` = the run, whose exact JSON
    is in its ``json``.
    """
    import h5py

    try:
        from anndata.io import write_elem
    except ImportError:  # anndata before 0.11
        from anndata.experimental import write_elem

    table = to_anndata(sparse=sparse, imputed=imputed, regions=regions, run=run)
    content = io.BytesIO()  # the HDF5 library itself crashes on a full disk, so it never sees the disk
    with h5py.File(content, "w") as file:
        write_elem(file, "/", table, dataset_kwargs={"compression": "gzip"})
    with written_whole(path) as beside:
        beside.write_bytes(content.getbuffer())
    return Path(path)


def to_anndata(
    *, sparse: Sequence[SparseMap], imputed: Sequence[GeneMap], regions: Sequence[Region] | None, run: Mapping[str, Any]
) -> anndata.AnnData:
    """The same, in memory."""
    import anndata
    import pandas as pd

    if not imputed or len(sparse) != len(imputed):
        raise ExportError(
            f"Export needs one measured and one imputed map a gene, and got {len(sparse)} and {len(imputed)}."
        )
    first, genes = imputed[0], [gene_map.gene or "unnamed" for gene_map in imputed]
    for measured, gene_map in zip(sparse, imputed, strict=True):
        _check_alike(measured, gene_map, first)
    if twice := sorted({gene for gene in genes if genes.count(gene) > 1}):
        raise ExportError(f"Gene {twice[0]} is there twice, and a table has one column a gene. Export each gene once.")
    tissue = np.logical_or.reduce([gene_map.tissue for gene_map in imputed])
    row, column = np.nonzero(tissue)
    maps = [channels(measured, gene_map) for measured, gene_map in zip(sparse, imputed, strict=True)]

    def per_bin(channel: str) -> np.ndarray:
        return np.stack([found[channel][row, column] for found in maps], axis=1).astype(np.float32)

    measured = np.logical_or.reduce([one.lattice_mask() for one in sparse])[row, column]
    obs = pd.DataFrame(
        {"row": row, "column": column, "measured": measured, "region": region_of_bins(first, regions)[row, column]},
        index=pd.Index([f"r{y}_c{x}" for y, x in zip(row, column, strict=True)]),
    )
    obs["region"] = pd.Categorical(obs["region"])
    y_um, x_um = first.origin_um
    centre = np.stack([x_um + (column + 0.5) * first.bin_um, y_um + (row + 0.5) * first.bin_um], axis=1)
    return anndata.AnnData(
        X=per_bin("imputed"),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(genes)),
        layers={"measured": per_bin("sparse"), "uncertainty": per_bin("uncertainty")},
        obsm={"spatial": centre},
        uns={"s2sst": _storable(plain(run)) | {"json": json.dumps(plain(run))}},
    )


def write_scores_csv(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """One row a gene and method, columns as the rows name them. Raises :class:`ExportError`."""
    return _write_csv(path, list(rows), ("gene", "method"))


def write_losses_csv(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """One row a report of the training; just the header when nothing was trained. Raises :class:`ExportError`."""
    return _write_csv(path, list(rows), ("step", "loss"))


def write_run_json(path: str | Path, run: Mapping[str, Any]) -> Path:
    """Everything needed to repeat the run. Raises :class:`ExportError`."""
    with written_whole(path) as beside:
        beside.write_text(json.dumps(plain(run), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Path(path)


def plain(value: Any) -> Any:
    """A value as JSON knows it: arrays and tuples are lists, numbers that are none are null."""
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


def _write_csv(path: str | Path, rows: list[Mapping[str, Any]], at_least: tuple[str, ...]) -> Path:
    columns = list(dict.fromkeys([*(() if rows else at_least), *(name for row in rows for name in row)]))
    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return Path(path)


def _check_alike(sparse: SparseMap, imputed: GeneMap, first: GeneMap | None = None) -> None:
    """Same grid for what was measured, what was imputed, and the other genes."""
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


def region_of_bins(gene_map: GeneMap, regions: Sequence[Region] | None) -> np.ndarray:
    """(rows, columns) name of the first region that holds a bin's centre; None outside of all."""
    if not regions:
        return np.full(gene_map.shape, WHOLE_SLIDE, object)
    names = np.full(gene_map.shape, None, object)
    for region in reversed(regions):
        names[region_mask(region, gene_map.shape, gene_map.bin_um, gene_map.origin_um)] = region.name
    return names


def _halved(stack: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 bins, leaving NaN out; (channels, rows, columns), an odd last row or column is kept."""
    even = [(0, 0), *((0, length % 2) for length in stack.shape[1:])]
    blocks = np.pad(stack, even, constant_values=np.nan)
    blocks = blocks.reshape(len(stack), blocks.shape[1] // 2, 2, blocks.shape[2] // 2, 2)
    number = np.isfinite(blocks).sum(axis=(2, 4))
    with np.errstate(invalid="ignore"):
        return (np.nansum(blocks, axis=(2, 4)) / np.where(number, number, np.nan)).astype(np.float32)


def _storable(value: Any) -> Any:
    """A JSON value as HDF5 keeps it: no nulls, no slashes in keys, lists as arrays or, when mixed, as JSON text."""
    if isinstance(value, dict):
        kept = {key.replace("/", "|"): _storable(entry) for key, entry in value.items() if entry is not None}
        return {key: entry for key, entry in kept.items() if key}
    if isinstance(value, list):
        kinds = {type(entry) for entry in value}
        if kinds <= {int, float} or kinds == {bool} or kinds == {str}:
            return np.array(value)
        return json.dumps(value)
    return value
