"""One training: its steps, what is told of them, what is kept of them, and how it goes on after a mishap."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..config import IN_MEMORY, RunConfig
from ..device import arithmetic, choose_device, label, resolve_precision
from ..errors import TrainingError
from ..events import Command, Event, Finished, Previewed, Recovered, Started, Stepped, Validated, last_command
from ..imputing.blend import Blend, blend_for
from ..imputing.impute import impute_with
from ..maps import GeneMap, SparseMap
from ..network.cdcin import parameters
from ..network.model import Trained
from ..threads import CorePool
from . import validation
from .checkpoint import CheckpointWriter, validated_before
from .learner import TIMED_STEPS, Learner, learning_rate, steps_within
from .mishaps import MOST_RECOVERIES, Forward, Recovery, in_parts, is_shortage
from .objective import Batch, Objective
from .patches import SlidePatches, hold_out, patch_side
from .start import common_stride, first_weights, settled
from .validation import BestWeights

VALIDATIONS = 12
"""In a whole training."""

EVENTS_PER_SECOND = 10

RECENT_STEPS = 50
"""Whose mean time says how fast it goes."""


class TrainingRun:
    """One training from its first step, or from a checkpoint, to its result."""

    def __init__(
        self,
        maps: Sequence[SparseMap],
        config: RunConfig,
        *,
        preview_every_s: float | None = None,
        start: Trained | None = None,
        keeping: CheckpointWriter | None = None,
    ) -> None:
        self.maps = maps  # of a large panel each is made when it is asked for
        stride = common_stride(self.maps)
        config = settled(config, stride, start)
        self.device = choose_device(config.device)
        self.config = config = config.changed(precision=resolve_precision(self.device, config.training.precision))
        self.training, self.stride = config.training, stride
        self.preview_every_s, self.keeping = preview_every_s, keeping
        self.began = time.perf_counter()
        self.rng = rng = np.random.default_rng(config.seed)
        self.hidden = [hold_out(sparse, self.training.held_out, rng, self.training.hiding) for sparse in self.maps]
        self.held_out = validation.held_out_of(self.maps, self.hidden, config)
        side = patch_side(self.training.patch_bins, stride)
        few = self.training.steps == 0  # without a step no patch is drawn
        drawn, hidden = (self.maps[:1], self.hidden[:1]) if few else (self.maps, self.hidden)
        self.patches = SlidePatches(
            drawn,
            side,
            normalisation=config.grid.normalisation,
            held_out=hidden,
            rng=rng,
            device=self.device,
            hiding=self.training.hiding,
        )
        self.objective = Objective(drawn, config, side, rng, self.device)
        self.cores = CorePool(max(1, self.training.batch // 2), self.device)
        self.parts = self.cores.count
        saved = keeping and keeping.saved()
        in_memory = start is None and config.training.start_from == IN_MEMORY
        first = None if saved and in_memory else first_weights(config, stride, start)
        self.learner = Learner(config, stride, self.device, first)
        self.forward = Forward(self.learner.network, self.training.compiled)
        self.recovery = Recovery(self.learner, expected=self.training.slide_weight + 1)
        self.best = BestWeights(from_random=self.training.start_from == "random")
        self.blend: Blend | None = None  # the network, in every preview
        self.steps = self._known_steps()
        self.step = 0
        self.spent_s = 0.0  # on steps; what passes at events, as in pauses, must not count
        self.durations: list[float] = []  # of the last steps
        self.since: list[dict[str, float]] = []  # losses that were not told yet
        self.rows: list[dict[str, Any]] = []
        self.mishaps: list[Event] = []  # that were not told yet
        self.ended = ""  # why, when before the last step
        if keeping is not None:
            keeping.begin(self, saved, first)

    def events(self) -> Generator[Event, Command | None, Trained]:
        classical = validation.classical_errors(self.held_out, self.config)
        command = yield Started(
            genes=tuple(sparse.gene for sparse in self.maps),
            device=label(self.device),
            parameters=parameters(self.learner.network),
            held_out_bins=sum(int(part.hidden.sum()) for part in self.held_out),
            classical=classical,
            step=self.step,
        )
        for validated in validated_before(self.rows):
            command = last_command(command, (yield validated) or command)
        if self.held_out and self.training.start_from != "random" and self.step == 0 and self.best.weights is None:
            command = (yield self._validate()) or command
        last_event = last_preview = time.perf_counter()
        while command is not Command.STOP and not self.ended and (self.steps is None or self.step < self.steps):
            self._step()
            if self.steps is None:
                self.steps = steps_within(self.training.seconds, self.durations)
                if self.steps is not None and self.keeping is not None:
                    self.keeping.hurry()
            now = time.perf_counter()
            if self.since and (now - last_event >= 1 / EVENTS_PER_SECOND or self.step == self.steps):
                command = yield self._stepped()
                last_event = time.perf_counter()
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
            if self.keeping is not None and self.keeping.is_due:
                self._save()
            while self.mishaps:
                command = last_command(command, (yield self.mishaps.pop(0)) or command)
        if self.keeping is not None:
            self._save()
        if self.recovery.ends_badly():  # after saving: a training that goes on may yet find its own way
            self._recover_at_the_end()
        while self.mishaps:
            yield self.mishaps.pop(0)
        trained = self._trained(classical)
        seconds = time.perf_counter() - self.began
        yield Finished(self.step, seconds, stopped=self.step != self.steps, reason=self.ended)
        return trained

    def _step(self) -> None:
        """One optimiser step, or a step back where the loss exploded."""
        began = time.perf_counter()
        self.recovery.begin_step(self.step)
        rate = learning_rate(self.training, self.step, self.steps) * self.recovery.rate
        whole = self.objective.batch(self.patches.draw(self.training.batch))
        found, parts = in_parts(self.cores, self._gradients, whole, self.parts)
        if parts != self.parts:
            self.parts = parts
            what = f"The memory was not enough. A step's batch is computed in {parts} parts from now on, one after the other; "
            self.mishaps.append(Recovered(self.step + 1, what + "what is learnt from it stays the same."))
        losses: dict[str, float] = {"loss": 0.0}
        for terms, _ in found:
            for name, loss in terms.items():
                losses[name] = losses.get(name, 0.0) + loss.item()
        exploded = self.recovery.exploded(losses["loss"], self.step)
        self.step += 1
        if exploded:
            finite = np.isfinite(losses["loss"])
            self._recover(
                f"The loss {'grew out of bounds' if finite else 'was no longer a number'} at step {self.step}"
            )
        else:
            self.learner.learn([gradients for _, gradients in found], rate)
            self.since.append(losses)
        self.durations = [*self.durations[1 - RECENT_STEPS :], time.perf_counter() - began]
        self.spent_s += self.durations[-1]

    def _gradients(self, part: Batch) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        """The loss and its terms of a part of the step's batch, and the gradients of the weights."""
        called = self.forward.call
        try:
            return self._computed(called, part)
        except RuntimeError as error:
            what = None if is_shortage(error) else self.forward.gives_up(called, error)
            if what is None:
                raise
        if what:
            self.mishaps.append(Recovered(self.step + 1, what))
        return self._gradients(part)

    def _computed(self, network: nn.Module, part: Batch) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        with arithmetic(self.device, self.training.precision):
            terms = self.objective(network, part)
        total = sum(weight * term for weight, term in terms.values())
        gradients = torch.autograd.grad(total, self.learner.weights)
        return {"loss": total.detach(), **{name: term.detach() for name, (_, term) in terms.items()}}, gradients

    def _recover(self, what: str) -> None:
        """Go back to the last good weights, and end the training where that has helped too little."""
        if self.recovery.good is None:
            raise TrainingError(f"{what}. {self._advice()}")
        good = self.recovery.good_step
        self.recovery.go_back()
        if self.recovery.count <= MOST_RECOVERIES:
            done = f"Training goes on from the weights of step {good}, at half the learning rate."
        elif self._is_worth_keeping():
            self.ended = "the loss exploded again and again"
            done = f"It is the {self.recovery.count}th time, so the training ends here with the best weights so far."
        else:
            raise TrainingError(f"{what}, after {MOST_RECOVERIES} attempts at lower rates. {self._advice()}")
        self.mishaps.append(Recovered(self.step, f"{what}. {done}"))

    def _recover_at_the_end(self) -> None:
        """The last good weights in place of those that the last steps spoilt."""
        self.recovery.go_back()
        if not self._is_worth_keeping():
            raise TrainingError(f"The last steps spoilt all that was learnt. {self._advice()}")
        what = f"The last steps spoilt the weights; those of step {self.recovery.good_step} take their place."
        self.mishaps.append(Recovered(self.step, what))

    def _is_worth_keeping(self) -> bool:
        """Whether the weights gone back to, or those that did best, know more than random ones."""
        if self.held_out:  # what was thought the best so far may have been on its way to explode
            self.mishaps.append(self._validate())
        learnt = self.learner.has_learnt if self.best.weights is None else self.best.are_learnt
        return learnt or self.training.start_from != "random"

    def _advice(self) -> str:
        return f"Choose a learning rate below {self.training.learning_rate:g}, or start again with another seed."

    def _known_steps(self) -> int | None:
        if self.training.steps is not None:
            return self.training.steps
        if self.training.seconds is not None:
            return None
        if self.training.epochs is not None:
            return self.training.epochs * self.patches.steps_per_epoch(self.training.batch)
        raise TrainingError("Training needs an end: give a number of steps, a time in seconds, or epochs.")

    def _stepped(self) -> Stepped:
        since, self.since = self.since, []
        mean = {name: float(np.mean([terms[name] for terms in since])) for name in since[0]}
        recent = float(np.mean(self.durations))
        self.rows.append({"step": self.step, "seconds": round(self.spent_s, 3), **mean})
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
        network = self.learner.averaged()
        found = validation.estimates(network, self.held_out, self.config)
        hidden, seen = validation.errors(found, self.held_out)
        self.best.consider(validation.loss(found, self.held_out), network, has_learnt=self.learner.has_learnt)
        if self.training.patience and self.best.since >= self.training.patience and not self.ended:
            self.ended = "the held-out error no longer fell"
        self.rows.append({"step": self.step, "held_out_mae": hidden, "training_mae": seen})
        return Validated(self.step, hidden, seen)

    def _save(self) -> None:
        if problem := self.keeping.save(self):
            self.mishaps.append(problem)

    def _preview(self) -> GeneMap:
        symmetries = 1 if self.config.network.quantiles else 8
        quick = self.config.imputation.model_copy(update={"symmetries": symmetries, "overlap": "hann"})
        kind = self.config.grid.normalisation
        if self.blend is None:
            self.blend = blend_for(self.maps[0], quick, kind)
        how = dict(kind=kind, precision=self.training.precision, blend=self.blend)
        return impute_with(self.learner.averaged(), self.maps[0], quick, **how)

    def _trained(self, classical: dict[str, float]) -> Trained:
        network = self.learner.averaged()
        if self.best.weights is not None:
            network.load_state_dict(self.best.weights)
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
