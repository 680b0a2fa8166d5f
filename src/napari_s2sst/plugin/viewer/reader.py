"""Turn a Xenium folder or SpatialData store, or what this program exported or saved, into napari layers in um.

A folder gives one lazily read, multiscale image per stain. An `imputed.h5ad` or `<gene>.ome.tif` gives the maps of its
genes, as they were in the window, and an .ome.tif of saved layers these layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .layers import LayerData, maps_layers, slide_layers

MOST_GENES = 6
"""Genes shown of a table of a whole panel: five layers a gene, and napari takes a tenth of a second for each."""


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """napari's question whether we read this path: a Xenium folder, its experiment.xenium, or a file of this program.

    npe2 asks for every folder, .h5ad and .ome.tif that is dropped on the window, so anything else must be answered with
    None, fast: only a table's keys and a picture's header are looked at.
    """
    from ...engine.export.reading import is_result
    from ...engine.slides.opening import is_slide_folder

    if isinstance(path, list):
        return None if len(path) != 1 else get_reader(path[0])
    if is_result(path):
        return read_results
    return read_slide if is_slide_folder(path) else None


def read_slide(path: str | Path | list[str]) -> list[LayerData]:
    """The slide's layers. Raises BundleError when the folder can't be read."""
    from ...engine.slides.opening import open_slide
    from ...engine.slides.questions import question_of

    slide = open_slide(_single(path), kind="folder")
    layers = slide_layers(slide)
    if question_of(slide) is not None:
        _tell(
            f"{slide.path.name} has a picture, and nothing says how large its pixels are, so it is not shown. "
            "The dock S2S-ST imputation asks for it."
        )
    _ask_for_a_scale_bar()
    return layers


def read_results(path: str | Path | list[str], genes: Sequence[str] | None = None) -> list[LayerData]:
    """The maps of an export, or layers that were saved. Raises BundleError when the file can't be read or lacks a gene.

    Of an export only the first gene's imputed map is seen at first. Without ``genes``, only the first few of a whole panel
    are read.
    """
    from ...engine.export.ome_tiff import SUFFIXES, read_channels
    from ...engine.export.reading import genes_of, read_result
    from .writer import NOTE, layers_of

    path = Path(_single(path))
    if path.name.lower().endswith(SUFFIXES) and NOTE in (channels := read_channels(path)).notes:
        layers = layers_of(channels, path)
        _ask_for_a_scale_bar()
        return layers
    if genes is None:
        every = genes_of(path)
        genes = every[:MOST_GENES]
        if len(every) > len(genes):
            _tell(
                f"{path.name} holds {len(every)} genes; shown are the first {len(genes)}. Others: "
                f"s2sst view {path.name} --gene NAME."
            )
    result = read_result(path, genes)
    layers = []
    for number, maps in enumerate(result.maps):
        made = maps_layers(maps.sparse, maps.imputed, maps.truth, kind=maps.sparse_kind, run=result.run)
        for kind, (data, meta, what) in made.items():
            layers.append((data, meta | {"visible": number == 0 and kind == "imputed"}, what))
    _ask_for_a_scale_bar()
    return layers


def _single(path: str | Path | list[str]) -> str | Path:
    return path[0] if isinstance(path, list) else path


def _tell(text: str) -> None:
    from napari.utils.notifications import show_info

    show_info(text)


def _ask_for_a_scale_bar() -> None:
    """Layer data can't carry one, and a slide without its scale is not readable to a pathologist."""
    import napari

    viewer = napari.current_viewer()
    if viewer is not None:
        from .canvas import scale_bar_of

        scale_bar_of(viewer).visible = True
