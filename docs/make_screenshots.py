"""Drive the real window on the sample slide and write what it looks like to docs/images/*.png.

xvfb-run -a -s "-screen 0 1920x1080x24" python docs/make_screenshots.py [--seconds 60] [--slide FOLDER] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
FULL, SMALL = (1600, 1000), (1366, 768)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="training time")
    parser.add_argument("--steps", type=int, help="training steps instead of a time")
    parser.add_argument("--slide", type=Path, help="a Xenium folder; the sample slide when left out")
    parser.add_argument("--gene", help="the most frequent one when left out")
    parser.add_argument("--theme", default="dark")
    parser.add_argument("--out", type=Path, default=IMAGES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    import napari

    viewer = napari.Viewer(show=True)
    viewer.theme = arguments.theme
    try:
        _Tour(viewer, arguments).run()
    finally:
        viewer.close()


class _Tour:
    """The five steps of a first use, each one with its picture."""

    def __init__(self, viewer, arguments) -> None:
        from napari_s2sst.plugin.sample_data import sample_slide_folder

        self.viewer, self.arguments = viewer, arguments
        self.slide = arguments.slide or sample_slide_folder()
        self.window = viewer.window._qt_window

    def run(self) -> None:
        arguments = self.arguments
        self.resize(*FULL)
        _, dock = self.viewer.window.add_plugin_dock_widget("napari-s2sst", "S2S-ST imputation")
        self.dock = dock
        self.shoot("1_empty", 1.0)
        dock.open_slide(self.slide)
        self.until(lambda: dock.session.gene_map is not None and not dock.session.busy)
        if arguments.gene:
            dock.choose_gene(arguments.gene)
            self.until(lambda: dock.session.gene_map.gene == arguments.gene and not dock.session.busy)
        self.until(lambda: dock.panels.training.device_box.count() > 1)
        self.shoot("2_slide", 1.5)
        dock.panels.sampling.lattice_box.setChecked(True)
        self.shoot("3_lattice", 1.0)
        dock.panels.sampling.lattice_box.setChecked(False)
        settings = dock.panels.training.value().changed(seconds=arguments.seconds, steps=arguments.steps)
        dock.panels.training.setValue(settings)
        dock.session.training = settings
        dock.train()
        self.until(lambda: dock.session.result or (len(dock.session.losses) >= 12))
        self.shoot("4_training", 0.3)
        self.until(lambda: dock.session.result is not None or dock.session.message, seconds=arguments.seconds + 300)
        print(dock.session.message or "no problem was reported")
        self.shoot("5_result", 1.5)
        self.resize(*SMALL)
        self.shoot("6_result_small", 1.0)
        print({name: round(s.mae_unmeasured, 4) for name, s in next(iter(dock.session.result.scores.values())).items()})
        dock.open_slide(self.slide.parent)
        self.until(lambda: bool(dock.session.message))
        self.shoot("7_problem", 1.0)

    def resize(self, width: int, height: int) -> None:
        self.window.showNormal()
        self.window.resize(width, height)
        self.settle(0.5)

    def settle(self, seconds: float) -> None:
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + seconds
        while time.monotonic() < end:
            QApplication.processEvents()
            time.sleep(0.005)

    def until(self, done, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not done():
            if time.monotonic() > end:
                session = self.dock.session
                raise TimeoutError(f"the window did not come to the next step: {session.message or session.state}")
            self.settle(0.05)

    def shoot(self, name: str, after_s: float) -> None:
        self.settle(after_s)
        path = self.arguments.out / f"{name}.png"
        self.window.grab().save(str(path))
        print(path)


if __name__ == "__main__":
    main()
