"""Every setting of a run, its default and what it means; the presets; and how two runs' settings differ.

All are frozen; unknown names and nonsense are refused. A field's docstring is its help text: the command line and the window
show it.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from .errors import ConfigError

InMemory = Literal["a model in memory"]

IN_MEMORY: InMemory = "a model in memory"
"""What a run's settings name as its start where that was no file. Repeating such a run needs that model, so this is refused
rather than another start taken silently."""

DECIDES_LAST_DIGITS = ("device", "precision", "compiled")
"""Settings that may change from one part of a training to the next, so that it can go on on another machine."""

DECIDES_NO_NUMBERS = (*DECIDES_LAST_DIGITS, "preset_name")
"""Settings that say nothing of a result beyond its last digits."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
PRESETS = ("instant", "fast", "balanced", "paper")

CHECKPOINT_EVERY_S = 30.0
"""Between two checkpoints of a training: work that a crash may cost."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class GridConfig(_Part):
    """Steps from transcripts to bins."""

    bin_um: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """Side of a square bin in um. The paper's grid is 100 um."""
    min_qv: Annotated[float, Field(ge=0, le=60)] = 20.0
    """Lowest Phred quality of a transcript that is counted; 20 is 10x's own cut."""
    normalisation: Literal["log1p", "median-log1p", "none"] = "log1p"
    """What is done to counts: their logarithm, the paper's scaling to the median total first, or nothing."""


class SamplingConfig(_Part):
    """Choice of the bins that count as measured."""

    stride: Annotated[int, Field(ge=2, le=4)] = 2
    """Distance between measured bins, in bins, along both axes. 2 measures a quarter of the bins."""
    phase: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (0, 0)
    """(row, column) of the first measured bin."""


class NetworkConfig(_Part):
    """The shape of CDCIN (paper sections 2.2 and 2.3)."""

    cascades: Annotated[int, Field(ge=1, le=8)] = 3
    """Data-consistent refinements in a row, K in the paper."""
    blocks: Annotated[int, Field(ge=1, le=16)] = 8
    """Residual dense hybrid attention blocks in each cascade."""
    channels: Annotated[int, Field(ge=8, multiple_of=8)] = 32
    """Feature channels."""
    growth: Annotated[int, Field(ge=4)] = 32
    """Channels that each dense convolution adds."""
    convolutions: Annotated[int, Field(ge=1, le=8)] = 4
    """Dense convolutions in a block."""
    heads: Annotated[int, Field(ge=1)] = 4
    """Attention heads."""
    window: Annotated[int, Field(ge=2, le=128)] = 8
    """Side of an attention window."""
    attention: bool = True
    """Hybrid attention blocks; off only for the paper's ablation (Fig. 5B)."""
    data_consistency: bool = True
    """Put the measured bins back before every cascade (eq. 11); off only for the paper's ablation."""
    layout: Literal["dense", "lattice"] = "dense"
    """Work on the dense grid as the paper does, or on the lattice with the S*S phases as channels, which is S*S times cheaper."""
    start: Literal["replicate", "bilinear"] = "replicate"
    """The first estimate: each measured value copied over its S x S bins as in the paper, or bilinear between them."""
    smoothings: tuple[Annotated[float, Field(gt=0, le=32)], ...] = ()
    """Widths, in lattice pitches, of smooth maps that every cascade sees beside the estimate; none in the paper."""
    scaled: bool = False
    """Work in units of each map's own noise, so that weak and strong genes look alike; the paper divides all by 10."""
    quantiles: tuple[Fraction, ...] = ()
    """Quantiles predicted beside the mean. Empty, as in the paper: one value a bin."""


class TrainingConfig(_Part):
    """Training of the weights (paper sections 2.1 and 2.5)."""

    steps: Annotated[int, Field(ge=0)] | None = None
    """Optimiser steps. Exact and repeatable; wins over a time limit. 0 trains nothing and uses the first weights."""
    seconds: Annotated[float, Field(gt=0)] | None = None
    """Time limit; becomes a number of steps once a few have been timed."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    """Passes over the map's patches, when neither steps nor a time is given."""
    patch_bins: Annotated[int, Field(ge=16, le=512)] = 64
    """Side P of a training patch on the dense grid; the network sees (P / S) x (P / S) measured bins of it."""
    batch: Annotated[int, Field(ge=1)] = 16
    """Slide patches a step."""
    image_batch: Annotated[int, Field(ge=0)] = 16
    """Natural-image patches a step; 0 leaves co-training out."""
    images: Path | None = None
    """A folder of pictures to co-train on; without one, the photographs that come with scikit-image."""
    image_style: Literal["plain", "counts"] = "plain"
    """Pictures as they are (the paper), or made to look like counts of a gene by Poisson noise at a random depth."""
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-4
    """Adam's peak rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The rate over the steps."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps of a linear rise at the beginning."""
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    """Adam's betas."""
    slide_weight: Annotated[float, Field(ge=0)] = 10.0
    """Weight of the slide's loss against the pictures', lambda in the paper."""
    sparse_to_dense: bool = True
    """The loss of eq. 4 beside that of eq. 3. Data consistency makes it nearly free, and it costs most of the time."""
    hiding: Literal["lattice", "scattered"] = "lattice"
    """What of the measured bins is hidden and told from the others: all but every S-th along both axes (the paper), or single
    ones here and there. The first is a lattice twice as wide, on which bins share less than next ones do."""
    hidden_share: Annotated[float, Field(gt=0, lt=0.6)] = 0.2
    """Of a patch's measured bins, where they are scattered; the mean, from half to one and a half times as many."""
    relative_loss: bool = False
    """Divide a map's errors by how badly its measured bins tell each other, so that weak genes count as much as strong ones."""
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of measured bins never used as a target, to see how well the network does and to choose what it is mixed with."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Validations in a row, of twelve in all, that found no better weights, after which training ends; 0 never ends it early.
    The best weights are kept anyway, but under a falling rate they are often the last ones, so this may cost accuracy."""
    average: Decay = 0.0
    """Decay of a running mean of the weights; 0 uses the last ones."""
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    """Arithmetic of the network; auto takes bfloat16 where the hardware multiplies it."""
    compiled: bool = False
    """Let torch compile the network, which joins its small operations: meant for long trainings on a GPU, no faster on a processor.
    It takes minutes at the beginning, which count towards a time limit, and a C++ compiler (on a GPU, Triton). Where it can't be
    done, training goes on without and says so."""
    start_from: Literal["random", "shipped"] | InMemory | Path = "random"
    """The first weights: random as in the paper, shipped with the program (learnt on simulated maps), or a model file."""


class ImputationConfig(_Part):
    """Steps from weights to a whole map."""

    tile_bins: Annotated[int, Field(ge=16, le=2048)] = 64
    """Side of an inference tile on the dense grid; best left at the training patch's size."""
    overlap: Literal["uniform", "hann"] = "uniform"
    """Weights of overlapping tiles: all alike at a small step as in the paper's code, or smoothly falling ones at their borders."""
    symmetries: Literal[1, 2, 4, 8] = 1
    """Turns and flips of the lattice to average over. Their spread is part of the uncertainty."""
    map_share: Fraction = 1.0
    """Where a distribution is predicted, this share of the map is the network's first output, the rest its median. The median
    has the lower absolute error, the first output the higher correlation and structural similarity."""
    classical: tuple[Literal["bilinear", "inverse distance", "Gaussian", "kriging", "thin plate"], ...] = ("kriging",)
    """Classical estimates whose mean a share of the map is."""
    classical_share: Fraction = 0.0
    """That share; 0 for none. The network knows what maps look like, kriging how far this gene's bins tell each other."""
    classical_alone: Fraction = 0.0
    """At least this share where nothing but the gene's own bins is known, neither an image nor the panel's other genes: alone
    the network is behind kriging in correlation."""
    image: bool = False
    """Look at the slide's morphology image, where it has one: it is known everywhere, and often tells more than the nearest
    measured bins. What follows from it is learnt at this gene's measured bins, and nothing is added where that does not help."""
    panel: bool = False
    """Look at the panel's other genes in the measured bins, at how many transcripts they have together and at what is expressed
    with this gene: they tell how the tissue changes between the bins, with less noise than one gene. What follows for this gene
    is learnt at its measured bins, with what the image tells, and nothing is added where that does not help."""
    restore_measured: bool = True
    """Put the measured bins back exactly, as the last step."""


class RunConfig(_Part):
    """All settings of a run (Fang et al. 2025, section 2.5, for ``paper``). Make one with :meth:`preset`.

    Lengths are um or bins, times s, as each setting's name or description says. A value that makes no sense raises
    :class:`ConfigError` in :meth:`preset`, :meth:`changed` and :meth:`parsed`, pydantic's ValidationError in the constructor.
    """

    preset_name: str = "paper"
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of every random number. On the CPU the same seed and steps give the same weights."""
    grid: GridConfig = GridConfig()
    sampling: SamplingConfig = SamplingConfig()
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig(epochs=3000)
    imputation: ImputationConfig = ImputationConfig()

    @classmethod
    def preset(cls, name: str = "fast", **settings: Any) -> Self:
        """A named starting point with single settings changed by their field name: ``preset("fast", seconds=60, stride=3)``.

        A setting of None is left as the preset has it. Raises :class:`ConfigError` on an unknown preset or setting, or
        a value that makes no sense.
        """
        if name not in _PRESETS:
            raise ConfigError(f"There is no preset {name!r}. Choose one of {', '.join(_PRESETS)}.")
        return cls(preset_name=name, **_PRESETS[name]).changed(**settings)

    def changed(self, **settings: Any) -> Self:
        """These settings with single ones changed by their field name; None leaves one as it is. Raises :class:`ConfigError`."""
        data = self.model_dump()
        for key, value in settings.items():
            if value is None:
                continue
            place = self._place_of(key)
            (data if place is None else data[place])[key] = value
        stride = self.parsed(data).sampling.stride
        if settings.get("stride") is not None and self.network.layout == "lattice":
            # The network works on the lattice: keep the number of measured bins it sees, not the size of the patch.
            for part, name in (("training", "patch_bins"), ("imputation", "tile_bins")):
                if settings.get(name) is None:
                    data[part][name] = round(getattr(getattr(self, part), name) / self.sampling.stride * stride)
        return self.parsed(data)

    @classmethod
    def parsed(cls, data: dict[str, Any]) -> Self:
        """Settings from plain values, as `model_dump(mode="json")` writes them. Raises :class:`ConfigError`."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(part for part in first["loc"] if isinstance(part, str) and part.isidentifier())
            raise ConfigError(f"{where} can't be {first['input']!r}: {first['msg'].lower()}.") from None

    def resolved(self, stride: int, *, from_memory: bool) -> Self:
        """The settings of a run on maps of this stride; with a model in memory to start from, they say so."""
        config = self if self.sampling.stride == stride else self.changed(stride=stride)
        return config.changed(start_from=IN_MEMORY) if from_memory else config

    def flat(self) -> dict[str, Any]:
        """Every setting by its field name, as plain values for JSON."""
        return flat_settings(self.model_dump(mode="json"))

    def deciding_numbers(self) -> dict[str, Any]:
        """The settings of :meth:`flat` that a run's numbers depend on by more than their last digits."""
        return {name: value for name, value in self.flat().items() if name not in DECIDES_NO_NUMBERS}

    def differences(self, other: Self) -> dict[str, tuple[Any, Any]]:
        """Field -> its values here and in the other settings, where they differ, as plain values for JSON."""
        return setting_differences(self.flat(), other.flat())

    @classmethod
    def _place_of(cls, key: str) -> str | None:
        parts = {name: kind.annotation for name, kind in cls.model_fields.items() if name in _PART_NAMES}
        if key in cls.model_fields and key not in parts:
            return None
        for name, part in parts.items():
            if key in part.model_fields:
                return name
        known = [field for part in parts.values() for field in part.model_fields] + ["device", "seed"]
        near = difflib.get_close_matches(key, known, n=1)
        raise ConfigError(f"There is no setting {key!r}." + (f" Did you mean {near[0]!r}?" if near else ""))


_PART_NAMES = ("grid", "sampling", "network", "training", "imputation")


def flat_settings(data: Mapping[str, Any]) -> dict[str, Any]:
    """Field -> value, of a config as `model_dump` or a file has it, of this version or another: no two parts share a name."""
    inner = {name: value for part in data.values() if isinstance(part, Mapping) for name, value in part.items()}
    return {name: value for name, value in data.items() if not isinstance(value, Mapping)} | inner


def setting_differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], *, ignored: Collection[str] = ()
) -> dict[str, tuple[Any, Any]]:
    """Field -> (our value, their value) of two flat views, where they differ; None where one has no such field."""
    names = [name for name in {**ours, **theirs} if name not in ignored and ours.get(name) != theirs.get(name)]
    return {name: (ours.get(name), theirs.get(name)) for name in names}


_SMALL = NetworkConfig(
    cascades=2,
    blocks=3,
    channels=64,
    growth=32,
    convolutions=3,
    attention=False,
    layout="lattice",
    start="bilinear",
    smoothings=(0.7, 1.4, 2.8, 5.6),
    scaled=True,
    quantiles=(0.05, 0.5, 0.95),
)
"""About 790,000 weights on the lattice. Without attention, which on a processor costs four times what the rest does,
two cores see enough patches in a minute or two."""

_MIXED = ImputationConfig(
    tile_bins=512,
    overlap="hann",
    symmetries=8,
    classical_share=0.12,
    classical_alone=0.35,
    image=True,
    panel=True,
)

_REFINING = dict(
    patch_bins=64, batch=8, image_batch=8, image_style="counts", learning_rate=5e-4, schedule="cosine", warmup_steps=20,
    slide_weight=1.0, sparse_to_dense=False, hiding="scattered", relative_loss=True, held_out=0.08, precision="auto",
    start_from="shipped",
)  # fmt: skip

_PRESETS: dict[str, dict[str, Any]] = {
    "instant": dict(
        network=_SMALL,
        training=TrainingConfig(steps=0, **_REFINING),
        imputation=_MIXED.model_copy(update={"symmetries": 2}),
    ),
    "fast": dict(
        network=_SMALL,
        training=TrainingConfig(seconds=120, average=0.99, **_REFINING),
        imputation=_MIXED,
    ),
    "balanced": dict(
        network=_SMALL,
        training=TrainingConfig(seconds=600, average=0.998, **_REFINING),
        imputation=_MIXED,
    ),
    "paper": dict(),
}
