"""Turn our own exports, `imputed.h5ad` and `<gene>.ome.tif`, back into maps, the run that made them, and facts for people.

The table holds counts, so its sparse maps are those that were measured; the picture holds normalised values only, so its
sparse maps hold these, as counts of the normalisation "none". The ends of the predicted interval are in neither file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import BundleError, S2SSTError
from ..maps import GeneMap, Normalisation, NormalisationKind, SparseMap
from ..sampling.lattice import lattice
from ..transcripts.grid import MAX_BINS
from .ome_tiff import SUFFIXES, is_channels, read_channels


@dataclass(frozen=True, eq=False)
class ImportedMaps:
    """One gene of an export."""

    sparse: SparseMap
    sparse_kind: NormalisationKind
    """What turns the values of ``sparse`` into the space of ``imputed``; "none" where they are in it."""
    imputed: GeneMap
    """With its normalisation, and its uncertainty where it had one."""
    truth: GeneMap | None
    """Normalised like ``imputed``; None where nobody knew it."""


@dataclass(frozen=True, eq=False)
class ImportedResult:
    """Maps of an exported file, and the run that made them."""

    path: Path
    genes: tuple[str, ...]
    """All of the file, in its order."""
    maps: tuple[ImportedMaps, ...]
    """Of the genes that were asked for, in their order."""
    run: dict[str, Any]
    """What `run.json` says; empty where the file was written without a run."""


def is_result(path: str | Path) -> bool:
    """Whether this program wrote the file. Cheap: only a table's keys or a picture's header are looked at."""
    path = Path(path)
    if path.suffix.lower() != ".h5ad":
        return is_channels(path)
    if not path.is_file():
        return False
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return "s2sst" in file["uns"]
    except (OSError, KeyError, TypeError, ValueError):
        return False


def is_named_as_result(path: str | Path) -> bool:
    """Whether a file's name alone says that it may be a result, or layers that were saved."""
    return Path(path).name.lower().endswith((".h5ad", *SUFFIXES))


def genes_of(path: str | Path) -> tuple[str, ...]:
    """Name the genes of an export, without reading its maps. Raises :class:`BundleError`, as :func:`read_result`."""
    path = Path(path).expanduser()
    if path.name.lower().endswith(SUFFIXES):
        return tuple(maps.imputed.gene for maps in read_result(path).maps)
    return _from_table(path, ()).genes


def read_result(path: str | Path, genes: Sequence[str] | None = None) -> ImportedResult:
    """Read ``imputed.h5ad`` or ``<gene>.ome.tif``; of a table only some ``genes``, when they are given.

    Raises :class:`BundleError` when the file is not there, is damaged, is not of this program, or lacks a gene.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Choose an imputed.h5ad or a <gene>.ome.tif that s2sst wrote.")
    if path.name.lower().endswith(SUFFIXES):
        return _from_picture(path, genes)
    if path.suffix.lower() == ".h5ad":
        return _from_table(path, genes)
    raise BundleError(f"{path} is neither an .h5ad nor an .ome.tif. Choose a result that s2sst wrote.")


def run_summary(run: Mapping[str, Any]) -> str:
    """Sum up a run in a few lines, for people; those that are not known are left out."""
    given, config = _part(run, "input"), _part(run, "config")
    sampling, versions = _part(config, "sampling"), _part(run, "versions")
    lines = [
        ("Input", given.get("name")),
        ("Genes", ", ".join(map(str, run.get("genes") or ()))),
        ("Mode", run.get("mode")),
        ("Bins", _with_unit(_part(config, "grid").get("bin_um"), "um")),
        ("Stride", sampling.get("stride")),
        ("Preset", config.get("preset_name")),
        ("Steps", run.get("steps")),
        ("Seed", run.get("seed")),
        ("Device", run.get("device")),
        ("Finished", run.get("finished_at")),
        ("Program", " ".join(filter(None, ["napari-s2sst", versions.get("napari-s2sst")]))),
        ("Measured bins (SHA-256)", given.get("sparse_sha256")),
    ]
    return "\n".join(f"{name}: {value}" for name, value in lines if value not in (None, ""))


def result_facts(result: ImportedResult) -> list[tuple[str, str]]:
    """(label, value) rows that describe a result: where its first gene's maps lie, then the run. Raises :class:`BundleError`."""
    if not result.maps:
        raise BundleError(f"{result.path} holds no map. Export it again.")
    first = result.maps[0]
    imputed, sparse = first.imputed, first.sparse
    rows, columns = imputed.shape
    height, width = (length * imputed.bin_um / 1000 for length in imputed.shape)
    y_um, x_um = imputed.origin_um
    facts = [
        ("Result", result.path.name),
        ("Size", f"{width:.2f} x {height:.2f} mm, from x {x_um:g} and y {y_um:g} um"),
        ("Bins", f"{imputed.bin_um:g} um, {columns:,} x {rows:,}; {int(sparse.measured.sum()):,} of "
                 f"{int(imputed.tissue.sum()):,} tissue bins measured, stride {sparse.stride}"),
        ("Values", imputed.normalisation.kind),
        ("Truth", "known" if first.truth is not None else "unknown"),
    ]  # fmt: skip
    said = [line.partition(": ") for line in run_summary(result.run).splitlines()]
    facts += [(label, value) for label, _, value in said if label not in ("Genes", "Bins", "Stride")]
    if first.imputed.uncertainty is None or not math.isfinite(float(first.imputed.uncertainty.max(initial=0))):
        facts.append(("Uncertainty", "none"))
    return facts


def _from_table(path: Path, genes: Sequence[str] | None) -> ImportedResult:
    import h5py

    try:
        from anndata.io import read_elem
    except ImportError:  # anndata before 0.11
        from anndata.experimental import read_elem
    from ..slides.h5ad_file import check_stored  # with all of scipy

    if not path.is_file():
        raise BundleError(f"There is no file {path}. Choose an imputed.h5ad that s2sst wrote.")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise BundleError(
            f"{path} can't be read as an .h5ad ({error}). It may be cut short; export it again."
        ) from None
    with file:
        if "uns" not in file or "s2sst" not in file["uns"] or "s2sst_grid" not in file["uns"]:
            raise BundleError(
                f"{path} is no result of s2sst: the run and the grid are missing (uns s2sst and s2sst_grid). A table of counts "
                "is opened as a slide, with Open... in the window."
            )
        try:
            check_stored(path)
            grid, run = read_elem(file["uns/s2sst_grid"]), json.loads(read_elem(file["uns/s2sst"])["json"])
            every = tuple(map(str, read_elem(file["var"]).index))
            wanted = _wanted(path, every, genes)
            at = [every.index(gene) for gene in wanted]
            obs = read_elem(file["obs"])
            counts = read_elem(file["layers/counts"]).tocsc() if at else None
            totals = obs["total_counts"].to_numpy(np.float32) if "total_counts" in obs else None
            bins = obs["row"].to_numpy(np.int64), obs["column"].to_numpy(np.int64)
            maps = [
                _of_column(grid, gene, bins, totals, counts[:, [column]].toarray().ravel(),
                           *(file[place][:, column] for place in ("X", "layers/measured", "layers/uncertainty")))
                for gene, column in zip(wanted, at, strict=True)
            ]  # fmt: skip
        except S2SSTError:
            raise
        except Exception as error:  # h5py and anndata raise nearly every kind on a file that was changed
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise BundleError(
                f"{path} is a result of s2sst that was changed or is damaged ({type(error).__name__}: {reason}). Export it again."
            ) from None
    return ImportedResult(path, every, tuple(maps), run)


def _of_column(grid, gene, bins, totals, counts, imputed, measured, uncertainty) -> ImportedMaps:
    """One gene of a table; all arrays after ``bins`` (tissue bins,)."""
    shape = int(grid["rows"]), int(grid["columns"])
    if min(shape) < 1 or shape[0] * shape[1] > MAX_BINS:
        raise ValueError(f"a grid of {shape[0]:,} x {shape[1]:,} bins")

    def on_grid(values: np.ndarray, outside: float) -> np.ndarray:
        full = np.full(shape, outside, np.float32)
        full[bins] = values
        return full

    counted, known = on_grid(counts, 0), np.isfinite(on_grid(measured, np.nan))
    totalled = None if totals is None else np.nan_to_num(on_grid(totals, 0))
    estimate = _imputed(grid, gene, on_grid(imputed, np.nan), on_grid(uncertainty, np.nan))
    truth = None
    if grid["has_truth"]:
        place = dict(tissue=estimate.tissue, gene=gene, bin_um=estimate.bin_um, origin_um=estimate.origin_um)
        truth = GeneMap(counted, totals=totalled, **place).normalised(estimate.normalisation)
    sparse = _sparse(grid, estimate, counted, known, totalled)
    return ImportedMaps(sparse, estimate.normalisation.kind, estimate, truth)


def _from_picture(path: Path, genes: Sequence[str] | None) -> ImportedResult:
    channels = read_channels(path)
    if "grid" not in channels.notes or not {"sparse", "imputed"} <= set(channels.maps):
        raise BundleError(
            f"{path} holds layers that were saved from napari ({', '.join(channels.maps)}), and a result has the channels sparse "
            "and imputed. Open it in napari, or choose a <gene>.ome.tif that s2sst exported."
        )
    try:
        grid, run, gene = json.loads(channels.notes["grid"]), json.loads(channels.notes["run"]), channels.notes["gene"]
        _wanted(path, (gene,), genes)
        measured, unsure = (
            channels.maps["sparse"],
            channels.maps.get("uncertainty", np.full_like(channels.maps["sparse"], np.nan)),
        )
        estimate = _imputed(grid, gene, channels.maps["imputed"], unsure)
        truth = None
        if "truth" in channels.maps:
            truth = _imputed(grid, gene, channels.maps["truth"], np.full_like(unsure, np.nan))
        sparse = _sparse(grid, estimate, np.nan_to_num(measured), np.isfinite(measured), None)
    except S2SSTError:
        raise
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BundleError(f"{path} has a damaged note of its grid or run ({error!r}). Export it again.") from None
    return ImportedResult(path, (gene,), (ImportedMaps(sparse, "none", estimate, truth),), run)


def _imputed(grid: Mapping[str, Any], gene: str, values: np.ndarray, uncertainty: np.ndarray) -> GeneMap:
    """NaN is outside the tissue; an uncertainty that is NaN everywhere is none."""
    median = grid.get("median_total")
    tissue = np.isfinite(values)
    return GeneMap(
        np.where(tissue, values, np.float32(0)),
        tissue=tissue,
        gene=gene,
        bin_um=float(grid["bin_um"]),
        origin_um=(float(grid["y_um"]), float(grid["x_um"])),
        normalisation=Normalisation(str(grid["normalisation"]), None if median is None else float(median)),
        uncertainty=np.nan_to_num(uncertainty) if np.isfinite(uncertainty).any() else None,
    )


def _sparse(
    grid: Mapping[str, Any], imputed: GeneMap, values: np.ndarray, measured: np.ndarray, totals: np.ndarray | None
) -> SparseMap:
    """Arrays (rows, columns); raises ValueError when a measured bin lies off the lattice."""
    stride, phase = int(grid["stride"]), tuple(int(offset) for offset in grid["phase"])
    if (measured & ~lattice(imputed.shape, stride, phase)).any():
        raise ValueError(f"measured bins lie off the lattice of stride {stride} and phase {phase}")
    take = np.s_[phase[0] :: stride, phase[1] :: stride]
    return SparseMap(
        values=np.where(measured[take], values[take], np.float32(0)),
        measured=measured[take],
        tissue=imputed.tissue,
        stride=stride,
        phase=phase,
        gene=imputed.gene,
        bin_um=imputed.bin_um,
        origin_um=imputed.origin_um,
        totals=None if totals is None else np.where(measured[take], totals[take], np.float32(0)),
        median_total=imputed.normalisation.median_total,
    )


def _wanted(path: Path, every: tuple[str, ...], genes: Sequence[str] | None) -> tuple[str, ...]:
    if genes is None:
        return every
    if missing := [gene for gene in genes if gene not in every]:
        some = ", ".join(every[:5]) + (", ..." if len(every) > 5 else "")
        raise BundleError(f"{path} has no map of {missing[0]}. It holds {some}.")
    return tuple(dict.fromkeys(genes))


def _part(of: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = of.get(name)
    return part if isinstance(part, Mapping) else {}


def _with_unit(value: Any, unit: str) -> str | None:
    return None if value is None else f"{value:g} {unit}"
