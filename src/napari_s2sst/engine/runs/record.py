"""A finished run -> what run.json and every exported map say of it: everything needed to repeat it.

Hashes are SHA-256, of values and not of files, so that two files with the same weights or bins have the same one.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from shapely.geometry import mapping

from ..errors import CheckpointError
from ..provenance import OURS, sparse_hash, versions
from .script import planned_steps

if TYPE_CHECKING:
    from torch import Tensor

    from ..network.model import Trained


def describe(result: Any, command: str = "", slide_path: str | Path | None = None) -> dict[str, Any]:
    """The record of a run's :class:`~.run.Result`, as plain values for JSON.

    ``maps`` says what was measured and imputed; ``config`` how the model was trained, which may be on another slide when
    ``trained_here`` is false. ``slide_path`` is told where somebody knows it.
    """
    job, trained = result.job, result.trained
    first, config = job.sparse[0], trained.config
    return {
        "program": "napari-s2sst",
        "versions": versions(),
        "platform": {"system": platform.system(), "machine": platform.machine()},
        "command": command,
        "finished_at": result.finished_at,
        "input": {
            "name": job.input_name,
            "path": None if slide_path is None else str(Path(slide_path).expanduser().resolve()),
            "sparse_sha256": sparse_hash(job.sparse),
        },
        "genes": [sparse.gene for sparse in job.sparse],
        "regions": [{"name": region.name, "polygon_um": mapping(region.polygon)} for region in job.regions],
        "tissue": {"edited": job.edited_tissue, "sha256": array_hash(first.tissue)},
        "mode": "fill in" if job.truth[0] is None else "check",
        "maps": {
            "rows": first.shape[0],
            "columns": first.shape[1],
            "bin_um": float(first.bin_um),
            "origin_um": [float(corner) for corner in first.origin_um],
            "stride": int(first.stride),
            "phase": [int(offset) for offset in first.phase],
            "min_qv": job.config.grid.min_qv,
            "normalisation": result.imputed[0].normalisation.kind,
        },
        "trained_here": job.start is not trained,
        "trained_on": list(trained.genes),
        "start": _start(trained, job.start),
        "model_sha256": weights_hash(trained.weights),
        "seed": config.seed,
        "steps": trained.steps,
        "planned_steps": planned_steps(trained),
        "device": trained.device,
        "held_out_mae": {OURS: trained.held_out_mae, **trained.classical},
        "seconds": {
            "reading": round(job.read_s, 3),
            "training": round(trained.seconds, 3),
            "imputing": round(result.impute_s, 3),
            "scoring": round(result.score_s, 3),
        },
        "config": config.model_dump(mode="json"),
    }


def weights_hash(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of a network's weights by their names, whatever file they are in."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous().numpy()
        digest.update(repr((name, values.shape, str(values.dtype))).encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def array_hash(array: np.ndarray) -> str:
    """SHA-256 of an array's shape, type and values, such as a tissue mask's."""
    digest = hashlib.sha256(repr((array.shape, str(array.dtype))).encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _start(trained: Trained, in_memory: Trained | None) -> dict[str, Any]:
    """Record of the first weights. The hash is None for random ones, which the seed decides, and for a file that is gone."""
    source = trained.config.training.start_from
    if in_memory is not None:
        return {"from": "a model in memory", "sha256": weights_hash(in_memory.weights)}
    if source == "random":
        return {"from": "random", "sha256": None}
    from ..network.model import shipped_model

    try:
        path = shipped_model(trained.stride) if source == "shipped" else Path(source).expanduser().resolve()
        return {"from": str(source), "sha256": _hash_of_file(path, path.stat().st_mtime_ns)}
    except (CheckpointError, OSError):
        return {"from": str(source), "sha256": None}


@lru_cache(maxsize=8)
def _hash_of_file(path: Path, changed_ns: int) -> str:
    """``changed_ns``: a file that was written anew is hashed anew."""
    from ..network.model import load_model

    return weights_hash(load_model(path).weights)
