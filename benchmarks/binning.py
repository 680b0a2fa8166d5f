"""Gene maps of a slide of 40 million transcripts: time beside a bare pyarrow scan of the same columns, and peak memory.

python benchmarks/binning.py [--transcripts 40000000] [--repeats 5] [--bin-um 20] [--slide FOLDER] [--json FILE]

The slide is the real bone marrow slide thirty times, shifted to a section of 10 x 11 mm, with qualities drawn from those of
the real breast slide; it goes to a temporary folder and is removed. Every batch of a scan is thrown away; "scan" reads names
as dictionaries, which is faster, "text" as pyarrow does unless told. Each piece of work runs in a process of its own, all in
turn, so that what else the machine does falls on all of them; imports are not timed, the file is in the system's cache.
The last row only makes maps of zeros: what the operating system asks for the panel's memory, whoever counts.
Aims: at most 1.5 times the scan, under 1 GB of memory.
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
        print(json.dumps(measured(arguments.work, arguments.slide, arguments.bin_um)))
        return
    with tempfile.TemporaryDirectory(prefix="s2sst-binning-") as folder:
        slide = arguments.slide or make_slide(Path(folder), arguments.transcripts)
        rows = compare(slide, arguments)
    show(rows)
    if arguments.json:
        machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        facts = {"name": "binning", **machine, "pyarrow": pa.__version__, "aim_ratio": AIM_RATIO, "aim_mb": AIM_MB}
        arguments.json.write_text(json.dumps(facts | {"rows": rows}, indent=2))


def make_slide(folder: Path, transcripts: int) -> Path:
    """Write the slide a row group at a time."""
    place = SHARED / "xenium_bone_marrow" / "transcripts.parquet"
    qualities = SHARED / "xenium_v1_breast_crop" / "transcripts.parquet"
    if not (place.exists() and qualities.exists()):
        sys.exit(f"There is no {place} or {qualities}. S2SST_SHARED_DATA names the folder of the shared data.")
    real = pq.read_table(place, columns=COLUMNS[:3], read_dictionary=["feature_name"]).combine_chunks()
    name, x, y = (real.column(column).chunk(0) for column in COLUMNS[:3])
    codes, x, y = name.indices.to_numpy(), x.to_numpy(), y.to_numpy()
    qv = pq.read_table(qualities, columns=["qv"])["qv"].to_numpy()
    rng = np.random.default_rng(0)
    copies = -(-transcripts // len(codes))
    spot = np.arange(copies) % (PLACES[0] * PLACES[1])
    shift = np.stack(np.divmod(spot, PLACES[1]), 1) * [np.ceil(y.max()), np.ceil(x.max())]
    shift = (shift + rng.uniform(0, JITTER_UM, shift.shape)).astype(np.float32)
    schema = pa.schema([(COLUMNS[0], pa.string()), *((column, pa.float32()) for column in COLUMNS[1:])])
    with pq.ParquetWriter(folder / "transcripts.parquet", schema, compression="snappy") as writer:
        for first in range(0, transcripts, ROW_GROUP):
            copy, row = np.divmod(np.arange(first, min(first + ROW_GROUP, transcripts)), len(codes))
            names = pa.DictionaryArray.from_arrays(codes[row], name.dictionary).cast(pa.string())
            places = [x[row] + shift[copy, 1], y[row] + shift[copy, 0]]
            writer.write_table(pa.table([names, *places, rng.choice(qv, len(row))], schema), ROW_GROUP)
    (folder / "experiment.xenium").write_text(json.dumps({"region_name": f"bone marrow x {copies}"}))
    return folder


def compare(slide: Path, arguments: argparse.Namespace) -> list[dict]:
    """One row for each piece of work: medians over the repeats, ratios within each repeat."""
    runs: dict[str, list[dict]] = {work: [] for work in WORK}
    for repeat in range(arguments.repeats + 1):
        for work in WORK:
            command = [sys.executable, __file__, "--work", work, "--slide", slide, "--bin-um", str(arguments.bin_um)]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"{work} failed:\n{done.stderr}")
            if repeat:  # the first one brings the file into the system's cache
                runs[work].append(json.loads(done.stdout))
        print(f"repeat {repeat} of {arguments.repeats} is done", file=sys.stderr, flush=True)
    rows = []
    for work, results in runs.items():
        middle = {key: statistics.median(result[key] for result in results) for key in results[0]}
        ratios = [one["seconds"] / scan["seconds"] for one, scan in zip(results, runs["scan"], strict=True)]
        bare = [one["seconds"] / text["seconds"] for one, text in zip(results, runs["scan_text"], strict=True)]
        rows.append(
            {"work": work, "what": WORK[work].__doc__, "repeats": len(results), **middle,
             "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
             "ratio_to_text": statistics.median(bare)}
        )  # fmt: skip
    return rows


def show(rows: list[dict]) -> None:
    """A table: work, time, how many times the scan, memory."""
    print(f"{'':32} seconds  x scan (from - to)  x text    user  system   peak MB  above start  of it maps")
    for row in rows:
        print(
            f"{row['what']:32} {row['seconds']:7.2f}  {row['ratio']:6.2f} ({row['least']:.2f} - {row['most']:.2f})  "
            f"{row['ratio_to_text']:6.2f}  {row['user_seconds']:6.2f}  {row['system_seconds']:6.2f}  "
            f"{row['peak_mb']:8.0f}  {row['extra_mb']:11.0f}  {row['maps_mb']:10.0f}"
        )


def measured(work: str, slide: Path, bin_um: float) -> dict[str, float]:
    """Wall and processor seconds and memory of one piece of work, in this process."""
    from napari_s2sst.engine.peak_memory import PeakMemory

    ready = WORK[work](slide, bin_um)
    with PeakMemory() as peak:
        began, before = time.perf_counter(), os.times()
        maps = ready()
        seconds, after = time.perf_counter() - began, os.times()
    user, system = after.user - before.user, after.system - before.system
    size = sum(one.values.nbytes for one in maps)
    return {
        "seconds": seconds, "user_seconds": user, "system_seconds": system, "peak_mb": peak.mb, "extra_mb": peak.extra_mb,
        "maps_mb": size / 1e6, "transcripts": int(sum(float(one.values.sum(dtype=float)) for one in maps)),
    }  # fmt: skip


def scan(slide: Path, bin_um: float):
    """pyarrow scan of 4 columns"""

    def work() -> list:
        with pq.ParquetFile(slide / "transcripts.parquet", read_dictionary=["feature_name"]) as table:
            for _ in table.iter_batches(columns=COLUMNS):
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


def room(slide: Path, bin_um: float):
    """only memory for the panel's maps"""
    from napari_s2sst import GeneMap
    from napari_s2sst.engine.grid import Grid

    bundle = opened(slide)
    shape = (len(bundle.genes), *Grid.over(bundle.extent_um, bin_um).shape)
    return lambda: [GeneMap(np.full(shape[1:], 0, np.float32)) for _ in range(shape[0])]


def opened(slide: Path):
    """The slide as the engine opens it, with everything imported that it imports later."""
    import scipy.ndimage  # noqa: F401
    import skimage.measure
    import skimage.morphology  # noqa: F401

    from napari_s2sst import open_xenium

    return open_xenium(slide)


WORK = {work.__name__: work for work in (scan, scan_text, survey, one_gene, next_gene, panel, room)}


if __name__ == "__main__":
    main()
