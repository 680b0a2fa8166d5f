"""All methods on the same sparse input -> scores, seconds and peak memory of each, gene by gene.

    job = prepare(slide, genes, config)
    for outcome in benchmark(job, choose_methods("all"), seeds=(0, 1, 2)): ...
    summary(outcomes)          # method -> means over genes, spread over seeds

Classical methods come first and the information limit, which looks at the truth, last. A network is a name and a
:class:`RunConfig`, trained and scored by :func:`run_network`; `ablations` gives it other names and configs.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..classical.methods import BENCHMARK_METHODS, METHODS, interpolate
from ..config import PRESETS, RunConfig
from ..errors import ConfigError
from ..maps import SparseMap
from ..runs.run import Job
from ..scores.metrics import Scores, score
from .limit import LIMIT, information_limit

T = TypeVar("T")

CLASSICAL = (*METHODS, *BENCHMARK_METHODS)
WITH_IMAGE = "TESLA with image"
PANEL_METHODS = ("DIST", "BayesSpace")
"""They learn from all genes of the slide."""
WITHOUT_IMAGE = "instant without image"
MEDIAN = "instant median"
OURS = (WITHOUT_IMAGE, MEDIAN, "instant", "fast", "balanced")
"""The presets of this program's own; `paper` is an alternative like the classical methods."""
_PAPER_SMALL = dict(
    cascades=2, blocks=3, convolutions=3, attention=False, layout="lattice", sparse_to_dense=False, patch_bins=64, seconds=120.0,
    precision="auto",
)  # fmt: skip
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    WITHOUT_IMAGE: ("instant", {"image": False}),
    MEDIAN: ("instant", {"image": False, "panel": False, "map_share": 0.0, "classical_share": 0.0}),
    "paper, small network": ("paper", _PAPER_SMALL),
    "pictures alone": ("paper", {"slide_weight": 0.0}),
    "pictures alone, small network": ("paper", _PAPER_SMALL | {"slide_weight": 0.0}),
}
"""Name -> preset and what is changed of it. The small ones take the paper's losses, rate and pictures to a network that two
cores can train in minutes: two cascades of three dense blocks on the lattice, no attention, eq. 3 without eq. 4. The median is
what such losses end in, of the same weights as `instant` without the image."""
NETWORKS = (*PRESETS, *VARIANTS)
ONE_GENE_AT_A_TIME = ("paper", *(name for name in VARIANTS if name not in OURS))
"""Trained anew for every gene, as published; the others train on all chosen genes together unless told otherwise."""
TRAINS_NOTHING = ("instant", WITHOUT_IMAGE, MEDIAN)
NEEDS_HOURS = ("paper", "pictures alone")
GROUPS = {"classical": CLASSICAL, "panel": PANEL_METHODS, "networks": NETWORKS}
SCORES = tuple(field.name for field in fields(Scores))
_COSTS = ("train_s", "trained_on", "impute_s", "steps", "device", "peak_mb", "extra_mb")
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Where Linux tells a process's memory, and where its peak is reset."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One method, or one variant of a network, on one gene."""

    gene: str
    method: str
    seed: int | None = None
    """Of the training; None where nothing is random."""
    scores: Scores
    train_s: float = 0.0
    """Wall seconds of the training, of all its genes together; 0 where nothing is trained."""
    trained_on: int = 0
    """Genes that shared that training."""
    impute_s: float
    """Wall seconds of this gene's map."""
    steps: int = 0
    device: str = "cpu"
    peak_mb: float = math.nan
    """Of the whole process while the method ran (see :class:`PeakMemory`), the larger of training and imputing."""
    extra_mb: float = math.nan
    """Of that, above what the process held before."""
    parameters: int = 0
    """Weights of the network; 0 where there is none."""
    config: RunConfig | None = None
    """As it was run; None where there is no network."""

    @property
    def seconds(self) -> float:
        """Seconds for one gene: its map, and its share of the training."""
        return self.impute_s + self.train_s / max(1, self.trained_on)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One method over all genes."""

    mean: dict[str, float]
    """Score -> mean over genes, seeds averaged; genes where it is no number are left out."""
    spread: dict[str, float]
    """Score -> standard deviation, over seeds, of the mean over genes; NaN with a single seed."""
    seconds: float
    """Mean for one gene."""
    peak_mb: float
    """The largest."""
    genes: int
    seeds: int


def choose_methods(wanted: str) -> tuple[str, ...]:
    """``all``, ``classical``, ``networks`` or names with commas between -> names, in the order they will run.

    Raises :class:`ConfigError` on an unknown one.
    """
    known = (*CLASSICAL, *PANEL_METHODS, *NETWORKS, LIMIT)
    chosen: set[str] = set()
    small = "small network"
    for name in filter(None, (part.strip() for part in wanted.replace(f", {small}", f"; {small}").split(","))):
        name = name.replace(f"; {small}", f", {small}")
        lower = name.lower()
        exact = [method for method in known if method.lower() == lower]
        if not exact and lower != "all" and lower not in GROUPS:
            raise ConfigError(f"There is no method {name!r}. Choose from {', '.join(known)}; all, {', '.join(GROUPS)}.")
        chosen |= set(exact) or set(known if lower == "all" else GROUPS[lower])
    if not chosen:
        raise ConfigError(f"No method was chosen. Choose from {', '.join(known)}; all, {', '.join(GROUPS)}.")
    return tuple(name for name in known if name in chosen)


def benchmark(
    job: Job,
    methods: Sequence[str],
    *,
    seeds: Sequence[int] = (0,),
    seconds: float | None = None,
    steps: int | None = None,
    one_by_one: bool = False,
    colour: np.ndarray | None = None,
    panel: Sequence[SparseMap] | None = None,
) -> Iterator[Outcome]:
    """Run each method on every gene of the job; outcomes come as they are ready.

    ``panel``: the same lattice of other genes, for the methods that learn from the whole slide; the job's own without it.

    ``seconds`` and ``steps`` limit each training that trains at all. Without a ``colour`` map (rows, columns, channels)
    the methods that need the image are left out. Raises what training raises.
    """
    for method in methods:
        if method in CLASSICAL:
            if method != WITH_IMAGE or colour is not None:
                yield from _classical(job, method, colour)
        elif method in PANEL_METHODS:
            for seed in seeds:
                yield from _of_panel(job, method, panel or (), seed, seconds)
        elif method in NETWORKS:
            for seed in seeds[:1] if method in TRAINS_NOTHING else seeds:
                apart = one_by_one or method in ONE_GENE_AT_A_TIME
                together = [[index] for index in range(len(job.sparse))] if apart else [range(len(job.sparse))]
                config = _config(job.config, method, seed, seconds, steps)
                for indices in together:
                    yield from run_network(
                        job, config, indices, method=method, seed=None if method in TRAINS_NOTHING else seed
                    )
    if LIMIT in methods:
        for sparse, truth in zip(job.sparse, job.truth, strict=True):
            scores = information_limit(sparse, truth=truth, normalisation=job.config.grid.normalisation)
            yield Outcome(gene=sparse.gene, method=LIMIT, scores=scores, impute_s=math.nan)


def _classical(job: Job, method: str, colour: np.ndarray | None) -> Iterator[Outcome]:
    kind = job.config.grid.normalisation
    for sparse, truth in zip(job.sparse, job.truth, strict=True):
        estimate, took_s, peak = _measured(partial(interpolate, sparse, method, kind, colour=colour))
        scores = score(estimate, truth=truth, sparse=sparse)
        yield Outcome(
            gene=sparse.gene, method=method, scores=scores, impute_s=took_s, peak_mb=peak.mb, extra_mb=peak.extra_mb
        )


def _of_panel(job: Job, method: str, panel: Sequence[SparseMap], seed: int, seconds: float | None) -> Iterator[Outcome]:
    """One training on the whole panel gives all the job's genes."""
    if method == "DIST":
        from .dist import DistTraining, dist

        run = partial(dist, training=DistTraining(seconds=seconds))
    else:
        from .bayes_space import bayes_space as run
    own = {sparse.gene for sparse in job.sparse}
    maps = [*job.sparse, *(sparse for sparse in panel if sparse.gene not in own)]
    kind = job.config.grid.normalisation
    estimates, took_s, peak = _measured(partial(run, maps, range(len(job.sparse)), normalisation=kind, seed=seed))
    for estimate, sparse, truth in zip(estimates, job.sparse, job.truth, strict=True):
        yield Outcome(
            gene=sparse.gene, method=method, seed=seed, scores=score(estimate, truth=truth, sparse=sparse),
            train_s=took_s, trained_on=len(own), impute_s=0.0, peak_mb=peak.mb, extra_mb=peak.extra_mb,
        )  # fmt: skip


def run_network(
    job: Job, config: RunConfig, indices: Sequence[int], *, method: str, seed: int | None
) -> Iterator[Outcome]:
    """Train one network on some of the job's genes (``indices``) and score the map of each.

    ``method`` and ``seed`` are what the outcomes say of it. Raises what training raises.
    """
    from ..imputing.impute import impute  # torch is imported only where a network is asked for
    from ..network.cdcin import parameters
    from ..training.train import fit

    maps: list[SparseMap] = [job.sparse[index] for index in indices]
    trained, train_s, training = _measured(partial(fit, maps, config))
    weights = parameters(trained.network("cpu"))
    for index, sparse in zip(indices, maps, strict=True):
        estimate, impute_s, imputing = _measured(partial(impute, trained, sparse))
        yield Outcome(
            gene=sparse.gene,
            method=method,
            seed=seed,
            scores=score(estimate, truth=job.truth[index], sparse=sparse),
            train_s=train_s,
            trained_on=len(maps),
            impute_s=impute_s,
            steps=trained.steps,
            device=trained.device,
            peak_mb=max(training.mb, imputing.mb),
            extra_mb=max(training.extra_mb, imputing.extra_mb),
            parameters=weights,
            config=trained.config,
        )


def _config(inputs: RunConfig, method: str, seed: int, seconds: float | None, steps: int | None) -> RunConfig:
    """A network's preset with what is changed of it and with the limits, on the input that all methods share."""
    preset, changes = VARIANTS.get(method, (method, {}))
    limits = {} if method in TRAINS_NOTHING else {"seconds": seconds, "steps": steps}
    limits = {name: limit for name, limit in limits.items() if limit is not None}
    return RunConfig.preset(preset, **_inputs(inputs), seed=seed, **(changes | limits))


def _inputs(config: RunConfig) -> dict[str, Any]:
    """Settings that decide the sparse input and the device, the same for every preset."""
    grid, sampling = config.grid, config.sampling
    return {
        "stride": sampling.stride, "phase": sampling.phase, "bin_um": grid.bin_um, "min_qv": grid.min_qv,
        "normalisation": grid.normalisation, "device": config.device,
    }  # fmt: skip


def rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """One row an outcome for CSV: names, every score, seconds, memory."""
    table = []
    for outcome in outcomes:
        names = {"gene": outcome.gene, "method": outcome.method, "seed": "" if outcome.seed is None else outcome.seed}
        costs = {name: getattr(outcome, name) for name in ("seconds", *_COSTS)}
        costs = {name: round(cost, 4) if isinstance(cost, float) else cost for name, cost in costs.items()}
        table.append(names | asdict(outcome.scores) | costs)
    return table


def summary(outcomes: Sequence[Outcome]) -> dict[str, Summary]:
    """Method -> its means over genes and seeds, in the order in which the methods ran."""
    summaries = {}
    for method in dict.fromkeys(outcome.method for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.method == method]
        seeds = list(dict.fromkeys(outcome.seed for outcome in own))
        by_seed = {
            name: [_mean(getattr(outcome.scores, name) for outcome in own if outcome.seed == seed) for seed in seeds]
            for name in SCORES
        }
        summaries[method] = Summary(
            mean={name: _mean(values) for name, values in by_seed.items()},
            spread={
                name: float(np.std(means, ddof=1)) if len(means) > 1 else math.nan for name, means in by_seed.items()
            },
            seconds=_mean(outcome.seconds for outcome in own),
            peak_mb=max((outcome.peak_mb for outcome in own if math.isfinite(outcome.peak_mb)), default=math.nan),
            genes=len({outcome.gene for outcome in own}),
            seeds=len(seeds),
        )
    return summaries


def _mean(values: Iterable[float]) -> float:
    numbers = [value for value in values if math.isfinite(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan


def _measured(work: Callable[[], T]) -> tuple[T, float, PeakMemory]:
    """Run the work: what it gives, its wall seconds and its peak of memory."""
    with PeakMemory() as peak:
        began = time.perf_counter()
        given = work()
        return given, time.perf_counter() - began, peak


class PeakMemory:
    """Peak of memory of a piece of work: ``with PeakMemory() as peak: ...``, then ``peak.mb`` and ``peak.extra_mb``.

    In MB of 1e6 bytes, as the operating system counts the whole process: Python's own counting (tracemalloc) sees nothing of
    what torch allocates. On Linux the peak is set back before the work; elsewhere it is the peak since the process began, an
    upper bound. ``extra_mb`` is the peak above what the process held before: less than the work's own need where it
    could reuse memory that earlier work had given back to Python but not to the system. NaN where the system does not tell.
    """

    mb = extra_mb = math.nan

    def __enter__(self) -> PeakMemory:
        try:
            _CLEAR.write_text("5")  # proc(5): resets the peak to the memory held now
            self._before = _held_mb("VmRSS")
        except OSError:
            self._before = math.nan
        return self

    def __exit__(self, *_: object) -> None:
        if math.isnan(self._before):
            self.mb = _since_start_mb()
        else:
            self.mb = _held_mb("VmHWM")
            self.extra_mb = max(0.0, self.mb - self._before)


def _held_mb(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def _since_start_mb() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
