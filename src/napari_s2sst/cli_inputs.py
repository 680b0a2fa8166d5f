"""Files that `s2sst impute` takes beside the slide: a tissue, a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from .engine.config import RunConfig
    from .engine.trained import Trained


def read_tissue(path: Path | None) -> np.ndarray | None:
    """(rows, columns) booleans of an .npy file. Raises RegionError."""
    import numpy as np

    from .engine.errors import RegionError

    if path is None:
        return None
    try:
        tissue = np.load(path, mmap_mode="r", allow_pickle=False)  # so that no more is believed in than the file has
    except (OSError, ValueError, EOFError, OverflowError) as error:
        raise RegionError(f"The tissue {path} can't be read: {error}. Give a file that numpy.save wrote.") from None
    if not isinstance(tissue, np.ndarray) or tissue.ndim != 2 or tissue.dtype != bool:
        raise RegionError(f"The tissue {path} is not one (rows, columns) array of booleans. Save it with numpy.save.")
    return np.array(tissue)


def read_model(path: Path, config: RunConfig, genes: Sequence[str]) -> Trained:
    """The model, if it fits the maps. Raises CheckpointError."""
    from .engine.checkpoint import load_model
    from .engine.errors import CheckpointError

    trained = load_model(path)
    theirs = (trained.stride, trained.config.grid.normalisation)
    ours = (config.sampling.stride, config.grid.normalisation)
    if theirs != ours:
        raise CheckpointError(
            f"{path} is for a stride of {theirs[0]} and {theirs[1]} values, and these maps of {genes[0]} have a stride of "
            f"{ours[0]} and {ours[1]} values. Give --stride {theirs[0]} --normalisation {theirs[1]}."
        )
    return trained
