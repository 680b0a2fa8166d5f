"""Turn slides and gene maps into napari layer data, and layer data back into gene maps: nothing else knows both.

Every layer is in um with the slide's origin: napari drops all units as soon as one layer has none. napari's
``translate`` is the *centre* of the first pixel, so a map whose first bin has its corner at 0
is translated by half a bin.
Outside the tissue a map is NaN, which napari draws transparent, so the morphology shows through.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np
from napari.utils.colormaps import AVAILABLE_COLORMAPS, Colormap

from ...engine.config import RunConfig
from ...engine.maps import GeneMap, NormalisationKind, SparseMap
from ...engine.sampling.lattice import lattice

if TYPE_CHECKING:
    from ...engine.slides.slide import Slide

LayerData = tuple[Any, dict[str, Any], str]
"""(data, keyword arguments of the layer, kind), as napari takes it."""

SLIDE_KEY = "s2sst_bundle"
"""Metadata of every layer of a slide: its folder, by which the dock widget finds what was dropped on the window."""
MAP_KEY = "s2sst_map"
"""Metadata of a map layer: what is needed to make its GeneMap again."""
RUN_KEY, SUMMARY_KEY = "s2sst_run", "s2sst_summary"
"""Metadata of a map that was read from a file: the run that made it, as run.json has it, and the same in a few lines."""
RESULT_KEY = "s2sst_result"
"""Metadata of a map of a result: by it :func:`run_of` finds the result, as long as the window keeps it."""
_RESULTS: WeakValueDictionary[str, Any] = WeakValueDictionary()
KIND_KEY = "s2sst_kind"
"""Metadata of every map: which of the maps of a gene it is. By it the writer knows our layers."""

STAIN_COLOURS = {
    "dapi": "#4c78ff", "boundary": "#ffb000", "cadherin": "#ffb000", "18s": "#1fc28f", "rna": "#1fc28f",
    "sma": "#e0559a",
}  # fmt: skip
"""A word in a stain's name -> its colour. Nuclei blue as every pathologist expects, the others told apart."""
STAINS_SEEN = 2
"""So many are visible at first."""
MORE_COLOURS = ("#c0c0c0", "#00b4d8", "#f07040", "#a070f0")

VALUES_COLORMAP = "magma"


def _glowing() -> Colormap:
    """Magma that is transparent near 0, so that the tissue stays visible where a gene is not."""
    colours = np.array(AVAILABLE_COLORMAPS[VALUES_COLORMAP].map(np.linspace(0, 1, 64)))
    colours[:, 3] = np.clip(np.linspace(0, 6, 64), 0, 1)
    return Colormap(colours, name="clear magma")


TISSUE_COLORMAP = _glowing()
UNCERTAINTY_COLORMAP = "viridis"


def _blue_red() -> Colormap:
    """ColorBrewer's RdBu, reversed, half clear where the error is small: the tissue shows, the eye goes to what is wrong."""
    hues = Colormap(["#2166ac", "#4393c3", "#92c5de", "#d1e5f0", "#f7f7f7", "#fddbc7", "#f4a582", "#d6604d", "#b2182b"])
    colours = np.array(hues.map(np.linspace(0, 1, 65)))
    colours[:, 3] = np.clip(0.25 + 3 * np.abs(np.linspace(-1, 1, 65)), 0, 1)
    return Colormap(colours, name="blue-red")


ERROR_COLORMAP = _blue_red()
"""Blue = too low, red = too high; told apart with any colour vision."""
LATTICE_COLORMAP = Colormap([[0.55, 0.95, 1.0, 1.0], [0.55, 0.95, 1.0, 1.0]], name="lattice")


def slide_layers(slide: Slide) -> list[LayerData]:
    """One image layer a stain; the density of all transcripts without any image, or where nobody says how large its pixels are."""
    images = [image for image in slide.images if image.pixel_size_um is not None]
    if not images:
        return [density_layer(slide)]
    layers = []
    spare = iter(MORE_COLOURS)
    for number, image in enumerate(images):
        colour = _stain_colour(image.name) or ("#4878ff" if number == 0 else next(spare, "#ffffff"))
        levels = list(image.levels)
        meta = _placed(image.pixel_size_um, (0.0, 0.0)) | {
            "name": image.name,
            "multiscale": len(levels) > 1,
            "colormap": Colormap([[0, 0, 0, 1], colour], name=f"black to {colour}"),
            "blending": "additive",
            "contrast_limits": image.contrast_limits,
            "gamma": 0.75,
            "metadata": {SLIDE_KEY: str(slide.path)},
            "visible": number < STAINS_SEEN,
        }
        layers.append((levels if len(levels) > 1 else levels[0], meta, "image"))
    return layers


def density_layer(slide: Slide, bin_um: float = 20.0) -> LayerData:
    """All transcripts per bin, for a slide that has no image."""
    bin_um = slide.bin_um or bin_um  # a count cube knows one bin size only
    anyone = slide.gene_map(next(iter(slide.genes)), bin_um=bin_um)
    totals = anyone.values if anyone.totals is None else anyone.totals
    meta = _placed(anyone.bin_um, anyone.origin_um) | {
        "name": "all transcripts",
        "colormap": "gray",
        "blending": "additive",
        "contrast_limits": _limits(totals[anyone.tissue]),
        "metadata": {SLIDE_KEY: str(slide.path)},
    }
    return np.asarray(totals), meta, "image"


def counts_layer(gene_map: GeneMap) -> LayerData:
    """Layer of what was counted of one gene."""
    return _map_layer(gene_map, "counts", _limits(gene_map.values[gene_map.tissue]), TISSUE_COLORMAP)


def lattice_layer(gene_map: GeneMap, stride: int, phase: tuple[int, int] = (0, 0)) -> LayerData:
    """The bins that a cheaper experiment would measure, drawn over the tissue."""
    values = np.where(lattice(gene_map.shape, stride, phase) & gene_map.tissue, np.float32(1), np.float32(np.nan))
    meta = _placed(gene_map.bin_um, gene_map.origin_um) | {
        "name": "lattice (measured bins)",
        "colormap": LATTICE_COLORMAP,
        "contrast_limits": (0, 1),
        "opacity": 0.35,
        "blending": "translucent",
        "metadata": {KIND_KEY: "lattice"},
    }
    return values, meta, "image"


def sparse_layer_data(sparse: SparseMap, kind: str, limits: tuple[float, float]) -> LayerData:
    """The measured bins in the normalised space, transparent between them."""
    from ...engine.sampling.lattice import sparse_layer

    meta = _placed(sparse.bin_um, sparse.origin_um) | _look("sparse input", sparse.gene, VALUES_COLORMAP, limits)
    return sparse_layer(sparse, kind), meta, "image"


def imputed_layer(imputed: GeneMap, limits: tuple[float, float]) -> LayerData:
    """Values in the normalised space, on the same colours as the sparse input."""
    return _map_layer(imputed, "imputed", limits, TISSUE_COLORMAP)


def error_layer(imputed: GeneMap, error: np.ndarray) -> LayerData:
    """Imputed minus counted, (rows, columns) in the normalised space: blue too low, red too high."""
    inside = error[np.isfinite(error)]
    reach = float(np.percentile(np.abs(inside), 99)) if inside.size else 1.0
    meta = _placed(imputed.bin_um, imputed.origin_um)
    meta |= _look("error", imputed.gene, ERROR_COLORMAP, (-max(reach, 1e-3), max(reach, 1e-3)))
    return np.asarray(error, np.float32), meta, "image"


def uncertainty_layer(imputed: GeneMap) -> LayerData:
    """Half width of the 90 % interval."""
    values = np.where(imputed.tissue, imputed.uncertainty, np.float32(np.nan))
    meta = _placed(imputed.bin_um, imputed.origin_um)
    meta |= _look("uncertainty", imputed.gene, UNCERTAINTY_COLORMAP, _limits(imputed.uncertainty[imputed.tissue]))
    return values, meta, "image"


COUNTS, IMPUTED = "counts", "imputed"
KINDS = ("measured", "sparse input", "error", "uncertainty", IMPUTED)
"""A result's layers, from the lowest to the topmost."""


def entry_layers(result: Any, index: int = 0) -> dict[str, LayerData]:
    """Kind -> layer data of one gene of an engine Result, in the order of :data:`KINDS`; all but errors and uncertainty
    share their colours. Without a truth there are neither measured values nor errors."""
    sparse, imputed, truth = (part[index] for part in (result.job.sparse, result.imputed, result.job.truth))
    made = maps_layers(sparse, imputed, truth, kind=result.job.config.grid.normalisation)
    key = f"{result.finished_at} {id(result)}"
    _RESULTS[key] = result
    for _, meta, _ in made.values():
        meta["metadata"][RESULT_KEY] = key
    return made


def maps_layers(
    sparse: SparseMap,
    imputed: GeneMap,
    truth: GeneMap | None,
    *,
    kind: NormalisationKind,
    run: dict[str, Any] | None = None,
) -> dict[str, LayerData]:
    """Kind -> layer data of one gene's maps; ``kind`` turns the sparse map's values into the imputed map's space.

    All tell the ``run``.
    """
    limits = _limits(sparse.normalised(kind)[sparse.measured])
    made = {
        "sparse input": sparse_layer_data(sparse, kind, limits),
        "imputed": imputed_layer(imputed, limits),
    }
    if truth is not None:
        from ...engine.scores.metrics import error_map

        measured = truth.normalised(imputed.normalisation) if imputed.normalisation else truth
        made["measured"] = _map_layer(measured, "measured", limits, TISSUE_COLORMAP)
        made["error"] = error_layer(imputed, error_map(imputed, truth))
    if imputed.uncertainty is not None:
        made["uncertainty"] = uncertainty_layer(imputed)
    for _, meta, _ in made.values():
        meta["metadata"] |= run_metadata(run)
    return {kind: made[kind] for kind in KINDS if kind in made}


def run_of(metadata: dict[str, Any]) -> dict[str, Any] | None:
    """The run that made a layer: what its file said, or what is known of a result of this window. None of other layers.

    A result is described only when it is asked for: hashing the measured bins of a whole panel takes seconds.
    """
    from ...engine.runs.record import describe

    result = _RESULTS.get(metadata.get(RESULT_KEY, ""))
    return metadata.get(RUN_KEY) or (None if result is None else describe(result))


def run_metadata(run: dict[str, Any] | None) -> dict[str, Any]:
    """Metadata of a layer about the run that made it: all of it, and a few lines for people."""
    from ...engine.export.reading import run_summary

    return {RUN_KEY: run, SUMMARY_KEY: run_summary(run)} if run else {}


def layer_name(gene: str, kind: str, number: int) -> str:
    """``LTF - imputed``, ``LTF - imputed 2``, ... of runs; ``LTF - imputed (at once)`` of no run."""
    return f"{gene} - {kind} (at once)" if number == 0 else numbered(f"{gene} - {kind}", number)


def value_limits(sparse: SparseMap, config: RunConfig) -> tuple[float, float]:
    """One colour scale for a run's sparse input, preview and imputed map: from the measured bins alone."""
    return _limits(sparse.normalised(config.grid.normalisation)[sparse.measured])


def picture(gene_map: GeneMap) -> np.ndarray:
    """(rows, columns) values, NaN outside the tissue."""
    return np.where(gene_map.tissue, gene_map.values, np.float32(np.nan))


def numbered(name: str, number: int) -> str:
    """``LTF - imputed``, ``LTF - imputed 2``, ..."""
    return name if number == 1 else f"{name} {number}"


def _map_layer(gene_map: GeneMap, kind: str, limits: tuple[float, float], colormap: Any) -> LayerData:
    meta = _placed(gene_map.bin_um, gene_map.origin_um) | _look(kind, gene_map.gene, colormap, limits)
    normalisation = gene_map.normalisation
    meta["metadata"][MAP_KEY] = {
        "gene": gene_map.gene,
        "bin_um": gene_map.bin_um,
        "origin_um": list(gene_map.origin_um),
        "normalisation": normalisation and {"kind": normalisation.kind, "median_total": normalisation.median_total},
    }
    return picture(gene_map), meta, "image"


def _placed(pixel_um: float | None, origin_um: tuple[float, float]) -> dict[str, Any]:
    size = float(pixel_um or 1.0)
    return {
        "scale": (size, size),
        "translate": tuple(corner + size / 2 for corner in origin_um),
        "units": ("um", "um"),
        "axis_labels": ("y", "x"),
    }


def _look(kind: str, gene: str, colormap: Any, limits: tuple[float, float]) -> dict[str, Any]:
    return {
        "name": f"{gene} - {kind}",
        "colormap": colormap,
        "contrast_limits": limits,
        "blending": "translucent",
        "interpolation2d": "nearest",
        "metadata": {KIND_KEY: kind},
    }


def _limits(values: np.ndarray) -> tuple[float, float]:
    """Contrast limits from 0 to nearly the largest value: one hot bin must not darken all others."""
    top = float(np.percentile(values, 99.5)) if np.size(values) else 0.0
    return 0.0, top if top > 0 else max(float(np.max(values, initial=0.0)), 1.0)


def _stain_colour(name: str) -> str | None:
    return next((colour for word, colour in STAIN_COLOURS.items() if word in name.lower()), None)


def slide_of(layer: Any) -> Path | None:
    """The slide's folder when this is a layer of one."""
    path = getattr(layer, "metadata", {}).get(SLIDE_KEY)
    return None if path is None else Path(path)
