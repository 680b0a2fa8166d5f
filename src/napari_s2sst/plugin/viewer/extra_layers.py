"""Turn what else a slide holds into napari layer data in um: density, outlines, transcripts as points, the H&E picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...engine.pictures.outlines import Boundaries, BoundaryKind
from ...engine.slides.histology import Histology, find_histology, open_histology
from ...engine.slides.slide import Slide
from ...engine.transcripts.positions import MAX_POINTS, Positions, read_positions
from .layers import TISSUE_COLORMAP, LayerData
from .layers import density_layer as slide_density_layer

GENE_COLOURS = ("#f0e442", "#56b4e9", "#d55e00", "#cc79a7", "#009e73", "#e69f00", "#0072b2")
"""Okabe & Ito 2008, told apart with any colour vision; those first that stand out on the dark."""
OUTLINE_COLOURS: dict[BoundaryKind, str] = {"cell": "#e8e8e8", "nucleus": "#56b4e9"}
OUTLINE_PX = 1.2
"""Width on the screen: a hairline that software drawing does not break up."""
POINT_UM = 1.2
POINT_LIMITS_PX = (3, 8)
"""A point is seen on a whole slide and hides no cell when looked at closely."""
FINE_BINS_UM = (2.0, 5.0, 10.0, 20.0, 50.0)
MAX_BINS_ALONG = 2000
"""About what a screen shows."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """Layers that were read in the background, and a sentence about them, if they need one."""

    layers: tuple[LayerData, ...]
    note: str = ""
    boundaries: Boundaries | None = None
    """What the outlines' layer is filled from when the camera has come to rest."""


def fine_bin_um(extent_um: tuple[float, float, float, float]) -> float:
    """The smallest usual bin with which a map of (y0, x0, y1, x1) um is not much larger than a screen."""
    side = max(extent_um[2] - extent_um[0], extent_um[3] - extent_um[1])
    return next((bin_um for bin_um in FINE_BINS_UM if side <= bin_um * MAX_BINS_ALONG), FINE_BINS_UM[-1])


def load_density(slide: Slide) -> Loaded:
    """All transcripts per fine bin."""
    values, meta, kind = slide_density_layer(slide, fine_bin_um(slide.extent_um))
    # Not one of the layers that the slide consists of: it comes and goes.
    return Loaded(((values, meta | {"name": "transcript density", "metadata": {}}, kind),))


def load_transcripts(slide: Slide, genes: Sequence[str], min_qv: float, at_most: int = MAX_POINTS) -> Loaded:
    """A layer of points for each gene; one map of their density, and a note, when they are more than ``at_most``.

    Raises :class:`~napari_s2sst.engine.errors.BundleError` on an unknown gene or a broken table.
    """
    positions = read_positions(slide.transcripts, genes, min_qv=min_qv, at_most=at_most)
    if positions.yx_um is not None:
        shown = positions.genes[: len(GENE_COLOURS)]
        left_out = len(positions.genes) - len(shown)
        note = f"{left_out} more chosen genes have no points: there are {len(shown)} colours." if left_out else ""
        return Loaded(tuple(points_layer(positions, gene) for gene in shown), note)
    bin_um = fine_bin_um(slide.extent_um)
    maps = slide.gene_maps(positions.genes, bin_um, min_qv)
    total = sum(gene_map.values for gene_map in maps)
    name = genes_name(positions.genes)
    meta = _in_um() | {
        "scale": (bin_um, bin_um),
        "translate": tuple(corner + bin_um / 2 for corner in maps[0].origin_um),
        "name": f"{name} - transcript density",
        "colormap": TISSUE_COLORMAP,
        "contrast_limits": (0.0, max(1.0, float(np.percentile(total[total > 0], 99)) if total.any() else 1.0)),
        "blending": "translucent",
        "interpolation2d": "nearest",
    }
    note = (
        f"{positions.count:,} transcripts of {name} are more than {at_most:,} points: shown as a density map of "
        f"{bin_um:g} um bins."
    )
    return Loaded(((total, meta, "image"),), note)


def load_outlines(boundaries: Boundaries, kind: BoundaryKind) -> Loaded:
    """An empty layer, to be filled with what is in view."""
    return Loaded((outline_layer(kind),), boundaries=boundaries)


def load_histology(slide: Slide) -> Loaded:
    """The slide's aligned H&E picture. Raises :class:`~napari_s2sst.engine.errors.BundleError`."""
    histology = open_histology(find_histology(slide.path), slide)
    return Loaded((histology_layer(histology),), histology.note)


def points_layer(positions: Positions, gene: str) -> LayerData:
    """The transcripts of one gene, in the colour of its place among the genes."""
    colour = GENE_COLOURS[positions.genes.index(gene) % len(GENE_COLOURS)]
    meta = _in_um() | {
        "name": f"{gene} - transcripts",
        "face_color": colour,
        "border_color": colour,  # without a width it is still what a point of two pixels looks like
        "border_width": 0,
        "size": POINT_UM,
        "canvas_size_limits": POINT_LIMITS_PX,
        "ndim": 2,
        "opacity": 0.9,
    }
    return positions.of(gene), meta, "points"


def outline_layer(kind: BoundaryKind) -> LayerData:
    """Vectors, which can't be picked, moved or drawn on by mistake, and which napari draws a hundred thousand of."""
    meta = _in_um() | {
        "name": f"{kind} outlines",
        "edge_color": OUTLINE_COLOURS[kind],
        "vector_style": "line",
        "ndim": 2,
        "opacity": 0.9,
    }
    return no_vectors(), meta, "vectors"


def no_vectors() -> np.ndarray:
    """(0, 2, 2)."""
    return np.zeros((0, 2, 2), np.float32)


def outline_vectors(boundaries: Boundaries, which: np.ndarray) -> np.ndarray:
    """(edges, 2, 2): start and way to the end, (y, x) um, of some outlines' edges."""
    start, end = boundaries.edges_um(which)
    return np.stack([start, end - start], axis=1)


def histology_layer(histology: Histology) -> LayerData:
    """The picture with its affine, opaque: white is its background, and what is added to white is white."""
    levels = list(histology.levels)
    meta = _in_um() | {
        "affine": histology.affine,
        "name": "H&E",
        "rgb": True,
        "multiscale": len(levels) > 1,
        "blending": "translucent",
    }
    return levels if len(levels) > 1 else levels[0], meta, "image"


def genes_name(genes: Sequence[str]) -> str:
    """``LTF``, ``LTF + CD4``, ``12 genes``."""
    return " + ".join(genes) if len(genes) <= 2 else f"{len(genes)} genes"


def _in_um() -> dict[str, Any]:
    return {"units": ("um", "um"), "axis_labels": ("y", "x")}
