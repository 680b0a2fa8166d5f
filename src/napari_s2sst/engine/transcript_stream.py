"""Read columns of a transcript table a batch at a time, in pieces that threads may read at the same time.

A Parquet file's row groups can be read one beside the other; a CSV, and a file of one row group, are read from front to back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from .transcript_columns import unreadable

BATCH_ROWS = 1 << 16
"""Rows of a batch: a MB or two, which a processor's cache holds."""
PIECE_ROWS = 1 << 18
"""Row groups smaller than this are read several at a time: opening a file takes as long as reading some 10,000 rows."""
_CODED = ("feature_name", "codeword_category")
"""Names come as codes into a short list, decoded once for each row group and not once for each row."""
# Without these settings pyarrow keeps the whole compressed columns in memory, some 14 bytes a row.
_BOUNDED = {"pre_buffer": False, "buffer_size": 1 << 20, "page_checksum_verification": True}


def read_metadata(path: Path) -> pq.FileMetaData:
    """A Parquet file's footer. Raises :class:`BundleError`."""
    try:
        return pq.read_metadata(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def read_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The columns, which the table must have, from front to back. Raises :class:`BundleError`."""
    return _parquet_batches(path, columns) if path.suffix == ".parquet" else _csv_batches(path, columns)


def read_pieces(path: Path, columns: Sequence[str]) -> Iterator[Iterable[pa.RecordBatch]]:
    """The same in pieces, in the table's order. What can be read beside other pieces is read by whoever walks through the piece.

    Raises :class:`BundleError`, here or there.
    """
    if path.suffix == ".parquet":
        metadata = read_metadata(path)
        pieces = list(_row_groups(metadata))
        if len(pieces) > 1:
            yield from (_parquet_batches(path, columns, metadata, groups) for groups in pieces)
            return
    yield from ((batch,) for batch in read_batches(path, columns))


def _row_groups(metadata: pq.FileMetaData) -> Iterator[list[int]]:
    groups, rows = [], 0
    for group in range(metadata.num_row_groups):
        groups.append(group)
        rows += metadata.row_group(group).num_rows
        if rows >= PIECE_ROWS:
            yield groups
            groups, rows = [], 0
    if groups:
        yield groups


def _parquet_batches(
    path: Path, columns: Sequence[str], metadata: pq.FileMetaData | None = None, groups: list[int] | None = None
) -> Iterator[pa.RecordBatch]:
    coded = [name for name in columns if name in _CODED]
    try:
        with pq.ParquetFile(path, metadata=metadata, read_dictionary=coded, **_BOUNDED) as table:
            # Pieces keep the processors busy; more threads for each would only wait for one another.
            yield from table.iter_batches(BATCH_ROWS, groups, columns=list(columns), use_threads=groups is None)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None


def _csv_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    kinds = dict.fromkeys(("x_location", "y_location", "qv"), pa.float64())
    kinds |= dict.fromkeys(_CODED, pa.dictionary(pa.int32(), pa.string()))
    options = pa.csv.ConvertOptions(
        include_columns=list(columns), column_types={name: kinds[name] for name in columns if name in kinds}
    )
    try:
        with pa.csv.open_csv(
            path, read_options=pa.csv.ReadOptions(block_size=1 << 23), convert_options=options
        ) as table:
            yield from table
    except (OSError, ValueError, pa.ArrowException) as error:
        raise unreadable(path, error) from None
