"""What starting costs: import of the package, `s2sst --help`, `s2sst info`, and the dock widget in a napari window.

xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/import_time.py [--repeats 7] [--slide FOLDER] [--json FILE]

Every start is a fresh process, all in turn, so that what else the machine does falls on all of them. Aims: the import under
0.5 s; the dock widget is there without torch being loaded. Without a screen the window is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

WATCHED = ("torch", "pandas", "anndata", "scipy", "skimage", "shapely", "dask", "zarr", "napari")
AIM_S = 0.5
TELL = f"import sys; print('loaded', *sorted({set(WATCHED)!r} & set(sys.modules)))"
WINDOW = """
import time
import napari
viewer = napari.Viewer(show=True)
began = time.perf_counter()
viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")
print("inside", time.perf_counter() - began)
from qtpy.QtWidgets import QApplication
while time.perf_counter() - began < 3:  # what it starts in the background shall have begun
    QApplication.processEvents()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="starts of each, in turn, after one to warm up")
    parser.add_argument("--slide", type=Path, help="a Xenium folder for `s2sst info`; the sample slide when left out")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="s2sst-import-") as folder:
        rows = measure(starts(arguments.slide or sample_slide(Path(folder))), arguments.repeats)
    print(f"{'':34} seconds (from - to)     CPU   packages loaded")
    for row in rows:
        print(
            f"{row['what']:34} {row['seconds']:7.3f} ({row['least']:.3f} - {row['most']:.3f}) {row['cpu_seconds']:6.3f}   "
            f"{', '.join(row['loaded']) or 'none'}"
        )
    print(f"packages looked for: {', '.join(WATCHED)}")
    if arguments.json:
        machine = {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        facts = {"name": "import time", **machine, "python": platform.python_version(), "aim_import_s": AIM_S}
        arguments.json.write_text(json.dumps(facts | {"rows": rows}, indent=2))


def starts(slide: Path) -> dict[str, str]:
    """Name -> what a fresh interpreter runs."""

    def command(*words: str) -> str:
        return f"from napari_s2sst.cli.app import main; main({list(words)!r})"

    found = {
        "python alone": "pass",
        "import numpy": "import numpy",
        "import napari_s2sst": "import napari_s2sst",
        "s2sst --help": command("--help"),
        "s2sst info": command("info", str(slide)),
    }
    screen = not sys.platform.startswith("linux") or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if screen:
        found["dock widget in a napari window"] = WINDOW
    else:
        print("The dock widget is left out: there is no screen. xvfb-run makes one.")
    return found


def sample_slide(folder: Path) -> Path:
    """The embedded sample slide, written by a process of its own."""
    code = f"from napari_s2sst.cli.app import main; main(['demo', {str(folder / 'slide')!r}])"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    return folder / "slide"


def measure(codes: dict[str, str], repeats: int) -> list[dict]:
    """Medians over the repeats; of the window, of the time until its dock is there, without napari's own start."""
    runs: dict[str, list[dict]] = {what: [] for what in codes}
    for repeat in range(repeats + 1):
        for what, code in codes.items():
            run = start(code)
            if repeat:
                runs[what].append(run)
    rows = []
    for what, results in runs.items():
        seconds = [result["inside"] or result["seconds"] for result in results]
        rows.append(
            {"what": what, "repeats": repeats, "seconds": statistics.median(seconds), "least": min(seconds),
             "most": max(seconds), "cpu_seconds": statistics.median(result["cpu_seconds"] for result in results),
             "loaded": results[0]["loaded"]}
        )  # fmt: skip
    return rows


def start(code: str) -> dict:
    """Wall and processor seconds of one process, and which of the watched packages it held at its end."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", f"{code}\n{TELL}"], capture_output=True, text=True)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"a start failed:\n{code}\n{done.stderr}")
    said = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    inside = float(said["inside"][0]) if "inside" in said else None
    return {"seconds": seconds, "cpu_seconds": cpu, "inside": inside, "loaded": said["loaded"]}


if __name__ == "__main__":
    main()
