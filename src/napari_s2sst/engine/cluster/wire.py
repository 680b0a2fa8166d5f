"""Values <-> bytes that travel between processes: JSON and the arrays that it names, in one .npz. Nothing in it is executed.

Arrays of numbers only are read back (``allow_pickle=False``), and of classes only those of a closed list, by their fields.
Maps of one slide share their tissue and totals; those travel once.
"""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import events
from ..config import RunConfig
from ..errors import S2SSTError
from ..maps import GeneMap, Normalisation, SparseMap
from ..runs.events import Imputing, LiveScores
from ..sampling.regions import Region
from ..scores.metrics import Scores

if TYPE_CHECKING:
    from ..network.model import Trained

FORMAT = "napari-s2sst parcel 1"

EVENTS = (
    events.Started, events.Stepped, events.Validated, events.Previewed, events.Finished, events.Recovered, events.Unsaved,
    Imputing, LiveScores,
)  # fmt: skip
KINDS = {kind.__name__: kind for kind in (GeneMap, SparseMap, Normalisation, Scores, *EVENTS)}
"""Frozen dataclasses that travel as their fields."""

_JSON = "told"
"""Name of the JSON among the arrays."""


class WireError(S2SSTError):
    """Something arrived that was not packed by this version of the program."""


def pack(value: Any) -> bytes:
    """Turn dicts with text keys, lists, tuples, text, bytes, numbers, arrays, regions, configs and :data:`KINDS` into bytes."""
    arrays: dict[str, np.ndarray] = {}
    content = {"format": FORMAT, "value": _plain(value, arrays, {})}
    text = np.frombuffer(json.dumps(content).encode(), dtype=np.uint8)
    file = io.BytesIO()
    np.savez_compressed(file, **{_JSON: text}, **arrays)
    return file.getvalue()


def unpack(content: bytes) -> Any:
    """Turn what :func:`pack` made back into values; lists come back as tuples. Raises :class:`WireError`."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        plain = json.loads(arrays.pop(_JSON).tobytes())
        if plain["format"] != FORMAT:
            raise ValueError(f"{plain['format']} instead of {FORMAT}")
        return _value(plain["value"], arrays)
    except S2SSTError:
        raise
    except Exception as error:  # zipfile and numpy raise nearly every kind
        raise WireError(
            f"What another process sent can't be read ({type(error).__name__}: {error}). Install the same version of napari-s2sst "
            "on all computers."
        ) from error


def trained_bytes(trained: Trained) -> bytes:
    """Turn a model into the bytes of its file."""
    from ..network.model import save_model

    with tempfile.TemporaryDirectory(prefix="s2sst-") as folder:
        return save_model(Path(folder) / "model.safetensors", trained).read_bytes()


def trained_from(content: bytes) -> Trained:
    """Read the model that :func:`trained_bytes` was given. Raises :class:`CheckpointError`."""
    from ..network.model import load_model

    with tempfile.TemporaryDirectory(prefix="s2sst-") as folder:
        path = Path(folder) / "model.safetensors"
        path.write_bytes(content)
        return load_model(path)


def _plain(value: Any, arrays: dict[str, np.ndarray], names: dict[Any, str]) -> Any:
    """``value`` as JSON knows it; arrays go to ``arrays``, each memory once."""
    match value:
        case None | bool() | str() | int() | float():
            return value
        case np.generic():
            return value.item()
        case bytes():
            return {"$bytes": _put(np.frombuffer(value, dtype=np.uint8), arrays, names)}
        case np.ndarray():
            return {"$array": _put(value, arrays, names)}
        case Path():
            return str(value)
        case RunConfig():
            return {"$config": value.model_dump(mode="json")}
        case Region():
            from shapely.geometry import mapping

            return {"$region": value.name, "polygon": mapping(value.polygon)}
        case dict():
            return {str(key): _plain(entry, arrays, names) for key, entry in value.items()}
        case Sequence():
            return [_plain(entry, arrays, names) for entry in value]
    if type(value).__name__ not in KINDS:
        raise TypeError(f"{type(value).__name__} does not travel")
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {"$kind": type(value).__name__, "fields": _plain(fields, arrays, names)}


def _put(array: np.ndarray, arrays: dict[str, np.ndarray], names: dict[Any, str]) -> str:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"an array of {array.dtype} does not travel")
    memory = (array.__array_interface__["data"][0], array.shape, array.strides, array.dtype.str)
    if memory not in names:
        names[memory] = f"array{len(names)}"
        arrays[names[memory]] = array
    return names[memory]


def _value(plain: Any, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(plain, list):
        return tuple(_value(entry, arrays) for entry in plain)
    if not isinstance(plain, dict):
        return plain
    if "$array" in plain:
        return arrays[plain["$array"]]
    if "$bytes" in plain:
        return arrays[plain["$bytes"]].tobytes()
    if "$config" in plain:
        return RunConfig.parsed(plain["$config"])
    if "$region" in plain:
        from shapely.geometry import shape

        return Region(plain["$region"], shape(plain["polygon"]))
    if "$kind" in plain:
        return KINDS[plain["$kind"]](**_value(plain["fields"], arrays))
    return {key: _value(entry, arrays) for key, entry in plain.items()}
