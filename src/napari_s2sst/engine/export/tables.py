"""Turn imputed maps into files that others open: OME-TIFF, CSV of bins, scores and losses, JSON of the run.

Every map file carries the run that made it. Values are in the normalised space, positions in um; what lies outside the
tissue or was not measured is NaN, in CSV empty.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import check_output_folder, file_stems, safe_name, written_whole
from ..maps import GeneMap, SparseMap
from ..sampling.regions import Region
from .figure import write_figure
from .h5ad import write_h5ad
from .ome_tiff import Channels, write_channels
from .values import channels, grid_of, plain, region_of_bins

__all__ = [
    "check_output_folder",
    "file_stems",
    "safe_name",
    "write_figure",
    "write_h5ad",
    "write_losses_csv",
    "write_ome_tiff",
    "write_run_json",
    "write_scores_csv",
]


def write_ome_tiff(
    path: str | Path, *, sparse: SparseMap, imputed: GeneMap, truth: GeneMap | None = None, run: Mapping[str, Any]
) -> Path:
    """Write one gene's maps as float32 channels of one OME-TIFF series, with a pyramid above 2048 bins.

    PhysicalSize is the bin in um, Position the map's outer corner in um; ``run`` is JSON in a map annotation of the
    namespace s2sst, and so is the ``grid`` that :func:`.reading.read_result` needs. Raises :class:`ExportError`.
    """
    maps = channels(sparse, imputed, truth)
    bin_um, (y_um, x_um) = float(imputed.bin_um), map(float, imputed.origin_um)
    notes = {"gene": imputed.gene, "run": json.dumps(plain(run)), "grid": json.dumps(grid_of(sparse, imputed))}
    return write_channels(
        path, Channels(name=imputed.gene, maps=maps, bin_um=(bin_um, bin_um), origin_um=(y_um, x_um), notes=notes)
    )


def write_bins_csv(
    path: str | Path,
    *,
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    truth: Sequence[GeneMap | None] = (),
    regions: Sequence[Region] | None = None,
) -> Path:
    """Write a row for each tissue bin and gene: gene, row, column, x_um, y_um (the bin's centre), region, and its values.

    These are measured, imputed, uncertainty, truth and error, in the normalised space; what was not measured, and the truth
    and error where nobody knows them, is empty. Raises :class:`ExportError`.
    """
    import pandas as pd

    names = region_of_bins(imputed[0], regions)

    def frame_of(one: SparseMap, gene_map: GeneMap, known: GeneMap | None) -> pd.DataFrame:
        row, column = np.nonzero(gene_map.tissue)
        y_um, x_um = gene_map.origin_um
        values = {name: values[row, column] for name, values in channels(one, gene_map, known).items()}
        values = {"truth": np.nan, "error": np.nan, **values, "measured": values["sparse"]}
        place = {
            "gene": gene_map.gene,
            "row": row,
            "column": column,
            "x_um": x_um + (column + 0.5) * gene_map.bin_um,
            "y_um": y_um + (row + 0.5) * gene_map.bin_um,
            "region": names[row, column],
        }
        order = ("measured", "imputed", "uncertainty", "truth", "error")
        return pd.DataFrame(place | {name: values[name] for name in order})

    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        for number, maps in enumerate(zip(sparse, imputed, truth or [None] * len(imputed), strict=True)):
            frame = frame_of(*maps)
            frame.to_csv(file, header=number == 0, index=False, float_format="%.9g", lineterminator="\n")
    return Path(path)


def write_scores_csv(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a row for each gene and method, columns as the rows name them. Raises :class:`ExportError`."""
    return _write_csv(path, list(rows), ("gene", "method"))


def write_losses_csv(path: str | Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write a row for each validation of the training; just the header when nothing was trained. Raises :class:`ExportError`."""
    return _write_csv(path, list(rows), ("step", "loss"))


def write_run_json(path: str | Path, run: Mapping[str, Any]) -> Path:
    """Write everything needed to repeat the run. Raises :class:`ExportError`."""
    with written_whole(path) as beside:
        beside.write_text(json.dumps(plain(run), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return Path(path)


def _write_csv(path: str | Path, rows: list[Mapping[str, Any]], at_least: tuple[str, ...]) -> Path:
    columns = list(dict.fromkeys([*(() if rows else at_least), *(name for row in rows for name in row)]))
    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    return Path(path)
