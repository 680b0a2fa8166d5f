"""Sparse maps -> training patches: random crops of measured bins, turned and flipped (Fang et al. 2025, section 2.4); and which
bins are held out of them.

A patch is cut from the sparse map, which holds measured bins alone; so whatever is done to it afterwards, training
sees nothing that was not measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import TrainingError
from ..maps import NormalisationKind, SparseMap
from ..network.inputs import VALUE_SCALE

MIN_TISSUE = 0.5
"""Least share of tissue in a patch (the authors' code)."""


@dataclass(frozen=True)
class Patches:
    """A batch, each (batch, 1, side, side): scaled values, where measured, and where a target may be taken."""

    values: Tensor
    measured: Tensor
    target: Tensor
    of_map: Tensor
    """(batch,) index of the map that each patch is cut from."""

    def __getitem__(self, part: slice) -> Patches:
        return Patches(self.values[part], self.measured[part], self.target[part], self.of_map[part])


class SlidePatches:
    """Draws batches of patches from one or more sparse maps of the same stride, every position once per epoch."""

    def __init__(
        self,
        maps: Sequence[SparseMap],
        side: int,
        *,
        normalisation: NormalisationKind,
        held_out: Sequence[np.ndarray],
        hiding: str = "lattice",
        rng: np.random.Generator,
        device: torch.device,
    ) -> None:
        """``side`` in lattice bins; ``held_out`` one mask (lattice rows, lattice columns) per map."""
        self.side, self._rng, self._device = side, rng, device
        values, measured, target, starts, widths = [], [], [], [], []
        end = 0
        for sparse, hidden in zip(maps, held_out, strict=True):
            shown = sparse.seen if hiding == "lattice" else sparse.seen & ~hidden
            parts = [sparse.normalised(normalisation) / VALUE_SCALE, shown, sparse.measured & ~hidden]
            parts = [_at_least(part, side) for part in parts]
            own = parts[1] if sparse.context is None else _at_least(sparse.measured, side)
            corners = _corners(own, side, has_context=sparse.context is not None)
            if not len(corners):
                raise TrainingError(
                    f"The tissue of gene {sparse.gene!r} is too small or too scattered to train on: {int(sparse.measured.sum())} "
                    f"measured bins, and none of the {side} x {side} patches is half full. Choose a larger region or smaller bins."
                )
            width = parts[0].shape[1]
            starts.append(end + corners[:, 0] * width + corners[:, 1])
            widths.append(np.full(len(corners), width))
            for whole, part, kind in zip((values, measured, target), parts, (np.float32, bool, bool), strict=True):
                whole.append(np.asarray(part, kind).ravel())
            end += parts[0].size
        self._buffers = [torch.from_numpy(np.concatenate(whole)).to(device) for whole in (values, measured, target)]
        self._starts, self._widths = np.concatenate(starts), np.concatenate(widths)
        self._maps = np.repeat(np.arange(len(starts)), [len(part) for part in starts])
        self._rows, self._columns = (torch.from_numpy(part).to(device) for part in _symmetries(side))
        self.queue = np.empty(0, np.int64)
        """Shuffled positions that are still to come; with the random generator's state, all that a draw depends on."""

    def steps_per_epoch(self, batch: int) -> int:
        """Steps that see every patch position once."""
        return max(1, len(self._starts) // batch)

    def draw(self, batch: int) -> Patches:
        """The next patches of the shuffled positions, each in one of the square's eight symmetries."""
        while len(self.queue) < batch:
            self.queue = np.concatenate([self.queue, self._rng.permutation(len(self._starts))])
        chosen, self.queue = self.queue[:batch], self.queue[batch:]
        symmetry = torch.from_numpy(self._rng.integers(8, size=batch)).to(self._device)
        start, width = (
            torch.from_numpy(part[chosen]).to(self._device)[:, None, None] for part in (self._starts, self._widths)
        )
        at = start + self._rows[symmetry] * width + self._columns[symmetry]  # (batch, side, side)
        of_map = torch.from_numpy(self._maps[chosen]).to(self._device)
        return Patches(*(buffer[at][:, None].float() for buffer in self._buffers), of_map)


def _at_least(part: np.ndarray, side: int) -> np.ndarray:
    """A map smaller than a patch is continued by its mirror image."""
    short = [(0, max(0, side - length)) for length in part.shape]
    return np.pad(part, short, mode="symmetric") if any(more for _, more in short) else part


def _corners(measured: np.ndarray, side: int, *, has_context: bool = False) -> np.ndarray:
    """(patches, 2) first row and column of every patch with enough tissue; the fullest one if none has.

    Where a small region has a context, shifted patches differ by what is around it: then all that hold half of the most.
    """
    total = np.pad(np.cumsum(np.cumsum(measured, 0, dtype=np.int64), 1), ((1, 0), (1, 0)))
    inside = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
    enough = np.argwhere(inside >= MIN_TISSUE * side * side)
    if len(enough) or not inside.any():
        return enough
    if has_context:
        return np.argwhere(inside >= MIN_TISSUE * inside.max())
    return np.argwhere(inside == inside.max())[:1]


def _symmetries(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column indices (8, side, side) of a square's turns and flips."""
    at = np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"))
    turned = [np.rot90(at, turns, axes=(1, 2)) for turns in range(4)]
    every = np.stack(turned + [square[:, :, ::-1] for square in turned])  # (8, 2, side, side)
    return np.ascontiguousarray(every[:, 0]), np.ascontiguousarray(every[:, 1])


def patch_side(patch_bins: int, stride: int) -> int:
    """Measured bins along a patch of the sparse map: P / S, rounded down so that it can be thinned once more."""
    return max(stride * 2, patch_bins // stride // stride * stride)


def hold_out(sparse: SparseMap, share: float, rng: np.random.Generator, hiding: str = "lattice") -> np.ndarray:
    """(lattice rows, lattice columns) mask of measured bins to keep away from training.

    Where training hides all but a sparser lattice, only bins off it are drawn: those are what the network predicts when it is
    tried on the sparser map. Where it hides scattered bins, any may be.
    """
    able = sparse.measured.copy()
    if hiding == "lattice":
        able[:: sparse.stride, :: sparse.stride] = False
    where = np.flatnonzero(able)
    hidden = np.zeros(able.shape, bool)
    count = min(round(share * int(sparse.measured.sum())), len(where) // 2)
    hidden.flat[rng.choice(where, count, replace=False)] = True
    return hidden
