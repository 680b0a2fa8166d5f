"""Gene maps of a slide of 40 million transcripts: time beside a bare pyarrow scan of the same columns, and peak memory.

python benchmarks/binning.py [--transcripts 40000000] [--repeats 5] [--bin-um 20] [--slide FOLDER] [--json FILE]

The slide is the real bone marrow slide thirty times, shifted to a section of 10 x 11 mm, with qualities drawn from those of
the real breast slide; it goes to a temporary folder and is removed. Every batch of a scan is thrown away; "scan" reads names
as dictionaries, which is faster, "text" as pyarrow does unless told. Each piece of work runs in a process of its own, all in
turn, so that what else the machine does falls on all of them; imports are not timed, the file is in the system's cache.
Nothing is kept from one piece of work to the next (S2SST_CACHE=off); loading.py measures opening, the cache, 5,000 genes, images.
Aims: at most 1.5 times the scan, under 1 GB of memory above the result.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

REPOSITORY = Path(__file__).parents[1]
SHARED = Path(os.environ.get("S2SST_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
COLUMNS = ["feature_name", "x_location", "y_location", "qv"]
PLACES = (3, 1)
"""(down, across): so many copies side by side are 10.3 x 11 mm, half of what a Xenium images (10.45 x 22.45 mm)."""
JITTER_UM = 60.0
"""Copies at the same place are shifted by up to so much, or every fifth transcript would stand at the same point."""
PIXEL_SIZE_UM = 0.55
"""So that loading.py's image covers the transcripts."""
ROW_GROUP = 1 << 20
"""As in the files of 10x at hand, which its pyarrow wrote."""
AIM_RATIO, AIM_MB = 1.5, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transcripts", type=int, default=40_000_000)
    parser.add_argument("--repeats", type=int, default=5, help="of every piece of work, in turn")
    parser.add_argument("--bin-um", type=float, default=20.0)
    parser.add_argument("--slide", type=Path, help="a Xenium folder to measure instead of the made one")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(measured(WORK[arguments.work], arguments.slide, arguments.bin_um)))
        return
    with tempfile.TemporaryDirectory(prefix="s2sst-binning-") as folder:
        slide = arguments.slide or make_slide(Path(folder), arguments.transcripts)
        rows = compare(Path(__file__), WORK, slide, arguments.bin_um, arguments.repeats)
    show(rows)
    if arguments.json:
        machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        facts = {"name": "binning", **machine, "pyarrow": pa.__version__, "aim_ratio": AIM_RATIO, "aim_mb": AIM_MB}
        arguments.json.write_text(json.dumps(facts | {"rows": rows}, indent=2))


def make_slide(folder: Path, transcripts: int, genes: int | None = None) -> Path:
    """Write the slide a row group at a time; with ``genes``, each name becomes several, so that there are about so many."""
    place = SHARED / "xenium_bone_marrow" / "transcripts.parquet"
    qualities = SHARED / "xenium_v1_breast_crop" / "transcripts.parquet"
    if not (place.exists() and qualities.exists()):
        sys.exit(f"There is no {place} or {qualities}. S2SST_SHARED_DATA names the folder of the shared data.")
    real = pq.read_table(place, columns=COLUMNS[:3], read_dictionary=["feature_name"]).combine_chunks()
    name, x, y = (real.column(column).chunk(0) for column in COLUMNS[:3])
    codes, x, y = name.indices.to_numpy(), x.to_numpy(), y.to_numpy()
    qv = pq.read_table(qualities, columns=["qv"])["qv"].to_numpy()
    rng = np.random.default_rng(0)
    dictionary, parts = name.dictionary, 1 if genes is None else -(-genes // len(name.dictionary))
    if parts > 1:
        dictionary = pa.array([f"{each}.{part}" for each in dictionary.to_pylist() for part in range(parts)])
    copies = -(-transcripts // len(codes))
    spot = np.arange(copies) % (PLACES[0] * PLACES[1])
    shift = np.stack(np.divmod(spot, PLACES[1]), 1) * [np.ceil(y.max()), np.ceil(x.max())]
    shift = (shift + rng.uniform(0, JITTER_UM, shift.shape)).astype(np.float32)
    schema = pa.schema([(COLUMNS[0], pa.string()), *((column, pa.float32()) for column in COLUMNS[1:])])
    with pq.ParquetWriter(folder / "transcripts.parquet", schema, compression="snappy") as writer:
        for first in range(0, transcripts, ROW_GROUP):
            copy, row = np.divmod(np.arange(first, min(first + ROW_GROUP, transcripts)), len(codes))
            code = codes[row] * parts + rng.integers(0, parts, len(row), np.int32)
            names = pa.DictionaryArray.from_arrays(code, dictionary).cast(pa.string())
            places = [x[row] + shift[copy, 1], y[row] + shift[copy, 0]]
            writer.write_table(pa.table([names, *places, rng.choice(qv, len(row))], schema), ROW_GROUP)
    manifest = {"region_name": f"bone marrow x {copies}", "pixel_size": PIXEL_SIZE_UM}
    (folder / "experiment.xenium").write_text(json.dumps(manifest))
    return folder


def compare(script: Path, works: dict, slide: Path, bin_um: float, repeats: int, scan: str = "scan") -> list[dict]:
    """One row for each piece of work, run by the script: medians over the repeats, ratios within each repeat."""
    runs: dict[str, list[dict]] = {work: [] for work in works}
    for repeat in range(repeats + 1):
        for work in works:
            command = [sys.executable, script, "--work", work, "--slide", slide, "--bin-um", str(bin_um)]
            done = subprocess.run(
                [str(word) for word in command], capture_output=True, text=True, env=os.environ | {"S2SST_CACHE": "off"}
            )
            if done.returncode:
                sys.exit(f"{work} failed:\n{done.stderr}")
            if repeat:  # the first one brings the file into the system's cache
                runs[work].append(json.loads(done.stdout))
        load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
        print(f"repeat {repeat} of {repeats} is done, load {load}", file=sys.stderr, flush=True)
    rows = []
    for work, results in runs.items():
        middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
        ratios = [one["seconds"] / scan["seconds"] for one, scan in zip(results, runs[scan], strict=True)]
        busy = [(one["user_seconds"] + one["system_seconds"]) / (each["user_seconds"] + each["system_seconds"])
                for one, each in zip(results, runs[scan], strict=True)]  # fmt: skip
        rows.append(
            {"work": work, "what": works[work].__doc__, "repeats": len(results), **middle,
             "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
             "ratio_busy": statistics.median(busy)}
        )  # fmt: skip
    return rows


def show(rows: list[dict]) -> None:
    """A table: work, wall time, how many times the scan's wall and processor time, memory."""
    print(f"{'':36} seconds  x scan (from - to)  x its busy time   user  system  peak MB  above start  result MB")
    for row in rows:
        print(
            f"{row['what']:36} {row['seconds']:7.2f}  {row['ratio']:6.2f} ({row['least']:.2f} - {row['most']:.2f})  "
            f"{row['ratio_busy']:15.2f}  {row['user_seconds']:5.2f}  {row['system_seconds']:6.2f}  "
            f"{row['peak_mb']:7.0f}  {row['extra_mb']:11.0f}  {row['result_mb']:9.0f}"
        )


def measured(work: Callable, slide: Path, bin_um: float) -> dict[str, float]:
    """Wall and processor seconds and memory of one piece of work, in this process."""
    from napari_s2sst.engine.benchmark.benchmark import PeakMemory

    ready = work(slide, bin_um)
    with PeakMemory() as peak:
        began, before = time.perf_counter(), os.times()
        result = ready()
        seconds, after = time.perf_counter() - began, os.times()
    user, system = after.user - before.user, after.system - before.system
    return {
        "seconds": seconds, "user_seconds": user, "system_seconds": system, "peak_mb": peak.mb, "extra_mb": peak.extra_mb,
        "result_mb": size_mb(result),
    }  # fmt: skip


def size_mb(result: object) -> float:
    """What maps hold; 0 of anything else."""
    panel = getattr(result, "panel", None)
    if panel is not None:
        return panel.nbytes / 1e6
    return sum(one.values.nbytes for one in result) / 1e6 if isinstance(result, list) else 0.0


def scan(slide: Path, bin_um: float):
    """pyarrow scan of 4 columns"""

    def work() -> list:
        with pq.ParquetFile(slide / "transcripts.parquet", read_dictionary=["feature_name"]) as table:
            for _ in table.iter_batches(columns=COLUMNS):
                pass
        return []

    return work


def scan_three(slide: Path, bin_um: float):
    """pyarrow scan without the quality"""

    def work() -> list:
        with pq.ParquetFile(slide / "transcripts.parquet", read_dictionary=["feature_name"]) as table:
            for _ in table.iter_batches(columns=COLUMNS[:3]):
                pass
        return []

    return work


def scan_text(slide: Path, bin_um: float):
    """pyarrow scan, names as text"""

    def work() -> list:
        with pq.ParquetFile(slide / "transcripts.parquet") as table:
            for _ in table.iter_batches(columns=COLUMNS):
                pass
        return []

    return work


def survey(slide: Path, bin_um: float):
    """opening: genes by frequency"""
    bundle = opened(slide)
    return lambda: list(bundle.genes)[:0]


def one_gene(slide: Path, bin_um: float):
    """one gene of an opened slide"""
    bundle = opened(slide)
    gene = next(iter(bundle.genes))
    return lambda: [bundle.gene_map(gene, bin_um)]


def next_gene(slide: Path, bin_um: float):
    """one more gene"""
    bundle = opened(slide)
    first, second, *_ = bundle.genes
    bundle.gene_map(first, bin_um)
    return lambda: [bundle.gene_map(second, bin_um)]


def panel(slide: Path, bin_um: float):
    """the whole panel, opened slide"""
    bundle = opened(slide)
    genes = list(bundle.genes)
    return lambda: bundle.gene_maps(genes, bin_um)


def panel_maps(slide: Path, bin_um: float):
    """and each of its maps looked at"""
    bundle = opened(slide)
    genes = list(bundle.genes)

    def work() -> list:
        for _ in bundle.gene_maps(genes, bin_um):
            pass
        return []

    return work


def opened(slide: Path):
    """The slide as the engine opens it, with everything imported that it imports later."""
    import scipy.ndimage  # noqa: F401
    import skimage.measure
    import skimage.morphology  # noqa: F401

    from napari_s2sst import open_xenium

    return open_xenium(slide)


WORK = {work.__name__: work for work in (scan, scan_three, scan_text, survey, one_gene, next_gene, panel, panel_maps)}


if __name__ == "__main__":
    main()
