"""100 trainings in one window and one process: whether memory, file handles, threads and Qt's objects stay flat.

xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/soak.py [--trainings 100] [--steps 10] [--json FILE]

Each training is begun with the Train button on the sample slide and its result is removed again, as its maps would rightly stay;
then the same number of trainings of the engine alone, without a window. The slope is of a straight line through the second half,
after caches have filled; its standard error says what the noise allows to be told.

glibc gives threads arenas of their own, each of which keeps up to 64 MB of what was freed, so what the process holds wanders by
more than 100 MB with which thread happened to do what. On Linux this runs with one arena (MALLOC_ARENA_MAX=1) unless that
variable says otherwise. Even then memory goes up and down in steps, as memory that is not malloc's stays for a while (pyarrow's,
it seems); "in use" is what malloc was asked for and not given back, where glibc tells: there a leak shows, of whatever size.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

STEPS = 10
WAIT_S = 300.0
ARENAS = "MALLOC_ARENA_MAX"


class _Mallinfo(ctypes.Structure):
    """glibc's account of what was asked for and not freed (``uordblks``, and ``hblkhd`` in pages of its own) and of the rest."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    if sys.platform == "linux" and ARENAS not in os.environ:  # only read when a process begins
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {ARENAS: "1"})
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}", flush=True)
    report = {
        name: told(name, work(arguments.trainings, arguments.steps))
        for name, work in (("window", in_the_window), ("engine", in_the_engine))
    }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(report, indent=1))


def now() -> dict[str, float]:
    """What this process holds. What was freed is given back to the system first, where that can be asked for."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
    process = psutil.Process()
    memory = process.memory_full_info()
    asked = getattr(ctypes.CDLL(None), "mallinfo2", None) if sys.platform == "linux" else None
    in_use = {}
    if asked is not None:
        asked.restype = _Mallinfo
        found = asked()
        in_use = {"in use, MB": (found.uordblks + found.hblkhd) / 1e6}
    handles = process.num_fds() if hasattr(process, "num_fds") else process.num_handles()
    return {
        "memory, MB": getattr(memory, "uss", memory.rss) / 1e6,
        **in_use,
        "file handles": handles,
        "threads": process.num_threads(),
    }


def in_the_window(trainings: int, steps: int) -> list[dict[str, float]]:
    import napari
    from qtpy.QtCore import QEvent
    from qtpy.QtWidgets import QApplication

    from napari_s2sst.engine.config import RunConfig
    from napari_s2sst.plugin.viewer.sample_data import sample_slide_folder

    viewer = napari.Viewer(show=True)
    dock = viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    session = dock.session

    def wait(until) -> None:
        end = time.monotonic() + WAIT_S
        while not until():
            if time.monotonic() > end:
                raise SystemExit(f"Stuck: {session.state.value}, {session.busy!r}, {session.message!r}")
            QApplication.processEvents()
            time.sleep(0.005)

    dock.panels.sampling.instant_box.setChecked(False)
    dock.open_slide(sample_slide_folder())
    wait(lambda: session.can_train and not dock.genes.structure.busy and not dock.display.busy)
    config = RunConfig.preset("fast", steps=steps, batch=2, image_batch=1, symmetries=1, device="cpu")
    dock.panels.training.setValue(config)
    session.settings = config
    found = []
    for number in range(trainings):
        dock.panels.run.train_button.click()
        wait(lambda: session.entries and session.can_train and not dock.display.busy)
        if session.message:
            raise SystemExit(f"Training {number + 1}: {session.message}")
        dock.panels.result.remove_button.click()
        wait(lambda: not session.entries and not dock.display.busy)
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)  # as napari's own event loop does
        objects = len(QApplication.allWidgets()) + len(viewer.window._qt_window.findChildren(object))
        found.append(now() | {"Qt objects": objects, "layers": len(viewer.layers)})
        _progress(number, trainings, found[-1])
    viewer.close()
    return found


def in_the_engine(trainings: int, steps: int) -> list[dict[str, float]]:
    from napari_s2sst import RunConfig, fit, open_xenium
    from napari_s2sst.engine.runs.run import complete, prepare
    from napari_s2sst.engine.runs.write import write_result
    from napari_s2sst.engine.simulated.slide import write_sample_slide

    config = RunConfig.preset("fast", steps=steps, batch=2, image_batch=1, symmetries=1, device="cpu")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        slide = open_xenium(write_sample_slide(Path(folder) / "slide"))
        for number in range(trainings):
            job = prepare(slide, list(slide.genes)[:1], config)
            write_result(Path(folder) / "out", complete(job, fit(list(job.sparse), config)))
            found.append(now())
            _progress(number, trainings, found[-1])
    return found


def told(name: str, found: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Slopes per training over the second half, printed and returned."""
    half = found[len(found) // 2 :]
    report = {}
    print(f"\n{name}, trainings {len(found) - len(half) + 1} to {len(found)}")
    for what in half[0]:
        values = np.array([each[what] for each in half])
        slope, error = slope_of(values)
        report[what] = {"first": float(values[0]), "last": float(values[-1]), "slope": slope, "error": error}
        print(f"  {what:14} {values[0]:9.1f} to {values[-1]:9.1f}   {slope:+.4f} +- {error:.4f} for each training")
    return report


def slope_of(values: np.ndarray) -> tuple[float, float]:
    """Least squares against 0, 1, 2, ...; and the standard error."""
    if len(values) < 3:
        return 0.0, float("inf")
    fit, covariance = np.polyfit(np.arange(len(values)), values, 1, cov=True)
    return float(fit[0]), float(np.sqrt(covariance[0, 0]))


def _progress(number: int, total: int, facts: dict[str, float]) -> None:
    if number % 10 == 9 or number == 0:
        print(
            f"{number + 1:4} of {total}: " + ", ".join(f"{name} {value:g}" for name, value in facts.items()), flush=True
        )


if __name__ == "__main__":
    main()
