"""A trained network <-> one safetensors file: its weights, and what is needed to use them and to say where they came from.

Nothing in it is ever executed: weights are numbers, the rest is JSON in the header's notes (``format``, ``run``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from ..config import RunConfig
from ..errors import CheckpointError, S2SSTError
from ..files import written_whole
from .cdcin import CDCIN

FORMAT = "napari-s2sst model 2"

WEIGHTS = Path(__file__).parent / "weights"

Content = tuple[dict[str, str], dict[str, Tensor]]
"""The header's notes, and name -> tensor."""


@dataclass(frozen=True)
class Calibration:
    """Correction of the network's output, learnt from held-out bins."""

    interval_scale: float = 1.0
    """The predicted 90 % interval is stretched by this about the estimate, so that it covers 90 % of held-out bins."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network, CDCIN of Fang et al. 2025 (eqs 11-16). ``impute(trained, sparse)`` makes maps with it.

    Times are seconds, errors in the normalised space, ``stride`` bins.
    """

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


def save_model(path: str | Path, trained: Trained) -> Path:
    """Write weights (float32), settings and losses as .safetensors; returns the path.

    A file of that name is replaced only once the new one is whole. Raises :class:`ExportError` when the place can't be written.
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
    """The model file that comes with the program for a stride; see docs/weights.md. Raises :class:`CheckpointError`."""
    path = WEIGHTS / f"stride{stride}.safetensors"
    if not path.is_file():
        raise CheckpointError(f"No weights come with the program for a stride of {stride}. Start from random ones.")
    return path


def load_model(path: str | Path) -> Trained:
    """Read a model that :func:`save_model` wrote. Raises :class:`CheckpointError` when it is something else or not there."""
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
    return _shapes(wanted) == _shapes(trained.weights)


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


def read_tensors(path: Path, wanted: str, *, kind: str, advice: str, with_tensors: bool = True) -> Content:
    """The header's notes and the tensors of a safetensors file; no tensors where only the notes are asked for.

    ``wanted``: the format that the notes must name. Raises :class:`CheckpointError`, which calls the file ``kind`` and
    ends with ``advice``.
    """
    try:
        notes, tensors = _read(path, wanted, with_tensors)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path} can't be read as {kind} ({error}). {advice}") from error
    if notes.get("format") != wanted:
        there = notes.get("format", "something of another program")
        raise CheckpointError(f"{path} holds {there}, and {wanted!r} is needed. {advice}")
    return notes, tensors


def _read(path: Path, wanted: str, with_tensors: bool) -> Content:
    """Read a file at one opening of its path: another process may replace the file at any time."""
    with path.open("rb") as file:
        notes = _notes(file)
        if not with_tensors or notes.get("format") != wanted:
            return notes, {}
        file.seek(0)
        return notes, load(file.read())


def _notes(file: BinaryIO) -> dict[str, str]:
    """The notes in the header of a safetensors file (8 bytes of length, JSON, tensors).

    Raises safetensors' SafetensorError or ValueError where it is none, or not whole.
    """
    size = os.fstat(file.fileno()).st_size
    length = int.from_bytes(file.read(8), "little")
    if not 2 <= length <= size - 8:
        raise SafetensorError("it has no header of its own length")
    header = json.loads(file.read(length))
    if not isinstance(header, dict):
        raise SafetensorError("its header is no list of names")
    notes = header.pop("__metadata__", None) or {}
    if not (isinstance(notes, dict) and all(isinstance(note, str) for note in notes.values())):
        raise SafetensorError("its notes are no texts by their names")
    try:
        end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
    except (KeyError, TypeError, IndexError, ValueError, OverflowError):
        raise SafetensorError("its header does not say where its tensors lie") from None
    if 8 + length + end != size:
        raise SafetensorError(f"it has {size:,} bytes, and its header speaks of {8 + length + end:,}")
    return notes
