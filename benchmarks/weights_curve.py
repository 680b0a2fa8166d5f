"""The training curves of the weights that come with the program -> docs/images/weights.png.

python benchmarks/weights_curve.py [--out FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from napari_s2sst import load_model
from napari_s2sst.engine.network.model import shipped_model

OUT = Path(__file__).parents[1] / "docs" / "images" / "weights.png"
SMOOTH = 5
"""Reported rows that the drawn line is a running mean of; each is one of 200 steps already."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    figure, axes = plt.subplots(1, 3, figsize=(11, 3), constrained_layout=True)
    for axis, stride in zip(axes, (2, 3, 4), strict=True):
        rows = load_model(shipped_model(stride)).losses
        step, loss = (np.array([row[name] for row in rows]) for name in ("step", "loss"))
        axis.plot(step, loss, ".", color="0.7", markersize=4)
        axis.plot(step[SMOOTH - 1 :], np.convolve(loss, np.full(SMOOTH, 1 / SMOOTH), "valid"), color="tab:blue")
        axis.set(title=f"stride {stride}", xlabel="step of the last stage")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("loss")
    figure.savefig(arguments.out, dpi=110)


if __name__ == "__main__":
    main()
