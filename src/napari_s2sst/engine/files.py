"""Paths as people give them -> paths of this machine; folders and names that results may be written to -> whole files.

What is read is on disk and unpacked, or one sentence says what to do. Every file is written beside its place and moved there.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from .errors import BundleError, ExportError

STATE_VARIABLE = "S2SST_STATE_DIR"
"""An environment variable that names another folder than the system's own for logs, caches and unfinished runs."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._+-]+")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices."""

_LONGEST_NAME = 80
"""Characters; file systems allow 255 bytes, and endings follow."""

PACKED = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".7z", ".rar")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}(.*)", re.IGNORECASE | re.DOTALL)
"""``s3://bucket/slide``, also with the one slash that ``Path`` leaves of it; ``C:/slide`` is a drive and no address."""
_FETCH = {
    "s3": "aws s3 sync",
    "gs": "gcloud storage cp -r",
    "https": "curl -O, or the browser",
    "http": "curl -O, or the browser",
}


def local_path(path: str | Path, wanted: str) -> Path:
    """Make a path absolute, whether there is anything or not; ``wanted`` says what to choose instead.

    Raises :class:`BundleError` on an address in the web or a cloud, a packed file, a link that leads nowhere, and what the
    system does not let us look at.
    """
    address = _ADDRESS.fullmatch(str(path))
    if address and address[1].lower() != "file":
        scheme, at = address[1].lower(), address[2]
        by = f" (with {_FETCH[scheme]})" if scheme in _FETCH else ""
        raise BundleError(
            f"{scheme}://{at} is not on this computer, and slides are read from disk only. Download it first{by}, then "
            f"choose {wanted}."
        )
    try:
        place = Path(f"/{unquote(address[2])}" if address else path).expanduser().absolute()
        exists = place.exists()
        is_link = place.is_symlink()
    except (OSError, RuntimeError, ValueError, TypeError) as error:  # RuntimeError: ~nobody
        reason = getattr(error, "strerror", None) or str(error)
        shown = str(path).replace("\0", "\\0")
        shown = shown if len(shown) <= 200 else f"{shown[:200]}..."
        raise BundleError(f"{shown} can't be opened ({reason}). Choose {wanted}.") from None
    if is_link and not exists:
        raise BundleError(f"{place} is a link that leads nowhere or back to itself. Choose {wanted}.")
    if place.name.lower().endswith(PACKED) and place.is_file():
        raise BundleError(f"{place} is packed, and slides are read unpacked. Unpack it first, then choose {wanted}.")
    return place


def first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """Find the first of the files that the folder has. Raises :class:`BundleError` when one is a link that leads nowhere."""
    for name in names:
        path = folder / name
        if path.is_file():
            return path
        if path.is_symlink() and not path.exists():
            raise BundleError(
                f"{path} is a link that leads nowhere. Copy the file itself into the folder, or mount the disk that it is on."
            )
    return None


def check_output_folder(path: str | Path) -> Path:
    """Make the folder where there is none, and return it. Raises :class:`ExportError` when nothing can be written in it."""
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
    """Turn a gene's name into a file name that stays in its folder on every system; two genes never share one.

    Letters, digits and ``. _ + -`` stay. A name that had to be changed ends in a few digits made from the whole of it. Genes
    that differ only in case: see :func:`file_stems`.
    """
    name = _UNSAFE.sub("_", gene)[:_LONGEST_NAME].lstrip(".").rstrip(".")
    if name == gene and name and not _RESERVED.fullmatch(name):
        return name
    return f"{name or 'gene'}-{_digits_of(gene)}"


def file_stems(genes: Iterable[str]) -> dict[str, str]:
    """Name the files, without their endings, of genes whose files share a folder, by :func:`safe_name`.

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
    def checked(self) -> Iterator[None]:
        """Raise, at the end, what failed in the file, rather than what the library made of it."""
        try:
            yield
        except Exception:
            self.check()
            raise
        self.check()
