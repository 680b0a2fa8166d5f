"""Named variants of a preset on the same sparse input -> scores, seconds and size of each (Fang et al. 2025, Table 2, Fig. 5).

    job = prepare(slide, genes, full_run("paper", steps=2000))
    runs = choose_variants("all", job.config)          # name -> config, "full" first
    for outcome in ablate(job, runs, seeds=(0, 1)): ...

A variant differs from "full" in the setting it names and in nothing else. All start from random weights, also where the
preset would not: the shipped ones are of one network's shape, and a variant that starts from them would only lose by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ..config import PRESETS, RunConfig
from ..errors import ConfigError
from ..runs.run import Job
from .benchmark import Outcome, run_network

FULL = "full"
_NO_PICTURES, _NO_CONSISTENCY = {"image_batch": 0}, {"data_consistency": False}
VARIANTS: dict[str, dict[str, Any]] = {
    FULL: {},
    "no natural images": _NO_PICTURES,
    "no data consistency": _NO_CONSISTENCY,
    "neither": _NO_PICTURES | _NO_CONSISTENCY,
    "1 cascade": {"cascades": 1},
    **{f"{number} cascades": {"cascades": number} for number in (2, 3, 4, 5)},
    "no HAB": {"attention": False},
}
"""Name -> the settings that are not the preset's own."""
GROUPS = {
    "table2": ("no natural images", "no data consistency", "neither"),
    "cascades": tuple(name for name in VARIANTS if "cascade" in name),
    "hab": ("no HAB",),
}
"""What the paper shows together: Table 2, Fig. 5A, Fig. 5B."""
ABLATED = ("image_batch", "data_consistency", "cascades", "attention")
"""The settings that any variant changes."""
TRAINED_PRESETS = tuple(name for name in PRESETS if name != "instant")


def full_run(preset: str = "paper", **settings: Any) -> RunConfig:
    """The preset, from random weights, that the variants are of. Raises :class:`ConfigError` on one that trains nothing."""
    if preset not in TRAINED_PRESETS:
        raise ConfigError(
            f"There is nothing to leave out of the preset {preset!r}, which "
            f"{'trains nothing' if preset in PRESETS else 'does not exist'}. Choose one of {', '.join(TRAINED_PRESETS)}."
        )
    return RunConfig.preset(preset, **settings, start_from="random")


def choose_variants(wanted: str, full: RunConfig) -> dict[str, RunConfig]:
    """``all``, groups (``table2``, ``cascades``, ``hab``) or names with commas between -> the variants of ``full``.

    "full" is always the first. A variant that ``full`` already is has no config of its own and is left out (see
    :func:`same_as_full`). Raises :class:`ConfigError` on an unknown name, or when nothing but "full" is left.
    """
    chosen: set[str] = set()
    for name in filter(None, (part.strip() for part in wanted.split(","))):
        exact = [variant for variant in VARIANTS if variant.lower() == name.lower()]
        if not exact and name.lower() not in ("all", *GROUPS):
            raise ConfigError(
                f"There is no variant {name!r}. Choose from {', '.join(VARIANTS)}; all, {', '.join(GROUPS)}."
            )
        chosen |= set(exact) or set(VARIANTS if name.lower() == "all" else GROUPS[name.lower()])
    same = same_as_full(full)
    left = [name for name in VARIANTS if name in chosen and name not in same and name != FULL]
    if not left:
        others = ", ".join(name for name in VARIANTS if name not in (*same, FULL))
        asked = ", ".join(name for name in VARIANTS if name in chosen and name != FULL)
        reason = f"{asked} changes nothing of the preset {full.preset_name}" if asked else "no variant was chosen"
        raise ConfigError(f"There is nothing to compare with the full network: {reason}. Choose from {others}.")
    return {FULL: full} | {name: full.changed(**VARIANTS[name]) for name in left}


def same_as_full(full: RunConfig) -> tuple[str, ...]:
    """Variants that change nothing of this run: "3 cascades" of the paper's preset, "no HAB" of one without attention."""
    return tuple(name for name, settings in VARIANTS.items() if settings and full.changed(**settings) == full)


def ablate(
    job: Job,
    runs: Mapping[str, RunConfig],
    seeds: Sequence[int] = (0,),
    on_start: Callable[[str, str, int], Any] | None = None,
) -> Iterator[Outcome]:
    """Train every variant anew for every gene and seed, as the paper does; outcomes, named by it, come as they are ready.

    ``on_start(variant, gene, seed)`` is called before each training. Raises what training raises.
    """
    for variant, config in runs.items():
        for seed in seeds:
            for index, sparse in enumerate(job.sparse):
                if on_start is not None:
                    on_start(variant, sparse.gene, seed)
                yield from run_network(job, config.changed(seed=seed), [index], method=variant, seed=seed)


def rows(outcomes: Iterable[Outcome]) -> list[dict[str, Any]]:
    """One row an outcome for CSV: variant, gene, seed, every score, what it cost, and the settings that variants change."""
    return [
        {"variant": outcome.method, "gene": outcome.gene, "seed": outcome.seed}
        | asdict(outcome.scores)
        | {"train_s": round(outcome.train_s, 4), "impute_s": round(outcome.impute_s, 4), "steps": outcome.steps}
        | {"parameters": outcome.parameters, "device": outcome.device, "preset": outcome.config.preset_name}
        | {name: _setting(outcome.config, name) for name in ABLATED}
        for outcome in outcomes
    ]


def _setting(config: RunConfig, name: str) -> Any:
    return getattr(config.training if name == "image_batch" else config.network, name)
