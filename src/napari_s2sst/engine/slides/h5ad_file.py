"""Read from an .h5ad what places spots and counts genes in them, into memory; whether it will do is :mod:`.h5ad`'s to say."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from ..errors import BundleError
from .h5ad_places import ST_NAME

GENES = "Gene Expression"
"""How 10x calls rows of its matrix that are genes; others are ``Protein Expression``, ``Antibody Capture``, controls."""
_AT_ONCE = 1 << 24
"""Numbers of a dense table that are read at once: 64 MB."""
_MOST_PACKED = 2000
"""Times smaller than its numbers that a stored table may be: deflate reaches 1030; what was never written takes nothing."""
_HARMLESS = 1 << 28
"""Bytes that are read whatever is stored of them: 256 MB."""
COUNTS_LAYER = "counts"
WANTED = "an .h5ad of spots on a square lattice"


@dataclass(frozen=True, eq=False, kw_only=True)
class AnnDataFile:
    """Content of the file, unchecked."""

    counts: sparse.csc_matrix | None
    """(spots, genes)."""
    counts_from: str
    """Where in the file they are, as a sentence names it: ``table X``, or ``layer counts`` where X was normalised."""
    names: tuple[str, ...]
    is_gene: np.ndarray
    """(genes,) bool: False for proteins and the like."""
    some_spots: tuple[str, ...]
    array: np.ndarray | None
    """(spots, 2) row and column."""
    xy: np.ndarray | None
    """(spots, 2) x and y."""
    in_tissue: np.ndarray | None
    uns: dict[str, Any]
    """Whatever else is said of the table."""


def read_anndata(path: Path) -> AnnDataFile:
    """Read an .h5ad. Raises :class:`BundleError` when it can't be read, or its coordinates are no numbers."""
    import anndata

    try:
        check_stored(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # anndata's, on files of its own earlier versions
            table = anndata.read_h5ad(path, backed="r")
            try:
                xy = np.asarray(table.obsm["spatial"])[:, :2] if "spatial" in table.obsm else None
                if xy is None:
                    xy = _columns(table.obs, "pxl_col_in_fullres", "pxl_row_in_fullres")
                array = _columns(table.obs, "array_row", "array_col")
                if array is None:
                    array = _places_in_names(table.obs_names)
                kinds = table.var.get("feature_types")
                counts, counts_from = _counts(table)
                held = AnnDataFile(
                    counts=counts,
                    counts_from=counts_from,
                    names=tuple(map(str, table.var_names)),
                    is_gene=np.ones(table.n_vars, bool) if kinds is None else (kinds.astype(str) == GENES).to_numpy(),
                    some_spots=tuple(map(str, table.obs_names[:100])),
                    array=array,
                    xy=xy,
                    in_tissue=_in_tissue(table.obs),
                    uns=dict(table.uns),
                )
            finally:
                table.file.close()
    except BundleError:
        raise
    except Exception as error:  # anndata raises nearly every kind on a file that is not its own
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(
            f"{path} can't be read as a table of anndata ({reason}). Choose {WANTED}, and download it again if it is one."
        ) from None
    xy = held.xy
    if xy is not None and (xy.dtype.kind not in "iuf" or xy.ndim != 2 or xy.shape[1] < 2 or not np.isfinite(xy).all()):
        raise BundleError(
            f"The coordinates in {path} (obsm spatial) are not all numbers; x and y in pixels are needed for every spot. "
            "Download the file again."
        )
    return held if xy is None else replace(held, xy=xy.astype(np.float64))


def check_stored(path: Path) -> None:
    """Raise ValueError where a table states far more numbers than the file has: to read them would fill the memory."""
    import h5py

    def look(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.size:
            stated = item.size * item.dtype.itemsize
            if stated > max(_HARMLESS, item.id.get_storage_size() * _MOST_PACKED):
                raise ValueError(
                    f"its {name} of {' x '.join(f'{length:,}' for length in item.shape)} was never written"
                )

    with h5py.File(path, "r") as file:
        file.visititems(look)


def _counts(table: Any) -> tuple[sparse.csc_matrix | None, str]:
    """X; or the layer ``counts``, as scanpy's users keep it, where X is not there or was normalised."""
    try:
        x = _in_memory(table.X)
    except KeyError:
        x = None
    if COUNTS_LAYER in table.layers and (x is None or not are_counts(x.data)):
        return _in_memory(table.layers[COUNTS_LAYER]), f"layer {COUNTS_LAYER}"
    return x, "table X"


def are_counts(values: np.ndarray) -> bool:
    """Whether all values, of any shape, are whole numbers from 0 on."""
    if values.dtype.kind not in "iufb":
        return False
    return bool(np.isfinite(values).all() and (values >= 0).all() and (values == np.floor(values)).all())


def _in_memory(x: Any) -> sparse.csc_matrix | None:
    """A table of the file as a sparse matrix, however it is stored; a dense one is read in parts. None without any."""
    if x is None or hasattr(x, "to_memory") or sparse.issparse(x):
        matrix = x.to_memory() if hasattr(x, "to_memory") else x
        if matrix is not None:
            matrix.check_format(full_check=True)  # what points beside the table would be read from any place in memory
        return None if matrix is None else sparse.csc_matrix(matrix)
    stored = x.id.get_storage_size() if hasattr(x, "id") else None
    if stored is not None and stored * _MOST_PACKED < x.size * x.dtype.itemsize:
        raise ValueError(f"its X of {x.shape[0]:,} x {x.shape[1]:,} was never written")
    step = max(1, _AT_ONCE // max(1, x.shape[1]))
    parts = [sparse.csr_matrix(x[start : start + step]) for start in range(0, x.shape[0], step)]
    return sparse.csc_matrix(sparse.vstack(parts)) if parts else sparse.csc_matrix(x.shape)


def _columns(obs: Any, *names: str) -> np.ndarray | None:
    """(spots, names) of the table's columns; None where one is missing or holds no numbers."""
    if not all(name in obs and obs[name].dtype.kind in "iuf" for name in names):
        return None
    return np.column_stack([obs[name].to_numpy(np.float64) for name in names])


def _places_in_names(names: Any) -> np.ndarray | None:
    """(spots, 2) row and column of names such as ``10x13``, column first, rounded; None where not all are such names."""
    if not len(names) or ST_NAME.fullmatch(str(names[0])) is None:
        return None
    matches = [ST_NAME.fullmatch(str(name)) for name in names]
    if not all(matches):
        return None
    # ``10.05x12.98`` is where the spot was printed: beside its place by less than half a spot.
    return np.rint([[float(match[2]), float(match[1])] for match in matches])


def _in_tissue(obs: Any) -> np.ndarray | None:
    """(spots,) bool where some spots are said to be beside the tissue; None otherwise."""
    if "in_tissue" not in obs or obs["in_tissue"].dtype.kind not in "biuf":
        return None
    inside = obs["in_tissue"].to_numpy() > 0
    return inside if inside.any() and not inside.all() else None
