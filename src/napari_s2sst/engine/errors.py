"""What can go wrong, as sentences a user can act on: what, where, what to do.

All derive from :class:`S2SSTError`, itself a plain ``Exception``: a napari worker swallows every ``RuntimeError``,
so none of these may be one. :func:`sentence` makes one of any other error.
"""

from dataclasses import dataclass


class S2SSTError(Exception):
    """A failure that has one clear sentence for the user: the base of all errors raised on purpose.

    The window shows the sentence, the command line prints it.
    """


class ConfigError(S2SSTError):
    """A setting is unknown or out of range."""


class BundleError(S2SSTError):
    """A Xenium folder or count cube can't be read, or has no such gene."""


class RegionError(S2SSTError):
    """A region of interest can't be read, is not a polygon, or lies outside the slide."""


class SamplingError(S2SSTError):
    """A lattice does not fit its map."""


class TrainingError(S2SSTError):
    """Training can't start or can't go on."""


class CheckpointError(S2SSTError):
    """A model file can't be read, or was made for something else."""


class ExportError(S2SSTError):
    """A result can't be written."""


@dataclass(frozen=True)
class Advice:
    """Sentences for errors that have none of their own, by who runs into them."""

    shortage: str
    """Where the memory was not enough: what to do."""
    unexpected: str
    """Of a mistake of ours; ``{kind}`` is the error's class, ``{text}`` what it says and ``{line}`` the first line of that."""


def sentence(error: BaseException, advice: Advice) -> str:
    """One sentence that a user reads of an error of any kind; no traceback."""
    if isinstance(error, S2SSTError):
        return str(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return f"The memory was not enough. {advice.shortage}"
    lines = str(error).strip().splitlines() or ["no further explanation"]
    return advice.unexpected.format(kind=type(error).__name__, line=lines[0], text=" ".join(str(error).split()))
