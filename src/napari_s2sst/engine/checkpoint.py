"""A trained network <-> one safetensors file. Nothing in it is ever executed: weights are numbers, the rest is JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .config import RunConfig
from .errors import CheckpointError, S2SSTError
from .trained import Calibration, Trained

FORMAT = "napari-s2sst model 1"


def save_model(path: str | Path, trained: Trained) -> Path:
    """Write weights, settings and losses; a file of that name is replaced only once the new one is whole."""
    path = Path(path)
    record = {
        "config": trained.config.model_dump(mode="json"),
        "stride": trained.stride,
        "genes": list(trained.genes),
        "steps": trained.steps,
        "seconds": trained.seconds,
        "device": trained.device,
        "held_out_mae": trained.held_out_mae,
        "classical": dict(trained.classical),
        "mean_share": trained.calibration.mean_share,
        "interval_scale": trained.calibration.interval_scale,
        "losses": [dict(row) for row in trained.losses],
    }
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(save(dict(trained.weights), {"format": FORMAT, "run": json.dumps(record)}))
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise CheckpointError(f"The model can't be written to {path}: {error.strerror}. Choose another place.") from error
    return path


def load_model(path: str | Path) -> Trained:
    """Read what :func:`save_model` wrote. Raises :class:`CheckpointError` when it is something else."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no model file at {path}. Choose a .safetensors file that this program wrote.")
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} can't be read as a model file ({error}). It may be cut short; use another one.") from error
    if about.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} holds {about.get('format', 'weights of another program')}, and {FORMAT!r} is needed. "
            "Choose a file that this version wrote."
        )
    try:
        record = json.loads(about["run"])
        trained = Trained(
            weights=weights,
            config=RunConfig.parsed(record["config"]),
            stride=int(record["stride"]),
            genes=tuple(record["genes"]),
            steps=int(record["steps"]),
            seconds=float(record["seconds"]),
            device=str(record["device"]),
            held_out_mae=record["held_out_mae"],
            classical=record["classical"],
            calibration=Calibration(float(record["mean_share"]), float(record["interval_scale"])),
            losses=tuple(record["losses"]),
        )
    except (KeyError, TypeError, ValueError, S2SSTError) as error:
        raise CheckpointError(f"{path} is a model file with a damaged record ({error}). Use another one.") from error
    return trained
