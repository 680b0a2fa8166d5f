"""How much less a small region costs: imputing a region of 1/16 of a map against the whole map.

python benchmarks/region_cost.py [--side 400] [--repeats 5] [--json FILE]

The shipped network with its classical share, and every classical method on its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
from scipy import ndimage
from shapely.geometry import box

from napari_s2sst import GeneMap, RunConfig, fit, impute, interpolate, sample
from napari_s2sst.engine.classical.methods import METHODS
from napari_s2sst.engine.sampling.regions import Region, restrict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=400, help="of the map, in bins")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()

    side = arguments.side
    rng = np.random.default_rng(0)
    rate = np.exp(20 * ndimage.gaussian_filter(rng.standard_normal((side, side)), 6))
    whole = GeneMap(rng.poisson(rate).astype(np.float32), gene="made", bin_um=20.0)
    corner, end = side * 20 * 3 / 8, side * 20 * 5 / 8
    region = Region("a sixteenth", box(corner, corner, end, end))
    maps = [sample(whole), sample(restrict(whole, region))]
    trained = fit(maps[:1], RunConfig.preset("instant", device="cpu"))
    rows = []
    for name in ("network", *METHODS):
        seconds = []
        for sparse in maps:
            times = []
            for _ in range(arguments.repeats):
                began = time.perf_counter()
                impute(trained, sparse) if name == "network" else interpolate(sparse, name)
                times.append(time.perf_counter() - began)
            seconds.append(statistics.median(times))
        rows.append({"what": name, "whole_s": seconds[0], "region_s": seconds[1], "share": seconds[1] / seconds[0]})
        print(
            f"{name:18s} {seconds[0]:8.3f} s  {seconds[1]:8.3f} s   {100 * seconds[1] / seconds[0]:5.1f} %", flush=True
        )
    if arguments.json:
        arguments.json.write_text(json.dumps({"side": side, "area_share": 1 / 16, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
