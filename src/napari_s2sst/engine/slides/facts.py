"""Turn an opened slide of any kind into facts: (label, value) rows for its card, and all that is known of it for JSON."""

from __future__ import annotations

from typing import Any

from ..errors import BundleError
from .questions import question_of
from .slide import Slide

_UNSTATED = {"", "unknown"}
"""What a slide says of itself where nobody told it."""


def slide_facts(slide: Slide) -> list[tuple[str, str]]:
    """(label, value) rows of a slide, in the order of the card.

    Reads what :attr:`.Slide.genes` and :attr:`.Slide.extent_um` read, so of a slide that was just opened ask it in the background.
    """
    rows = [
        ("Tissue", " ".join(filter(None, (_stated(slide.organism), _stated(slide.tissue_type))))),
        ("Panel", _stated(slide.panel_name)),
        ("Software", _stated(slide.software)),
        ("Size", _size(slide.extent_um)),
        _counts(slide),
        ("Genes", f"{len(slide.genes):,}"),
        ("Cells", _number(slide.num_cells)),
        ("Bins", _bins(slide)),
        ("Pixel", _pixel(slide)),
        ("Stains", _stains(slide)),
    ]
    return [(label, value) for label, value in rows if value]


def slide_record(slide: Slide) -> dict[str, Any]:
    """Gather what `s2sst info --json` prints; what a slide does not have is None, and ``genes`` is gene -> count.

    Raises :class:`BundleError` when the slide can't be read.
    """
    return {
        "name": slide.name,
        "path": str(slide.path),
        "version": slide.version,
        "panel": slide.panel_name,
        "organism": slide.organism,
        "tissue": slide.tissue_type,
        "cells": slide.num_cells,
        "transcripts": slide.num_transcripts,
        "size_mm": [round(float(side), 3) for side in slide.size_mm],
        "extent_um": [round(float(edge), 2) for edge in slide.extent_um],
        "bin_um": slide.bin_um,
        "bin_is_assumed": slide.bin_is_assumed,
        "pixel_size_um": slide.pixel_size_um,
        "um_said_by": slide.um_said_by or slide.bin_said_by or None,
        "images": [image.name for image in slide.images],
        "genes": dict(slide.genes),
    }


def _stated(text: str | None) -> str:
    return text if text is not None and text.casefold() not in _UNSTATED else ""


def _size(extent_um: tuple[float, float, float, float]) -> str:
    """Width x height: what is written on paper, unlike an array's shape."""
    y0, x0, y1, x1 = extent_um
    height, width = (y1 - y0) / 1000, (x1 - x0) / 1000
    digits = 1 if min(height, width) >= 1 else 2
    return f"{width:.{digits}f} x {height:.{digits}f} mm"


def _counts(slide: Slide) -> tuple[str, str]:
    """Rows of a transcript table, or the sum of what bins hold, which may be molecules of another method."""
    count = sum(slide.genes.values()) if slide.num_transcripts is None else slide.num_transcripts
    return ("Counts" if slide.transcripts is None else "Transcripts", _number(count))


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _bins(slide: Slide) -> str:
    if slide.bin_um is None or slide.shape is None:
        return ""
    rows, columns = slide.shape
    by = "assumed" if slide.bin_is_assumed else slide.bin_said_by
    return f"{slide.bin_um:g} um{f' ({by})' if by else ''}, {columns:,} x {rows:,}"


def _pixel(slide: Slide) -> str:
    """Size of a pixel where a user gave it, or that it is unknown; empty where the slide itself tells it."""
    given_um = slide.given_um
    if given_um is not None and slide.pixel_size_um == given_um:
        return f"{given_um:g} um (as given)"
    question = question_of(slide)
    return "size unknown, so no picture is shown" if question is not None and question.kind == "pixel" else ""


def _stains(slide: Slide) -> str:
    try:
        return ", ".join(image.name for image in slide.images)
    except BundleError:  # an incomplete image; whoever draws it says what is wrong with it
        return ""
