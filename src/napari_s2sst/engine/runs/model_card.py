"""A trained model -> what it is in a few lines, and what differs when it is used on another slide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..network.model import Trained

GENES_NAMED = 4
"""More are only counted."""

COUNTS = {
    "log1p": "the logarithm of 1 + counts",
    "median-log1p": "counts scaled to the median total, then their logarithm",
    "none": "counts as they are",
}


def model_facts(trained: Trained) -> list[tuple[str, str]]:
    """(name, text) in the order of a card; errors are in the normalised space of the model's counts."""
    config, best = trained.config, min(trained.classical, key=trained.classical.get, default=None)
    planned = config.training.steps
    stopped = f" of {planned:,}, stopped" if planned is not None and planned > trained.steps else ""
    return [
        ("Genes", _names(trained.genes) or "none of a slide: simulated maps"),
        ("Stride", f"{trained.stride}, measures 1 bin of {trained.stride**2}"),
        ("Bin size", _um(config.grid.bin_um) if trained.genes else "any"),
        ("Values", COUNTS[config.grid.normalisation]),
        ("Preset", config.preset_name.capitalize()),
        ("Steps", f"{trained.steps:,}{stopped}" if trained.steps else "none: the first weights as they were"),
        ("Time", _duration(trained.seconds)),
        ("Device", trained.device or "not recorded"),
        ("Held-out error", "nothing was held out" if trained.held_out_mae is None else f"{trained.held_out_mae:.4f}"),
        ("Best classical", f"{trained.classical[best]:.4f}, {best}" if best else "not computed"),
        ("Weights", f"{sum(weight.numel() for weight in trained.weights.values()):,}"),
        ("First weights", _start(trained)),
    ]


def fits(trained: Trained, *, stride: int) -> bool:
    """Whether the model can be used at all, or trained on, on maps of this stride."""
    return trained.stride == stride


def differences(
    trained: Trained,
    *,
    genes: Sequence[str],
    bin_um: float,
    stride: int,
    normalisation: str,
    min_qv: float | None = None,
) -> list[str]:
    """One sentence for each thing in which a slide and its settings differ from what the model was trained on.

    ``genes`` are those to impute, ``bin_um`` the side of their bins in um; ``min_qv`` their lowest Phred quality, where the
    slide has qualities. A model that came with the program was trained on simulated maps of no gene, bin size and quality.
    """
    found, grid = [], trained.config.grid
    if not fits(trained, stride=stride):
        found.append(
            f"The model is for a stride of {trained.stride} and this slide is sampled with {stride}: its weights make "
            f"{trained.stride**2} bins of each measured one, so they can't be used. Choose a stride of {trained.stride}, or "
            "another model."
        )
    new = [gene for gene in genes if gene not in trained.genes]
    if trained.genes and new:
        found.append(
            f"The model has learnt {_names(trained.genes)}, not {_names(new)}: how densely and coarsely a gene is expressed "
            "carries over only in part. Train on from it to adapt it."
        )
    if trained.genes and abs(grid.bin_um - bin_um) > 1e-6:
        wider = "wider" if bin_um > grid.bin_um else "narrower"
        found.append(
            f"The model has learnt bins of {_um(grid.bin_um)}, and these are {_um(bin_um)}: structures look "
            f"{max(bin_um, grid.bin_um) / min(bin_um, grid.bin_um):.2g} times {'smaller' if wider == 'wider' else 'larger'} "
            f"to it, and {wider} bins hold {'more' if wider == 'wider' else 'fewer'} counts. Train on from it to adapt it."
        )
    if grid.normalisation != normalisation:
        found.append(
            f"The model has learnt {COUNTS[grid.normalisation]}, and the settings ask for {COUNTS[normalisation]}: "
            "its maps are in its own unit, so compare errors only with results in that unit."
        )
    if trained.genes and min_qv is not None and abs(grid.min_qv - min_qv) > 1e-6:
        found.append(
            f"The model has learnt transcripts of quality {grid.min_qv:g} and better, and here those of {min_qv:g} and better "
            f"are counted: its counts were {'lower' if grid.min_qv > min_qv else 'higher'} in the same tissue."
        )
    return found


def _names(genes: Sequence[str]) -> str:
    """``LTF``, ``LTF and MPO``, ``LTF, MPO, ELANE, CD34 and 308 more``."""
    named, more = list(genes[:GENES_NAMED]), len(genes) - GENES_NAMED
    if more > 0:
        return f"{', '.join(named)} and {more:,} more"
    return " and ".join(part for part in (", ".join(named[:-1]), *named[-1:]) if part)


def _um(bin_um: float) -> str:
    return f"{bin_um:g} um"


def _duration(seconds: float) -> str:
    """``2 min 5 s``."""
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _start(trained: Trained) -> str:
    match trained.config.training.start_from:
        case "random":
            return "random"
        case "shipped":
            return "those that come with the program"
        case Path(name=name):
            return f"those of {name}"
        case in_memory:
            return f"those of {in_memory}"
