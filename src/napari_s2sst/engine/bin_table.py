"""Imputed maps -> one CSV row for each tissue bin and gene, for those who work with tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .export import channels, region_of_bins
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

    frames = []
    names = region_of_bins(imputed[0], regions)
    for one, gene_map, known in zip(sparse, imputed, list(truth) or [None] * len(imputed), strict=True):
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
        frames.append(pd.DataFrame(place | {name: found[name] for name in order}))
    with written_whole(path) as beside:
        pd.concat(frames, ignore_index=True).to_csv(beside, index=False, float_format="%.9g", lineterminator="\n")
    return Path(path)
