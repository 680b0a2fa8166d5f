"""A trained network <-> one safetensors file. Nothing in it is ever executed: weights are numbers, the rest is JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..config import RunConfig
from ..errors import CheckpointError, S2SSTError
from ..files import written_whole
from .cdcin import CDCIN

# ---- A safetensors file of ours -> what it says of itself, and its tensors. Nothing in it is ever executed.

TRIES = 50
"""Readings of a file that another process replaces meanwhile; one takes about a millisecond."""

Content = tuple[dict[str, str], dict[str, Tensor]]


def read_tensors(path: Path, wanted: str, *, kind: str, advice: str, with_tensors: bool = True) -> Content:
    """(the header's notes, name -> tensor), without tensors where only the notes are asked for.

    ``wanted``: the format that the notes must name. Raises :class:`CheckpointError`, which calls the file ``kind`` and
    ends with ``advice``.
    """
    try:
        notes, tensors = _all_of_one_file(path, wanted, with_tensors)
    except (SafetensorError, OSError, RuntimeError) as error:
        raise CheckpointError(f"{path} can't be read as {kind} ({error}). {advice}") from error
    if notes.get("format") != wanted:
        found = notes.get("format", "something of another program")
        raise CheckpointError(f"{path} holds {found}, and {wanted!r} is needed. {advice}")
    return notes, tensors


def _all_of_one_file(path: Path, wanted: str, with_tensors: bool) -> Content:
    """safetensors opens a path twice, for the header and for the data: of a file that was replaced in between it would
    take the one from the old and the other from the new, so such a reading is thrown away.
    """
    for _ in range(TRIES):
        before = _which(path)
        try:
            content = _read(path, wanted, with_tensors)
        except (SafetensorError, RuntimeError):
            if _which(path) == before:
                raise
            continue
        if _which(path) == before:
            return content
    raise OSError("another process replaces it all the time")


def _read(path: Path, wanted: str, with_tensors: bool) -> Content:
    with safe_open(path, framework="pt") as file:
        notes = file.metadata() or {}
        names = file.keys() if with_tensors and notes.get("format") == wanted else ()
        return notes, {name: file.get_tensor(name) for name in names}


def _which(path: Path) -> tuple[int, ...]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


# ---- What a training returns: weights, and all that is needed to use them and to say where they came from.


@dataclass(frozen=True)
class Calibration:
    """What held-out bins say about how to read the network's output."""

    interval_scale: float = 1.0
    """The predicted 90 % interval is stretched by this about the estimate, so that it covers 90 % of held-out bins."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network. ``impute(trained, sparse)`` makes maps of it."""

    weights: Mapping[str, Tensor]
    """On the CPU, float32."""
    config: RunConfig
    """As it was run: device, steps and stride are the ones used."""
    stride: int
    genes: tuple[str, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    device: str = ""
    held_out_mae: float | None = None
    """Of these weights, in the normalised space; None where no bins were held out."""
    classical: Mapping[str, float] = field(default_factory=dict)
    """Method -> mean absolute error on the same held-out bins."""
    calibration: Calibration = Calibration()
    losses: tuple[Mapping[str, Any], ...] = ()
    """A row for each reported moment: step, seconds, loss, its terms, held_out_mae."""

    def network(self, device: torch.device) -> CDCIN:
        """The network with these weights, ready to predict."""
        network = CDCIN(self.config.network, self.stride)
        network.load_state_dict(dict(self.weights))
        return network.to(device, memory_format=torch.channels_last).eval()


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
