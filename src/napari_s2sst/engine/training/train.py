"""Sparse maps and natural images -> a trained CDCIN, as a generator of events (Fang et al. 2025, sections 2.1 and 2.5).

The generator can be sent a :class:`Command` after its first event, and returns :class:`Trained`. :func:`fit` runs it to its end;
:func:`stopping_at` ends it after exactly so many steps, as by hand, so that a run that was stopped repeats.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from ..config import CHECKPOINT_EVERY_S, RunConfig
from ..errors import TrainingError
from ..events import Command, Event, Previewed, Started, Stepped, Validated, last_command
from ..files import check_output_folder
from ..maps import SparseMap
from ..network.model import Trained
from ..threads import one_thread
from .checkpoint import CheckpointWriter
from .loop import TrainingRun
from .mishaps import give_back_memory, is_shortage

FIRST_STEPS = 40
"""So early nothing is known of the speed, and :func:`stopping_at` watches every step."""

WATCHED_S = 0.5
"""Time before the end in which every step is watched: several times as long as between two events."""


def train(
    maps: Sequence[SparseMap],
    config: RunConfig,
    *,
    preview_every_s: float | None = None,
    start: Trained | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> Generator[Event, Command | None, Trained]:
    """Train one network on one or more sparse maps of the same stride; yields events, returns :class:`Trained`.

    The losses are those of Fang et al. 2025, eqs 3-5 for the slide and 8-10 for pictures, or of a distribution where the
    settings ask for quantiles. Times are seconds; errors in events are in the normalised space.

    ``start`` is a model whose weights are the first ones, whatever the settings' ``start_from`` says; it stays as it is.
    Going on on the same maps, keep the seed: the same bins are held out then, and the held-out error stays honest.

    ``checkpoint`` is a file that holds the training as it is, written anew after as many seconds, when a time limit becomes
    a number of steps, at a STOP and at the end; the caller removes it when the result is safe. With ``resume`` the training
    goes on from that file, if it is there: on a CPU to the same weights, bit for bit, as if it had never been ended. A
    time limit counts only the time spent. The device may be another one, and ``start`` isn't needed again.

    Raises :class:`TrainingError` when the maps can't be trained on, the first weights don't fit, not even one patch fits in
    the memory or the loss is no number from the start; :class:`ConfigError` when a setting names a device or picture folder
    that is not there; :class:`CheckpointError` when a model file or checkpoint can't be read or is of something else;
    :class:`ExportError` when nothing can be written beside ``checkpoint``.
    """
    path = None if checkpoint is None else Path(checkpoint).expanduser()
    writer = None if path is None else CheckpointWriter(path, checkpoint_every_s, resume)
    if path is not None:
        check_output_folder(path.parent)
    reason = ""
    try:
        with one_thread():  # from the beginning: how many threads the caller has depends on what ran before
            run = TrainingRun(maps, config, preview_every_s=preview_every_s, start=start, writer=writer)
            with run.cores:
                return (yield from run.events())
    except RuntimeError as error:  # a napari worker would swallow it
        if not is_shortage(error):
            advice = "" if path is None or not path.is_file() else f" Resume from {path}, if need be on another device."
            raise TrainingError(f"Training stopped at an error of the computing library: {error}{advice}") from error
        reason = str(error).splitlines()[0] if str(error) else ""
    # Outside the handler, so that nothing holds on to the run and its memory.
    run = None
    give_back_memory()
    raise TrainingError(
        f"There was not enough memory to train, even with the batch in parts ({reason}). Choose a smaller batch, smaller "
        "patches or tiles, close other programs that use the device, or train on another one."
    )


def fit(
    maps: Sequence[SparseMap],
    config: RunConfig,
    on_event: Callable[[Event], Any] | None = None,
    *,
    start: Trained | None = None,
    checkpoint: str | Path | None = None,
    resume: bool = False,
    checkpoint_every_s: float = CHECKPOINT_EVERY_S,
) -> Trained:
    """Train to the end, as :func:`train` does, and raise what that raises. ``on_event`` sees every event."""
    training = train(
        maps, config, start=start, checkpoint=checkpoint, resume=resume, checkpoint_every_s=checkpoint_every_s
    )
    while True:
        try:
            event = next(training)
        except StopIteration as end:
            return end.value
        if on_event:
            on_event(event)


def stopping_at(steps: int, training: Generator[Event, Command | None, Any]) -> Generator[Event, Command | None, Any]:
    """Pass a training's events on, and end it after ``steps`` steps; returns what the training returns.

    The rate of a step depends on how many were planned, so a run of 1000 steps that is stopped at 400 is another one than a
    run of 400. Events come about ten times a second and not after each step; a preview is answered after the step that is
    being taken, so near the end one is asked for after every step. Previews are kept back.
    Raises :class:`TrainingError` when that step has gone by unseen.
    """
    event = next(training)
    step, steps_per_second, command = 0, 0.0, None
    while True:
        try:
            match event:
                case Stepped(step=step, steps_per_second=steps_per_second):
                    pass
                case Started(step=known) | Previewed(step=known) | Validated(step=known):
                    step = max(step, known)  # a training that goes on tells old validations again
            if not isinstance(event, Previewed):
                command = last_command(command, (yield event))
            event = training.send(_reply(step, steps, steps_per_second, command))
        except StopIteration as end:
            return end.value


def _reply(step: int, steps: int, steps_per_second: float, command: Command | None) -> Command | None:
    """The command that makes a training tell every step near the end, and stop there."""
    if command is Command.STOP:
        return command
    if step > steps:
        raise TrainingError(
            f"The training went past step {steps}, at which it was to stop, between two of its events. Start it again."
        )
    if step == steps:
        return Command.STOP
    watched = max(0 if steps_per_second else FIRST_STEPS, WATCHED_S * steps_per_second + 2)
    return Command.PREVIEW if steps - step <= watched else command
