"""All methods on the same sparse input -> scores, seconds and memory of each, gene by gene.

    job = prepare(slide, genes, config)
    for outcome in benchmark(job, choose_methods("all"), seeds=(0, 1, 2)): ...
    summary(outcomes)          # method -> means over genes, spread over seeds

Classical methods come first and the information limit, which looks at the truth, last.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..classical.methods import BENCHMARK_METHODS, METHODS, interpolate
from ..config import PRESETS, RunConfig
from ..errors import ConfigError
from ..maps import GeneMap, SparseMap
from ..runs.run import Job
from ..scores.metrics import Scores, score
from .limit import LIMIT, information_limit

# ---- How much memory a piece of work took at its peak, as the operating system counts it.

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class PeakMemory:
    """``with PeakMemory() as peak: ...``, then ``peak.mb`` and ``peak.extra_mb`` in MB (1e6 bytes).

    ``extra_mb`` is the peak above what the process held before: less than the work's own need where it could reuse memory
    that earlier work had given back to Python but not to the system. NaN where the system does not tell.
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


@dataclass(frozen=True)
class Outcome:
    """One method on one gene."""

    gene: str
    method: str
    seed: int | None
    """Of the training; None where nothing is random."""
    scores: Scores
    train_s: float
    """Wall seconds of the training, of all its genes together; 0 where nothing is trained."""
    trained_on: int
    """Genes that shared that training."""
    impute_s: float
    """Wall seconds of this gene's map."""
    steps: int
    device: str
    peak_mb: float
    """Of the whole process while the method ran (see peak_memory), the larger of training and imputing."""
    extra_mb: float
    """Of that, above what the process held before."""

    @property
    def seconds(self) -> float:
        """For one gene: its map, and its share of the training."""
        return self.impute_s + self.train_s / max(1, self.trained_on)


@dataclass(frozen=True)
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
        match = [each for each in known if each.lower() == lower]
        if not match and lower != "all" and lower not in GROUPS:
            raise ConfigError(f"There is no method {name!r}. Choose from {', '.join(known)}; all, {', '.join(GROUPS)}.")
        chosen |= set(match) or set(known if lower == "all" else GROUPS[lower])
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
                for indices in together:
                    yield from _network(job, method, indices, seed, seconds, steps)
    if LIMIT in methods:
        for sparse, truth in zip(job.sparse, job.truth, strict=True):
            scores = information_limit(sparse, truth=truth, normalisation=job.config.grid.normalisation)
            yield Outcome(sparse.gene, LIMIT, None, scores, 0.0, 0, math.nan, 0, "cpu", math.nan, math.nan)


def _classical(job: Job, method: str, colour: np.ndarray | None) -> Iterator[Outcome]:
    for sparse, truth in zip(job.sparse, job.truth, strict=True):
        with PeakMemory() as peak:
            began = time.perf_counter()
            found = interpolate(sparse, method, job.config.grid.normalisation, colour=colour)
            took = time.perf_counter() - began
        scores = score(found, truth=truth, sparse=sparse)
        yield Outcome(sparse.gene, method, None, scores, 0.0, 0, took, 0, "cpu", peak.mb, peak.extra_mb)


def _of_panel(job: Job, method: str, panel: Sequence[SparseMap], seed: int, seconds: float | None) -> Iterator[Outcome]:
    """One training on the whole panel gives all the job's genes."""
    if method == "DIST":
        from .dist import dist

        run = partial(dist, seconds=seconds)
    else:
        from .bayes_space import bayes_space as run
    own = {sparse.gene for sparse in job.sparse}
    maps = [*job.sparse, *(sparse for sparse in panel if sparse.gene not in own)]
    with PeakMemory() as peak:
        began = time.perf_counter()
        found = run(maps, range(len(job.sparse)), normalisation=job.config.grid.normalisation, seed=seed)
        took = time.perf_counter() - began
    for estimate, sparse, truth in zip(found, job.sparse, job.truth, strict=True):
        scores = score(estimate, truth=truth, sparse=sparse)
        yield Outcome(sparse.gene, method, seed, scores, took, len(own), 0.0, 0, "cpu", peak.mb, peak.extra_mb)


def _network(
    job: Job, method: str, indices: Sequence[int], seed: int, seconds: float | None, steps: int | None
) -> Iterator[Outcome]:
    from ..imputing.impute import impute  # torch is imported only where a network is asked for
    from ..training.train import fit

    name, changes = VARIANTS.get(method, (method, {}))
    limits = {} if method in TRAINS_NOTHING else {"seconds": seconds, "steps": steps}
    limits = {key: value for key, value in limits.items() if value is not None}
    config = RunConfig.preset(name, **_inputs(job.config), seed=seed, **(changes | limits))
    maps: list[SparseMap] = [job.sparse[index] for index in indices]
    with PeakMemory() as training:
        began = time.perf_counter()
        trained = fit(maps, config)
        train_s = time.perf_counter() - began
    for index, sparse in zip(indices, maps, strict=True):
        with PeakMemory() as imputing:
            began = time.perf_counter()
            found: GeneMap = impute(trained, sparse)
            took = time.perf_counter() - began
        truth = job.truth[index]
        peak_mb, extra_mb = (max(getattr(part, name) for part in (training, imputing)) for name in ("mb", "extra_mb"))
        yield Outcome(
            sparse.gene, method, None if method in TRAINS_NOTHING else seed,
            score(found, truth=truth, sparse=sparse), train_s, len(maps), took, trained.steps, trained.device,
            peak_mb, extra_mb,
        )  # fmt: skip


def _inputs(config: RunConfig) -> dict[str, Any]:
    """What decides the sparse input and the device, the same for every preset."""
    grid, sampling = config.grid, config.sampling
    return {
        "stride": sampling.stride, "phase": sampling.phase, "bin_um": grid.bin_um, "min_qv": grid.min_qv,
        "normalisation": grid.normalisation, "device": config.device,
    }  # fmt: skip


def rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """One row an outcome for CSV: names, every score, seconds, memory."""
    table = []
    for outcome in outcomes:
        row = asdict(outcome)
        scores = row.pop("scores")
        names = {name: row.pop(name) for name in ("gene", "method", "seed")}
        names["seed"] = "" if outcome.seed is None else outcome.seed
        cost = {name: round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
        table.append(names | scores | {"seconds": round(outcome.seconds, 4)} | cost)
    return table


def summary(outcomes: Sequence[Outcome]) -> dict[str, Summary]:
    """Method -> its means over genes and seeds, in the order in which the methods ran."""
    found = {}
    for method in dict.fromkeys(outcome.method for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.method == method]
        seeds = list(dict.fromkeys(outcome.seed for outcome in own))
        by_seed = {
            name: [_mean(getattr(each.scores, name) for each in own if each.seed == seed) for seed in seeds]
            for name in SCORES
        }
        found[method] = Summary(
            mean={name: _mean(values) for name, values in by_seed.items()},
            spread={name: float(np.std(v, ddof=1)) if len(v) > 1 else math.nan for name, v in by_seed.items()},
            seconds=_mean(outcome.seconds for outcome in own),
            peak_mb=max((each.peak_mb for each in own if math.isfinite(each.peak_mb)), default=math.nan),
            genes=len({outcome.gene for outcome in own}),
            seeds=len(seeds),
        )
    return found


def _mean(values: Iterable[float]) -> float:
    numbers = [value for value in values if math.isfinite(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan
