"""Draw the outlines that are in view into a layer: as many as can be seen, as thin on the screen at every zoom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.layers import Vectors

from ...engine.pictures.outlines import Boundaries
from .canvas import camera_of, canvas_size_px
from .extra_layers import OUTLINE_PX, no_vectors, outline_vectors

MAX_OUTLINES = 5_000
"""On a screen of 2 million pixels a cell is then 20 pixels wide: smaller outlines are a grey veil, and slow."""
MARGIN = 0.25
"""Of the view's height and width, drawn on each side of it, so that a small move needs nothing new."""
SAME_WIDTH = 1.25
"""Lines so much thicker or thinner than wanted are left alone."""


@dataclass(frozen=True)
class View:
    """View of a viewer: its rectangle on the slide, and its scale."""

    rectangle_um: tuple[float, float, float, float]
    """(y0, x0, y1, x1)."""
    um_per_px: float

    @classmethod
    def of(cls, viewer: Any) -> View | None:
        """None in 3D, and before the window has a size."""
        camera = camera_of(viewer)
        zoom = camera.zoom
        if viewer.dims.ndisplay != 2 or not zoom > 0:
            return None
        height, width = canvas_size_px(viewer)
        y, x = camera.center[-2:]
        half = (height / zoom / 2, width / zoom / 2)
        return cls((y - half[0], x - half[1], y + half[0], x + half[1]), 1 / zoom) if min(half) > 0 else None

    def grown(self, share: float) -> tuple[float, float, float, float]:
        """The rectangle with a share of its height and width more on each side."""
        y0, x0, y1, x1 = self.rectangle_um
        dy, dx = share * (y1 - y0), share * (x1 - x0)
        return (y0 - dy, x0 - dx, y1 + dy, x1 + dx)


class Outlines:
    """One layer of outlines and what fills it. Main thread only."""

    def __init__(self, layer: Vectors, boundaries: Boundaries, what: str) -> None:
        self.layer = layer
        self.draws = 0
        """How often the layer got something else."""
        self._boundaries = boundaries
        self._what = what  # as in "Zoom in to see cell outlines"
        self._drawn: tuple[float, float, float, float] | None = None
        self._note = ""

    def follow(self, view: View | None) -> str:
        """Bring the layer up to date; returns a sentence when nothing is drawn, or ""."""
        if not self.layer.visible:
            return ""
        if view is None or (self._covers(view) and self._fits(view)):
            return self._note
        area = view.rectangle_um
        which = self._boundaries.within(area)
        if len(which) > MAX_OUTLINES:
            self._drawn = None
            self._note = f"Zoom in to see {self._what}: {len(which):,} cells in view."
            if len(self.layer.data):
                self._fill(no_vectors(), view)
            return self._note
        more = self._boundaries.within(view.grown(MARGIN))
        if len(more) <= MAX_OUTLINES:
            area, which = view.grown(MARGIN), more
        self._drawn, self._note = area, ""
        self._fill(outline_vectors(self._boundaries, which), view)
        return ""

    def _covers(self, view: View) -> bool:
        if self._drawn is None:
            return False
        (y0, x0, y1, x1), (top, left, bottom, right) = view.rectangle_um, self._drawn
        return top <= y0 and left <= x0 and bottom >= y1 and right >= x1

    def _fits(self, view: View) -> bool:
        ratio = self.layer.edge_width / (OUTLINE_PX * view.um_per_px)
        return 1 / SAME_WIDTH <= ratio <= SAME_WIDTH

    def _fill(self, vectors: Any, view: View) -> None:
        self.draws += 1
        # Each of the two makes the mesh anew, and it is needed once.
        with self.layer.events.blocker_all():
            self.layer.edge_width = OUTLINE_PX * view.um_per_px
        self.layer.data = vectors
        self.layer.editable = False  # napari resets it with the data
