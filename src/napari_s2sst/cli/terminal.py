"""Draw a run on a terminal: events -> progress, scores -> a table.

On a real terminal the progress is live; into a file or a pipe go a few plain lines instead.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ..engine.events import Command, Finished, Recovered, Started, Stepped, Unsaved, Validated, clock
from ..engine.runs.events import Imputing, RunEvent, Written

if TYPE_CHECKING:
    from ..engine.runs.run import Result
    from ..engine.scores.metrics import Scores

HANGUP: int | None = getattr(signal, "SIGHUP", None)
"""What a closed terminal sends; Windows has none."""
UNREAD = (OSError, SystemExit)
"""What printing raises, rich's way of saying so among it, when the terminal or the reader of a pipe is gone."""
PLAIN_EVERY_S = 10.0
"""Between two lines of progress where the output is not a terminal."""
MAX_TABLES = 12
"""Genes whose scores are printed; with more, their mean follows. All of them are in scores.csv."""

SCORE_COLUMNS = {
    "MAE": ("mae_unmeasured", min),
    "PCC": ("pcc_unmeasured", max),
    "SSIM": ("ssim_unmeasured", max),
}
"""Heading -> the field of Scores, and which of two values is the better."""


class Interrupt:
    """Ctrl-C, SIGTERM or a closed terminal inside this context: the first is remembered, the next ends the program.

    A closed terminal is told of more than once, by the system and by shells, so that never ends the program.
    """

    def __init__(self, console: Console) -> None:
        self.signal: int | None = None  # the first one
        self._console = console
        self._before: dict[int, Any] = {}
        self._terminals: list[int] = []

    @property
    def pressed(self) -> bool:
        return self.signal is not None

    @property
    def status(self) -> int:
        """Exit status as shells report it: 130 after Ctrl-C, 143 after SIGTERM, 129 after a closed terminal, else 0."""
        return 0 if self.signal is None else 128 + self.signal

    @property
    def was_wished(self) -> bool:
        """Ctrl-C is somebody who has enough of it; the others end what is still wanted."""
        return self.signal == signal.SIGINT

    def __enter__(self) -> Interrupt:
        self._terminals = [stream for stream in (1, 2) if os.isatty(stream)]
        for number in (signal.SIGINT, signal.SIGTERM, HANGUP):
            if number is not None and (number == signal.SIGINT or signal.getsignal(number) is not signal.SIG_IGN):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            if number != self.signal or number != HANGUP:
                signal.signal(number, before)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if number == HANGUP:
            signal.signal(number, signal.SIG_IGN)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for stream in self._terminals:  # writing to a terminal that is gone is an error
                os.dup2(nowhere, stream)
        again = "Ctrl-C again" if self.was_wished else "The same again"
        say(self._console, f"Stopping: what was learnt is kept and written. {again} ends at once, writing nothing.")


def say(console: Console, text: str, style: str = "") -> None:
    """One line as it stands: paths and gene names are never wrapped, coloured or read as markup.

    Where nobody reads it any more, nothing happens.
    """
    with contextlib.suppress(*UNREAD):
        console.print(Text(text, style=style), soft_wrap=True, highlight=False)


def follow(run: Generator[RunEvent, Command | None, Result], console: Console, interrupt: Interrupt) -> RunEvent:
    """Show how far a run's training is, passing an interrupt on as STOP; returns the first event after it."""
    progress = _LiveProgress(console) if console.is_terminal else _PlainProgress(console)
    with progress:
        event = next(run)
        while not isinstance(event, Imputing):
            with contextlib.suppress(*UNREAD):
                progress.show(event)
            event = run.send(Command.STOP if interrupt.pressed else None)
    return event


def follow_imputing(
    event: RunEvent, run: Generator[RunEvent, Command | None, Result], console: Console
) -> tuple[Result, tuple[Path, ...]]:
    """Say which gene is imputed, but no more than a line every few seconds; returns the result and its files."""
    last, paths = -math.inf, ()
    while True:
        match event:
            case Imputing(gene=gene, number=number, total=total) if time.monotonic() - last >= PLAIN_EVERY_S:
                last = time.monotonic()
                say(console, f"Imputing {gene} ({number} of {total})")
            case Written(paths=paths):
                pass
        try:
            event = next(run)
        except StopIteration as end:
            return end.value, paths


class _Progress(ABC):
    """State of the training as far as it is known."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.stepped: Stepped | None = None
        self.validated: Validated | None = None
        self.best: tuple[str, float] | None = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        return None  # nothing to close; a bar has

    def show(self, event: Any) -> None:
        match event:
            case Started():
                self.best = min(event.classical.items(), key=lambda item: item[1], default=None)
                genes = f"{len(event.genes)} gene{'s' if len(event.genes) > 1 else ''}"
                say(self.console, f"Training on {event.device}: {genes}, {event.parameters:,} weights")
                if event.step:
                    say(self.console, f"Going on after step {event.step:,}")
            case Validated():
                if self.validated is None or event.held_out_mae < self.validated.held_out_mae:
                    self.validated = event  # the weights that did best are the ones that are kept
            case Stepped():
                self.stepped = event
                self.draw()
            case Recovered(what=problem) | Unsaved(why=problem):
                say(self.console, problem)
            case Finished():
                steps = "1 step" if event.step == 1 else f"{event.step:,} steps"
                stopped = f", stopped early{event.reason and ': '}{event.reason}" if event.stopped else ""
                say(self.console, f"Trained {steps} in {clock(event.seconds)}{stopped}{self.against()}")

    @abstractmethod
    def draw(self) -> None:
        """Show where the training is now."""

    def against(self) -> str:
        """The lowest held-out error so far beside the best classical one, or nothing where none is known."""
        if self.validated is None:
            return ""
        best = "" if self.best is None else f" ({self.best[0]}: {self.best[1]:.4f})"
        return f", held-out error {self.validated.held_out_mae:.4f}{best}"

    def line(self) -> str:
        now = self.stepped
        steps = f"step {now.step:,}" + (f"/{now.steps:,}" if now.steps else "")
        left = f", {clock(now.seconds_left)} left" if now.seconds_left is not None else ""
        return f"{steps}, {now.steps_per_second:.1f} steps/s{left}, loss {now.loss:.4f}{self.against()}"

    def share(self) -> float | None:
        return self.stepped.step / self.stepped.steps if self.stepped and self.stepped.steps else None


class _PlainProgress(_Progress):
    """A line every few seconds."""

    _last = -math.inf

    def draw(self) -> None:
        if time.monotonic() - self._last >= PLAIN_EVERY_S:
            self._last = time.monotonic()
            share = self.share()
            say(self.console, ("" if share is None else f"{share:4.0%}  ") + self.line())


class _LiveProgress(_Progress):
    """A bar with the figures below it, redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, refresh_per_second=5, transient=True)

    def __enter__(self) -> _LiveProgress:
        self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def draw(self) -> None:
        share = self.share()
        bar = Table.grid(padding=(0, 1))
        # A bar without a total pulses: the number of steps is still being worked out from the time limit.
        bar.add_row(
            ProgressBar(total=None if share is None else 1.0, completed=share or 0.0, width=40),
            "timing a few steps" if share is None else f"{share:.0%}",
        )
        self._live.update(Group(bar, Text(self.line())))


def show_scores(console: Console, scores: Mapping[str, Mapping[str, Scores]]) -> None:
    """The methods' scores on unmeasured bins, a block a gene, the best of each column marked."""
    say(console, "Scores on unmeasured bins (* best of its column)")
    table = Table()
    table.add_column("gene", no_wrap=True)
    table.add_column("method", no_wrap=True)
    for heading in SCORE_COLUMNS:
        table.add_column(heading, justify="right")
    blocks = {gene: {m: _figures(s) for m, s in methods.items()} for gene, methods in list(scores.items())[:MAX_TABLES]}
    if len(scores) > 1:
        blocks[f"mean of {len(scores)}"] = _means(scores)
    for gene, methods in blocks.items():
        best = [_best(values, better) for values, (_, better) in
                zip(zip(*methods.values(), strict=True), SCORE_COLUMNS.values(), strict=True)]  # fmt: skip
        for row, (method, values) in enumerate(methods.items()):
            cells = [_cell(value, value == top) for value, top in zip(values, best, strict=True)]
            table.add_row(Text(gene if row == 0 else "", style="bold"), Text(method), *cells)
        table.add_section()
    console.print(table)
    if len(scores) > MAX_TABLES:
        say(console, f"The first {MAX_TABLES} of {len(scores)} genes are shown; scores.csv has all of them.")


def _figures(scores: Scores) -> list[float]:
    return [float(getattr(scores, name)) for name, _ in SCORE_COLUMNS.values()]


def _means(scores: Mapping[str, Mapping[str, Scores]]) -> dict[str, list[float]]:
    """Method -> each figure's mean over the genes where it is a number."""
    means: dict[str, list[float]] = {}
    for method in next(iter(scores.values())):
        columns = zip(*(_figures(methods[method]) for methods in scores.values()), strict=True)
        numbers = [[value for value in column if math.isfinite(value)] for column in columns]
        means[method] = [sum(column) / len(column) if column else math.nan for column in numbers]
    return means


def _best(values, better) -> float | None:
    return better((value for value in values if math.isfinite(value)), default=None)


def _cell(value: float, best: bool) -> Text:
    if not math.isfinite(value):
        return Text("-  ")
    return Text(f"{value:.4f} {'*' if best else ' '}", style="bold green" if best else "")
