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

from napari_s2sst import RunConfig, fit, impute
from napari_s2sst.engine.network.model import Trained
from napari_s2sst.engine.runs.run import prepare
from napari_s2sst.engine.slides.count_cube import CountCube

SHAPE, BIN_UM = (340, 252), 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--genes", type=int, default=400, help="of the panel; 0 leaves it out")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()

    slide, config = made_slide(max(arguments.genes, 3)), RunConfig.preset("instant", bin_um=BIN_UM)
    maps = prepare(slide, list(slide.genes)[:3], config).sparse
    began = time.perf_counter()
    trained = fit(maps[:1], config)
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
        slide = replace(slide)  # what its genes tell of each other is found out anew
        began = time.perf_counter()
        for sparse in prepare(slide, list(slide.genes), config).sparse:
            impute(trained, sparse)
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


def made_slide(genes: int) -> CountCube:
    """Frequent and rare genes, of which each is expressed by six cell types in its own proportions."""
    rng = np.random.default_rng(0)
    fields = (ndimage.gaussian_filter(rng.standard_normal(SHAPE), 6) for _ in range(6))
    types = np.stack([np.exp(20 * field) for field in fields])
    shares = rng.dirichlet(np.ones(len(types)), genes) * np.geomspace(10, 0.05, genes)[:, None]
    counts = np.stack([rng.poisson(np.tensordot(share, types, 1)).astype(np.float32) for share in shares])
    names = tuple(f"made {number}" for number in range(genes))
    return CountCube(path=Path("made.npz"), counts=counts, names=names, bin_um=BIN_UM)


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
