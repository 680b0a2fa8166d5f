"""Sparse maps and natural images -> a trained CDCIN, as a generator of events (Fang et al. 2025, sections 2.1 and 2.5).

The generator can be sent a :class:`Command` after its first event, and returns :class:`Trained`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel

from . import validation
from .config import RunConfig
from .device import arithmetic, choose_device, label, resolve_precision
from .errors import TrainingError
from .events import Command, Event, Finished, Previewed, Started, Stepped, Validated, last_command
from .imputation import classical_estimate, impute_with
from .maps import SparseMap
from .network import CDCIN, parameters
from .objective import Batch, Objective
from .patches import SlidePatches, hold_out, patch_side
from .schedule import TIMED_STEPS, learning_rate, running_mean, steps_within
from .shards import Shards, one_thread, set_gradients
from .starting import common_stride, first_weights, settled
from .trained import Trained

VALIDATIONS = 12
"""In a whole training."""

MAX_GRADIENT = 1.0
"""Norm at which the distributional loss's gradient is clipped; counts have outliers. The paper clips nothing."""

EVENTS_PER_SECOND = 10


def fit(
    maps: Sequence[SparseMap],
    config: RunConfig,
    on_event: Callable[[Event], Any] | None = None,
    *,
    start: Trained | None = None,
) -> Trained:
    """Train to the end. ``on_event`` sees every event; ``start`` and errors as :func:`train`."""
    training = train(maps, config, start=start)
    while True:
        try:
            event = next(training)
        except StopIteration as end:
            return end.value
        if on_event:
            on_event(event)


def train(
    maps: Sequence[SparseMap],
    config: RunConfig,
    *,
    preview_every_s: float | None = None,
    start: Trained | None = None,
) -> Generator[Event, Command | None, Trained]:
    """Train one network on one or more sparse maps of the same stride; yields events, returns :class:`Trained`.

    ``start`` is a model whose weights are the first ones, whatever the settings' ``start_from`` says; it stays as it is.
    Going on on the same maps, keep the seed: the same bins are held out then, and the held-out error stays honest.

    Raises :class:`TrainingError` when the maps can't be trained on, the first weights don't fit, the device runs out of
    memory or the loss is no longer a number; :class:`ConfigError` when a setting names a device or picture folder that is
    not there; :class:`CheckpointError` when a model file can't be read.
    """
    try:
        run = _Run(maps, config, preview_every_s, start)
        with one_thread(), run.shards:
            return (yield from run.events())
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError(
            f"The GPU ran out of memory with {config.training.batch} slide and {config.training.image_batch} picture patches a "
            "step. Choose a smaller batch, close other programs that use the GPU, or train on the CPU."
        ) from error
    except RuntimeError as error:  # a napari worker would swallow it
        raise TrainingError(f"Training stopped at an error of the computing library: {error}") from error


class _Run:
    """One training from its first step to its result."""

    def __init__(
        self, maps: Sequence[SparseMap], config: RunConfig, preview_every_s: float | None, start: Trained | None
    ) -> None:
        self.maps = list(maps)
        stride = common_stride(self.maps)
        config = settled(config, stride, start)
        self.device = choose_device(config.device)
        self.config = config = config.changed(precision=resolve_precision(self.device, config.training.precision))
        self.training, self.stride = config.training, stride
        self.preview_every_s = preview_every_s
        self.began = time.perf_counter()
        rng = np.random.default_rng(config.seed)
        self.hidden = [hold_out(sparse, self.training.held_out, rng, self.training.hiding) for sparse in self.maps]
        self.held_out = validation.held_out_of(self.maps, self.hidden, config)
        side = patch_side(self.training.patch_bins, stride)
        self.patches = SlidePatches(
            self.maps,
            side,
            normalisation=config.grid.normalisation,
            held_out=self.hidden,
            rng=rng,
            device=self.device,
            hiding=self.training.hiding,
        )
        self.objective = Objective(self.maps, config, side, rng, self.device)
        self.shards = Shards(max(1, self.training.batch // 2), self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = CDCIN(config.network, stride)
        first = first_weights(config, stride, start)
        if first is not None:
            self.network.load_state_dict(dict(first.weights))
        for cascade in self.network.cascades:
            cascade.recompute = self.device.type == "cpu" and config.network.layout == "dense"
        self.network.to(self.device, memory_format=torch.channels_last)
        self.weights = list(self.network.parameters())
        self.optimiser = torch.optim.Adam(
            self.weights, lr=self.training.learning_rate, betas=self.training.betas, fused=True
        )
        self.average = None
        if self.training.average:
            self.average = AveragedModel(
                self.network, avg_fn=partial(running_mean, decay=self.training.average), use_buffers=False
            )
        self.best: dict[str, torch.Tensor] | None = None
        self.best_loss: validation.Loss | None = None
        self.first_loss: validation.Loss | None = None
        self.classical: np.ndarray | None = None  # share of every preview
        self.steps = self._known_steps()
        self.step = 0
        self.rows: list[dict[str, Any]] = []

    def events(self) -> Generator[Event, Command | None, Trained]:
        classical = validation.classical_errors(self.held_out, self.config)
        command = yield Started(
            genes=tuple(sparse.gene for sparse in self.maps),
            device=label(self.device),
            parameters=parameters(self.network),
            held_out_bins=sum(int(part.hidden.sum()) for part in self.held_out),
            classical=classical,
        )
        if self.held_out and self.training.start_from != "random":
            command = (yield self._validate()) or command
        # Pauses happen at events; what passes between them must not count as time spent on a step.
        durations: list[float] = []
        since: list[dict[str, float]] = []
        last_event = last_preview = time.perf_counter()
        while command is not Command.STOP and (self.steps is None or self.step < self.steps):
            began = time.perf_counter()
            since.append(self._step())
            durations.append(time.perf_counter() - began)
            if self.steps is None:
                self.steps = steps_within(self.training.seconds, durations)
            now = time.perf_counter()
            if now - last_event >= 1 / EVENTS_PER_SECOND or self.step == self.steps:
                command = yield self._stepped(since, durations)
                since, last_event = [], time.perf_counter()
            if self.held_out and self.steps and self._validation_due():
                command = last_command(command, (yield self._validate()) or command)
            due = self.preview_every_s is not None and time.perf_counter() - last_preview >= self.preview_every_s
            if command is Command.PREVIEW or due:
                began = time.perf_counter()
                preview = self._preview()
                cost = time.perf_counter() - began
                command = last_command(command, (yield Previewed(self.step, preview)))
                # Never more than a fifth of the time, however large the map.
                last_preview = time.perf_counter() + max(0.0, 4 * cost - (self.preview_every_s or 0))
        trained = self._trained(classical)
        yield Finished(self.step, time.perf_counter() - self.began, stopped=self.step != self.steps)
        return trained

    def _step(self) -> dict[str, float]:
        """One optimiser step; the loss terms as numbers."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.training, self.step, self.steps)
        whole = self.objective.batch(self.patches.draw(self.training.batch))
        found = self.shards.map(self._gradients, whole.parts(self.shards.count))
        set_gradients(self.weights, [gradients for _, gradients in found])
        if self.config.network.quantiles:
            torch.nn.utils.clip_grad_norm_(self.weights, MAX_GRADIENT)
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1
        losses: dict[str, float] = {"loss": 0.0}
        for terms, _ in found:
            for name, loss in terms.items():
                losses[name] = losses.get(name, 0.0) + loss.item()
        if not math.isfinite(losses["loss"]):
            raise TrainingError(
                f"The loss was no longer a number at step {self.step}. Choose a learning rate below "
                f"{self.training.learning_rate:g}, or start again with another seed."
            )
        return losses

    def _gradients(self, part: Batch) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, ...]]:
        """The loss and its terms of a part of the step's batch, and the gradients of the weights."""
        with arithmetic(self.device, self.training.precision):
            terms = self.objective(self.network, part)
        total = sum(weight * term for weight, term in terms.values())
        gradients = torch.autograd.grad(total, self.weights)
        return {"loss": total.detach(), **{name: term.detach() for name, (_, term) in terms.items()}}, gradients

    def _known_steps(self) -> int | None:
        if self.training.steps is not None:
            return self.training.steps
        if self.training.seconds is not None:
            return None
        if self.training.epochs is not None:
            return self.training.epochs * self.patches.steps_per_epoch(self.training.batch)
        raise TrainingError("Training needs an end: give a number of steps, a time in seconds, or epochs.")

    def _stepped(self, since: list[dict[str, float]], durations: list[float]) -> Stepped:
        mean = {name: float(np.mean([terms[name] for terms in since])) for name in since[0]}
        recent = float(np.mean(durations[-50:]))
        self.rows.append({"step": self.step, "seconds": round(sum(durations), 3), **mean})
        return Stepped(
            step=self.step,
            steps=self.steps,
            loss=mean.pop("loss"),
            terms=mean,
            steps_per_second=1 / recent,
            seconds_left=None if self.steps is None else (self.steps - self.step) * recent,
        )

    def _validation_due(self) -> bool:
        """Not before a time limit has become a number of steps, so that both see the same weights."""
        if self.step < TIMED_STEPS and self.step != self.steps:
            return False
        return self.step == self.steps or self.step % max(1, self.steps // VALIDATIONS) == 0

    def _validate(self) -> Validated:
        found = validation.estimates(self._averaged_network(), self.held_out, self.config)
        hidden, seen = validation.errors(found, self.held_out)
        loss = validation.loss(found, self.held_out)
        self.first_loss = self.first_loss or loss
        if self.best_loss is None or self._is_better(loss):
            self.best_loss = loss
            self.best = {name: weight.clone() for name, weight in self._averaged_network().state_dict().items()}
        self.rows.append({"step": self.step, "held_out_mae": hidden, "training_mae": seen})
        return Validated(self.step, hidden, seen)

    def _is_better(self, loss: validation.Loss) -> bool:
        """Than the best so far; than a start that knows much already only if chance hardly explains it."""
        if loss.over(self.first_loss).mean() >= self.best_loss.over(self.first_loss).mean():
            return False
        return self.training.start_from == "random" or loss.is_below(self.first_loss, self.first_loss)

    def _averaged_network(self) -> CDCIN:
        network = self.network if self.average is None or not self.step else self.average.module
        return network.eval()

    def _preview(self):
        quick = self.config.imputation.model_copy(update={"symmetries": 1, "overlap": "hann"})
        if not self.config.network.quantiles:
            quick = quick.model_copy(update={"symmetries": 8})
        kind = self.config.grid.normalisation
        if self.classical is None:
            self.classical = classical_estimate(self.maps[0], quick, kind)
        return impute_with(
            self._averaged_network(), self.maps[0], quick, kind=kind, precision=self.training.precision,
            classical=self.classical,
        )  # fmt: skip

    def _trained(self, classical: dict[str, float]) -> Trained:
        network = self._averaged_network()
        if self.best is not None:  # what was learnt after that only fits the bins that training sees
            network.load_state_dict(self.best)
        found = validation.estimates(network, self.held_out, self.config)
        hidden = validation.errors(found, self.held_out)[0] if self.held_out else None
        weights = {
            name: weight.detach().to("cpu", torch.float32).contiguous().clone()
            for name, weight in network.state_dict().items()
        }
        run = self.config.changed(steps=self.steps or self.step, device=str(self.device))
        return Trained(
            weights=weights, config=run, stride=self.stride, genes=tuple(sparse.gene for sparse in self.maps),
            steps=self.step, seconds=time.perf_counter() - self.began, device=label(self.device), held_out_mae=hidden,
            classical=classical, calibration=validation.calibrate(found, self.held_out), losses=tuple(self.rows),
        )  # fmt: skip
