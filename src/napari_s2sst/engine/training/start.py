"""Sparse maps and settings -> what a training begins with: the stride of its network, and the model whose weights come first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import IN_MEMORY, NetworkConfig, RunConfig, setting_differences
from ..errors import TrainingError
from ..maps import SparseMap

if TYPE_CHECKING:
    from ..network.model import Trained


def common_stride(maps: Sequence[SparseMap]) -> int:
    """The stride of all maps. Raises :class:`TrainingError` when they can't train one network or hold nothing to learn."""
    if not maps:
        raise TrainingError("There is no map to train on; choose at least one gene.")
    strides = sorted({sparse.stride for sparse in maps})
    if len(strides) > 1:
        raise TrainingError(f"Maps of the strides {strides} can't train one network; sample all with the same stride.")
    if not any(np.any(sparse.values[sparse.measured]) for sparse in maps):
        raise TrainingError(
            f"No measured bin holds a transcript of {', '.join(sparse.gene or 'the gene' for sparse in maps[:5])}, so there is "
            "nothing to learn. Choose another gene, larger bins or a larger region."
        )
    return strides[0]


def first_weights(config: RunConfig, stride: int, start: Trained | None = None) -> Trained | None:
    """The model whose weights come first; None where they are random. ``start`` wins over what the settings name.

    Raises :class:`TrainingError` when that model is for another stride or network, :class:`CheckpointError` when its file
    can't be read.
    """
    from ..network.model import load_model, shipped_model

    source, name = config.training.start_from, "the model to start from"
    if start is None:
        if source == "random":
            return None
        if source == IN_MEMORY:
            raise TrainingError(
                "This run went on from a model that was in memory, not in a file. Save that model and start from its file, "
                "or choose other first weights."
            )
        path = shipped_model(stride) if source == "shipped" else Path(source)
        start, name = load_model(path), path.name
    if start.stride != stride:
        raise TrainingError(
            f"The weights in {name} are for a stride of {start.stride}, and these maps have a stride of {stride}. "
            f"Choose a stride of {start.stride}, weights for a stride of {stride}, or start_from='random'."
        )
    if start.config.network != config.network:
        raise TrainingError(
            f"The weights in {name} are of another network than these settings ask for "
            f"({network_difference(start.config.network, config.network)}). Choose the settings they were made with, "
            "or start_from='random'."
        )
    return start


def network_difference(theirs: NetworkConfig, ours: NetworkConfig) -> str:
    """``channels 64 instead of 32, attention False instead of True``: what another network has, and this one."""
    different = setting_differences(ours.model_dump(), theirs.model_dump())
    return ", ".join(
        f"{name} {their_value} instead of {our_value}" for name, (our_value, their_value) in different.items()
    )
