"""Accuracy of all methods on the shared real maps -> docs/benchmarks.csv, docs/benchmarks.md and docs/images/benchmarks.png.

python benchmarks/accuracy.py [--methods all] [--seconds 120] [--genes-per-map 4] [--seeds 0,1,2] [--maps core,merfish]

Rows of earlier runs stay in the table unless the same map, method, gene and seed is run again, so slow methods can be added
one by one; accuracy_report.py makes the document anew from the table alone.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from accuracy_report import machine, write_report

from napari_s2sst import RunConfig, open_count_cube, open_xenium
from napari_s2sst.engine.benchmark.benchmark import PANEL_METHODS, benchmark, choose_methods, rows
from napari_s2sst.engine.benchmark.colour import colour_map
from napari_s2sst.engine.export.tables import write_scores_csv
from napari_s2sst.engine.runs.run import prepare

REPOSITORY = Path(__file__).parents[1]
SHARED = Path(os.environ.get("S2SST_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
WEAKEST_RANK = 100
"""Genes are taken evenly on a logarithmic scale from the most frequent to the one of this rank."""


@dataclass(frozen=True)
class Source:
    """One map of the table."""

    name: str
    folder: str
    bin_um: float | None = None
    """None: the map file's own."""


SOURCES = (
    Source("bone marrow slide, 20 um", "xenium_bone_marrow", 20.0),
    Source("bone marrow slide, 80 um", "xenium_bone_marrow", 80.0),
    Source("bone marrow core, 16 um", "maps/xenium_bonemarrow_core_bin16um.npz"),
    Source("mouse CA1 in situ sequencing, 40 px", "maps/iss_ca1_bin40px.npz"),
    Source("mouse brain MERFISH, 4 um", "maps/merfish_vizgen_mini_bin4um.npz"),
    Source("colorectal Visium HD cell types (not genes), 32 um", "maps/visiumhd_crc_celltype_bin32um.npz"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", default="classical,instant,fast,information limit", help="as of s2sst benchmark")
    parser.add_argument("--seconds", type=float, help="limit of each training; the preset's when left out")
    parser.add_argument("--steps", type=int, help="optimiser steps of each training")
    parser.add_argument("--genes-per-map", type=int, default=4)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--stride", type=int, default=2)
    parser.add_argument("--maps", default="", help="only maps whose names hold one of these words, commas between")
    parser.add_argument(
        "--panel", type=int, default=100, help="most frequent genes that DIST and BayesSpace learn from"
    )
    parser.add_argument("--one-by-one", action="store_true", help="a training for every gene")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, default=REPOSITORY / "docs", help="folder of the document")
    arguments = parser.parse_args()

    words = [word.strip().lower() for word in arguments.maps.split(",") if word.strip()]
    sources = [source for source in SOURCES if not words or any(word in source.name.lower() for word in words)]
    present = [source for source in sources if (SHARED / source.folder).exists()]
    for source in sources:
        if source not in present:
            print(f"{source.name} is left out: there is no {SHARED / source.folder}")
    if not present:
        sys.exit("No map is here. S2SST_SHARED_DATA names the folder of the shared data.")

    path = arguments.out / "benchmarks.csv"
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    for source in present:
        # A process of its own for each map, so that no method's memory counts what an earlier map left behind.
        with ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn")) as process:
            try:
                table = merged(table, process.submit(run, source, arguments).result())
            except BrokenProcessPool:
                print(f"{source.name} ended halfway and has no new rows: most likely the memory was too small.")
        write_scores_csv(path, table)
    write_report(path, arguments.out)
    print(f"{path}, {arguments.out / 'benchmarks.md'}")


def run(source: Source, arguments: argparse.Namespace) -> list[dict]:
    """The rows of one map."""
    place = SHARED / source.folder
    slide = open_count_cube(place) if place.suffix == ".npz" else open_xenium(place)
    bin_um = slide.bin_um if source.bin_um is None else source.bin_um
    config = RunConfig.preset("fast", stride=arguments.stride, bin_um=bin_um, device=arguments.device)
    job = prepare(slide, spread_genes(list(slide.genes), arguments.genes_per_map), config)
    methods = choose_methods(arguments.methods)
    others = list(slide.genes)[: arguments.panel] if set(methods) & set(PANEL_METHODS) else []
    panel = prepare(slide, others, config).sparse if others else None
    began = time.perf_counter()
    outcomes = []
    for outcome in benchmark(
        job, methods, seeds=tuple(int(seed) for seed in arguments.seeds.split(",")), seconds=arguments.seconds,
        steps=arguments.steps, one_by_one=arguments.one_by_one, colour=colour_map(slide.images, job.truth[0]),
        panel=panel,
    ):  # fmt: skip
        if not outcomes or outcome.method != outcomes[-1].method:
            print(f"{source.name}: {outcome.method} after {time.perf_counter() - began:.0f} s", flush=True)
        outcomes.append(outcome)
    shape = " x ".join(str(side) for side in job.sparse[0].shape)
    facts = {"map": source.name, "shape": shape, "stride": arguments.stride}
    where = {"machine": machine()}
    return [facts | {name: str(value) for name, value in row.items()} | where for row in rows(outcomes)]


def spread_genes(ranked: list[str], count: int) -> list[str]:
    """Strong to weak genes, of those ranked by frequency."""
    last = min(len(ranked), WEAKEST_RANK)
    ranks = np.unique(np.geomspace(1, last, min(count, last)).round().astype(int))
    return [ranked[rank - 1] for rank in ranks]


def merged(old: list[dict], new: list[dict]) -> list[dict]:
    """New rows instead of old ones of the same map, gene, method and seed; map after map."""

    def key(row: dict) -> tuple:
        return tuple(str(row[name]) for name in ("map", "stride", "gene", "method", "seed"))

    names, order = {key(row) for row in new}, [source.name for source in SOURCES]
    table = [row for row in old if key(row) not in names] + new
    return sorted(table, key=lambda row: order.index(row["map"]) if row["map"] in order else len(order))


if __name__ == "__main__":
    main()
