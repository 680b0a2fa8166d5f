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
from .ome_tiff import Channels, write_channels
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
    namespace s2sst, and so is the ``grid`` that :func:`~.import_result.read_result` needs. Raises :class:`ExportError`.
    """
    found = channels(sparse, imputed, truth)
    bin_um, (y_um, x_um) = float(imputed.bin_um), map(float, imputed.origin_um)
    notes = {"gene": imputed.gene, "run": json.dumps(plain(run)), "grid": json.dumps(grid_of(sparse, imputed))}
    return write_channels(path, Channels(imputed.gene, found, (bin_um, bin_um), (y_um, x_um), notes))


def grid_of(sparse: SparseMap, imputed: GeneMap) -> dict[str, Any]:
    """Where bins and lattice lie, and what the values are, for :mod:`~.import_result`; as JSON knows it."""
    normalisation, (y_um, x_um) = imputed.normalisation, map(float, imputed.origin_um)
    found = {
        "rows": imputed.shape[0], "columns": imputed.shape[1], "bin_um": float(imputed.bin_um), "y_um": y_um, "x_um": x_um,
        "stride": int(sparse.stride), "phase": [int(offset) for offset in sparse.phase],
        "normalisation": normalisation.kind,
    }  # fmt: skip
    if normalisation.median_total is not None:
        found["median_total"] = float(normalisation.median_total)
    return found


def write_h5ad(
    path: str | Path,
    *,
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    truth: Sequence[GeneMap | None] = (),
    regions: Sequence[Region] | None = None,
    run: Mapping[str, Any],
) -> Path:
    """Write all genes as AnnData: one row per tissue bin, one column per gene. Raises :class:`ExportError`.

    X = imputed; layers ``measured`` (NaN where not measured), ``uncertainty`` and ``counts``, sparse: those of ``truth`` where
    it is known, else of the measured bins alone; obs ``row``, ``column``, ``measured``, ``region`` and, where known,
    ``total_counts`` of all genes; obsm ``spatial`` = bin centres (x, y) in um; uns ``spatial`` as squidpy and scanpy want it to
    draw bins, uns ``s2sst`` = the run, whose exact JSON is in its ``json``, uns ``s2sst_grid`` = :func:`grid_of`.
    """
    import h5py

    try:
        from anndata.io import write_elem
    except ImportError:  # anndata before 0.11
        from anndata.experimental import write_elem

    table = to_anndata(sparse=sparse, imputed=imputed, truth=truth, regions=regions, run=run)
    content = io.BytesIO()  # the HDF5 library itself crashes on a full disk, so it never sees the disk
    with h5py.File(content, "w") as file:
        write_elem(file, "/", table, dataset_kwargs={"compression": "gzip"})
        if "raw" in file and not isinstance(file["raw"], h5py.Group):
            del file["raw"]  # "there is none" as anndata 0.12 writes it can't be read by anndata 0.10
    with written_whole(path) as beside:
        beside.write_bytes(content.getbuffer())
    return Path(path)


def to_anndata(
    *,
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    truth: Sequence[GeneMap | None] = (),
    regions: Sequence[Region] | None,
    run: Mapping[str, Any],
) -> anndata.AnnData:
    """The same, in memory."""
    import anndata
    import pandas as pd
    from scipy.sparse import csc_matrix, hstack

    if not imputed or len(sparse) != len(imputed):
        raise ExportError(
            f"Export needs one measured and one imputed map a gene, and got {len(sparse)} and {len(imputed)}."
        )
    first, genes = imputed[0], [gene_map.gene or "unnamed" for gene_map in imputed]
    for measured, gene_map in zip(sparse, imputed, strict=True):
        _check_alike(measured, gene_map, first)
        if grid_of(measured, gene_map) != grid_of(sparse[0], first):
            raise ExportError(
                f"The maps of {genes[0]} and {gene_map.gene} have different lattices or normalisations, and a table has one of "
                "each. Export them one by one."
            )
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
        index=pd.Index([f"r{y}_c{x}" for y, x in zip(row, column, strict=True)], dtype=object),  # not pandas 3's str
    )
    names = sorted({name for name in obs["region"] if name is not None})
    obs["region"] = pd.Categorical(obs["region"], categories=pd.Index(names, dtype=object))
    known = [one for one in truth if one is not None]
    counted = known if len(known) == len(imputed) else [_on_the_grid(one) for one in sparse]
    if counted[0].totals is not None:
        obs["total_counts"] = counted[0].totals[row, column]
    y_um, x_um = first.origin_um
    centre = np.stack([x_um + (column + 0.5) * first.bin_um, y_um + (row + 0.5) * first.bin_um], axis=1)
    return anndata.AnnData(
        X=per_bin("imputed"),
        obs=obs,
        var=pd.DataFrame(index=pd.Index(genes, dtype=object)),
        layers={
            "measured": per_bin("sparse"),
            "uncertainty": per_bin("uncertainty"),
            "counts": hstack([csc_matrix(one.values[row, column][:, None]) for one in counted], format="csr"),
        },
        obsm={"spatial": centre},
        uns={
            "s2sst": _storable(plain(run)) | {"json": json.dumps(plain(run))},
            "s2sst_grid": _storable(grid_of(sparse[0], first) | {"has_truth": counted is known}),
            "spatial": {_library(run): {"images": {}, "metadata": {}, "scalefactors": _scale_factors(first.bin_um)}},
        },
    )


def _on_the_grid(sparse: SparseMap) -> GeneMap:
    """Counts of the measured bins, 0 elsewhere; totals NaN where not measured."""
    mask = sparse.lattice_mask()
    values = np.zeros(sparse.shape, np.float32)
    values[mask] = sparse.values[sparse.measured]
    totals = None
    if sparse.totals is not None:
        totals = np.full(sparse.shape, np.nan, np.float32)
        totals[mask] = sparse.totals[sparse.measured]
    return GeneMap(values, tissue=sparse.tissue, gene=sparse.gene, bin_um=sparse.bin_um, totals=totals)


def _library(run: Mapping[str, Any]) -> str:
    """The sample's name in ``uns["spatial"]``; HDF5 knows no slash in a name."""
    given = run.get("input")
    name = str(given.get("name", "")) if isinstance(given, Mapping) else ""
    return name.replace("/", "|") or "s2sst"


def _scale_factors(bin_um: float) -> dict[str, float]:
    """For coordinates in um, at which the "full resolution picture" has pixels of 1 um and a spot is as wide as a bin."""
    return {"spot_diameter_fullres": float(bin_um), "tissue_hires_scalef": 1.0, "tissue_lowres_scalef": 1.0}


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
