"""Whether regions are counted in pixels of a slide's picture, as QuPath counts, rather than in um."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import shapely

from .errors import BundleError
from .region import Region

BEYOND = 1.02
"""A hand-drawn outline may go a little over the edge: so far it still counts as inside."""


@dataclass(frozen=True)
class Picture:
    """What is to be known of a slide to tell um from pixels; all (rows, columns)."""

    shape_px: tuple[int, int]
    pixel_size_um: float
    end_um: tuple[float, float]
    """Largest y and x of picture and transcripts."""


def picture_of(slide: Any) -> Picture | None:
    """None for a slide without a picture, or whose pixels nobody knows the size of."""
    try:
        image = next((image for image in slide.images if image.pixel_size_um), None)
        if image is None:
            return None
        _, _, *transcripts = slide.extent_um
    except BundleError:  # an incomplete image, or no transcript; whoever shows it says what is wrong with it
        return None
    ends = (max(at, length * image.pixel_size_um) for at, length in zip(transcripts, image.shape_px, strict=True))
    rows, columns = image.shape_px
    return Picture((int(rows), int(columns)), float(image.pixel_size_um), tuple(map(float, ends)))


def look_like_pixels(regions: Iterable[Region], picture: Picture) -> bool:
    """Whether they reach beyond the slide in um and, all of them, fit its picture in pixels."""
    x0, y0, x1, y1 = shapely.total_bounds([region.polygon for region in regions])
    beyond = y1 > BEYOND * picture.end_um[0] or x1 > BEYOND * picture.end_um[1]
    slack_px = [(BEYOND - 1) * length for length in picture.shape_px]
    fits = y1 <= picture.shape_px[0] + slack_px[0] and x1 <= picture.shape_px[1] + slack_px[1]
    return bool(beyond and fits and y0 >= -slack_px[0] and x0 >= -slack_px[1])
