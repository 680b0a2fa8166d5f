"""One training, from its first step or a checkpoint to its model: steps, trials on held-out bins, previews, checkpoints, and how
it goes on after a mishap.

What a training is of never changes: maps, settings, the network's parts. Where it stands is its :class:`.Progress`. All that a
step depends on is in one :class:`.Snapshot`, so that a training that goes on from there repeats bit for bit.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..config import IN_MEMORY, RunConfig
from ..device import arithmetic, choose_device, label, resolve_precision
from ..errors import TrainingError
from ..events import Command, Event, Finished, Previewed, Recovered, Started, Validated, last_command
from ..maps import SparseMap
from ..network.cdcin import parameters
from ..network.model import Trained
from ..threads import CorePool
from . import validation
from .checkpoint import CheckpointWriter, Snapshot, damage_told, identity
from .learner import TIMED_STEPS, Learner, learning_rate, steps_within
from .mishaps import MOST_RECOVERIES, Forward, Recovery, in_parts, is_shortage
from .objective import Batch, Objective
from .patches import SlidePatches, hold_out, patch_side
from .previews import Previews
from .progress import Progress
from .start import common_stride, first_weights
from .validation import BestWeights

VALIDATIONS = 12
"""In a whole training."""

EVENTS_PER_SECOND = 10


class TrainingRun:
    """One training from its first step, or from a checkpoint, to its result."""

    def __init__(
        self,
        maps: Sequence[SparseMap],
        config: RunConfig,
        *,
        preview_every_s: float | None = None,
        start: Trained | None = None,
        writer: CheckpointWriter | None = None,
    ) -> None:
        """Prepare a :func:`~.training.train.train`; ``writer`` keeps the training, and may hold one that this is to go on from."""
        self.maps = maps  # of a large panel each is made when it is asked for
        self.stride = common_stride(maps)
        config = config.resolved(self.stride, from_memory=start is not None)
        self.device = choose_device(config.device)
        self.config = config.changed(precision=resolve_precision(self.device, config.training.precision))
        self.training = self.config.training
        self.preview_every_s, self.writer = preview_every_s, writer
        began = time.perf_counter()

        # In this order: all draw from the same random numbers.
        self.rng = np.random.default_rng(self.config.seed)
        hidden = [hold_out(sparse, self.training.held_out, self.rng, self.training.hiding) for sparse in maps]
        self.held_out = validation.held_out_of(maps, hidden, self.config)
        draws_none = self.training.steps == 0
        drawn, drawn_hidden = (maps[:1], hidden[:1]) if draws_none else (maps, hidden)
        side = patch_side(self.training.patch_bins, self.stride)
        self.patches = SlidePatches(
            drawn,
            side,
            normalisation=self.config.grid.normalisation,
            held_out=drawn_hidden,
            rng=self.rng,
            device=self.device,
            hiding=self.training.hiding,
        )
        self.objective = Objective(drawn, self.config, side, self.rng, self.device)

        self.cores = CorePool(max(1, self.training.batch // 2), self.device)
        saved = None if writer is None else writer.saved()
        is_first_gone = start is None and self.training.start_from == IN_MEMORY
        first = None if saved and is_first_gone else first_weights(self.config, self.stride, start)
        self.learner = Learner(self.config, self.stride, self.device, first)
        self.forward = Forward(self.learner.network, self.training.compiled)
        self.recovery = Recovery(self.learner, expected=self.training.slide_weight + 1)
        self.best = BestWeights(from_random=self.training.start_from == "random")
        self.progress = Progress(steps=self._known_steps(), parts=self.cores.count, began=began)
        self.untold: list[Event] = []
        """Mishaps of the present step."""
        if writer is not None:
            writer.begin(identity(maps, self.config, first), saved)
        if saved is not None:
            with damage_told(saved.path):
                self._restore(saved.snapshot)

    def events(self) -> Generator[Event, Command | None, Trained]:
        """Train; see :func:`~.training.train.train`."""
        progress, writer = self.progress, self.writer
        classical = validation.classical_errors(self.held_out, self.config)
        command = yield self._started(classical)
        for validated in progress.validated_before():
            command = last_command(command, (yield validated) or command)
        if self._is_start_worth_a_trial():
            command = (yield self._validate()) or command
        previews = Previews(self.maps[0], self.config, self.preview_every_s)
        told_at = time.perf_counter()
        while command is not Command.STOP and not progress.is_over:
            self._step()
            self._settle_steps()
            has_waited = time.perf_counter() - told_at >= 1 / EVENTS_PER_SECOND
            if progress.untold_losses and (has_waited or progress.step == progress.steps):
                command = yield progress.stepped()
                told_at = time.perf_counter()
            if self._is_validation_due():
                command = last_command(command, (yield self._validate()) or command)
            if command is Command.PREVIEW or previews.are_due:
                preview = previews.of(self.learner.averaged())
                command = last_command(command, (yield Previewed(progress.step, preview)))
                previews.rest()
            if writer is not None and writer.is_due:
                self._save()
            while self.untold:
                command = last_command(command, (yield self.untold.pop(0)) or command)
        if writer is not None:
            self._save()
        if self.recovery.ends_badly():  # after saving: a training that goes on may yet find its own way
            self._recover_at_the_end()
        while self.untold:
            yield self.untold.pop(0)
        trained = self._trained(classical)
        is_stopped = progress.step != progress.steps
        yield Finished(progress.step, progress.seconds, stopped=is_stopped, reason=progress.ended)
        return trained

    # A step.

    def _step(self) -> None:
        """One optimiser step, or a step back where the loss exploded."""
        began, progress = time.perf_counter(), self.progress
        self.recovery.begin_step(progress.step)
        rate = learning_rate(self.training, progress.step, progress.steps) * self.recovery.rate
        batch = self.objective.batch(self.patches.draw(self.training.batch))
        results, parts = in_parts(self.cores, self._gradients, batch, progress.parts)
        if parts != progress.parts:
            progress.parts = parts
            what = f"The memory was not enough. A step's batch is computed in {parts} parts from now on, one after the other; "
            self.untold.append(Recovered(progress.step + 1, what + "what is learnt from it stays the same."))
        losses = _summed([terms for terms, _ in results])
        has_exploded = self.recovery.exploded(losses["loss"], progress.step)
        progress.step += 1
        if has_exploded:
            what = "grew out of bounds" if np.isfinite(losses["loss"]) else "was no longer a number"
            self._recover(f"The loss {what} at step {progress.step}")
        else:
            self.learner.learn([gradients for _, gradients in results], rate)
            progress.untold_losses.append(losses)
        progress.add_step(time.perf_counter() - began)

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
            self.untold.append(Recovered(self.progress.step + 1, what))
        return self._gradients(part)

    def _computed(self, network: nn.Module, part: Batch) -> tuple[dict[str, Tensor], tuple[Tensor, ...]]:
        with arithmetic(self.device, self.training.precision):
            terms = self.objective(network, part)
        total = sum(weight * term for weight, term in terms.values())
        gradients = torch.autograd.grad(total, self.learner.weights)
        return {"loss": total.detach(), **{name: term.detach() for name, (_, term) in terms.items()}}, gradients

    # How long.

    def _known_steps(self) -> int | None:
        """Steps in all, as far as the settings tell; None for a time limit."""
        if self.training.steps is not None:
            return self.training.steps
        if self.training.seconds is not None:
            return None
        if self.training.epochs is not None:
            return self.training.epochs * self.patches.steps_per_epoch(self.training.batch)
        raise TrainingError("Training needs an end: give a number of steps, a time in seconds, or epochs.")

    def _settle_steps(self) -> None:
        """Turn a time limit into a number of steps, once enough of them were timed."""
        if self.progress.steps is None:
            self.progress.steps = steps_within(self.training.seconds, self.progress.durations_s)
            if self.progress.steps is not None and self.writer is not None:
                self.writer.hurry()

    # How good.

    def _is_start_worth_a_trial(self) -> bool:
        """Whether to validate before the first step: weights that know something may stay the best."""
        knows_much = self.training.start_from != "random"
        return bool(self.held_out) and knows_much and self.progress.step == 0 and self.best.weights is None

    def _is_validation_due(self) -> bool:
        """Whether to validate; not before a time limit has become a number of steps, so that both see the same weights."""
        step, steps = self.progress.step, self.progress.steps
        if not self.held_out or not steps:
            return False
        if step < TIMED_STEPS and step != steps:
            return False
        return step == steps or step % max(1, steps // VALIDATIONS) == 0

    def _validate(self) -> Validated:
        """Try the network on the held-out bins, keep its weights if they are the best, and end where they have long not been."""
        network, progress = self.learner.averaged(), self.progress
        estimates = validation.estimates(network, self.held_out, self.config)
        held_out_mae, training_mae = validation.errors(estimates, self.held_out)
        loss = validation.loss(estimates, self.held_out)
        self.best.consider(loss, network, has_learnt=self.learner.has_learnt)
        if self.training.patience and self.best.since >= self.training.patience and not progress.ended:
            progress.ended = "the held-out error no longer fell"
        return progress.validated(held_out_mae, training_mae)

    # After a mishap.

    def _recover(self, what: str) -> None:
        """Go back to the last good weights, and end the training where that has helped too little."""
        if self.recovery.good is None:
            raise TrainingError(f"{what}. {self._advice()}")
        good = self.recovery.good_step
        self.recovery.go_back()
        if self.recovery.count <= MOST_RECOVERIES:
            done = f"Training goes on from the weights of step {good}, at half the learning rate."
        elif self._is_worth_keeping():
            self.progress.ended = "the loss exploded again and again"
            done = f"It is the {self.recovery.count}th time, so the training ends here with the best weights so far."
        else:
            raise TrainingError(f"{what}, after {MOST_RECOVERIES} attempts at lower rates. {self._advice()}")
        self.untold.append(Recovered(self.progress.step, f"{what}. {done}"))

    def _recover_at_the_end(self) -> None:
        """Put the last good weights in place of those that the last steps spoilt."""
        self.recovery.go_back()
        if not self._is_worth_keeping():
            raise TrainingError(f"The last steps spoilt all that was learnt. {self._advice()}")
        what = f"The last steps spoilt the weights; those of step {self.recovery.good_step} take their place."
        self.untold.append(Recovered(self.progress.step, what))

    def _is_worth_keeping(self) -> bool:
        """Whether the weights gone back to, or those that did best, know more than random ones."""
        if self.held_out:  # what was thought the best so far may have been on its way to explode
            self.untold.append(self._validate())
        has_learnt = self.learner.has_learnt if self.best.weights is None else self.best.are_learnt
        return has_learnt or self.training.start_from != "random"

    def _advice(self) -> str:
        return f"Choose a learning rate below {self.training.learning_rate:g}, or start again with another seed."

    # What is kept, and what comes of it.

    def _save(self) -> None:
        if problem := self.writer.save(self._snapshot(), self.progress.step):
            self.untold.append(problem)

    def _snapshot(self) -> Snapshot:
        """All that the coming steps depend on."""
        state = {
            **self.progress.record(),
            "random": self.rng.bit_generator.state,
            "recovery": self.recovery.record(),
            "best": self.best.record(),
            "device": label(self.device),
        }
        groups = {
            "now": self.learner.tensors(),
            "good": self.recovery.good or {},
            "best": self.best.weights or {},
            "held_out": self.best.losses(),
            "patches": {"queue": torch.from_numpy(self.patches.queue)},
        }
        return Snapshot(state, self.progress.rows, groups)

    def _restore(self, snapshot: Snapshot) -> None:
        """Become what the snapshot is of.

        Raises KeyError, TypeError, ValueError or RuntimeError where something is missing or of another kind.
        """
        state = snapshot.state
        self.learner.restore(snapshot.group("now"))
        self.recovery.restore(state["recovery"], snapshot.group("good"))
        self.best.restore(state["best"], snapshot.group("best"), snapshot.group("held_out"))
        self.patches.queue = snapshot.group("patches")["queue"].numpy()
        self.rng.bit_generator.state = state["random"]
        self.progress.restore(state, list(snapshot.rows))

    def _started(self, classical: dict[str, float]) -> Started:
        return Started(
            genes=tuple(sparse.gene for sparse in self.maps),
            device=label(self.device),
            parameters=parameters(self.learner.network),
            held_out_bins=sum(int(part.hidden.sum()) for part in self.held_out),
            classical=classical,
            step=self.progress.step,
        )

    def _trained(self, classical: dict[str, float]) -> Trained:
        """The best weights, or the last ones where none were tried, and all that is to be known of them."""
        network, progress = self.learner.averaged(), self.progress
        if self.best.weights is not None:
            network.load_state_dict(self.best.weights)
        estimates = validation.estimates(network, self.held_out, self.config)
        weights = {
            name: weight.detach().to("cpu", torch.float32).contiguous().clone()
            for name, weight in network.state_dict().items()
        }
        return Trained(
            weights=weights,
            config=self.config.changed(steps=progress.steps or progress.step, device=str(self.device)),
            stride=self.stride,
            genes=tuple(sparse.gene for sparse in self.maps),
            steps=progress.step,
            seconds=progress.seconds,
            device=label(self.device),
            held_out_mae=validation.errors(estimates, self.held_out)[0] if self.held_out else None,
            classical=classical,
            calibration=validation.calibrate(estimates, self.held_out),
            losses=tuple(progress.rows),
        )


def _summed(parts: Sequence[dict[str, Tensor]]) -> dict[str, float]:
    """Term -> its sum over the parts of a step's batch, in their order; the whole loss comes first."""
    losses: dict[str, float] = {"loss": 0.0}
    for terms in parts:
        for name, loss in terms.items():
            losses[name] = losses.get(name, 0.0) + loss.item()
    return losses
