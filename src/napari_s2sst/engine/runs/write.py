"""A finished run -> its files, those that were chosen."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..export import tables as export
from ..export.choice import ExportChoice, ExportItem, Suffixes, suffixes
from ..export.comparison import write_comparison
from ..export.figure import write_figure
from ..export.tables import write_bins_csv
from ..sampling.regions import write_regions
from ..scores.regions import RegionRow, region_rows, write_regions_csv
from .record import describe
from .script import script_of, why_not, write_script

__all__ = ["describe", "export_item", "put_into_store", "score_rows", "write_result", "write_results"]


def score_rows(result: Any) -> list[dict[str, Any]]:
    """One row a gene and method: the names, then every field of Scores."""
    return [
        {"gene": gene, "method": method, **asdict(scores)}
        for gene, methods in result.scores.items()
        for method, scores in methods.items()
    ]


def write_result(
    folder: Path,
    result: Any,
    command: str = "",
    choice: ExportChoice | None = None,
    *,
    slide_path: Path | None = None,
    suffix: Suffixes | None = None,
) -> list[Path]:
    """Write the chosen files of a run, or those of the command line, and return their paths.

    ``slide_path`` is needed for the script, and told in run.json; ``suffix`` where several results share a folder (see
    :func:`write_results`). Files of the same names are replaced, each as a whole; others are left alone.
    Raises :class:`ExportError`.
    """
    from ..network.model import save_model

    folder, job = export.check_output_folder(folder), result.job
    choice, suffix = choice or ExportChoice(), suffix or Suffixes()
    if choice.script:
        script_of(result, slide_path)  # what can't be told is refused before anything is written
    began = time.perf_counter()
    run = describe(result, command, slide_path)
    paths: list[Path] = []

    def place(name: str) -> Path:
        paths.append(folder / name)
        return paths[-1]

    maps = dict(sparse=job.sparse, imputed=result.imputed, regions=list(job.regions) or None)
    if choice.h5ad:
        export.write_h5ad(place(f"imputed{suffix.shared}.h5ad"), **maps, truth=job.truth, run=run)
    if choice.csv:
        write_bins_csv(place(f"bins{suffix.shared}.csv"), **maps, truth=job.truth)
    stems = export.file_stems(sparse.gene for sparse in job.sparse)
    for sparse, imputed, truth in zip(job.sparse, result.imputed, job.truth, strict=True):
        stem, scores = f"{stems[sparse.gene]}{suffix.gene}", result.scores.get(sparse.gene)
        gene_maps = dict(sparse=sparse, imputed=imputed, truth=truth)
        if choice.ome_tiff:
            export.write_ome_tiff(place(f"{stem}.ome.tif"), **gene_maps, run=run)
        if choice.figure:
            write_figure(place(f"{stem}.{choice.figure_format}"), **gene_maps, scores=scores)
        if choice.comparison:
            write_comparison(place(f"{stem}-comparison.{choice.figure_format}"), **gene_maps, scores=scores)
    if choice.tables:
        export.write_scores_csv(place(f"scores{suffix.shared}.csv"), score_rows(result))
        export.write_losses_csv(place(f"losses{suffix.shared}.csv"), result.trained.losses)
    if choice.region_table:
        write_regions_csv(place(f"region_table{suffix.shared}.csv"), _region_rows(result))
    if choice.model:
        save_model(place(f"model{suffix.shared}.safetensors"), result.trained)
    if choice.script:
        paths += write_script(folder, result, slide_path, suffix=suffix.shared)
    elif choice.regions and job.regions:
        write_regions(place(f"regions{suffix.shared}.geojson"), job.regions)
    run["seconds"]["writing"] = round(time.perf_counter() - began, 3)
    export.write_run_json(place(f"run{suffix.shared}.json"), run)
    return paths


def _region_rows(result: Any) -> list[RegionRow]:
    """Rows of every gene in its turn."""
    job = result.job
    every = zip(job.sparse, result.imputed, job.truth, strict=True)
    return [
        row
        for sparse, imputed, truth in every
        for row in region_rows(job.regions, sparse=sparse, imputed=imputed, truth=truth)
    ]


def write_results(
    folder: Path,
    results: Sequence[Any],
    command: str = "",
    choice: ExportChoice | None = None,
    *,
    slide_paths: Sequence[Path | None] = (),
) -> list[Path]:
    """Write the files of several results into one folder; their names tell them apart. Raises :class:`ExportError`.

    A result that no script can repeat is written without one.
    """
    slides = list(slide_paths) or [None] * len(results)
    names = suffixes([[sparse.gene for sparse in result.job.sparse] for result in results])
    paths = []
    for result, slide, suffix in zip(results, slides, names, strict=True):
        wanted = choice
        if choice is not None and choice.script and why_not(result, slide):
            wanted = replace(choice, script=False)
        paths += write_result(folder, result, command, wanted, slide_path=slide, suffix=suffix)
    return paths


def put_into_store(store: Any, result: Any, command: str = "", slide_path: Path | None = None) -> tuple[str, str]:
    """Write a run's maps into a SpatialData store (see :func:`~.export.spatialdata_tables.check_store`).

    Returns the names of labels and table. Raises :class:`ExportError`; then the store is as it was before.
    """
    from ..export.spatialdata_tables import write_into

    job = result.job
    return write_into(
        store, sparse=job.sparse, imputed=result.imputed, truth=job.truth, regions=list(job.regions) or None,
        run=describe(result, command, slide_path),
    )  # fmt: skip


def export_item(result: Any, name: str, slide_path: Path | None = None) -> ExportItem:
    """Facts of a result that an export dialog needs."""
    first = result.job.sparse[0]
    return ExportItem(
        name=name,
        genes=tuple(sparse.gene for sparse in result.job.sparse),
        bins=first.tissue.size,
        tissue_bins=int(first.tissue.sum()),
        has_regions=bool(result.job.regions),
        has_script=not why_not(result, slide_path),
        has_start=result.job.start is not None,
        edited_tissue=result.job.edited_tissue,
    )
