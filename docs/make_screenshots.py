"""The whole story in the real window, step by step, each with its picture in docs/images/*.png.

xvfb-run -a -s "-screen 0 1920x1080x24" python docs/make_screenshots.py [--seconds 40] [--slide FOLDER] [--scale 2] [--out FOLDER]

Open, search a gene, look at what is imputed at once, lattice, region, train, pause, go on, stop, compare, export. It ends
with an error when a step does not lead to the next one within its time.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
SIZE = (1366, 768)
"""The smallest screen that the dock is made for."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=40, help="training time")
    parser.add_argument("--slide", type=Path, help="a Xenium folder; the sample slide when left out")
    parser.add_argument("--gene", help="the most frequent one when left out")
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--scale", type=float, default=1.0, help="of the screen: 2 as on a screen of 4K")
    parser.add_argument("--out", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ["QT_SCALE_FACTOR"] = str(arguments.scale)
    import napari

    viewer = napari.Viewer(show=True)
    viewer.theme = arguments.theme
    try:
        Story(viewer, arguments).run()
    finally:
        viewer.close()


class Story:
    """What a pathologist does in a first hour, driven through the widgets and not behind their back."""

    def __init__(self, viewer, arguments) -> None:
        self.viewer, self.arguments = viewer, arguments
        self.window = viewer.window._qt_window
        self.dock = None

    def run(self) -> None:
        from qtpy.QtTest import QTest

        from napari_s2sst.plugin.viewer.sample_data import sample_slide_folder

        arguments = self.arguments
        self.window.showNormal()
        self.window.resize(*SIZE)
        self.dock = dock = self.viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")[1]
        session, panels = dock.session, dock.panels
        self.shoot("1_empty")

        dock.open_slide(arguments.slide or sample_slide_folder())
        self.until("the slide is open", lambda: session.gene_map is not None and not session.busy)
        gene = arguments.gene or session.gene
        QTest.keyClicks(panels.genes.search, gene[:3])
        self.settle(0.3)
        QTest.keyClicks(panels.genes.search, gene[3:])
        QTest.keyClick(panels.genes.search, _key("Key_Return"))
        self.until("the gene is imputed at once", lambda: session.shown is not None and session.shown.gene == gene)
        self.until("it is scored", lambda: bool(session.shown.scores) and not dock.display.busy)
        panels.genes.search.clear()
        self.until("all genes are scored", lambda: not dock.genes.structure.busy)
        self.shoot("2_slide")

        panels.show_page("Sampling")
        panels.sampling.lattice_box.click()
        self.shoot("3_lattice")
        panels.sampling.lattice_box.click()
        self.draw_regions()
        self.until("the regions are counted", lambda: not session.outdated and not session.busy)
        self.until("and imputed", lambda: bool(session.shown.result.job.regions) and not dock.display.busy)
        self.shoot("4_regions")

        panels.show_page("Training")
        panels.training.setValue(panels.training.value().changed(seconds=arguments.seconds))
        session.settings = panels.training.value()
        panels.run.train_button.click()
        self.until("losses are drawn", lambda: len(session.losses) >= 3 and bool(panels.live.text()))
        panels.run.pause_button.click()
        self.until("it rests", lambda: session.state.name == "PAUSED")
        self.shoot("5_paused")
        panels.run.pause_button.click()
        self.until("it goes on", lambda: session.state.name == "TRAINING")
        self.until("more is learnt", lambda: len(session.losses) >= 8 or session.result is not None)
        self.shoot("6_training")
        if session.can_stop:
            panels.run.stop_button.click()
        self.until("there is a result", lambda: session.result is not None and not session.running, 300)
        self.until("it is drawn", lambda: not dock.display.busy)
        self.settle(1.5)
        self.shoot("7_result")
        panels.view.buttons["error"].click()
        self.shoot("8_error")
        panels.view.buttons["imputed"].click()

        compare = panels.result.compare
        _scroll_to(compare)
        for name, mode in (("9_side_by_side", "SIDE_BY_SIDE"), ("10_swipe", "SWIPE")):
            next(button for each, button in compare.buttons.items() if each.name == mode).click()
            self.shoot(name)
        next(button for each, button in compare.buttons.items() if each.name == "OFF").click()

        from napari_s2sst.engine.export.choice import ExportChoice

        with tempfile.TemporaryDirectory() as folder:
            choice = ExportChoice(comparison=True, csv=True, regions=True, script=True)
            dock.results.export(folder, choice)
            self.until("the files are written", lambda: not session.busy, 120)
            print(*sorted(path.name for path in Path(folder).iterdir()), sep="\n")
        dock.open_slide(Path(folder))
        self.until("a problem is told", lambda: bool(session.message))
        self.shoot("11_problem")
        found = session.shown.scores
        print({method: round(score.mae_unmeasured, 4) for method, score in found.items()})

    def draw_regions(self) -> None:
        """A rectangle and an ellipse with a hole, as the mouse would leave them."""
        regions = self.dock.regions.drawn

        def box(top: float, left: float, bottom: float, right: float) -> list:
            """Corners in um, of shares of the map."""
            y0, x0, y1, x1 = self.dock.session.slide.extent_um
            ys, xs = (y0 + top * (y1 - y0), y0 + bottom * (y1 - y0)), (x0 + left * (x1 - x0), x0 + right * (x1 - x0))
            return [[ys[0], xs[0]], [ys[0], xs[1]], [ys[1], xs[1]], [ys[1], xs[0]]]

        regions.draw("add_rectangle")
        regions.layer.add_rectangles(box(0.2, 0.1, 0.7, 0.45))
        self.settle(0.4)
        regions.draw("add_ellipse")
        regions.layer.add_ellipses(box(0.4, 0.5, 0.9, 0.95))
        self.settle(0.4)
        regions.draw("add_ellipse", True)
        regions.layer.add_ellipses(box(0.55, 0.65, 0.75, 0.8))
        self.settle(0.4)
        regions.draw("pan_zoom")

    def settle(self, seconds: float) -> None:
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def until(self, what: str, done: Callable[[], bool], seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                session = self.dock.session
                raise TimeoutError(f"waited in vain until {what}: {session.message or session.busy or session.state}")
            self.settle(0.05)

    def shoot(self, name: str) -> None:
        self.settle(0.8)
        path = self.arguments.out / f"{name}.png"
        self.window.grab().save(str(path))
        print(path)


def _key(name: str):
    from qtpy.QtCore import Qt

    return getattr(Qt.Key, name)


def _scroll_to(widget) -> None:
    from qtpy.QtWidgets import QScrollArea

    parent = widget.parent()
    while parent is not None and not isinstance(parent, QScrollArea):
        parent = parent.parent()
    parent.ensureWidgetVisible(widget, 0, 8)


if __name__ == "__main__":
    main()
