"""docs/benchmarks.csv, as accuracy.py leaves it -> docs/benchmarks.md and its plot.

python benchmarks/accuracy_report.py [FOLDER]
"""

from __future__ import annotations

import csv
import math
import os
import platform
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_s2sst.engine.benchmark.benchmark import CLASSICAL, MEDIAN, NETWORKS, OURS, PANEL_METHODS, WITHOUT_IMAGE
from napari_s2sst.engine.benchmark.limit import LIMIT
from napari_s2sst.engine.provenance import versions

SCORES = {"MAE": ("mae_unmeasured", -1), "PCC": ("pcc_unmeasured", 1), "SSIM": ("ssim_unmeasured", 1)}
"""Heading -> column, and 1 where more is better."""
ALL_BINS = {"MAE": "mae", "PCC": "pcc", "SSIM": "ssim"}
LEARN_MEDIANS = tuple(name for name in NETWORKS if name not in OURS)
"""Networks with the paper's losses, of absolute errors alone."""
ORDER = (*CLASSICAL, *PANEL_METHODS, *NETWORKS, LIMIT)
SUBJECT = "fast"
"""The method that is held against the best alternatives, gene by gene."""

METHODS_TEXT = """\
- **nearest**: the value of the nearest measured bin. **bilinear**: between the four measured bins around. **bicubic**: cubic
  splines on the lattice (Keys 1981), its unmeasured bins filled with the nearest measured one's value, as for bilinear.
- **inverse distance**: weights 1 / distance, 10 nearest measured bins (Shepard 1968).
- **Gaussian**: normalised Gaussian weights (Nadaraya 1964, Watson 1964); 12 widths from 0.25 to 2 pitches.
- **kriging**: local ordinary kriging, at most 24 neighbours (Matheron 1963). Exponential variogram fitted to lags up to
  10 pitches by weighted least squares (Cressie 1985). Its nugget is the noise of counting as far as the counts explain it
  (Monestiez et al. 2006); the rest is structure with a range of one bin.
- **thin plate**: smoothed thin-plate spline, at most 24 neighbours (Duchon 1977, Wahba 1990); 10 smoothings from 0 to 100.
- Gaussian's width and thin plate's smoothing are those with the least squared error expected at unmeasured bins under the
  covariance that kriging fits to the measured ones. Nothing looks at the truth. (Choosing them by leaving measured bins out
  bridges twice the distance and smoothed too much.)
- **TESLA**: inverse squared distance, 10 nearest (Hu et al. 2023, its defaults); **with image**: the nearest in position and
  the stains' brightness per bin, scaled to the spread of the positions (s = 1).
- **DIST** (Zhao, Y. et al. 2023): a residual 3 x 3 network of width 64 that trains itself on all genes of the panel seen in more
  than a tenth of the spots, from the thinned lattice to the lattice; 200 epochs, time limit in `train s`.
- **BayesSpace** (Zhao, E. et al. 2021): 15 principal components of the panel at the measured bins, 10 clusters, sub-spots by a
  Potts prior (weight 2) and 10,000 iterations of Metropolis within Gibbs, linear regression back to genes.
- **paper, small network** and **pictures alone, small network**: the paper's losses, rate and pictures with a network that two
  cores can train in minutes (two cascades of three dense blocks on the lattice, no attention, eq. 3 without eq. 4); the second
  never sees the slide in training. They stand in for the full ones below, which take a GPU.
- **instant**, **fast**, **balanced**: this program's presets, started from weights learnt on simulated maps
  ([method](method.md)).
- **instant median**: `instant` without image, total counts and kriging, each bin the median of what the network deems possible
  (`--set map_share=0 --set classical_share=0 --set image=false --set panel=false`): the lowest absolute error, not the best map.
- **paper**: S2S-ST as published (Fang et al. 2025), a network for each gene; **pictures alone**: the same, the slide's losses
  left out. `train s` tells how long they were given, where they are in a table at all.
- **information limit**: looks at the truth and is no method. Every bin is predicted from the *dense* map around it, itself
  left out: Gaussian weights, for each score the best width.

`train s` is the wall time of one training, shared by all genes of the map except for **paper**. `peak MB` is the peak memory of
the whole process, Python and libraries included; the classical methods run before torch is imported."""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs"
    write_report(folder / "benchmarks.csv", folder)


def write_report(table: Path, folder: Path) -> None:
    """Write benchmarks.md and images/benchmarks.png into the folder."""
    rows = list(csv.DictReader(table.read_text().splitlines()))
    maps = list(dict.fromkeys((row["map"], row["stride"]) for row in rows))
    parts = [[row for row in rows if (row["map"], row["stride"]) == each] for each in maps]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    plot(parts, folder / "images" / "benchmarks.png")
    text = [
        "# How accurate it is", "",
        "Made by `python benchmarks/accuracy.py`; every figure is in [benchmarks.csv](benchmarks.csv), a row for each map, gene, "
        "method and seed. All methods see the same measured bins, and scores are in log1p counts. Lower MAE, higher PCC and SSIM "
        "are better.", "",
        *machines(rows), "",
        "![Scores of every method on every map](images/benchmarks.png)", "",
    ]  # fmt: skip
    if any(row["method"] in OURS for row in rows):
        text += overview(parts)
    for name in ("notes.md", "speed.md"):  # what was asked for and not reached; what benchmarks/speed.py measured
        if (folder / "benchmarks" / name).exists():
            text += [(folder / "benchmarks" / name).read_text(encoding="utf-8").strip(), ""]
    for part in parts:
        text += section(part)
    text += ["## The methods", "", METHODS_TEXT, ""]
    (folder / "benchmarks.md").write_text("\n".join(text), encoding="utf-8")


def machine() -> str:
    """This one, as it stands beside every row that is measured on it."""
    found = versions()
    numbers = ", ".join(f"{name} {found[name]}" for name in ("torch", "numpy"))
    return f"{processor()}, {os.cpu_count()} cores; Python {found['python']}, {numbers}"


def machines(rows: Sequence[dict]) -> list[str]:
    """Which machine the rows were measured on, the one of most rows first; of the others which rows."""
    most, *others = [name for name, _ in Counter(row["machine"] for row in rows).most_common()]
    text = [f"Machine: {most}." + (" Elsewhere:" if others else "")]
    for other in others:
        maps: dict[str, list[str]] = {}
        for row in rows:
            if row["machine"] == other:
                maps.setdefault(row["method"], []).append(row["map"])
        which = "; ".join(
            f"{method} on {', '.join(f'*{name}*' for name in dict.fromkeys(names))}" for method, names in maps.items()
        )
        text += ["" if other == others[0] else None, f"- {other}: {which}."]
    return [line for line in text if line is not None]


def overview(parts: Sequence[Sequence[dict]]) -> list[str]:
    """One line a map and preset: against the best alternative of each score on each gene."""
    text = [
        "## This program against the best alternative", "",
        "The best alternative is chosen anew for each gene and each score among all methods that are not this program's. Mean over "
        "genes, and in brackets the worst gene. Floor: no score worse on any gene, MAE 3 % lower on average. Aim: on every gene "
        "MAE 5 % lower, PCC 0.01 higher, SSIM not lower; beside it how many genes meet each. To the limit: share of the way from "
        "the best alternative's PCC to the information limit's, mean over genes.", "", *against_best(parts),
    ]  # fmt: skip
    if any(row["method"] in LEARN_MEDIANS for part in parts for row in part):
        apart = [[row for row in part if row["method"] not in LEARN_MEDIANS] for part in parts]
        text += [
            "", "The same against all but networks that learn absolute errors alone, whose maps are medians: mostly a low MAE, and "
            "on every map PCC and SSIM below kriging's.", "", *against_best(apart),
        ]  # fmt: skip
    return [*text, ""]


def against_best(parts: Sequence[Sequence[dict]]) -> list[str]:
    text = [
        "| map | preset | MAE | PCC | SSIM | floor (genes) | aim (genes) | to the limit |", "|" + " --- |" * 8,
    ]  # fmt: skip
    for part in parts:
        for preset in (name for name in OURS if any(row["method"] == name for row in part)):
            gains = [gain for gene in genes_of(part) if (gain := gains_of(part, gene, preset))]
            if not gains:
                continue
            mae, pcc, ssim, way = (np.array([gain[name] for gain in gains]) for name in ("MAE", "PCC", "SSIM", "way"))
            no_worse = (mae >= 0) & (pcc >= 0) & (ssim >= 0)
            at_aim = (mae >= 0.05) & (pcc >= 0.01) & (ssim >= 0)
            floor = no_worse.all() and mae.mean() >= 0.03
            text.append(
                f"| {title(part)} | {preset} | {-mae.mean():+.1%} ({-mae.min():+.1%}) | {pcc.mean():+.4f} ({pcc.min():+.4f}) | "
                f"{ssim.mean():+.4f} ({ssim.min():+.4f}) | {'yes' if floor else 'no'} ({no_worse.sum()} of {len(gains)}) | "
                f"{'yes' if at_aim.all() else 'no'} ({at_aim.sum()} of {len(gains)}) | "
                f"{'-' if np.isnan(way).all() else f'{np.nanmean(way):.0%}'} |"
            )
    return text


def section(part: Sequence[dict]) -> list[str]:
    """A map's tables: the means over its genes, then the subject gene by gene."""
    genes = genes_of(part)
    text = [
        f"## {title(part)}", "",
        f"{part[0]['shape']} bins, stride {part[0]['stride']}, {len(genes)} genes: {', '.join(genes)}. Means over genes and seeds, "
        "with the standard deviation over seeds where there are several; the best alternative of each score is bold.", "",
        "| method | MAE | PCC | SSIM | all bins: MAE | PCC | SSIM | in 90 % | train s | s a map | peak MB |",
        "|" + " --- |" * 11,
    ]  # fmt: skip
    names = [method for method in ORDER if any(row["method"] == method for row in part)]
    means = {method: [mean(part, method, column) for column, _ in SCORES.values()] for method in names}
    for method in names:
        cells = []
        for index, (column, sign) in enumerate(SCORES.values()):
            others = [sign * means[each][index] for each in names if is_alternative(each)]
            value = shown(means[method][index]) + spread(part, method, column)
            cells.append(
                f"**{value}**" if is_alternative(method) and sign * means[method][index] == max(others) else value
            )
        cells += [shown(mean(part, method, column)) for column in ALL_BINS.values()]
        cells += [shown(mean(part, method, "coverage"), ".0%"), shown(mean(part, method, "train_s"), ".0f")]
        cells += [shown(mean(part, method, "impute_s"), ".2f"), shown(mean(part, method, "peak_mb"), ".0f")]
        text.append(f"| {method} | {' | '.join(cells)} |")
    if SUBJECT not in names:
        return [*text, ""]
    text += ["", f"Best alternative of each score, and `{SUBJECT}` against it:", "",
             "| gene | MAE | PCC | SSIM | to the limit |", "| --- | --- | --- | --- | --- |"]  # fmt: skip
    for gene in genes:
        gain = gains_of(part, gene)
        if gain:
            best = {name: best_alternative(part, gene, name) for name in SCORES}
            cells = [f"{best[name][0]} {best[name][1]:.4f}" for name in SCORES]
            change = [f"{-gain['MAE']:+.1%}", f"{gain['PCC']:+.4f}", f"{gain['SSIM']:+.4f}"]
            both = " | ".join(f"{cell}: {diff}" for cell, diff in zip(cells, change, strict=True))
            text.append(f"| {gene} | {both} | {shown(gain['way'], '.0%')} |")
    return [*text, ""]


def gains_of(part: Sequence[dict], gene: str, subject: str = SUBJECT) -> dict[str, float] | None:
    """How much better the subject is than the best alternative of each score: MAE as a share, the others as differences."""
    own = [row for row in part if row["gene"] == gene]
    if not any(row["method"] == subject for row in own) or not any(is_alternative(row["method"]) for row in own):
        return None
    gain = {}
    for name, (column, sign) in SCORES.items():
        best = best_alternative(part, gene, name)[1]
        gain[name] = sign * (mean(own, subject, column) - best) / (best if name == "MAE" else 1)
    best, limit = best_alternative(part, gene, "PCC")[1], mean(own, LIMIT, "pcc_unmeasured")
    gain["way"] = gain["PCC"] / (limit - best) if limit > best else math.nan
    return gain


def best_alternative(part: Sequence[dict], gene: str, name: str) -> tuple[str, float]:
    column, sign = SCORES[name]
    own = [row for row in part if row["gene"] == gene and is_alternative(row["method"])]
    values = {method: mean(own, method, column) for method in {row["method"] for row in own}}
    known = {method: value for method, value in values.items() if math.isfinite(value)} or {"-": math.nan}
    return max(known.items(), key=lambda item: (sign * item[1], item[0]))


def is_alternative(method: str) -> bool:
    return method != LIMIT and method not in OURS


def genes_of(part: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(row["gene"] for row in part))


def title(part: Sequence[dict]) -> str:
    return part[0]["map"] + ("" if part[0]["stride"] == "2" else f", stride {part[0]['stride']}")


def mean(rows: Sequence[dict], method: str, column: str, seed: str | None = None) -> float:
    own = (row for row in rows if row["method"] == method and (seed is None or row["seed"] == seed))
    values = [value for row in own if math.isfinite(value := float(row[column]))]
    return float(np.mean(values)) if values else math.nan


def spread(rows: Sequence[dict], method: str, column: str) -> str:
    seeds = sorted({row["seed"] for row in rows if row["method"] == method})
    if len(seeds) < 2:
        return ""
    return f" ± {np.std([mean(rows, method, column, seed) for seed in seeds], ddof=1):.4f}"


def shown(value: float, form: str = ".4f") -> str:
    return format(value, form) if math.isfinite(value) else "-"


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def plot(parts: Sequence[Sequence[dict]], path: Path) -> None:
    """A panel a score, a place a map, a mark a method: how much better than the best alternative."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    panels = figure.subplots(1, len(SCORES))
    names = [method for method in ORDER if any(row["method"] == method for part in parts for row in part)]
    ticks = [textwrap.fill(title(part), 12) for part in parts]
    for panel, (heading, (column, sign)) in zip(panels, SCORES.items(), strict=True):
        means = np.array([[sign * mean(part, method, column) for part in parts] for method in names])
        best = means[[is_alternative(method) for method in names]]
        best = np.nanmax(best, axis=0)
        gains = 100 * (means - best) / np.abs(best) if heading == "MAE" else means - best
        top = np.nanmax(gains) if np.nanmax(gains) > 0 else 1.0
        for index, method in enumerate(names):
            at = np.arange(len(parts)) + (index - (len(names) - 1) / 2) * 0.6 / len(names)
            panel.scatter(at, gains[index], label=method, **mark(method, index))
        panel.axhline(0, color="grey", linewidth=0.8)
        panel.set_ylim(-1.5 * top, 1.15 * top)
        panel.set_title(
            f"{heading}: {'% lower' if heading == 'MAE' else 'higher'} than the best alternative", fontsize=10
        )
        panel.set_xticks(range(len(parts)), ticks, fontsize=6)
        panel.grid(axis="y", alpha=0.3)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=8, frameon=False)
    figure.suptitle("Unmeasured bins, means over genes; higher is better; what lies far below is cut off", fontsize=11)
    figure.savefig(path, dpi=130)


def mark(method: str, index: int) -> dict[str, Any]:
    """How a method is drawn: the limit a line, this program's presets red diamonds, hollow without the image (the median slim)."""
    if method == LIMIT:
        return {"marker": "_", "s": 260, "color": "black"}
    if method in (WITHOUT_IMAGE, MEDIAN):
        return {
            "marker": "D" if method == WITHOUT_IMAGE else "d",
            "s": 34,
            "facecolors": "none",
            "edgecolors": "crimson",
        }
    if method in OURS:
        return {"marker": "D", "s": 34, "color": "crimson", "alpha": 1.0 if method == SUBJECT else 0.45}
    return {"marker": "o" if index < 10 else "^", "s": 24, "color": f"C{index % 10}", "alpha": 0.8}


if __name__ == "__main__":
    main()
