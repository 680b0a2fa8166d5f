"""Genes per minute with 1 and 2 workers, memory of each worker, and whether the scheduler's memory grows with slides done.

    python benchmarks/scaling.py                    about 6 minutes; writes docs/scaling.csv
    python benchmarks/scaling.py --seconds 20       shorter

The sample slide's most frequent genes, 4 to a task, the preset fast cut to 40 steps; so genes per minute count what is the same for
every gene (imputing, scoring, writing) and a short training, and the report says how long each took. What 400 genes x 20 slides
would take with the preset's own time limit is computed from them by :func:`needed`, not measured. For the scheduler, one is started
on its own with two workers, and given small trainings, each a slide of its own, for a while.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from napari_s2sst import Command, GeneMap, RunConfig, SlideJob, run_jobs, sample
from napari_s2sst.engine.cluster.events import PartDone, Planned
from napari_s2sst.engine.cluster.pool import WorkerPool
from napari_s2sst.engine.simulated.slide import write_sample_slide

STEPS = 40
PER_TASK = 4
SHORT_LOGS = {
    "DASK_DISTRIBUTED__ADMIN__LOG_LENGTH": "100",
    "DASK_DISTRIBUTED__ADMIN__LOW_LEVEL_LOG_LENGTH": "100",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__LOG_LENGTH": "100",
}
"""For the scheduler. Dask's logs end at 10,000 messages and an hour of samples; until then they grow, by some 17 kB a slide."""
TABLE = Path(__file__).parents[1] / "docs" / "scaling.csv"


class Memory(threading.Thread):
    """The highest memory (unshared where the system tells, else resident) of each of this process's workers, while it runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most: dict[int, int] = {}
        self.own: list[tuple[float, int]] = []
        self._over = threading.Event()

    def run(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.5):
            for each in own.children(recursive=True):
                try:
                    self.most[each.pid] = max(self.most.get(each.pid, 0), used(each))
                except psutil.Error:
                    continue

    def stop(self) -> list[int]:
        """Bytes of the workers, the largest first."""
        self._over.set()
        self.join()
        return sorted(self.most.values(), reverse=True)


def used(process: psutil.Process) -> int:
    facts = process.memory_full_info()
    return getattr(facts, "uss", facts.rss)


def speed(slide: Path, folder: Path, workers: int, seconds: float) -> dict[str, float]:
    """Genes per minute from the moment that all workers are there, over whole parts done within about so many seconds."""
    config = RunConfig.preset("fast", steps=STEPS, device="cpu")
    job = SlideJob(slide=slide, out=folder, config=config, genes_per_task=PER_TASK)
    memory, done, began, events = Memory(), [], 0.0, run_jobs([job], workers=workers)
    memory.start()
    event = next(events)
    try:
        while True:
            if isinstance(event, Planned):
                began = time.perf_counter()
            if isinstance(event, PartDone):
                done.append((time.perf_counter() - began, len(event.part.genes), event.facts["seconds"]))
            is_over = bool(done) and time.perf_counter() - began > seconds and len(done) >= workers
            event = events.send(Command.STOP if is_over else None)
    except StopIteration:
        pass
    most = memory.stop()[:workers]
    until = done[-1][0]
    return {
        "workers": workers,
        "genes": sum(genes for _, genes, _ in done),
        "seconds": until,
        "genes_per_minute": 60 * sum(genes for _, genes, _ in done) / until,
        "seconds_per_task": float(np.median([seconds for *_, seconds in done])),
        "worker_mb": max(most) / 1e6,
    }


def scheduler_slope(seconds: float) -> dict[str, float]:
    """A scheduler of its own, and trainings of 2 steps on ever new maps: its memory after each, and the slope."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "scheduler.json"
        start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                 "--scheduler-file", str(file)]  # fmt: skip
        quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        processes = [subprocess.Popen(start, env=os.environ | SHORT_LOGS, **quiet)]
        try:
            while not file.exists():
                time.sleep(0.1)
            address = json.loads(file.read_text())["address"]
            work = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--host", "127.0.0.1",
                    "--no-dashboard", "--memory-limit", "0", "--local-directory", folder]  # fmt: skip
            processes += [subprocess.Popen(work, **quiet) for _ in range(2)]
            with WorkerPool(address=address) as pool:
                return _slope(pool, psutil.Process(processes[0].pid), seconds)
        finally:
            for process in reversed(processes):
                process.terminate()
            for process in processes:
                process.wait()


def _slope(pool: WorkerPool, scheduler: psutil.Process, seconds: float) -> dict[str, float]:
    config = RunConfig.preset(
        "fast", steps=2, device="cpu", blocks=1, channels=8, growth=4, cascades=1, start_from="random", held_out=0, image_batch=2,
        batch=2,
    )  # fmt: skip
    rng, seen, began = np.random.default_rng(0), [], time.perf_counter()
    while time.perf_counter() - began < seconds:
        while pool.busy < 3:
            counts = rng.poisson(2, (256, 256)).astype(np.float32)
            order = {"kind": "train", "maps": (sample(GeneMap(counts, gene="G"), 2),), "config": config, "start": None}
            pool.send(order | {"preview_every_s": None, "every_s": 30.0, "tell_every_s": 1.0})
        for update in pool.updates():
            if update.kind == "done":
                seen.append(used(scheduler))
    late = np.array(seen[len(seen) // 2 :]) / 1e3  # after it has imported what it needs, and its logs are full
    return {
        "scheduler_slides": len(seen),
        "scheduler_mb": seen[-1] / 1e6,
        "scheduler_kb_per_slide": float(np.polyfit(np.arange(len(late)), late, 1)[0]),
    }


def needed(genes: int, slides: int, task_s: float, per_task: int, hours: float = 24.0) -> tuple[float, int]:
    """Computed: (worker hours in all, workers to be ready in so many hours), where a task takes a worker ``task_s``."""
    total = genes / per_task * slides * task_s / 3600
    return total, int(np.ceil(total / hours))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--seconds",
        type=float,
        default=70.0,
        help="of each of two measurements, without starting up; twice that of the third",
    )
    parser.add_argument("--slide", type=Path, help="a Xenium folder instead of the sample slide")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        slide = options.slide or write_sample_slide(Path(folder) / "slide")
        rows = [speed(slide, Path(folder) / f"out{workers}", workers, options.seconds) for workers in (1, 2)]
    slope = scheduler_slope(2 * options.seconds)
    facts = {"load_before": round(load, 2), "cores": os.cpu_count(), "machine": platform.machine(), "steps": STEPS,
             "genes_per_task": PER_TASK}  # fmt: skip
    with TABLE.open("w", newline="") as file:
        table = csv.DictWriter(file, [*facts, *rows[0], *slope])
        table.writeheader()
        for row in rows:
            table.writerow({k: round(v, 3) if isinstance(v, float) else v for k, v in (facts | row | slope).items()})
    for row in rows:
        print(json.dumps({k: round(v, 2) for k, v in row.items()}))
    print(json.dumps({k: round(v, 2) for k, v in slope.items()}), f"load before: {load:.1f} on {os.cpu_count()} cores")
    # A task's own seconds beside its training; a training of the preset fast is 120 s by its own limit.
    for per_task in (PER_TASK, 16):
        one = rows[0]["seconds_per_task"] / PER_TASK * per_task + 120
        for genes, slides in ((400, 20), (5000, 500)):
            total, workers = needed(genes, slides, one, per_task)
            print(f"computed: {genes} genes x {slides} slides, {per_task} genes a task: {total:,.0f} worker hours, "
                  f"{workers:,} workers for a day")  # fmt: skip


if __name__ == "__main__":
    main()
