"""A trained network <-> one safetensors file. Nothing in it is ever executed: weights are numbers, the rest is JSON."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save

from .config import RunConfig
from .errors import CheckpointError, S2SSTError
from .network import CDCIN
from .tensor_file import read_tensors
from .trained import Calibration, Trained
from .writing import written_whole

FORMAT = "napari-s2sst model 2"

WEIGHTS = Path(__file__).parent / "weights"


def save_model(path: str | Path, trained: Trained) -> Path:
    """Write weights, settings and losses; a file of that name is replaced only once the new one is whole.

    Raises :class:`ExportError` when the place can't be written.
    """
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
        "interval_scale": trained.calibration.interval_scale,
        "losses": [dict(row) for row in trained.losses],
    }
    with written_whole(path) as beside:
        beside.write_bytes(save(dict(trained.weights), {"format": FORMAT, "run": json.dumps(record)}))
    return path


def shipped_model(stride: int) -> Path:
    """The model file that comes with the program for a stride; see ``pretraining``."""
    path = WEIGHTS / f"stride{stride}.safetensors"
    if not path.is_file():
        raise CheckpointError(f"No weights come with the program for a stride of {stride}. Start from random ones.")
    return path


def load_model(path: str | Path) -> Trained:
    """Read what :func:`save_model` wrote. Raises :class:`CheckpointError` when it is something else."""
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no model file at {path}. Choose a .safetensors file that this program wrote.")
    advice = "Choose a whole file that this version wrote."
    about, weights = read_tensors(path, FORMAT, kind="a model file", advice=advice)
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
            calibration=Calibration(float(record["interval_scale"])),
            losses=tuple(record["losses"]),
        )
    except (KeyError, TypeError, ValueError, S2SSTError) as error:
        raise CheckpointError(f"{path} is a model file with a damaged record ({error}). Use another one.") from error
    if not _fits(trained):
        raise CheckpointError(f"{path} is a model file whose weights are not those of its settings. {advice}")
    return trained


def _fits(trained: Trained) -> bool:
    """Whether the settings' network has just these weights; found out without any memory for them."""
    try:
        with torch.device("meta"):
            wanted = CDCIN(trained.config.network, trained.stride).state_dict()
    except (RuntimeError, TypeError, ValueError, MemoryError):  # a network that no memory holds
        return False
    return {name: each.shape for name, each in wanted.items()} == {n: each.shape for n, each in trained.weights.items()}
