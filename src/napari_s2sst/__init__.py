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
    "open_xenium": "xenium",
    "open_count_cube": "count_cube",
    "GeneMap": "maps",
    "SparseMap": "maps",
    "sample": "sampling",
    "with_image": "image_features",
    "with_panel": "coexpression",
    "train": "training",
    "fit": "training",
    "Command": "events",
    "Trained": "trained",
    "load_model": "checkpoint",
    "save_model": "checkpoint",
    "impute": "imputation",
    "SlideJob": "jobs",
    "read_jobs": "jobs",
    "run_jobs": "batch",
    "train_on_cluster": "remote_training",
    "interpolate": "baselines",
    "score": "metrics",
    "error_map": "metrics",
    "S2SSTError": "errors",
}

__all__ = ["__version__", *_HOME]

if TYPE_CHECKING:
    from .engine.baselines import interpolate
    from .engine.batch import run_jobs
    from .engine.checkpoint import load_model, save_model
    from .engine.coexpression import with_panel
    from .engine.config import RunConfig
    from .engine.count_cube import open_count_cube
    from .engine.errors import S2SSTError
    from .engine.events import Command
    from .engine.image_features import with_image
    from .engine.imputation import impute
    from .engine.jobs import SlideJob, read_jobs
    from .engine.maps import GeneMap, SparseMap
    from .engine.metrics import error_map, score
    from .engine.remote_training import train_on_cluster
    from .engine.sampling import sample
    from .engine.trained import Trained
    from .engine.training import fit, train
    from .engine.xenium import open_xenium


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".engine.{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
