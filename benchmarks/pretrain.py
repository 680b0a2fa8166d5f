"""Make the weights that come with the program: train on simulated gene maps alone, no tissue; see docs/weights.md.

python benchmarks/pretrain.py --stride 2 --seconds 3600 --out src/napari_s2sst/engine/network/weights/stride2.safetensors
       [--images FOLDER] [--start FILE] [--rate 1e-3] [--batch 8] [--device auto]

`--images` takes any folder of pictures, DIV2K's for example, instead of those that scikit-image packages. `--start` goes on from
a model file; one of another stride gives all but its outermost layers. The file is written every 1,000 steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stride", type=int, default=2, choices=(2, 3, 4))
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=Path, help="a folder of pictures")
    parser.add_argument("--start", type=Path, help="a model file to go on from")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--batch", type=int, default=8, help="patches of 64 x 64 bins a step")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()

    from pretraining import pretrain

    from napari_s2sst import RunConfig, load_model, save_model

    config = RunConfig.preset(
        "instant", stride=arguments.stride, batch=arguments.batch, average=0.998, learning_rate=arguments.rate,
        device=arguments.device, start_from="random",
    )  # fmt: skip

    def report(row, so_far) -> None:
        print(row, flush=True)
        if row["step"] % 1000 == 0:
            save_model(arguments.out, so_far())

    start = load_model(arguments.start) if arguments.start else None
    trained = pretrain(config, seconds=arguments.seconds, images=arguments.images, start=start, on_report=report)
    save_model(arguments.out, trained)
    print(f"{trained.steps:,} steps in {trained.seconds:.0f} s on {trained.device}")


if __name__ == "__main__":
    main()
