"""Fill in spatial transcriptomics measured at every S-th bin: one engine for napari, the command line and Python.

In pipeline order; each name is imported when first used, so that importing the package costs nothing.
"""

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

try:
    __version__ = version("napari-s2sst")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"

_HOME = {
    "RunConfig": "config",
    "open_xenium": "slides.xenium",
    "open_count_cube": "slides.count_cube",
    "GeneMap": "maps",
    "SparseMap": "maps",
    "sample": "sampling.lattice",
    "with_image": "sampling.image",
    "with_panel": "sampling.panel",
    "train": "training.train",
    "fit": "training.train",
    "Command": "events",
    "Trained": "network.model",
    "load_model": "network.model",
    "save_model": "network.model",
    "impute": "imputing.impute",
    "SlideJob": "cluster.jobs",
    "read_jobs": "cluster.jobs",
    "run_jobs": "cluster.batch",
    "train_on_cluster": "cluster.remote",
    "interpolate": "classical.methods",
    "score": "scores.metrics",
    "error_map": "scores.metrics",
    "S2SSTError": "errors",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from .engine.classical.methods import interpolate
    from .engine.cluster.batch import run_jobs
    from .engine.cluster.jobs import SlideJob, read_jobs
    from .engine.cluster.remote import train_on_cluster
    from .engine.config import RunConfig
    from .engine.errors import S2SSTError
    from .engine.events import Command
    from .engine.imputing.impute import impute
    from .engine.maps import GeneMap, SparseMap
    from .engine.network.model import Trained, load_model, save_model
    from .engine.sampling.image import with_image
    from .engine.sampling.lattice import sample
    from .engine.sampling.panel import with_panel
    from .engine.scores.metrics import error_map, score
    from .engine.slides.count_cube import open_count_cube
    from .engine.slides.xenium import open_xenium
    from .engine.training.train import fit, train


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".engine.{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
