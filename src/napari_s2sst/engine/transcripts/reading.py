"""Read a transcript table of any size, Parquet or CSV: its header, checked; its columns, a batch at a time; these as numbers.

Batches come from front to back, or in pieces that threads may read at the same time.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from ..errors import BundleError

NEEDED = ("feature_name", "x_location", "y_location")
LONGEST_HEADER = 1 << 20
"""Characters; a longer first line is no header, and may have no end."""
_NEEDED_TYPES = {"names": "text is needed", "numbers": "numbers are needed", "answers": "true and false are needed"}
_KINDS = {
    "feature_name": "names", "codeword_category": "names", "x_location": "numbers", "y_location": "numbers",
    "qv": "numbers", "is_gene": "answers",
}  # fmt: skip
BATCH_ROWS = 1 << 16
"""Rows of a batch: a MB or two, which a processor's cache holds."""
PIECE_ROWS = 1 << 18
"""Row groups smaller than this are read several at a time: opening a file takes as long as reading some 10,000 rows."""
_CODED = ("feature_name", "codeword_category")
"""Names come as codes into a short list, decoded once for each row group and not once for each row."""
# Without these settings pyarrow keeps the whole compressed columns in memory, some 14 bytes a row.
_BOUNDED = {"pre_buffer": False, "buffer_size": 1 << 20, "page_checksum_verification": True}


def read_header(path: Path) -> list[tuple[str, pa.DataType | None]]:
    """(name, type) of each column; a CSV tells no types. Raises :class:`BundleError`."""
    try:
        if path.suffix == ".parquet":
            schema = pq.read_schema(path)
            return list(zip(schema.names, schema.types, strict=True))
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as lines:
            first = lines.readline(LONGEST_HEADER)
        return [(name, None) for name in next(csv.reader([first]), ())]
    except (OSError, EOFError, ValueError, zlib.error, pa.ArrowException, csv.Error) as error:
        raise unreadable(path, error) from None


def check_header(path: Path, header: list[tuple[str, pa.DataType | None]]) -> None:
    """Raises :class:`BundleError` when a column that is read is missing, there twice, or of a type that it can't be."""
    names = [name for name, _ in header]
    missing = [name for name in NEEDED if name not in names]
    if missing:
        some = ", ".join(names[:30])[:500] or "nothing"
        raise BundleError(
            f"{path} has no column {' nor '.join(missing)}; it has {some}. "
            "Choose a folder with the transcript table as the instrument wrote it."
        )
    for name, kind in header:
        if name not in _KINDS:
            continue
        if names.count(name) > 1:
            raise BundleError(
                f"{path} has {names.count(name)} columns {name}; one is needed. Copy it from the instrument again."
            )
        if kind is not None and not _fits(kind, _KINDS[name]):
            raise BundleError(
                f"The column {name} of {path} holds {kind}; {_NEEDED_TYPES[_KINDS[name]]}. Copy it from the instrument again."
            )


def unreadable(path: Path, error: Exception) -> BundleError:
    """The error for a table that breaks off, or is none."""
    reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
    return BundleError(f"{path} can't be read as a transcript table ({reason}). Copy it from the instrument again.")


def _fits(kind: pa.DataType, wanted: str) -> bool:
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
        if wanted == "numbers":
            return False
    is_text = any(
        test(kind)
        for test in (types.is_string, types.is_large_string, types.is_string_view, types.is_binary, types.is_large_binary)
    ) or str(kind) == "binary_view"  # fmt: skip
    is_number = types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind)
    return {
        "names": is_text,
        "numbers": is_number,
        "answers": is_text or types.is_boolean(kind) or types.is_integer(kind),
    }[wanted]


class Names:
    """Gives every name one code for the whole table; each batch has its own."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known: dict[str, int] = {name: code for code, name in enumerate(known)}
        self._dictionary: pa.Array | None = None
        self._code = np.empty(0, np.int64)

    def codes(self, column: pa.Array) -> np.ndarray:
        """(n,) int64; -1 where there is no name."""
        indices, code = self.indices(column)
        return code.take(indices)

    def indices(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(n,) integers into the second, which has the codes of the batch's own names and, last, the -1 of no name."""
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        if self._dictionary is None or not column.dictionary.equals(self._dictionary):
            self._dictionary = column.dictionary
            names = (_text(name) for name in column.dictionary.to_pylist())
            codes = [-1 if name is None else self.known.setdefault(name, len(self.known)) for name in names]
            self._code = np.array([*codes, -1], np.int64)
        indices = column.indices
        if indices.null_count:
            indices = indices.cast(pa.int64()).fill_null(len(self._code) - 1)
        return np.from_dlpack(indices), self._code


def _text(name: str | bytes | None) -> str | None:
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else name


def numbers(column: pa.Array) -> np.ndarray:
    """(n,) floats, NaN where there is nothing."""
    # Both `to_numpy` and `fill_null` import pandas, which takes longer than to survey a slide.
    plain = pa.types.is_floating(column.type) and not column.null_count
    values = np.from_dlpack(column) if plain else column.to_numpy(zero_copy_only=False)
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def says_gene(column: pa.Array) -> np.ndarray:
    """(n,) bool from an ``is_gene`` or a ``codeword_category`` column."""
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        flags = column.cast(pa.bool_())
        return np.from_dlpack((flags.fill_null(False) if flags.null_count else flags).cast(pa.uint8())) > 0
    names = Names()
    codes = names.codes(column)
    gene = [name.lower() in ("true", "1") or name.lower().endswith("gene") for name in names.known]
    return np.array([*gene, False], bool)[codes]


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
    """The columns in pieces, in the table's order. What can be read beside other pieces is read by whoever walks through it.

    A Parquet file's row groups can; a CSV, and a file of one row group, are read from front to back.

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
