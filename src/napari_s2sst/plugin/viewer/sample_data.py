"""Turn File > Open Sample into layers: the simulated slide, written once into the user's cache folder."""

from __future__ import annotations

from pathlib import Path

from .layers import LayerData
from .reader import read_slide


def sample_slide_folder() -> Path:
    """Folder of the sample slide for this version of the program; written when it is not there yet."""
    from platformdirs import user_cache_path

    from ... import __version__
    from ...engine.simulated.slide import write_sample_slide
    from ...engine.slides.xenium import is_xenium

    folder = user_cache_path("napari-s2sst") / __version__ / "Simulated breast tissue"
    if not is_xenium(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        write_sample_slide(folder)
    return folder


def sample_slide_layers() -> list[LayerData]:
    """napari's sample data: the layers of the simulated slide."""
    return read_slide(sample_slide_folder())
