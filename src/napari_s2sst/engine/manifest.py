"""Turn a bundle's JSON files, experiment.xenium and gene_panel.json, into what they say; whatever they hold, one clear error."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .errors import BundleError

MANIFEST = "experiment.xenium"


def read_json(path: Path) -> dict[str, Any] | None:
    """The file's object; None without the file. Raises :class:`BundleError` when it is anything else."""
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} can't be read as JSON ({error}). Copy it from the instrument again.") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path} does not hold what a Xenium writes there. Copy it from the instrument again.")
    return content


def read_panel(path: Path) -> dict[str, bool]:
    """Name -> is it a gene, as far as gene_panel.json tells; 10x nests it as payload.targets[].type."""
    panel: dict[str, bool] = {}
    payload = (read_json(path) or {}).get("payload")
    targets = payload.get("targets") if isinstance(payload, dict) else None
    for target in targets if isinstance(targets, list) else ():
        kind = target.get("type") if isinstance(target, dict) else None
        data = kind.get("data") if isinstance(kind, dict) else None
        if isinstance(data, dict) and isinstance(data.get("name"), str):
            panel[data["name"]] = kind.get("descriptor") == "gene"
    return panel


def is_length(said: Any) -> bool:
    """Whether it is a number above 0, as every length is."""
    try:
        return isinstance(said, int | float) and said is not True and math.isfinite(said) and said > 0
    except OverflowError:  # an integer of 400 digits
        return False
