"""Turn a path as people give it into a path of this machine, or say why it can't be one: the web, a packed folder, a dead link."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from .errors import BundleError

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
    """The absolute path, whether there is anything or not; ``wanted`` says what to choose instead.

    Raises :class:`BundleError` on an address in the web or a cloud, a packed file, a link that leads nowhere, and what the
    system does not let us look at.
    """
    address = _ADDRESS.fullmatch(str(path))
    if address and address[1].lower() != "file":
        scheme, rest = address[1].lower(), address[2]
        by = f" (with {_FETCH[scheme]})" if scheme in _FETCH else ""
        raise BundleError(
            f"{scheme}://{rest} is not on this computer, and slides are read from disk only. Download it first{by}, then "
            f"choose {wanted}."
        )
    try:
        found = Path(f"/{unquote(address[2])}" if address else path).expanduser().absolute()
        exists = found.exists()
        is_link = found.is_symlink()
    except (OSError, RuntimeError, ValueError, TypeError) as error:  # RuntimeError: ~nobody
        reason = getattr(error, "strerror", None) or str(error)
        shown = str(path).replace("\0", "\\0")
        shown = shown if len(shown) <= 200 else f"{shown[:200]}..."
        raise BundleError(f"{shown} can't be opened ({reason}). Choose {wanted}.") from None
    if is_link and not exists:
        raise BundleError(f"{found} is a link that leads nowhere or back to itself. Choose {wanted}.")
    if found.name.lower().endswith(PACKED) and found.is_file():
        raise BundleError(f"{found} is packed, and slides are read unpacked. Unpack it first, then choose {wanted}.")
    return found


def first_file(folder: Path, names: tuple[str, ...]) -> Path | None:
    """The first of the files that the folder has. Raises :class:`BundleError` when one is a link that leads nowhere."""
    for name in names:
        path = folder / name
        if path.is_file():
            return path
        if path.is_symlink() and not path.exists():
            raise BundleError(
                f"{path} is a link that leads nowhere. Copy the file itself into the folder, or mount the disk that it is on."
            )
    return None
