"""What can go wrong, as sentences a user can act on: what, where, what to do.

All derive from :class:`S2SSTError`, itself a plain ``Exception``: a napari worker swallows every ``RuntimeError``,
so none of these may be one.
"""


class S2SSTError(Exception):
    """Any failure that has one clear sentence for the user. The window shows it, the command line prints it."""


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
