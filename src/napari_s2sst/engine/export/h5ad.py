"""Imputed maps of one gene or of thousands -> one AnnData table, a few genes at a time where it goes to a file.

What was counted is sparse, what was imputed is not: of 5,000 genes in 500,000 bins every array of it would be 10 GB.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ExportError
from ..files import FileThatFailsLate, written_whole
from ..maps import GeneMap, SparseMap
from ..sampling.regions import Region
from .values import channels, check_alike, grid_of, plain, region_of_bins

if TYPE_CHECKING:
    import anndata

DENSE = {"X": "imputed", "layers/measured": "sparse", "layers/uncertainty": "uncertainty"}
"""Place in the file -> channel: a number for every bin and gene, float32."""

GENES_AT_ONCE = 16
"""That are dense at the same time; also the width of a piece of the file, so that each piece is written once."""

BINS_OF_A_PIECE = 16384
"""With so many genes a piece is 1 MB, which is what HDF5 keeps of a table at hand."""


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
    import anndata
    import h5py

    try:
        from anndata.io import write_elem
    except ImportError:  # anndata before 0.11
        from anndata.experimental import write_elem

    parts = _parts(sparse, imputed, truth, regions, run)
    at = (parts["obs"]["row"].to_numpy(), parts["obs"]["column"].to_numpy())
    shape = (len(at[0]), len(imputed))
    with written_whole(path) as beside, open(beside, "w+b", buffering=0) as disk:
        content = FileThatFailsLate(disk)  # the HDF5 library itself crashes on a full disk, so it never hears of it
        with content.checked(), h5py.File(content, "w") as file:
            write_elem(file, "/", anndata.AnnData(**parts), dataset_kwargs={"compression": "gzip"})
            for none in ("X", "raw"):
                if none in file and not isinstance(file[none], h5py.Group):
                    del file[none]  # "there is none" as anndata 0.12 writes it can't be read by anndata 0.10
            piece = (min(shape[0], BINS_OF_A_PIECE), min(shape[1], GENES_AT_ONCE))
            how = {"chunks": piece, "compression": "gzip"} if shape[0] else {}
            stored = {channel: file.create_dataset(place, shape, "f4", **how) for place, channel in DENSE.items()}
            for dataset in stored.values():
                dataset.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
            for genes, block in _blocks(sparse, imputed, at):
                for channel, values in block.items():
                    stored[channel][:, genes] = values
                content.check()
    return Path(path)


def to_anndata(
    *,
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    truth: Sequence[GeneMap | None] = (),
    regions: Sequence[Region] | None,
    run: Mapping[str, Any],
) -> anndata.AnnData:
    """Make the table of :func:`write_h5ad` in memory: 12 bytes for each tissue bin of a gene."""
    import anndata

    parts = _parts(sparse, imputed, truth, regions, run)
    at = (parts["obs"]["row"].to_numpy(), parts["obs"]["column"].to_numpy())
    dense = {channel: np.empty((len(at[0]), len(imputed)), np.float32) for channel in DENSE.values()}
    for genes, block in _blocks(sparse, imputed, at):
        for channel, values in block.items():
            dense[channel][:, genes] = values
    parts["layers"] |= {place.split("/")[1]: dense[channel] for place, channel in DENSE.items() if "/" in place}
    return anndata.AnnData(X=dense[DENSE["X"]], **parts)


def _blocks(
    sparse: Sequence[SparseMap], imputed: Sequence[GeneMap], at: tuple[np.ndarray, np.ndarray]
) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """A few genes' columns, and channel -> (tissue bins, genes) float32. ``at``: row and column of the tissue bins."""
    for first in range(0, len(imputed), GENES_AT_ONCE):
        genes = range(first, min(first + GENES_AT_ONCE, len(imputed)))
        block = {channel: np.empty((len(at[0]), len(genes)), np.float32) for channel in DENSE.values()}
        for gene in genes:
            maps = channels(sparse[gene], imputed[gene])
            for channel, values in block.items():
                values[:, gene - first] = maps[channel][at]
        yield slice(genes.start, genes.stop), block


def _parts(
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    truth: Sequence[GeneMap | None],
    regions: Sequence[Region] | None,
    run: Mapping[str, Any],
) -> dict[str, Any]:
    """All of the table but what is dense, by AnnData's names. Looks at one gene's maps at a time."""
    import pandas as pd
    from scipy.sparse import csc_matrix, hstack

    if not imputed or len(sparse) != len(imputed):
        raise ExportError(
            f"Export needs one measured and one imputed map a gene, and got {len(sparse)} and {len(imputed)}."
        )
    first, grid = imputed[0], grid_of(sparse[0], imputed[0])
    genes: list[str] = []
    tissue, lattice = np.zeros(first.shape, bool), np.zeros(first.shape, bool)
    for measured, gene_map in zip(sparse, imputed, strict=True):
        check_alike(measured, gene_map, first)
        genes.append(gene_map.gene or "unnamed")
        if grid_of(measured, gene_map) != grid:
            raise ExportError(
                f"The maps of {genes[0]} and {gene_map.gene} have different lattices or normalisations, and a table has one of "
                "each. Export them one by one."
            )
        tissue |= gene_map.tissue
        lattice |= measured.lattice_mask()
    if len(set(genes)) < len(genes):
        twice = min(gene for gene in set(genes) if genes.count(gene) > 1)
        raise ExportError(f"Gene {twice} is there twice, and a table has one column a gene. Export each gene once.")
    row, column = np.nonzero(tissue)
    obs = pd.DataFrame(
        {
            "row": row,
            "column": column,
            "measured": lattice[row, column],
            "region": region_of_bins(first, regions)[row, column],
        },
        index=pd.Index([f"r{y}_c{x}" for y, x in zip(row, column, strict=True)], dtype=object),  # not pandas 3's str
    )
    names = sorted({name for name in obs["region"] if name is not None})
    obs["region"] = pd.Categorical(obs["region"], categories=pd.Index(names, dtype=object))
    has_truth = len(truth) == len(imputed) and all(one is not None for one in truth)
    totals = truth[0].totals if has_truth else _on_the_grid(sparse[0]).totals
    if totals is not None:
        obs["total_counts"] = totals[row, column]
    counted = truth if has_truth else map(_on_the_grid, sparse)
    y_um, x_um = first.origin_um
    centre = np.stack([x_um + (column + 0.5) * first.bin_um, y_um + (row + 0.5) * first.bin_um], axis=1)
    return {
        "obs": obs,
        "var": pd.DataFrame(index=pd.Index(genes, dtype=object)),
        "layers": {
            "counts": hstack([csc_matrix(one.values[row, column][:, None]) for one in counted], format="csr"),
        },
        "obsm": {"spatial": centre},
        "uns": {
            "s2sst": _storable(plain(run)) | {"json": json.dumps(plain(run))},
            "s2sst_grid": _storable(grid | {"has_truth": has_truth}),
            "spatial": {_library(run): {"images": {}, "metadata": {}, "scalefactors": _scale_factors(first.bin_um)}},
        },
    }


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
    """Factors for coordinates in um: the "full resolution picture" has pixels of 1 um, and a spot is as wide as a bin."""
    return {"spot_diameter_fullres": float(bin_um), "tissue_hires_scalef": 1.0, "tissue_lowres_scalef": 1.0}


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
