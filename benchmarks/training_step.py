"""Training throughput: the engine's step against a plain eager float32 loop of the same network on the same batches.

python benchmarks/training_step.py [--steps 30] [--rounds 5] [--device auto] [--precision bfloat16] [--compiled] [--json FILE]

Both are timed in turn in one process, so that what else the machine does falls on both. The plain loop is what one would write
first: float32, default memory order, as many threads as torch takes, one backward pass for the whole batch.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from napari_s2sst import GeneMap, RunConfig, sample
from napari_s2sst.engine.device import CORES, choose_device, label, resolve_precision
from napari_s2sst.engine.network.cdcin import CDCIN, parameters
from napari_s2sst.engine.training.loop import TrainingRun
from napari_s2sst.engine.training.objective import Objective
from napari_s2sst.engine.training.patches import SlidePatches, patch_side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=30, help="steps of each round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each loop, in turn")
    parser.add_argument("--presets", default="fast", help="commas between; paper takes minutes a step on a processor")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", help="of the engine's step: float32, bfloat16, auto; the preset's when left out")
    parser.add_argument("--compiled", action="store_true", help="the engine's step with the network compiled by torch")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    rows = [measure(preset, arguments) for preset in arguments.presets.split(",")]
    for row in rows:
        print(
            f"{row['preset']}: plain {row['plain_per_s']:.1f} steps/s, ours {row['ours_per_s']:.1f} steps/s, "
            f"{row['ratio']:.2f} x (from {row['least']:.2f} to {row['most']:.2f}) on {row['device']}, {row['precision']}"
            f"{', compiled' if row['compiled'] else ''}"
        )
    if arguments.json:
        facts = {
            "name": "training step",
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        }
        arguments.json.write_text(json.dumps(facts | {"rows": rows}, indent=2))


def measure(preset: str, arguments: argparse.Namespace) -> dict:
    """Steps per second of both loops, and their ratio over the rounds."""
    config = RunConfig.preset(preset, steps=10**6, device=arguments.device, precision=arguments.precision)
    rng = np.random.default_rng(0)
    truth = GeneMap(values=rng.poisson(rng.gamma(2.0, 1.0, (182, 513))).astype(np.float32), gene="noise", bin_um=20.0)
    sparse = sample(truth, stride=2)
    run = TrainingRun([sparse], config.changed(compiled=arguments.compiled or None))
    plain = Plain(config, sparse)
    ratios, plain_s, ours_s = [], [], []
    threads = torch.get_num_threads()
    with run.cores:
        for step in range(arguments.rounds + 1):  # the first one warms up
            torch.set_num_threads(threads)
            took_plain = timed(plain.step, arguments.steps, run.device)
            torch.set_num_threads(1)
            took_ours = timed(run._step, arguments.steps, run.device)
            if step:
                plain_s.append(took_plain)
                ours_s.append(took_ours)
                ratios.append(took_plain / took_ours)
    torch.set_num_threads(threads)
    return {
        "preset": preset, "parameters": parameters(run.learner.network), "device": label(run.device), "threads": CORES,
        "precision": resolve_precision(run.device, config.training.precision), "compiled": run.forward.is_compiled,
        "plain_per_s": arguments.steps / statistics.median(plain_s), "ours_per_s": arguments.steps / statistics.median(ours_s),
        "ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios),
    }  # fmt: skip


class Plain:
    """The same network, patches, pictures and losses in a loop without any care for speed."""

    def __init__(self, config: RunConfig, sparse) -> None:
        self.device = choose_device(config.device)
        rng = np.random.default_rng(config.seed)
        side = patch_side(config.training.patch_bins, config.sampling.stride)
        self.patches = SlidePatches(
            [sparse],
            side,
            normalisation="log1p",
            held_out=[np.zeros(sparse.measured.shape, bool)],
            rng=rng,
            device=self.device,
        )
        self.objective = Objective([sparse], config, side, rng, self.device)
        self.network = CDCIN(config.network, config.sampling.stride).to(self.device)
        for cascade in self.network.cascades:
            cascade.recompute = self.device.type == "cpu" and config.network.layout == "dense"
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=1e-4)
        self.batch = config.training.batch

    def step(self) -> None:
        """One step of textbook PyTorch."""
        terms = self.objective(self.network, self.objective.batch(self.patches.draw(self.batch)))
        loss = sum(weight * term for weight, term in terms.values())
        self.optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        loss.item()


def timed(step, steps: int, device: torch.device) -> float:
    """Wall seconds of some steps."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
