"""A folder and names that results may be written to; every file is written beside its place and moved there."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from .errors import ExportError

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""

_LONGEST_NAME = 80
"""Characters; file systems allow 255 bytes, and endings follow."""


def check_output_folder(path: str | Path) -> Path:
    """The folder, made where there was none. Raises :class:`ExportError` when nothing can be written in it."""
    folder = Path(path).expanduser()
    trial = folder / f".s2sst-{os.getpid()}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        trial.write_bytes(b"")
        trial.unlink()
    except OSError as error:
        reason = "it is a file" if folder.is_file() else (error.strerror or str(error)).lower()
        raise ExportError(f"Results can't be written to {folder}: {reason}. Choose another folder.") from None
    return folder


def safe_name(gene: str) -> str:
    """A gene's name as a file name that stays in its folder on every system; two genes never share one.

    Letters, digits and ``. _ + -`` stay. A name that had to be changed ends in a few digits made from the whole of it. Genes
    that differ only in case: see :func:`file_stems`.
    """
    name = _UNSAFE.sub("_", gene)[:_LONGEST_NAME].lstrip(".").rstrip(".")
    if name == gene and name and not _RESERVED.fullmatch(name):
        return name
    return f"{name or 'gene'}-{_digits_of(gene)}"


def file_stems(genes: Iterable[str]) -> dict[str, str]:
    """File names, without their endings, of genes whose files share a folder, by :func:`safe_name`.

    Some systems take GAD1 and Gad1, both in a panel of two species, for one file; there such names get their digits too.
    """
    names = {gene: safe_name(gene) for gene in genes}
    shared = Counter(name.casefold() for name in names.values())
    return {gene: f"{name}-{_digits_of(gene)}" if shared[name.casefold()] > 1 else name for gene, name in names.items()}


def _digits_of(gene: str) -> str:
    return hashlib.sha256(gene.encode("utf-8", "surrogatepass")).hexdigest()[:6]


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """Give a name beside ``path`` to write to, and move it there once that worked; otherwise leave nothing behind.

    Raises :class:`ExportError` when the disk is full or the place can't be written.
    """
    path = Path(path).expanduser()
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield beside
        os.replace(beside, path)
    except BaseException as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            reason = error.strerror or " ".join(str(error).split()) or type(error).__name__
            raise ExportError(
                f"{path} can't be written: {reason[:1].lower()}{reason[1:]}. Make room or choose another folder."
            ) from error
        raise


class FileThatFailsLate:
    """A file for a library that does not survive a failing disk: what fails is kept to be raised later.

    From the first failure on nothing is written any more, and the library is told that all went well.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        """Without a buffer, so that a failure belongs to the call that made it."""
        self._error: OSError | None = None
        self.seek, self.tell, self.read, self.readinto = file.seek, file.tell, file.read, file.readinto

    def write(self, content) -> int:
        left = memoryview(content).cast("B")
        size = len(left)
        while self._error is None and len(left):
            try:
                left = left[self._file.write(left) :]
            except OSError as error:
                self._error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self._error = self._error or error
            return self.tell() if size is None else size

    def flush(self) -> None:
        self._file.flush()

    def check(self) -> None:
        """Raise what failed, if anything has."""
        if self._error is not None:
            raise self._error

    @contextmanager
    def told(self) -> Iterator[None]:
        """At the end, raise what failed, rather than what the library made of it."""
        try:
            yield
        except Exception:
            self.check()
            raise
        self.check()
