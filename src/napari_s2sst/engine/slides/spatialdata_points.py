"""Read the points of a SpatialData store as the transcript table that a Xenium folder has, in the slide's um."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BundleError
from ..transcripts.reading import BATCH_ROWS, numbers
from ..transcripts.table import TranscriptTable

OURS = {
    "x_location": "x",
    "y_location": "y",
    "qv": "qv",
    "is_gene": "is_gene",
    "codeword_category": "codeword_category",
}
"""Our column -> that of a points element; the names' column is the element's own."""
_PLACES = ("x_location", "y_location")


@dataclass(frozen=True, eq=False, kw_only=True)
class PointsTable(TranscriptTable):
    """The rows of ``points.parquet``, a file or a folder of parts, streamed as :class:`TranscriptTable` does.

    ``path`` is that file or folder.
    """

    names: str = "feature_name"
    """The column of names."""
    to_um: np.ndarray = field(default_factory=lambda: np.eye(3))
    """(3, 3) matrix from (x, y, 1) of the table to um of the slide."""

    @cached_property
    def parts(self) -> tuple[Path, ...]:
        if not self.path.is_dir():
            return (self.path,)
        parts = [path for path in self.path.iterdir() if path.suffix == ".parquet"]
        return tuple(sorted(parts, key=lambda part: [int(n) for n in re.findall(r"\d+", part.name)] or [0]))

    @property
    def rows(self) -> int:
        return sum(metadata.num_rows for metadata in self._metadata_of_parts)

    def check(self) -> None:
        """Raises :class:`BundleError` when the table can't be read, or its columns are of types that can't be."""
        if not self.parts:
            raise BundleError(f"{self.path} holds no .parquet file. Write or copy the store again.")
        for name, kind in self._header:
            types = pa.types
            of = kind.value_type if types.is_dictionary(kind) else kind
            is_text = (
                types.is_string(of) or types.is_large_string(of) or types.is_binary(of) or types.is_large_binary(of)
            )
            is_number = not types.is_dictionary(kind) and (types.is_floating(of) or types.is_integer(of))
            wanted = {"feature_name": is_text, "x_location": is_number, "y_location": is_number, "qv": is_number}
            if not wanted.get(name, True):
                needed = "text is" if name == "feature_name" else "numbers are"
                raise BundleError(
                    f"The column {self._theirs[name]} of {self.path} holds {kind}; {needed} needed. Write the store again."
                )

    @cached_property
    def _theirs(self) -> Mapping[str, str]:
        """Our column -> the table's, of those that it has."""
        there = set(self._schema.names)
        return {ours: theirs for ours, theirs in {"feature_name": self.names, **OURS}.items() if theirs in there}

    @cached_property
    def _schema(self) -> pa.Schema:
        try:
            return pq.read_schema(self.parts[0])
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._unreadable(error) from None

    @cached_property
    def _header(self) -> list[tuple[str, pa.DataType | None]]:
        return [(ours, self._schema.field(theirs).type) for ours, theirs in self._theirs.items()]

    @cached_property
    def _metadata_of_parts(self) -> list[pq.FileMetaData]:
        try:
            return [pq.read_metadata(part) for part in self.parts]
        except (OSError, ValueError, pa.ArrowException) as error:
            raise self._unreadable(error) from None

    @cached_property
    def _stored_extent_um(self) -> tuple[float, float, float, float] | None:
        """Extent by the statistics of all row groups, (y0, x0, y1, x1) in um; None where the axes do not stay what they are."""
        if self.to_um[0, 1] or self.to_um[1, 0]:
            return None
        ends: dict[str, list[float]] = {"x": [], "y": []}
        for metadata in self._metadata_of_parts:
            for group in map(metadata.row_group, range(metadata.num_row_groups)):
                for column in map(group.column, range(group.num_columns)):
                    if column.path_in_schema in ends and group.num_rows:
                        stored = column.statistics
                        if stored is None or not stored.has_min_max:
                            return None
                        ends[column.path_in_schema] += [float(stored.min), float(stored.max)]
        if not ends["x"] or not ends["y"]:
            return None
        corners = np.array([[end(ends["x"]), end(ends["y"]), 1.0] for end in (min, max)]) @ self.to_um.T
        (x0, y0), (x1, y1) = corners[:, :2].min(axis=0).tolist(), corners[:, :2].max(axis=0).tolist()
        return (y0, x0, y1, x1) if all(map(math.isfinite, (y0, x0, y1, x1))) else None

    def batches(self, columns: Iterable[str | None]) -> Iterator[pa.RecordBatch]:
        """The columns as we name them, as far as the table has them; places in um. Raises :class:`BundleError`."""
        wanted = list(columns)
        for part in self.parts:
            yield from self._of_part(part, wanted)

    def pieces(self, columns: Iterable[str | None]) -> Iterator[Iterable[pa.RecordBatch]]:
        """Batches as :meth:`batches` gives them, in pieces that threads may read at the same time: a part each."""
        wanted = list(columns)
        return (self._of_part(part, wanted) for part in self.parts)

    def _of_part(self, part: Path, columns: list[str | None]) -> Iterator[pa.RecordBatch]:
        present = [name for name in columns if name in self._theirs]
        present += [name for name in _PLACES if name not in present and set(present) & set(_PLACES)]
        theirs = [self._theirs[name] for name in present]
        coded = [self._theirs[name] for name in ("feature_name", "codeword_category") if name in present]
        bounded = {"pre_buffer": False, "buffer_size": 1 << 20, "page_checksum_verification": True}
        try:
            with pq.ParquetFile(part, read_dictionary=coded, **bounded) as table:
                for batch in table.iter_batches(BATCH_ROWS, columns=theirs):
                    arrays = {ours: batch.column(name) for ours, name in zip(present, theirs, strict=True)}
                    yield pa.RecordBatch.from_pydict(self._placed(arrays))
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise self._unreadable(error) from None

    def _placed(self, arrays: dict[str, pa.Array]) -> dict[str, pa.Array]:
        if _PLACES[0] in arrays and not np.array_equal(self.to_um, np.eye(3)):
            x, y = (numbers(arrays[name]).astype(np.float64) for name in _PLACES)
            for name, (of_x, of_y, shift) in zip(_PLACES, self.to_um[:2].tolist(), strict=True):
                arrays[name] = pa.array(of_x * x + of_y * y + shift)
        return arrays

    def _unreadable(self, error: Exception) -> BundleError:
        reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
        return BundleError(f"{self.path} can't be read as a table of points ({reason}). Write or copy the store again.")
