"""Keep what was counted of a large slide in the user's cache folder: tables as Parquet files, safe to delete at any time.

A file is named by a hash of what it was counted from and how (its key, which stands in the file as well)::

    <user cache>/napari-s2sst/counts/s2sst-<hash>.parquet       columns; the file's metadata: the key, notes

A panel's counts are kept as its bins and counts one gene after the other, so that a few genes are read by themselves.

Nothing that is wrong with a kept file is an error: a file that is damaged, stale or of another key is left out and written
again. The environment variable ``S2SST_CACHE`` names another folder, or is ``off``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import ExportError
from ..files import written_whole
from .grid import Grid
from .panel import SparsePanel, stacked

log = logging.getLogger(__name__)

VARIABLE = "S2SST_CACHE"
"""A folder for the files, or one of ``OFF``."""
OFF = ("off", "no", "none", "false", "0")
LIMIT_BYTES = 2_000_000_000
"""Size of all kept files together; those that were not used for longest go first."""
WORTH_BYTES = {".parquet": 16_000_000, ".gz": 1_000_000, ".csv": 4_000_000}
"""A table smaller than this is counted in a tenth of a second or less."""
FORMAT = 1
"""Raised when the same transcripts are counted otherwise, or kept otherwise."""
LEFT_OVER_SECONDS = 86_400.0
"""A half-written file as old as this is of a process that was ended."""
FEW_GENES = 16
"""So many are read one by one; more come with all of them."""
_END_BYTES = 1 << 16
_ROW_GROUP = 1 << 16
_ERRORS = (OSError, ValueError, KeyError, TypeError, IndexError, pa.ArrowException)

_writing = Lock()


@dataclass(frozen=True, eq=False)
class Kept:
    """A kept table: its notes, and its columns when they are asked for."""

    path: Path
    notes: dict[str, Any]
    rows: int

    def columns(self, first: int = 0, last: int | None = None) -> dict[str, np.ndarray] | None:
        """Name -> values of the rows from ``first`` to ``last``; None, and the file is gone, when it is damaged."""
        last = self.rows if last is None else last
        try:
            with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
                groups = list(range(first // _ROW_GROUP, -(-last // _ROW_GROUP)))
                table = file.read_row_groups(groups, use_threads=True) if groups else file.schema_arrow.empty_table()
            skipped = groups[0] * _ROW_GROUP if groups else 0
            table = table.slice(first - skipped, last - first)
            if len(table) != last - first:
                raise ValueError("rows are missing")
            return {name: _values(table[name]) for name in table.column_names}
        except _ERRORS as error:
            _discard(self.path, error)
            return None


@dataclass(frozen=True)
class CountCache:
    """A folder of kept tables. Several processes may use it at the same time."""

    folder: Path
    limit_bytes: int = LIMIT_BYTES

    def get(self, key: Mapping[str, Any]) -> Kept | None:
        """Read what was kept under exactly this key; None where there is nothing, or nothing that is whole."""
        path = self._place(key)
        try:
            with pq.ParquetFile(path) as file:
                stored = json.loads((file.schema_arrow.metadata or {})[b"s2sst"])
                rows = file.metadata.num_rows
            if stored["key"] != json.loads(json.dumps(dict(key))):
                raise ValueError("it was kept under another key")
            with suppress(OSError):
                os.utime(path)  # the files that are used stay longest
            return Kept(path, stored["notes"], rows)
        except FileNotFoundError:
            return None
        except _ERRORS as error:
            _discard(path, error)
            return None

    def keep(self, key: Mapping[str, Any], columns: Mapping[str, Any], notes: Mapping[str, Any]) -> bool:
        """Write columns of one length and notes that JSON can hold; False where that can't be done, which does no harm."""
        path = self._place(key)
        stored = json.dumps({"key": dict(key), "notes": dict(notes)})
        try:
            table = pa.table({name: pa.array(values) for name, values in columns.items()})
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Two threads of one process would write to the same name beside the file.
            with _writing, written_whole(path) as beside:
                pq.write_table(
                    table.replace_schema_metadata({"s2sst": stored}), beside, row_group_size=_ROW_GROUP,
                    compression="snappy", write_page_checksum=True, **_packed(table),
                )  # fmt: skip
            self._make_room(path)
            return True
        except (*_ERRORS, ExportError) as error:
            log.info("counts are not kept in %s: %s", self.folder, error)
            return False

    def _place(self, key: Mapping[str, Any]) -> Path:
        text = json.dumps(dict(key), sort_keys=True)
        return self.folder / f"s2sst-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}.parquet"

    def _make_room(self, newest: Path) -> None:
        """Delete the files that were not used for longest until the others fit, and what ended processes left behind."""
        for path in self.folder.glob(".s2sst-*.part"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_OVER_SECONDS:
                    path.unlink()
        total = 0
        for _, size, path in sorted(self._files(), reverse=True):
            total += size
            if total > self.limit_bytes and path != newest:
                with suppress(OSError):
                    path.unlink()

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        for path in self.folder.glob("s2sst-*.parquet"):
            with suppress(OSError):  # another process may have deleted it
                facts = path.stat()
                yield facts.st_mtime_ns, facts.st_size, path


def cache_for(table: Path) -> CountCache | None:
    """The cache that a transcript table's counts are kept in; None for a small one, and where the user wants none."""
    try:
        if table.stat().st_size < WORTH_BYTES.get(table.suffix, 0):
            return None
        setting = os.environ.get(VARIABLE, "").strip()
        if setting.lower() in OFF:
            return None
        folder = Path(setting).expanduser().absolute() if setting else _users_folder()
        slide = table.resolve().parent
        # A slide's folder stays as the instrument wrote it, whatever the variable says.
        return None if slide == folder.resolve() or slide in folder.resolve().parents else CountCache(folder)
    except (OSError, RuntimeError, ValueError):  # RuntimeError: no home
        return None


def file_key(path: Path) -> dict[str, Any] | None:
    """Facts that tell this file, as it is now, from every other one; None when it can't be read."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            file.seek(max(0, facts.st_size - _END_BYTES))
            # A Parquet file's end says where all its parts are, so it differs where a copy kept size and time.
            end = hashlib.sha256(file.read(_END_BYTES)).hexdigest()
    except OSError:
        return None
    return {
        "format": FORMAT,
        "path": str(path.resolve()),
        "bytes": facts.st_size,
        "modified_ns": facts.st_mtime_ns,
        "end": end,
    }


def _users_folder() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("napari-s2sst") / "counts"


def _packed(table: pa.Table) -> dict[str, Any]:
    """Encodings of the columns: ascending bins as their differences, counts, of which there are few, as codes."""
    ascending = [name for name in table.column_names if name == "bin"]
    others = [name for name in table.column_names if name != "bin"]
    return {"use_dictionary": others, "column_encoding": dict.fromkeys(ascending, "DELTA_BINARY_PACKED") or None}


def _values(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_string(column.type):
        return np.array(column.to_pylist(), object)
    # `to_numpy` imports pandas, which takes longer than to read the file.
    parts = [
        np.from_dlpack(chunk if not pa.types.is_boolean(chunk.type) else chunk.cast(pa.uint8()))
        for chunk in column.chunks
    ]
    return np.concatenate(parts) if parts else np.zeros(0, column.type.to_pandas_dtype())


def _discard(path: Path, error: Exception) -> None:
    log.info("%s is written again: %s", path, error)
    with suppress(OSError):
        path.unlink()


def keep_panel(
    cache: CountCache, key: Mapping[str, Any], genes: Sequence[str], panel: SparsePanel, totals: np.ndarray
) -> bool:
    """Keep all genes' counts and their totals, (rows, columns). False where that can't be done."""
    flat = totals.ravel()
    bins = np.flatnonzero(flat)
    of_all = SparsePanel(panel.shape, np.array([0, len(bins)]), bins.astype(np.int32), flat[bins].astype(np.int32))
    whole = stacked([of_all, panel])
    notes = {"genes": list(genes), "starts": whole.starts.tolist(), "shape": list(panel.shape)}
    return cache.keep(key, {"bin": whole.bins, "count": whole.counts}, notes)


def kept_panel(
    cache: CountCache, key: Mapping[str, Any], genes: Sequence[str], grid: Grid
) -> tuple[SparsePanel, np.ndarray] | None:
    """The genes' counts in this order and the totals, (rows, columns) int32; None where they are not all there and whole."""
    kept = cache.get(key)
    if kept is None:
        return None
    slot = {gene: number for number, gene in enumerate(kept.notes.get("genes", ()), start=1)}
    starts = np.array(kept.notes.get("starts", ()), np.int64)
    if any(gene not in slot for gene in genes) or tuple(kept.notes.get("shape", ())) != grid.shape:
        return None
    if len(starts) != len(slot) + 2 or starts[0] != 0 or starts[-1] != kept.rows or np.any(np.diff(starts) < 0):
        return None
    wanted = [0, *(slot[gene] for gene in genes)]
    parts = _one_by_one(kept, starts, wanted, grid) if len(genes) <= FEW_GENES else _all(kept, starts, wanted, grid)
    if parts is None:
        return None
    of_all = parts[0].totals()
    return stacked(parts[1:] or [_empty(grid)]), of_all


def _one_by_one(kept: Kept, starts: np.ndarray, wanted: Sequence[int], grid: Grid) -> list[SparsePanel] | None:
    parts = [_panel(kept, int(starts[slot]), int(starts[slot + 1]), grid) for slot in wanted]
    return None if any(part is None for part in parts) else parts


def _all(kept: Kept, starts: np.ndarray, wanted: Sequence[int], grid: Grid) -> list[SparsePanel] | None:
    whole = _panel(kept, 0, kept.rows, grid)
    if whole is None:
        return None
    whole = SparsePanel(grid.shape, starts, whole.bins, whole.counts)
    return [
        SparsePanel(grid.shape, np.array([0, len(bins)]), bins, counts) for bins, counts in map(whole.occupied, wanted)
    ]


def _panel(kept: Kept, first: int, last: int, grid: Grid) -> SparsePanel | None:
    """Make some rows one gene; None where they can't be this grid's."""
    columns = kept.columns(first, last)
    if columns is None or set(columns) != {"bin", "count"}:
        return None
    bins, counts = columns["bin"], columns["count"]
    if bins.dtype != np.int32 or counts.dtype != np.int32:
        return None
    if len(bins) and not (bins.min() >= 0 and bins.max() < grid.size and counts.min() > 0):
        return None
    return SparsePanel(grid.shape, np.array([0, len(bins)]), bins, counts)


def _empty(grid: Grid) -> SparsePanel:
    return SparsePanel(grid.shape, np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))
