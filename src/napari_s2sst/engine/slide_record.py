"""A slide of any kind, or a result of this program -> all that is known of it without its maps, as JSON knows it or as rows."""

from __future__ import annotations

import math
from typing import Any

from .errors import BundleError
from .import_result import ImportedResult, run_summary


def slide_record(slide: Any) -> dict[str, Any]:
    """What `s2sst info --json` prints; what a kind does not have is None, and ``genes`` is gene -> count.

    Raises :class:`BundleError` when the slide can't be read.
    """
    extent = slide.extent_um
    return {
        "name": slide.name,
        "path": str(slide.path),
        "version": getattr(slide, "version", None),
        "panel": getattr(slide, "panel_name", None),
        "organism": getattr(slide, "organism", None),
        "tissue": getattr(slide, "tissue_type", None),
        "cells": getattr(slide, "num_cells", None),
        "transcripts": getattr(slide, "num_transcripts", None),
        "size_mm": [round(float(side), 3) for side in slide.size_mm],
        "extent_um": [round(float(edge), 2) for edge in extent],
        "bin_um": getattr(slide, "bin_um", None),
        "bin_is_assumed": getattr(slide, "bin_is_assumed", False),
        "pixel_size_um": getattr(slide, "pixel_size_um", None),
        "um_said_by": getattr(slide, "um_said_by", None) or getattr(slide, "bin_said_by", None) or None,
        "images": [image.name for image in slide.images],
        "genes": dict(slide.genes),
    }


def result_facts(result: ImportedResult) -> list[tuple[str, str]]:
    """(label, value) rows of a result, whose first gene was read: where its maps lie, then the run that made it."""
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
