"""Imputed maps -> one CSV row for each tissue bin and gene, for those who work with tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .export_values import channels, region_of_bins
from .maps import GeneMap, SparseMap
from .region import Region
from .writing import written_whole


def write_bins_csv(
    path: str | Path,
    *,
    sparse: Sequence[SparseMap],
    imputed: Sequence[GeneMap],
    truth: Sequence[GeneMap | None] = (),
    regions: Sequence[Region] | None = None,
) -> Path:
    """Write gene, row, column, x_um, y_um (the bin's centre), region, measured, imputed, uncertainty, and the truth.

    Values are in the normalised space; what was not measured, and the truth and error where nobody knows them, is
    empty. Raises :class:`ExportError`.
    """
    import pandas as pd

    names = region_of_bins(imputed[0], regions)

    def frame_of(one: SparseMap, gene_map: GeneMap, known: GeneMap | None) -> pd.DataFrame:
        row, column = np.nonzero(gene_map.tissue)
        y_um, x_um = gene_map.origin_um
        found = {name: values[row, column] for name, values in channels(one, gene_map, known).items()}
        found.setdefault("truth", np.nan)
        found.setdefault("error", np.nan)
        found["measured"] = found.pop("sparse")
        place = {
            "gene": gene_map.gene,
            "row": row,
            "column": column,
            "x_um": x_um + (column + 0.5) * gene_map.bin_um,
            "y_um": y_um + (row + 0.5) * gene_map.bin_um,
            "region": names[row, column],
        }
        order = ("measured", "imputed", "uncertainty", "truth", "error")
        return pd.DataFrame(place | {name: found[name] for name in order})

    with written_whole(path) as beside, open(beside, "w", newline="", encoding="utf-8") as file:
        for number, maps in enumerate(zip(sparse, imputed, truth or [None] * len(imputed), strict=True)):
            frame = frame_of(*maps)
            frame.to_csv(file, header=number == 0, index=False, float_format="%.9g", lineterminator="\n")
    return Path(path)
