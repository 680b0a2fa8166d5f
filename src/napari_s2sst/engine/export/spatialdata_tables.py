"""Write imputed maps into a SpatialData store: a grid of numbered bins (labels) and the table of the genes that annotates it.

    labels/s2sst_LTF_bins      (rows, columns) int32: the number of each tissue bin, 0 outside; in every coordinate system
                               that the store's transcripts are in
    tables/s2sst_LTF           what imputed.h5ad holds, a row for each bin; obs ``bin`` is its number

A second run is s2sst_LTF_2, a run of many genes s2sst_24_genes: nothing that is there is ever replaced. What can't be written
whole is taken out again.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BundleError, ExportError
from ..maps import GeneMap, SparseMap
from ..sampling.regions import Region
from ..slides.opening import open_slide
from ..slides.spatialdata_slide import SpatialDataSlide
from ..slides.spatialdata_store import names_in, package
from .h5ad import to_anndata

_GROUP_FILES = ("zarr.json", ".zattrs", ".zgroup", ".zmetadata")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]+")
"""SpatialData allows letters, digits and these three in a name."""
LONGEST_GENE = 60
"""Characters; names are folders."""


def check_store(path: str | Path, *, unit_um: float | None = None) -> SpatialDataSlide:
    """Open the store as a slide, if results can be written into it; found out before anything is computed.

    Raises :class:`BundleError` when it can't be read, :class:`ExportError` when it can't be written.
    """
    slide = open_slide(path, unit_um, kind="store")
    _ = slide.extent_um  # raises where points and image do not fit
    if not (slide.store / "zarr.json").is_file():
        raise ExportError(
            f"{slide.store} is a store of zarr 2, as SpatialData wrote it before 0.5, and results are written as zarr 3. "
            "Write it anew with spatialdata (read_zarr(...).write(...)), then write results into that."
        )
    if not os.access(slide.store, os.W_OK | os.X_OK):
        raise ExportError(
            f"Results can't be written into {slide.store}: permission denied. Copy the store, or ask its owner."
        )
    return slide


def write_into(
    slide: SpatialDataSlide,
    *,
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    truth: Sequence[GeneMap | None] = (),
    regions: Sequence[Region] | None = None,
    run: Mapping[str, Any],
) -> tuple[str, str]:
    """Write maps of one grid, in um as ``slide`` is (see :func:`check_store`), into its store.

    Returns the names of labels and table. Raises :class:`ExportError`; then the store is as it was before.
    """
    table = to_anndata(sparse=sparse, imputed=imputed, truth=truth, regions=regions, run=run)
    first = imputed[0]
    _check_overlap(slide, first)
    tissue = np.zeros(first.shape, bool)
    tissue[table.obs["row"], table.obs["column"]] = True
    bins = np.zeros(first.shape, np.int32)
    bins[tissue] = np.arange(1, len(table) + 1)
    (y_um, x_um), side_um = first.origin_um, first.bin_um
    to_um = np.array([[side_um, 0, x_um], [0, side_um, y_um], [0, 0, 1]], np.float64)
    sd = package()
    name = _free_name(slide.store, list(table.var_names))
    labels = f"{name}_bins"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of zarr and anndata, on files of their own
            affine = sd.transformations.Affine
            places = {
                system: affine(to_system @ to_um, input_axes=("x", "y"), output_axes=("x", "y"))
                for system, to_system in slide.to_systems.items()
            }
            grid = sd.models.Labels2DModel.parse(bins, dims=("y", "x"), transformations=places)
            table.obs["bin"] = np.arange(1, len(table) + 1)
            table.obs["element"] = labels
            table.obs["element"] = table.obs["element"].astype("category")
            table = sd.models.TableModel.parse(table, region=labels, region_key="element", instance_key="bin")
            with _whole_or_not(slide.store, (("labels", labels), ("tables", name))):
                held = sd.read_zarr(slide.store, selection=("points",), on_bad_files="warn")  # no table in memory
                held.labels[labels], held.tables[name] = grid, table
                held.write_element([labels, name])
    except (ExportError, BundleError):
        raise
    except Exception as error:  # zarr, anndata and the system raise nearly every kind
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200] or type(error).__name__
        raise ExportError(
            f"The result can't be written into {slide.store} ({reason}). The store is as it was; make room, or copy it elsewhere."
        ) from error
    return labels, name


def _free_name(store: Path, genes: Sequence[str]) -> str:
    """``s2sst_LTF``, ``s2sst_LTF_2``, ...: neither it nor its bins are the name of anything there, in any case of letters."""
    gene = _UNSAFE.sub("_", genes[0])[:LONGEST_GENE].strip("._") or "gene"
    stem = f"s2sst_{gene}" if len(genes) == 1 else f"s2sst_{len(genes)}_genes"
    taken = {name.casefold() for names in names_in(store).values() for name in names}
    number = 1
    while {tried.casefold() for tried in (_numbered(stem, number), f"{_numbered(stem, number)}_bins")} & taken:
        number += 1
    return _numbered(stem, number)


def _numbered(stem: str, number: int) -> str:
    return stem if number == 1 else f"{stem}_{number}"


def _check_overlap(slide: SpatialDataSlide, first: GeneMap) -> None:
    """The maps may be of another folder of the same slide; what lies elsewhere is of another slide."""
    y0, x0, y1, x1 = slide.extent_um
    top, left = first.origin_um
    bottom, right = top + first.shape[0] * first.bin_um, left + first.shape[1] * first.bin_um
    if min(y1, bottom) <= max(y0, top) or min(x1, right) <= max(x0, left):
        raise ExportError(
            f"The maps lie at x {left:,.0f} to {right:,.0f} and y {top:,.0f} to {bottom:,.0f} um, and the transcripts of "
            f"{slide.store} at x {x0:,.0f} to {x1:,.0f} and y {y0:,.0f} to {y1:,.0f} um. Choose the store of the same slide."
        )


@contextmanager
def _whole_or_not(store: Path, elements: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Take out again what was begun of the new elements, and put back what the groups said, if anything goes wrong."""
    folders = [store, *(store / kind for kind, _ in elements)]
    were_there = {folder for folder in folders if folder.is_dir()}
    said = {
        path: path.read_bytes() for folder in were_there for name in _GROUP_FILES if (path := folder / name).is_file()
    }
    try:
        yield
    except BaseException:
        for kind, name in elements:
            shutil.rmtree(store / kind / name, ignore_errors=True)
            if store / kind not in were_there:
                shutil.rmtree(store / kind, ignore_errors=True)
        for path, content in said.items():
            if path.read_bytes() != content:
                path.write_bytes(content)
        raise
