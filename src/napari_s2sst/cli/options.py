"""The options of `s2sst impute` by what they are about -> the settings of a run, checked before anything is opened."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..engine.config import RunConfig
from ..engine.errors import ConfigError

if TYPE_CHECKING:
    from ..engine.cluster.connect import Tls
    from ..engine.slides.slide import Slide

OPTIONS = {
    "stride": "--stride", "seconds": "--seconds", "steps": "--steps", "device": "--device", "seed": "--seed",
    "bin_um": "--bin-um", "min_qv": "--min-qv", "normalisation": "--normalisation", "images": "--images",
}  # fmt: skip
"""Settings that have an option of their own; all others are set with --set."""


@dataclass(frozen=True, kw_only=True)
class SlideOptions:
    """Options that name the slide, and say what its file does not."""

    folder: Path | None
    map_file: Path | None
    hest: Path | None
    bin_um: float | None
    min_qv: float | None
    size_um: float | None

    @property
    def path(self) -> Path:
        """The first that was given; opening has refused none and several."""
        return next(path for path in (self.folder, self.map_file, self.hest) if path is not None)

    def open(self, config: RunConfig) -> tuple[Slide, RunConfig]:
        """The slide, and the config with the bin size of a file that has one of its own. Raises S2SSTError."""
        from .inputs import slide_from_options

        return slide_from_options(self.folder, self.map_file, config, self.bin_um, self.min_qv, self.hest, self.size_um)


@dataclass(frozen=True, kw_only=True)
class GeneOptions:
    """Options that choose genes of the slide."""

    gene: list[str]
    genes_file: Path | None
    all_genes: bool

    def chosen(self, slide: Slide) -> list[str]:
        """Names of the chosen genes, each once, in the order given. Raises ConfigError."""
        from .inputs import choose_genes

        return choose_genes(slide, self.gene, self.genes_file, self.all_genes)


@dataclass(frozen=True, kw_only=True)
class ConfigOptions:
    """Options that become settings of the run."""

    preset: str
    stride: int
    seconds: float | None
    steps: int | None
    device: str
    seed: int
    bin_um: float | None
    min_qv: float | None
    normalisation: str
    images: Path | None
    settings: Sequence[str]
    """``NAME=VALUE`` texts."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options for what is done with the slide, and where its results go."""

    out: Path
    fill_in: bool
    region: Path | None
    tissue: Path | None
    model: Path | None
    stop_at: int | None
    resume: bool
    checkpoint_every_s: float
    into: Path | None


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Options for who does the work, where that is not this process alone."""

    workers: int | None
    cluster: str | None
    genes_per_task: int | None = None
    tls_ca: Path | None
    tls_cert: Path | None
    tls_key: Path | None

    @property
    def are_wanted(self) -> bool:
        return self.workers is not None or self.cluster is not None

    def check_unwanted(self) -> None:
        """Raises ConfigError where there is something to say to workers, and no worker."""
        if any((self.genes_per_task, self.tls_ca, self.tls_cert, self.tls_key)):
            raise ConfigError(
                "--genes-per-task and --tls-... are for --workers and --cluster; give one of these, or leave them out."
            )

    def tls(self) -> Tls | None:
        """The certificates, checked against the other options. Raises ConfigError."""
        from ..engine.cluster.connect import Tls

        files = (self.tls_ca, self.tls_cert, self.tls_key)
        if self.cluster is not None and self.workers is not None:
            raise ConfigError("--cluster and --workers exclude each other; give one of them.")
        if not any(files):
            return None
        if self.cluster is None or not self.cluster.startswith("tls://"):
            raise ConfigError("--tls-ca, --tls-cert and --tls-key are for --cluster tls://HOST:PORT; leave them out.")
        if not all(files):
            raise ConfigError("TLS needs all three of --tls-ca, --tls-cert and --tls-key.")
        return Tls(*files)


@dataclass(frozen=True, kw_only=True)
class ImputeOptions:
    """All of them."""

    slide: SlideOptions
    genes: GeneOptions
    config: ConfigOptions
    run: RunOptions
    workers: WorkerOptions

    def run_config(self) -> RunConfig:
        """The run's settings. Raises ConfigError on what makes no sense, alone or together."""
        own, run = self.config, self.run
        check_limits(own.seconds, own.steps)
        if own.preset == "instant" and (own.seconds or own.steps):
            raise ConfigError(
                "The preset instant trains nothing, so it takes no --seconds or --steps; choose fast to train."
            )
        if run.stop_at is not None and (own.steps is None or run.stop_at > own.steps):
            raise ConfigError(
                "--stop-at N says where a training of --steps M ends early, so it needs --steps of N or more."
            )
        of_training = (own.seconds, own.steps, run.stop_at, own.settings, own.images, run.resume)
        if run.model is not None and any(of_training):
            raise ConfigError(
                "--model imputes with a model as it is, so it takes no --steps, --seconds, --images, --resume or --set."
            )
        said = {name: getattr(own, name) for name in OPTIONS}
        config = RunConfig.preset(own.preset, **said, **read_settings(own.settings))
        if own.images is not None and not own.images.is_dir():
            raise ConfigError(f"{own.images} is not a folder. Give --images a folder of pictures, or leave it out.")
        return config


def check_limits(seconds: float | None, steps: int | None) -> None:
    """Refuse two ends of one training. Raises ConfigError."""
    if seconds is not None and steps is not None:
        raise ConfigError("--seconds and --steps exclude each other; give one of them.")


def read_settings(texts: Sequence[str]) -> dict[str, Any]:
    """``NAME=VALUE`` texts -> settings. A value is JSON, as in run.json; what is no JSON is text. Raises ConfigError."""
    settings: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"--set {text} is no NAME=VALUE; write, for example, --set learning_rate=0.001.")
        if name in OPTIONS:
            raise ConfigError(f"--set {text} can't be: {name} has an option of its own, {OPTIONS[name]}.")
        if name in settings:
            raise ConfigError(f"--set gives {name} twice; give it once.")
        if name in ("name", "preset_name"):
            raise ConfigError(f"--set {text} can't be: choose the preset with --preset.")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
        if settings[name] is None:
            raise ConfigError(f"--set {text} gives no value; leave it out to keep the preset's.")
    return settings
