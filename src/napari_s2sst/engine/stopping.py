"""A training's events -> the same training, stopped after exactly that many steps, as by hand.

The rate of a step depends on how many steps were planned, so a run of 1000 steps that was stopped at 400 is another one
than a run of 400. Events come about ten times a second and not after each step; a preview is answered after the step that
is being taken, so near the end one is asked for after every step.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from .errors import TrainingError
from .events import Command, Event, Previewed, Started, Stepped, Validated, last_command

FIRST_STEPS = 40
"""So early nothing is known of the speed: every step is watched."""

WATCHED_S = 0.5
"""Time before the end in which every step is watched: several times as long as between two events."""


def stopping_at(steps: int, training: Generator[Event, Command | None, Any]) -> Generator[Event, Command | None, Any]:
    """Pass a training's events on, and end it after ``steps`` steps; returns what the training returns.

    Previews are kept back. Raises :class:`TrainingError` when that step has gone by unseen.
    """
    event = next(training)
    step, rate, told = 0, 0.0, None
    while True:
        try:
            asked = isinstance(event, Previewed)
            match event:
                case Stepped(step=step, steps_per_second=rate):
                    pass
                case Started(step=seen) | Previewed(step=seen) | Validated(step=seen):
                    step = max(step, seen)  # a training that goes on tells old validations again
            if not asked:
                told = last_command(told, (yield event))
            event = training.send(_reply(step, steps, rate, told))
        except StopIteration as end:
            return end.value


def _reply(step: int, steps: int, rate: float, told: Command | None) -> Command | None:
    if told is Command.STOP:
        return told
    if step > steps:
        raise TrainingError(
            f"The training went past step {steps}, at which it was to stop, between two of its events. Start it again."
        )
    near = steps - step <= max(FIRST_STEPS if not rate else 0, WATCHED_S * rate + 2)
    if step == steps:
        return Command.STOP
    return Command.PREVIEW if near else told
