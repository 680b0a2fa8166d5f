"""Simulated gene maps -> weights that know what counts look like, before any slide is seen.

Pictures and random fields at a random depth, with the noise of counts (:meth:`NaturalImages.counts`), are known at every
bin, so the network learns to tell structure from noise between measured bins. The result is the start of the other
trainings; no tissue is used. pretrain.py beside it runs this.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch.optim.swa_utils import AveragedModel

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.device import arithmetic, choose_device, label
from napari_s2sst.engine.maps import Normalisation
from napari_s2sst.engine.network.cdcin import CDCIN, place
from napari_s2sst.engine.network.inputs import VALUE_SCALE, noise_scale
from napari_s2sst.engine.network.model import Trained
from napari_s2sst.engine.threads import CorePool, one_thread, set_gradients
from napari_s2sst.engine.training.learner import MAX_GRADIENT, cosine, running_mean
from napari_s2sst.engine.training.losses import cascade_loss, map_loss
from napari_s2sst.engine.training.natural_images import NaturalImages

GLASS = 0.3
"""Share of simulated patches that a tissue border runs through."""

GAPS = 0.3
"""Share of simulated patches that lack measured bins here and there, as where a spot failed or is held out."""

UNIT_SPREAD = 0.4
"""Standard deviation of the logarithm of the unit that a patch is worked on in, about its own noise: a patch is not as noisy as the
map that it is cut from."""

WARMUP_STEPS = 300
REPORT_STEPS = 200


def simulated_patches(
    pictures: NaturalImages, count: int, side: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(count, 1, side, side) log1p values in the network's units, the mask of tissue, and that of bins that may be measured;
    all float32."""
    normalise = Normalisation("log1p")
    values = np.stack([normalise(pictures.counts(side)) for _ in range(count)])[:, None] / VALUE_SCALE
    tissue = np.ones_like(values)
    for patch in tissue[: round(GLASS * count)]:
        field = ndimage.gaussian_filter(rng.standard_normal((side, side)), side / 5, mode="reflect")
        patch[0] = field > np.quantile(field, rng.uniform(0.05, 0.6))
    whole = tissue.copy()
    for patch in whole[count - round(GAPS * count) :]:
        patch *= rng.random(patch.shape) > rng.uniform(0.02, 0.25)
    return (values * tissue).astype(np.float32), tissue, whole


def pretrain(
    config: RunConfig,
    *,
    seconds: float,
    side_bins: int = 64,
    images: Path | None = None,
    start: Trained | None = None,
    on_report: Callable[[dict[str, Any], Callable[[], Trained]], Any] | None = None,
) -> Trained:
    """Train the config's network for its stride on simulated maps alone, for a given time.

    ``on_report`` gets a row of the loss curve every 200 steps, and a function that gives the weights as they are now. The
    learning rate follows a cosine over the time, so a run repeats only roughly. ``start`` gives its weights where their
    shapes fit: all of the same stride, all but the outermost layers of another one.
    """
    training, stride = config.training, config.sampling.stride
    side = side_bins // stride * stride
    rng = np.random.default_rng(config.seed)
    device = choose_device(config.device)
    pictures = NaturalImages(images, rng)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = CDCIN(config.network, stride)
    if start is not None:
        shapes = {name: weight.shape for name, weight in network.state_dict().items()}
        fitting = {name: weight for name, weight in start.weights.items() if shapes.get(name) == weight.shape}
        network.load_state_dict(fitting, strict=False)
    network.to(device, memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), lr=training.learning_rate, betas=training.betas, fused=True)
    average = AveragedModel(network, avg_fn=partial(running_mean, decay=training.average), use_buffers=False)
    weights = list(network.parameters())
    rows: list[dict[str, Any]] = []
    losses: list[float] = []
    step, began = 0, time.perf_counter()

    def so_far() -> Trained:
        weights = {
            name: weight.detach().cpu().contiguous().clone() for name, weight in average.module.state_dict().items()
        }
        return Trained(
            weights=weights, config=config.changed(steps=step), stride=stride, steps=step, losses=tuple(rows),
            seconds=time.perf_counter() - began, device=label(device),
        )  # fmt: skip

    with one_thread(), CorePool(training.batch // 2, device) as cores:
        while (done := (time.perf_counter() - began) / seconds) < 1:
            for group in optimiser.param_groups:
                group["lr"] = training.learning_rate * min(1.0, (step + 1) / WARMUP_STEPS) * cosine(done)
            drawn = simulated_patches(pictures, training.batch, side, rng)
            spread = np.exp(UNIT_SPREAD * rng.standard_normal((training.batch, 1, 1, 1)))
            patches = [torch.from_numpy(part.astype(np.float32)).to(device) for part in (*drawn, spread)]
            parts = [[part[i :: cores.count] for part in patches] for i in range(cores.count)]
            results = cores.map(partial(_gradients, network, config, device), parts)
            set_gradients(weights, [gradients for _, gradients in results])
            torch.nn.utils.clip_grad_norm_(weights, MAX_GRADIENT)
            optimiser.step()
            average.update_parameters(network)
            step += 1
            losses.append(sum(loss for loss, _ in results))
            if step % REPORT_STEPS == 0:
                row = {"step": step, "seconds": round(time.perf_counter() - began, 1), "loss": float(np.mean(losses))}
                rows.append(row)
                losses = []
                if on_report:
                    on_report(row, so_far)
    return so_far()


def _gradients(
    network: CDCIN, config: RunConfig, device: torch.device, patches: list[torch.Tensor]
) -> tuple[float, tuple[torch.Tensor, ...]]:
    """A part of the step's loss and its gradients; ``patches``: values, tissue, which bins may be measured, spread of the unit."""
    values, tissue, whole, spread = patches
    stride, share = network.stride, len(values) / config.training.batch
    shown, measured = (layer[:, :, ::stride, ::stride] for layer in (values, whole))
    noise = noise_scale(shown, measured)
    with arithmetic(device, config.training.precision):
        estimates = network(shown, measured, noise.unit * spread)
    loss = cascade_loss(estimates, values, tissue, config.network.quantiles, scale=noise)
    known = place(measured, stride)
    for k, estimate in enumerate(estimates, start=1):
        loss = loss + k / len(estimates) * map_loss(estimate[:, :1], values, tissue, known, noise).mean()
    return share * loss.item(), torch.autograd.grad(share * loss, list(network.parameters()))
