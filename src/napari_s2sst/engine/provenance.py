"""What decided a run's numbers: its measured bins, as a hash, and the versions of the packages."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from .maps import SparseMap

OURS = "CDCIN"
"""The network's name in tables, beside those of the classical methods."""


def sparse_hash(maps: Iterable[SparseMap]) -> str:
    """SHA-256 of what training was given: the same for the same measured bins, whatever file they came from."""
    digest = hashlib.sha256()
    for sparse in maps:
        digest.update(
            repr((sparse.gene, sparse.shape, sparse.stride, tuple(sparse.phase), float(sparse.bin_um))).encode()
        )
        # Not what other genes lead to expect: it follows from the slide, and its last digits from the processor.
        for array in (sparse.values, sparse.measured, sparse.tissue, sparse.totals, sparse.context, sparse.image):
            if array is not None:
                digest.update(array.tobytes())
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that decide the numbers."""
    numbers = {"python": platform.python_version()}
    for name in ("napari-s2sst", "torch", "numpy", "scipy", "scikit-image", "pyarrow"):
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:  # run from a source tree that was never installed
            numbers[name] = "unknown"
    return numbers
