"""How long imputing takes: one map of 340 x 252 bins, a panel of many genes, at each number of symmetries.

python benchmarks/imputation.py [--repeats 7] [--genes 400] [--json FILE]

Beside it a plain pass of the same network over the same lattice (eager, float32, one symmetry, nothing put back): the ratio to
it is free of what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from napari_s2sst import GeneMap, RunConfig, fit, impute, sample
from napari_s2sst.engine.trained import Trained

SHAPE = (340, 252)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--genes", type=int, default=400, help="of the panel; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    rate = np.exp(2 * ndimage.gaussian_filter(rng.standard_normal(SHAPE), 6) * 10)
    maps = [sample(GeneMap(values=rng.poisson(rate * depth).astype(np.float32), gene="made", bin_um=20.0), stride=2)
            for depth in (0.1, 1.0, 10.0)]  # fmt: skip
    began = time.perf_counter()
    trained = fit(maps[:1], RunConfig.preset("instant"))
    first = time.perf_counter() - began
    impute(trained, maps[0])
    rows = []
    for symmetries in (1, 2, 4, 8):
        own = replace(trained, config=trained.config.changed(symmetries=symmetries))
        plain, ours = [], []
        for repeat in range(arguments.repeats):
            plain.append(timed(lambda: plain_pass(trained, maps[0])))
            ours.append(timed(lambda: impute(own, maps[repeat % len(maps)])))  # noqa: B023
        ratio = statistics.median(a / b for a, b in zip(ours, plain, strict=True))
        rows.append(
            {"what": f"one map, {symmetries} symmetries", "seconds": statistics.median(ours), "to_plain_pass": ratio}
        )
    if arguments.genes:
        began = time.perf_counter()
        for gene in range(arguments.genes):
            impute(trained, maps[gene % len(maps)])
        rows.append(
            {"what": f"{arguments.genes} genes, instant", "seconds": time.perf_counter() - began, "to_plain_pass": None}
        )
    rows.append({"what": "instant's fit (weights loaded, calibrated)", "seconds": first, "to_plain_pass": None})
    for row in rows:
        ratio = "" if row["to_plain_pass"] is None else f"   {row['to_plain_pass']:.2f} x a plain float32 pass"
        print(f"{row['what']:45} {row['seconds']:8.2f} s{ratio}")
    if arguments.json:
        facts = {"name": "imputation", "machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        arguments.json.write_text(json.dumps(facts | {"shape": SHAPE, "rows": rows}, indent=2))


def timed(work) -> float:
    """Wall seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@torch.inference_mode()
def plain_pass(trained: Trained, sparse) -> None:
    """The lattice once through the network, as it is."""
    lattice = [
        torch.from_numpy(part.astype(np.float32))[None, None] for part in (sparse.normalised("log1p"), sparse.measured)
    ]
    trained.network(torch.device("cpu"))(*lattice)


if __name__ == "__main__":
    main()
