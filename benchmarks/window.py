"""How late a 20 ms timer is in the window, idle and whatever it does; of 100 ticks while training 99 are to be less than
100 ms late, and none more than 250 ms.

xvfb-run -a -s "-screen 0 1920x1080x24" python benchmarks/window.py [--seconds 30] [--slide FOLDER]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

PERIOD_MS = 20
PROMISE_99_MS, PROMISE_MS = 100, 250
EDGES_MS = (0, 2, 5, 10, 20, 50, 100, 250)
CHOSEN = 10
"""Genes that are chosen one after the other."""
BAR = 40
"""Letters of the longest line of the histogram."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="of idling, and of training")
    parser.add_argument("--slide", type=Path, help="a Xenium folder; the sample slide when left out")
    parser.add_argument("--gene", help="the most frequent one when left out")
    parser.add_argument("--bin-um", type=float, default=20)
    arguments = parser.parse_args()

    import napari
    from qtpy.QtCore import Qt, QTimer

    from napari_s2sst.plugin.viewer.sample_data import sample_slide_folder

    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1366, 768)
    dock = viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
    instant = dock.instant
    folder = tempfile.mkdtemp()
    late: list[tuple[float, float]] = []
    last = time.perf_counter()

    def tick() -> None:
        nonlocal last
        now = time.perf_counter()
        late.append((now, 1000 * (now - last) - PERIOD_MS))
        last = now

    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(PERIOD_MS)
    settle = _settler()

    def phase(name: str, until, limit_s: float = 300) -> list[float]:
        nonlocal last
        late.clear()
        last = time.perf_counter()
        began = last
        while not until() and time.perf_counter() - began < limit_s:
            settle()
        _report(name, late, began)
        return [max(0.0, value) for _, value in late]

    began = time.perf_counter()
    phase("opening the dock", lambda: time.perf_counter() - began > 2)
    dock.open_slide(arguments.slide or sample_slide_folder())
    session = dock.session
    phase("opening the slide", lambda: session.gene_map is not None and not session.busy)
    phase("imputing at once", lambda: session.shown is not None)
    phase("judging that", lambda: bool(session.shown.scores) and not dock.display.busy)
    phase("scoring the genes", lambda: not dock.genes.structure.busy)
    phase("importing torch meanwhile", lambda: dock.panels.training.device_box.count() > 1)
    gene = arguments.gene or list(session.slide.genes)[1]
    dock.choose_gene(gene)
    phase("another gene", lambda: session.shown.gene == gene and bool(session.shown.scores) and not dock.display.busy)
    _choose(dock, [each for each in session.slide.genes if each != gene][:CHOSEN], settle)
    dock.choose_gene(gene)
    phase("and the first again", lambda: session.shown.gene == gene and bool(session.shown.scores) and not instant.busy)
    dock.regions.draw("add_polygon")
    size_um = session.gene_map.shape[0] * session.gene_map.bin_um
    corners = [[y * size_um, x * size_um] for y, x in ((0.2, 0.2), (0.2, 0.8), (0.8, 0.8), (0.8, 0.2))]
    dock.regions.layer.add_polygons(corners)
    whole = session.gene_map
    phase("drawing a region", lambda: session.gene_map is not whole and not session.busy)
    phase("imputing and judging it", lambda: bool(session.shown.scores) and not dock.display.busy and not instant.busy)
    dock.regions.clear()
    phase("taking it away", lambda: session.gene_map.tissue.sum() == whole.tissue.sum() and not instant.busy)
    for kind in ("error", "uncertainty", "counts", "imputed"):
        dock.panels.view.buttons[kind].click()
        began = time.perf_counter()
        phase(f"looking at {kind}", lambda began=began: time.perf_counter() - began > 0.5)
    if arguments.bin_um != session.sampling.bin_um:
        dock.panels.sampling.bin_box.setValue(arguments.bin_um)
        bin_um = arguments.bin_um
        phase("counting in other bins", lambda: session.can_train and session.gene_map.bin_um == bin_um)
        phase("imputing and judging those", lambda: not instant.busy and not dock.display.busy)
        phase("scoring the genes in them", lambda: not dock.genes.structure.busy)
    began = time.perf_counter()
    idle = phase("idle", lambda: time.perf_counter() - began > arguments.seconds)
    session.settings = session.settings.changed(seconds=arguments.seconds, device="cpu")
    dock.train()
    phase("getting ready", lambda: session.started is not None)
    training = phase("training, with previews", lambda: session.finished is not None)
    phase("imputing and scoring", lambda: session.result is not None or bool(session.message))
    began = time.perf_counter()
    phase("showing the result", lambda: not dock.display.busy and time.perf_counter() - began > 2)
    dock.results.export(Path(folder))
    phase("writing its files", lambda: not session.busy)
    print(session.message or f"{session.result.trained.steps} steps, map {session.gene_map.shape}")
    _histogram({"idle": idle, "training": training})
    timer.stop()
    viewer.close()


def _choose(dock, genes: list[str], settle) -> None:
    """Seconds from choosing a gene to its counts and to what is imputed at once, both as layers that are seen."""
    session, found = dock.session, []
    for gene in genes:
        began = time.perf_counter()
        dock.choose_gene(gene)
        while session.gene_map is None or session.gene_map.gene != gene:
            settle()
        counted = time.perf_counter() - began
        while session.shown is None or session.shown.gene != gene or dock.display.layer("imputed") is None:
            settle()
        found.append((counted, time.perf_counter() - began))
        while dock.instant.imputing or dock.display.busy:
            settle()
    for name, seconds in zip(("counts", "imputed at once"), zip(*found, strict=True), strict=True):
        middle, most = statistics.median(seconds), max(seconds)
        print(f"choosing a gene, {len(genes)} times: {name} after {middle:.2f} s, at most {most:.2f} s", flush=True)


def _settler():
    """Run the event loop as napari does: blocking until something happens, not polling."""
    from qtpy.QtCore import QEventLoop
    from qtpy.QtWidgets import QApplication

    wait = QEventLoop.ProcessEventsFlag.WaitForMoreEvents

    def settle() -> None:
        QApplication.processEvents(wait)

    return settle


def _report(name: str, late: list[tuple[float, float]], began: float) -> None:
    values = [max(0.0, value) for _, value in late] or [0.0]
    worst = max(range(len(values)), key=values.__getitem__)
    p99 = statistics.quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]
    at = late[worst][0] - began if late else 0.0
    over = sum(value > PROMISE_99_MS for value in values)
    print(
        f"{name:34} {len(values):5} ticks   max {max(values):7.1f} ms (after {at:6.1f} s)   99 % {p99:7.1f} ms   "
        f"over {PROMISE_99_MS} ms: {over}",
        flush=True,
    )


def _histogram(phases: dict[str, list[float]]) -> None:
    """How many ticks of each phase were so late, in percent, as bars."""
    for name, values in phases.items():
        print(f"\n{name}: {len(values)} ticks")
        for low, high in zip(EDGES_MS, (*EDGES_MS[1:], float("inf")), strict=True):
            share = sum(low <= value < high for value in values) / max(1, len(values))
            print(f"  {low:4} to {high:4} ms late {share:7.2%} {'#' * round(BAR * share)}")


if __name__ == "__main__":
    main()
