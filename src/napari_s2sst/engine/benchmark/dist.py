"""DIST, the comparator that learns on all genes of a slide at once and on nothing else: sparse maps -> maps of the full grid.

Zhao, Wang & Hu 2023, "DIST: spatial transcriptomics enhancement using deep learning", Briefings in Bioinformatics 24,
bbad013. A small residual network, with a phase for each bin of the denser grid and a replicated skip, learns to go from the
measured bins thinned once more back to the measured bins, from all genes seen often enough; then it goes from the measured
bins to the full grid. No pictures, no other slide, one network for all genes.

Facts marked (code) are not in the paper's abstract and were read in the authors' released package (zhaoyp1997/DIST, Apache
2.0): its facts are used here, its text is not. Where this differs from it:

- any stride, where theirs is 2; values in the normalised space, where theirs are as given;
- lattice bins outside the tissue hold their nearest measured bin's value, where theirs hold 0: the skip would carry the 0
  into tissue bins at the border;
- measured bins are put back exactly, as for every method here, where theirs are replaced;
- the last batch of an epoch is what is left, where theirs is filled up with genes that had their turn.

A panel has tens of genes where their slides have thousands; then 200 epochs are 200 steps, and more only learn its noise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..classical.neighbourhoods import problem_of
from ..device import arithmetic, choose_device
from ..errors import TrainingError
from ..maps import GeneMap, NormalisationKind, SparseMap

WIDTH = 64
"""Channels of every layer but the last (code)."""

STAGES = 2
"""Residual stages of three 3x3 convolutions each, before the one that reconstructs (code)."""

INIT_VARIANCE = 0.1
"""Of a layer's sum when training starts, were its inputs of variance 1; small, as the skip already is an answer (code)."""


EPOCHS = 200
"""Passes over all training genes (the authors' README and examples)."""

BATCH_GENES = 128
"""Maps a step, at most (code; the examples have 512)."""

PART_BINS = 65_536
"""Sparser bins that go through the network at once, about 0.3 GB; a larger batch goes in parts, which changes no result."""

LEARNING_RATE = 1e-3
"""Of Adam, for the stages (the authors' README)."""

RECONSTRUCTION_RATE = 1e-5
"""Of Adam, for the last layer (their documentation; their code has 1e-6)."""

MIN_SHARE = 0.1
"""Genes seen in more than this share of the measured bins are trained on (the authors' examples)."""

MOST_FREQUENT = 10
"""Genes trained on where none is seen that often; this program's choice."""

SECONDS = 150.0
"""Default limit; this program's choice. 200 epochs of 24 genes on 182 x 513 bins take longer on a core without bfloat16."""

TIMED_STEPS = 5
"""After which the limit is turned into a number of steps; the first one, which sets things up, is not timed."""


class Stage(nn.Module):
    """Three 3x3 convolutions; what the first gives is added to what the others make of it."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, rows, columns) -> (B, width, rows, columns)."""
        x = self.enter(x)
        return functional.relu(x + self.second(self.first(functional.relu(x))))


class DistNetwork(nn.Module):
    """A lattice -> the S times denser grid: each of the S*S phases is the lattice's value plus what the network adds."""

    def __init__(self, stride: int, width: int = WIDTH, stages: int = STAGES) -> None:
        super().__init__()
        self.stride = stride
        self.stages = nn.Sequential(*[Stage(width if i else 1, width) for i in range(stages)])
        self.reconstruct = nn.Conv2d(width, stride * stride, 3, padding=1)

    def initialise(self, generator: torch.Generator) -> None:
        """Normally distributed weights of variance ``INIT_VARIANCE`` / inputs, biases 0."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                inputs = layer.weight[0].numel()
                nn.init.normal_(layer.weight, std=math.sqrt(INIT_VARIANCE / inputs), generator=generator)
                nn.init.zeros_(layer.bias)

    def forward(self, lattice: Tensor) -> Tensor:
        """(B, 1, rows, columns) -> (B, 1, S rows, S columns); measured bins lie at phase (0, 0)."""
        phases = lattice + self.reconstruct(self.stages(lattice))  # (B, S*S, rows, columns)
        return functional.pixel_shuffle(phases, self.stride)


@dataclass(frozen=True, kw_only=True)
class DistTraining:
    """Settings of DIST's training: for ``epochs``, or ``steps`` where given, and in any case for about ``seconds``."""

    epochs: int = EPOCHS
    steps: int | None = None
    seconds: float | None = SECONDS
    """Turned into steps after a few timed ones; None: no limit, which repeats a run exactly, on the CPU bit for bit."""
    batch_genes: int = BATCH_GENES
    learning_rate: float = LEARNING_RATE
    precision: str = "auto"


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs that are trained on: the same genes thinned once more, and as measured."""

    sparser: Tensor
    """(genes, 1, sparser rows, sparser columns)"""
    sparse: Tensor
    """(genes, 1, lattice rows, lattice columns)"""
    measured: Tensor
    """(1, 1, lattice rows, lattice columns), 1 where measured, else 0"""


def dist(
    maps: Sequence[SparseMap],
    wanted: Sequence[int],
    *,
    normalisation: NormalisationKind = "log1p",
    seed: int = 0,
    device: str | torch.device = "auto",
    training: DistTraining = DistTraining(),
    on_step: Callable[[int, int], Any] | None = None,
) -> list[GeneMap]:
    """Train DIST on the measured bins of a slide's genes and impute some of them (Zhao, Wang & Hu 2023).

    ``maps`` are all genes of a slide on one lattice; ``wanted`` are indices into them. Returns one map of the full grid for
    each, in the normalised space: 0 outside the tissue, measured bins put back exactly, nothing below 0 where nothing
    measured is. Trained on are the :func:`frequent` genes. ``on_step(done, steps)`` follows each step.

    Raises :class:`TrainingError` when there is no map, the maps are of different lattices, an index is none of theirs, no
    measured bin is left after thinning, a setting is out of range, or the training diverges.
    """
    _check(maps, wanted)
    if min(training.epochs, training.batch_genes, 1 if training.steps is None else training.steps) < 1:
        raise TrainingError(
            f"DIST can't train for {training.epochs} epochs or {training.steps} steps with {training.batch_genes} genes a "
            "step; choose 1 or more of each."
        )
    device = choose_device(device) if isinstance(device, str) else device
    generator = torch.Generator().manual_seed(seed)
    with torch.device("meta"):  # so that no weights are drawn from the generator that the caller may have seeded
        network = DistNetwork(maps[0].stride)
    network.to_empty(device="cpu").initialise(generator)
    network.to(device)
    pairs = _pairs([maps[index] for index in frequent(maps)], normalisation, device)
    _train(network, pairs, _batches(len(pairs.sparse), training.batch_genes, generator), training, on_step)
    return [_impute(network, maps[index], normalisation, device, training.precision) for index in wanted]


def frequent(maps: Sequence[SparseMap]) -> list[int]:
    """Indices of the genes seen in more than ``MIN_SHARE`` of the measured bins; the most frequent where there is none."""
    share = np.array([np.count_nonzero(sparse.values[sparse.measured]) / sparse.measured.sum() for sparse in maps])
    often = np.flatnonzero(share > MIN_SHARE)
    return (often if len(often) else np.sort(np.argsort(-share, kind="stable")[:MOST_FREQUENT])).tolist()


def _check(maps: Sequence[SparseMap], wanted: Sequence[int]) -> None:
    if not maps:
        raise TrainingError(
            "DIST learns from a slide's measured genes, and there is none; give one sparse map or more."
        )
    wrong = [index for index in wanted if not 0 <= index < len(maps)]
    if wrong:
        raise TrainingError(
            f"There is no map {wrong[0]} among the {len(maps)} of the slide; choose 0 to {len(maps) - 1}."
        )
    first = maps[0]
    for sparse in maps[1:]:
        same = (sparse.stride, sparse.phase, sparse.shape) == (first.stride, first.phase, first.shape)
        if (
            not same
            or not np.array_equal(sparse.tissue, first.tissue)
            or not np.array_equal(sparse.measured, first.measured)
        ):
            raise TrainingError(
                f"DIST learns from all genes at once, so they must be measured at the same bins, and {sparse.gene!r} "
                f"({_lattice(sparse)}) is not measured where {first.gene!r} ({_lattice(first)}) is. "
                "Sample all genes with one stride, phase and tissue."
            )
    if not first.thinned().measured.any():
        raise TrainingError(
            f"The {int(first.measured.sum())} measured bins leave none when every {first.stride}th is kept, so DIST has "
            "nothing to learn from. Choose a larger region, smaller bins or a smaller stride."
        )


def _lattice(sparse: SparseMap) -> str:
    rows, columns = sparse.shape
    return (
        f"{rows} x {columns} bins, stride {sparse.stride}, phase {sparse.phase}, {int(sparse.measured.sum())} measured"
    )


def _pairs(maps: Sequence[SparseMap], normalisation: NormalisationKind, device: torch.device) -> Pairs:
    return Pairs(
        sparser=torch.cat([_image(sparse.thinned(), normalisation) for sparse in maps]).to(device),
        sparse=torch.cat([_image(sparse, normalisation) for sparse in maps]).to(device),
        measured=torch.from_numpy(maps[0].measured.astype(np.float32))[None, None].to(device),
    )


def _image(sparse: SparseMap, normalisation: NormalisationKind) -> Tensor:
    """(1, 1, lattice rows, lattice columns) values; unmeasured bins hold their nearest measured one's."""
    return torch.tensor(problem_of(sparse, normalisation).lattice)[None, None]


def _batches(genes: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of the genes of each step, without end; every gene once in an epoch."""
    while True:
        yield from torch.randperm(genes, generator=generator).split(size)


def _train(
    network: DistNetwork,
    pairs: Pairs,
    batches: Iterator[Tensor],
    training: DistTraining,
    on_step: Callable[[int, int], Any] | None,
) -> None:
    rate, seconds = training.learning_rate, training.seconds
    last = {"params": network.reconstruct.parameters(), "lr": rate * RECONSTRUCTION_RATE / LEARNING_RATE}
    optimiser = torch.optim.Adam([{"params": network.stages.parameters()}, last], lr=rate)
    steps = training.steps or training.epochs * math.ceil(len(pairs.sparse) / training.batch_genes)
    started, first, done = time.perf_counter(), 0.0, 0
    while done < steps:
        genes = next(batches).to(pairs.sparse.device)
        optimiser.zero_grad()
        loss = _backward(network, pairs, genes, training.precision)
        optimiser.step()
        done += 1
        if seconds is not None and done in (1, TIMED_STEPS):
            elapsed = time.perf_counter() - started
            first = elapsed if done == 1 else first
            steps = min(steps, _affordable(done, first, elapsed, seconds))
        if on_step is not None:
            on_step(done, steps)
    if not math.isfinite(loss):
        raise TrainingError(f"The training of DIST diverged after {done} steps; choose a learning rate below {rate:g}.")


def _affordable(done: int, first: float, elapsed: float, seconds: float) -> int:
    """Steps, those done included, that end within the limit if the rest take as long as those after the first did."""
    a_step = (elapsed - first) / (done - 1) if done > 1 else first
    return done + max(0, int((seconds - elapsed) / max(a_step, 1e-9)))


def _backward(network: DistNetwork, pairs: Pairs, genes: Tensor, precision: str, part_bins: int = PART_BINS) -> float:
    """Mean squared error of a batch at the measured bins, all phases alike (code); its gradients are left in the network."""
    a_part = max(1, part_bins // pairs.sparser[0].numel())
    rows, columns = pairs.sparse.shape[-2:]
    total = 0.0
    for part in genes.split(a_part):
        with arithmetic(pairs.sparse.device, precision):
            estimate = network(pairs.sparser[part])  # (B, 1, S sparser rows, S sparser columns)
        error = (estimate[..., :rows, :columns].float() - pairs.sparse[part]) * pairs.measured
        loss = error.square().sum() / (pairs.measured.sum() * len(genes))
        loss.backward()
        total += loss.item()
    return total


@torch.no_grad()
def _impute(
    network: DistNetwork, sparse: SparseMap, normalisation: NormalisationKind, device: torch.device, precision: str
) -> GeneMap:
    """One gene's map of the full grid, measured bins put back."""
    image = _image(sparse, normalisation)
    # Where the lattice starts further in, the bins above and to the left of it belong to one more row and column.
    before = [int(offset > 0) for offset in sparse.phase]
    image = functional.pad(image, (before[1], 0, before[0], 0), mode="replicate")
    with arithmetic(device, precision):
        dense = network(image.to(device))[0, 0].float().cpu().numpy()
    top, left = (sparse.stride * more - offset for more, offset in zip(before, sparse.phase, strict=True))
    values = dense[top : top + sparse.shape[0], left : left + sparse.shape[1]]
    measured = sparse.normalised(normalisation)
    if measured.min() >= 0:
        values = values.clip(min=0)
    values = np.where(sparse.tissue, values, np.float32(0))
    values[sparse.lattice_mask()] = measured[sparse.measured]
    return sparse.filled(values, normalisation)
