"""Execute one prepared job in this process, tell of it on the terminal, and write its results."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ..engine.device import choose_device
from ..engine.errors import CheckpointError, S2SSTError
from ..engine.export.tables import check_output_folder
from ..engine.runs.execute import Output, TrainingPlan, execute
from ..engine.training.checkpoint import CHECKPOINT_NAME, remove_checkpoint, unfinished
from .inputs import put_into
from .terminal import UNREAD, Interrupt, follow, follow_imputing, say, show_scores

if TYPE_CHECKING:
    from ..engine.runs.run import Job, Result
    from .options import RunOptions

MOST_FILES_SHOWN = 20


def impute_here(name: str, job: Job, options: RunOptions, command: str, store: Any) -> int:
    """Train, impute, write and tell; returns the exit status. Raises S2SSTError.

    ``name``: the slide's; ``store``: the SpatialData store that the result goes into, too, or None.
    """
    choose_device(job.config.device)
    was_there = options.out.exists()
    folder = check_output_folder(options.out)
    checkpoint = folder / CHECKPOINT_NAME
    trains = job.start is None
    training = TrainingPlan(
        checkpoint=checkpoint, checkpoint_every_s=options.checkpoint_every_s, resume=options.resume, stop_at=options.stop_at
    )  # fmt: skip
    run = execute(job, training if trains else None, keep_in=folder, output=Output(folder=folder, command=command))

    notes, results = Console(stderr=True), Console()
    first = job.sparse[0]
    say(notes, f"{name}: {first.shape[0]} x {first.shape[1]} bins of {first.bin_um:g} um, "
               f"{int(first.measured.sum()):,} of {int(first.tissue.sum()):,} tissue bins measured")  # fmt: skip
    if any(path.name != CHECKPOINT_NAME for path in folder.iterdir()):
        say(notes, f"{folder} has files already; those of the same name are replaced, the others stay.")
    with Interrupt(notes) as interrupt:
        try:
            if trains:
                _say_checkpoint(notes, checkpoint, resume=options.resume)
                event = follow(run, notes, interrupt)
            else:
                event = next(run)
        except BaseException:
            if not was_there:
                with contextlib.suppress(OSError):  # not empty: there is a checkpoint, or somebody else uses it
                    folder.rmdir()
            raise
    try:
        result, paths = follow_imputing(event, run, notes)
        put_into(store, result, command, results)
    except S2SSTError as error:
        if not (trains and checkpoint.is_file()):
            raise
        kept = f"The training is kept in {checkpoint}; the same command with --resume goes on from there."
        raise type(error)(f"{error} {kept}") from error
    if trains and (interrupt.was_wished or not interrupt.pressed):
        remove_checkpoint(checkpoint)

    _show(results, folder, result, paths)
    if checkpoint.is_file() and trains:
        say(
            notes, f"The training was stopped before its end; the same command with --resume goes on from {checkpoint}."
        )
    return interrupt.status


def _show(console: Console, folder: Path, result: Result, paths: Sequence[Path]) -> None:
    """The scores, and what was written."""
    with contextlib.suppress(*UNREAD):
        if any(result.scores.values()):
            show_scores(console, result.scores)
        else:
            say(console, "Every bin was measured, so nothing is known of the bins between and there are no scores.")
    say(console, f"Results are in {folder}:")
    names = [path.name for path in paths]
    if len(names) > MOST_FILES_SHOWN:
        names = [*names[:10], f"... and {len(names) - 14} more", *names[-4:]]
    for name in names:
        say(console, f"  {name}")
    say(console, f"The picture: {next(path for path in paths if path.suffix == '.png')}")


def _say_checkpoint(console: Console, path: Path, *, resume: bool) -> None:
    """Say whether there is a training to go on from, and what becomes of it."""
    if resume:
        if not path.is_file():
            say(console, f"There is no checkpoint at {path}, so the training begins with its first step.")
        return
    with contextlib.suppress(CheckpointError):  # what can't be read is of no use to anybody
        if left := unfinished(path):
            of = "" if left.steps is None else f" of {left.steps:,}"
            where = (
                f"{path} holds a training on {', '.join(left.genes[:5])} that was ended after step {left.step:,}{of}"
            )
            say(console, f"{where}. It is not used, and will be replaced; stop now and add --resume to go on from it.")
