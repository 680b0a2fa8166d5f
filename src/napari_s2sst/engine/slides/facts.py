"""Turn an opened slide of any kind into the facts of its card: (label, value) rows, missing facts left out."""

from __future__ import annotations

from typing import Any

from ..errors import BundleError
from .bins import FixedBins
from .opening import question_of
from .xenium import Bundle

_UNSAID = {"", "unknown"}
"""What a slide says of itself where nobody told it."""


def slide_facts(slide: Any) -> list[tuple[str, str]]:
    """(label, value) rows of a :class:`~.xenium.Bundle`, a count cube or a HEST slide, in the order of the card.

    Reads what :attr:`genes` and :attr:`extent_um` read, so of a slide that was just opened ask it in the background.
    """
    genes = slide.genes
    facts = [
        ("Tissue", _joined(" ", _said(slide, "organism"), _said(slide, "tissue_type"))),
        ("Panel", _said(slide, "panel_name")),
        ("Software", _software(slide)),
        ("Size", _size(slide.extent_um)),
        *_counts(slide, genes),
        ("Genes", f"{len(genes):,}"),
        ("Cells", _number(getattr(slide, "num_cells", None))),
        ("Bins", _bins(slide)),
        ("Pixel", _pixel(slide)),
        ("Stains", _stains(slide)),
    ]
    return [(label, value) for label, value in facts if value]


def _said(slide: Any, name: str) -> str:
    said = getattr(slide, name, None)
    return said if isinstance(said, str) and said.casefold() not in _UNSAID else ""


def _joined(between: str, *parts: str) -> str:
    return between.join(part for part in parts if part)


def _software(slide: Any) -> str:
    """``Xenium 3.0.0.15`` of the instrument's ``xenium-3.0.0.15``; only a Xenium slide has been through it."""
    said = _said(slide, "version") if isinstance(slide, Bundle) else ""
    name, dash, number = said.partition("-")
    return f"Xenium {number}" if dash and name.casefold() == "xenium" else said


def _size(extent_um: tuple[float, float, float, float]) -> str:
    """Width x height: what is written on paper, unlike an array's shape."""
    y0, x0, y1, x1 = extent_um
    height, width = (y1 - y0) / 1000, (x1 - x0) / 1000
    digits = 1 if min(height, width) >= 1 else 2
    return f"{width:.{digits}f} x {height:.{digits}f} mm"


def _counts(slide: Any, genes: dict[str, int]) -> list[tuple[str, str]]:
    """Rows of a transcript table, or the sum of what bins hold, which may be molecules of another method."""
    if isinstance(slide, FixedBins):
        return [("Counts", _number(getattr(slide, "num_transcripts", sum(genes.values()))))]
    return [("Transcripts", _number(slide.num_transcripts))]


def _number(count: int | None) -> str:
    return "" if count is None else f"{count:,}"


def _bins(slide: Any) -> str:
    if not isinstance(slide, FixedBins):
        return ""
    rows, columns = slide.shape
    by = "assumed" if getattr(slide, "bin_is_assumed", False) else getattr(slide, "bin_said_by", "")
    return f"{slide.bin_um:g} um{f' ({by})' if by else ''}, {columns:,} x {rows:,}"


def _pixel(slide: Any) -> str:
    """Only where the slide itself does not tell it."""
    given = getattr(slide, "given_um", None)
    if given is not None and slide.pixel_size_um == given:
        return f"{given:g} um (as given)"
    question = question_of(slide)
    return "size unknown, so no picture is shown" if question is not None and question.kind == "pixel" else ""


def _stains(slide: Any) -> str:
    try:
        return ", ".join(image.name for image in slide.images)
    except BundleError:  # an incomplete image; whoever draws it says what is wrong with it
        return ""
