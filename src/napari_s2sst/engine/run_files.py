"""A finished run -> its files, those that were chosen; and what is said of it in run.json."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from shapely.geometry import mapping

from . import export
from .bin_table import write_bins_csv
from .comparison_figure import write_comparison
from .export_choice import ExportChoice, ExportItem, Suffixes, suffixes
from .figure import write_figure
from .provenance import OURS, sparse_hash, versions
from .region import write_regions
from .script import script_of, why_not, write_script


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

    ``slide_path`` is only needed for the script, ``suffix`` where several results share a folder (see
    :func:`write_results`). Files of the same names are replaced, each as a whole; others are left alone.
    Raises :class:`ExportError`.
    """
    from .checkpoint import save_model

    folder, job = export.check_output_folder(folder), result.job
    choice, suffix = choice or ExportChoice(), suffix or Suffixes()
    if choice.script:
        script_of(result, slide_path)  # what can't be told is refused before anything is written
    began = time.perf_counter()
    run = describe(result, command)
    paths: list[Path] = []

    def place(name: str) -> Path:
        paths.append(folder / name)
        return paths[-1]

    maps = dict(sparse=list(job.sparse), imputed=list(result.imputed), regions=list(job.regions) or None)
    if choice.h5ad:
        export.write_h5ad(place(f"imputed{suffix.shared}.h5ad"), **maps, run=run)
    if choice.csv:
        write_bins_csv(place(f"bins{suffix.shared}.csv"), **maps, truth=list(job.truth))
    for sparse, imputed, truth in zip(job.sparse, result.imputed, job.truth, strict=True):
        stem, scores = f"{export.safe_name(sparse.gene)}{suffix.gene}", result.scores.get(sparse.gene)
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
    if choice.model:
        save_model(place(f"model{suffix.shared}.safetensors"), result.trained)
    if choice.script:
        paths += write_script(folder, result, slide_path, suffix=suffix.shared)
    elif choice.regions and job.regions:
        write_regions(place(f"regions{suffix.shared}.geojson"), job.regions)
    run["seconds"]["writing"] = round(time.perf_counter() - began, 3)
    export.write_run_json(place(f"run{suffix.shared}.json"), run)
    return paths


def write_results(
    folder: Path,
    results: Sequence[Any],
    command: str = "",
    choice: ExportChoice | None = None,
    *,
    slide_paths: Sequence[Path | None] = (),
) -> list[Path]:
    """The same for several results in one folder; their files' names tell them apart. Raises :class:`ExportError`.

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


def export_item(result: Any, name: str, slide_path: Path | None = None) -> ExportItem:
    """What an export dialog needs to know of a result."""
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


def describe(result: Any, command: str = "") -> dict[str, Any]:
    """Everything needed to repeat the run, as plain values for JSON."""
    job, trained = result.job, result.trained
    return {
        "program": "napari-s2sst",
        "versions": versions(),
        "command": command,
        "finished_at": result.finished_at,
        "input": {"name": job.input_name, "sparse_sha256": sparse_hash(job.sparse)},
        "genes": [sparse.gene for sparse in job.sparse],
        "regions": [{"name": region.name, "polygon_um": mapping(region.polygon)} for region in job.regions],
        "mode": "fill in" if job.truth[0] is None else "check",
        "seed": trained.config.seed,
        "steps": trained.steps,
        "device": trained.device,
        "held_out_mae": {OURS: trained.held_out_mae, **trained.classical},
        "seconds": {
            "reading": round(job.read_s, 3),
            "training": round(trained.seconds, 3),
            "imputing": round(result.impute_s, 3),
            "scoring": round(result.score_s, 3),
        },
        "config": trained.config.model_dump(mode="json"),
    }
