"""Events, which a training tells while it runs, and commands, which it can be sent.

Errors are raised and the result is returned; an event is neither. Read them with ``match``.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

from .maps import GeneMap


class Command(Enum):
    """An order that a consumer may ``send`` into the training generator after its first event."""

    STOP = auto()
    """Finish now and return the weights learnt so far."""

    PREVIEW = auto()
    """Answer with a :class:`Previewed` as soon as the present step is done."""


class Hold(Enum):
    """Orders that a training elsewhere may be sent beside a :class:`Command`. One in this process is held by not being iterated."""

    PAUSE = auto()
    """Take no more steps, and tell :class:`Waiting`, until told RESUME or STOP."""

    RESUME = auto()
    """Go on."""


def last_command(before: Command | Hold | None, sent: Command | Hold | None) -> Command | Hold | None:
    """The command that holds after one more event; nothing that is sent later takes back a STOP."""
    return before if before is Command.STOP else sent


@dataclass(frozen=True)
class Started:
    """The first event. Commands may be sent from here on."""

    genes: tuple[str, ...]
    device: str
    """As a user would name it, such as ``"CPU, 2 threads"``."""
    parameters: int
    """Trainable weights of the network."""
    held_out_bins: int
    """Measured bins of all genes that training never sees as a target."""
    classical: dict[str, float] = field(default_factory=dict)
    """Method -> mean absolute error on those held-out bins, in the normalised space."""
    step: int = 0
    """Steps taken before, where the training goes on from a checkpoint; what was validated till then is told again."""


@dataclass(frozen=True)
class Stepped:
    """Optimiser steps were taken; sent at most about ten times a second, not for every step."""

    step: int
    steps: int | None
    """Steps in all; None while they are still being worked out from a time limit."""
    loss: float
    """Mean total loss since the last such event."""
    terms: dict[str, float]
    """Mean loss by term, such as ``sparser_to_sparse``."""
    steps_per_second: float
    seconds_left: float | None


@dataclass(frozen=True)
class Validated:
    """The network was tried on the held-out measured bins."""

    step: int
    held_out_mae: float
    """Mean absolute error in the normalised space, comparable with :attr:`Started.classical`."""
    training_mae: float
    """The same error on the measured bins that training does see."""


@dataclass(frozen=True)
class Previewed:
    """A preview: the imputed map of the first gene as it is now."""

    step: int
    imputed: GeneMap


@dataclass(frozen=True)
class Finished:
    """The last event: no more steps follow, the result is about to be returned."""

    step: int
    seconds: float
    stopped: bool
    """True when ended before its last step, by :attr:`Command.STOP` or for a reason of its own."""
    reason: str = ""
    """That reason of its own."""


@dataclass(frozen=True)
class Recovered:
    """Something went wrong, and the training found a way on, or to its end with what is good."""

    step: int
    what: str
    """What went wrong and what was done, as sentences for the user."""


@dataclass(frozen=True)
class Unsaved:
    """The checkpoint can't be written at present; the training goes on, and tries again. Told once, until one was written."""

    step: int
    why: str
    """As a sentence for the user."""


@dataclass(frozen=True)
class Waiting:
    """Nothing is new of a training elsewhere: told about five times a second where no event comes, so that commands can be
    sent."""

    what: str
    """As a sentence for the user."""
    is_stuck: bool = False
    """Nothing will come until somebody starts a worker."""


Event = Started | Stepped | Validated | Previewed | Finished | Recovered | Unsaved


def clock(seconds: float) -> str:
    """Seconds as people read them: ``0:47``, ``2:00``, ``1:00:00``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
