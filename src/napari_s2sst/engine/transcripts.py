"""Turn a transcript table of any size into gene counts and gene maps, in one streaming pass each.

Of the table (Parquet, or CSV with or without gzip) only the columns asked for are read, a batch at a time, so memory
does not grow with the slide. Columns, as 10x names them: ``feature_name`` (string, large string, binary or
dictionary), ``x_location``, ``y_location`` (um) and, where the version has them, ``qv``, ``is_gene``,
``codeword_category``.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from .errors import BundleError
from .grid import Grid
from .places import first_file
from .tally import MAX_COUNTERS, Points, Tally, ahead
from .transcript_columns import check_header, read_header, unreadable

MIN_QV = 20.0
"""Phred: 1 error in 100. 10x counts from Q20 in its own matrix."""
BATCH_ROWS = 1 << 16
"""Rows of a batch: a MB or two, which a processor's cache holds."""
FILE_NAMES = ("transcripts.parquet", "transcripts.csv.gz", "transcripts.csv")
"""In order of preference."""
CONTROL = re.compile(
    r"neg(ative)?_?control|blank[_-]|unassigned|deprecated|antisense[_-]|intergenic|genomic_?control", re.IGNORECASE
)
"""How 10x has begun the names of what is not a gene, from 1.0 to 4.0."""
MAX_SLIDE_UM = 100_000.0
"""A glass slide is 75 mm long; transcripts farther apart are in pixels, or one of them is wrong."""


@dataclass(frozen=True)
class Survey:
    """What one pass over the names tells."""

    names: tuple[str, ...]
    counts: np.ndarray
    """Transcripts of each name with qv >= ``MIN_QV``, or all where there is no qv."""
    is_gene: np.ndarray
    rows: int
    extent_um: tuple[float, float, float, float] | None
    """(y0, x0, y1, x1) of the finite coordinates; None where they were not read, or where there are none."""

    @cached_property
    def code(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.names)}


@dataclass(frozen=True, eq=False)
class TranscriptTable:
    """A transcript table on disk. Cheap to make: nothing but its header is read."""

    path: Path
    panel: Mapping[str, bool] = field(default_factory=dict)
    """Name -> is it a gene, from gene_panel.json; used where the table itself does not tell."""

    @classmethod
    def find(cls, folder: Path) -> TranscriptTable | None:
        """The folder's table, Parquet before CSV. Raises :class:`BundleError` when it can't be read or used."""
        path = first_file(folder, FILE_NAMES)
        if path is None:
            return None
        table = cls(path)
        check_header(path, table._header)
        return table

    @cached_property
    def _header(self) -> list[tuple[str, pa.DataType | None]]:
        return read_header(self.path)

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self._header)

    @property
    def tells_genes(self) -> bool:
        """Whether a column says of each transcript if it is a gene's."""
        return self._gene_column is not None

    @property
    def _gene_column(self) -> str | None:
        return next((name for name in ("is_gene", "codeword_category") if name in self.columns), None)

    @cached_property
    def survey(self) -> Survey:
        """Names, how often, genes or not; rows and extent too where the file's own statistics lack them."""
        sort = self._gene_column
        with_yx = self._stored_extent_um is None
        names = _Names()
        # [name, flags]: bit 0 says gene, bit 1 good quality. Row 0 is for rows without a name.
        histogram = np.zeros((1, 4), np.int64)
        rows, low, high = 0, np.full(2, np.inf), np.full(2, -np.inf)
        for batch in self._batches(["feature_name", "qv", sort, *(("y_location", "x_location") if with_yx else ())]):
            rows += len(batch)
            codes = names.codes(batch["feature_name"])
            histogram = np.pad(histogram, ((0, len(names.known) + 1 - len(histogram)), (0, 0)))
            flags = _says_gene(batch[sort]).astype(np.uint8) if sort else np.zeros(len(codes), np.uint8)
            flags += np.uint8(2) * (_numbers(batch["qv"]) >= MIN_QV) if "qv" in batch.schema.names else np.uint8(2)
            codes += 1
            codes *= 4
            codes += flags
            histogram += np.bincount(codes, minlength=histogram.size).reshape(-1, 4)
            if with_yx:
                for axis, name in enumerate(("y_location", "x_location")):
                    values = _numbers(batch[name])
                    # A point with one bad coordinate is dropped later; a bin of margin for it does no harm.
                    values = values[np.isfinite(values)]
                    if values.size:
                        low[axis], high[axis] = min(low[axis], values.min()), max(high[axis], values.max())
        known = tuple(names.known)
        counts = histogram[1:, 2:].sum(axis=1)
        if sort:
            genes = histogram[1:, 1::2].any(axis=1)
        else:
            genes = np.array([self.panel.get(name, CONTROL.match(name) is None) for name in known], bool)
        extent = (*low.tolist(), *high.tolist()) if np.isfinite([low, high]).all() else None
        return Survey(known, counts, genes, rows, extent)

    @cached_property
    def rows(self) -> int:
        """Transcripts in the table, of every quality and kind."""
        return self._metadata.num_rows if self._is_parquet else self.survey.rows

    @cached_property
    def extent_um(self) -> tuple[float, float, float, float]:
        """(y0, x0, y1, x1) of all transcripts. Raises :class:`BundleError` when there are none, or no slide is so large."""
        extent = self._stored_extent_um or self.survey.extent_um
        if extent is None:
            raise BundleError(f"{self.path} holds no transcripts with coordinates. Choose another slide.")
        y0, x0, y1, x1 = extent
        if max(y1 - y0, x1 - x0) > MAX_SLIDE_UM:
            raise BundleError(
                f"By {self.path} the transcripts lie x {x0:.6g} to {x1:.6g} and y {y0:.6g} to {y1:.6g} um, farther apart than "
                "any slide is long. x_location and y_location must be um, not pixels. Copy it from the instrument again."
            )
        return extent

    def count(
        self, genes: Sequence[str], grid: Grid, *, min_qv: float = MIN_QV, totals: bool = True
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Count the genes' transcripts of ``min_qv`` and better per bin, all genes in one pass.

        Returns (genes, rows, columns) and, with ``totals``, (rows, columns) of all genes without controls; int32.
        Points whose coordinates are not numbers are left out. The names must be in :attr:`survey`.
        """
        survey = self.survey
        if len(genes) * grid.size > MAX_COUNTERS:
            raise BundleError(
                f"{len(genes)} genes on {grid.shape[0]:,} x {grid.shape[1]:,} bins do not fit into memory at once. "
                "Ask for fewer genes at a time, or choose larger bins."
            )
        # One entry more than names: code -1, a row without a name, reads the last one.
        slot = np.full(len(survey.names) + 1, -1, np.int64)
        slot[[survey.code[gene] for gene in genes]] = np.arange(len(genes))
        in_total = np.append(survey.is_gene, False)
        names = _Names(survey.names)
        tally = Tally(len(genes), grid, totals)

        def points() -> Iterator[Points]:
            for batch in self._batches(["feature_name", "y_location", "x_location", "qv"]):
                name, code = names.indices(batch["feature_name"])
                good = _numbers(batch["qv"]) >= min_qv if "qv" in batch.schema.names else None
                y, x = _numbers(batch["y_location"]), _numbers(batch["x_location"])
                yield Points(y, x, good, name, slot[code], in_total[code])

        for found in ahead(tally.find, points()):
            tally.add(*found)
        return tally.result()

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix == ".parquet"

    @cached_property
    def _metadata(self) -> pq.FileMetaData:
        try:
            return pq.read_metadata(self.path)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise unreadable(self.path, error) from None

    @cached_property
    def _stored_extent_um(self) -> tuple[float, float, float, float] | None:
        """(y0, x0, y1, x1) from the row groups' statistics, where every one has them."""
        if not self._is_parquet or not self._metadata.num_rows:
            return None
        ends: dict[str, list[float]] = {"y_location": [], "x_location": []}
        for group in map(self._metadata.row_group, range(self._metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                if column.path_in_schema in ends:
                    stored = column.statistics
                    if stored is None or not stored.has_min_max:
                        return None
                    ends[column.path_in_schema] += [float(stored.min), float(stored.max)]
        y, x = ends.values()
        extent = (min(y), min(x), max(y), max(x))
        return extent if all(map(math.isfinite, (*y, *x))) else None

    def _batches(self, columns: Iterable[str | None]) -> Iterator[pa.RecordBatch]:
        """The named columns, as far as the table has them, a batch at a time."""
        present = [name for name in columns if name in self.columns]
        try:
            if self._is_parquet:
                # Names come as codes into a short list, decoded once for each row group and not once for each row.
                coded = [name for name in present if name in ("feature_name", "codeword_category")]
                # Without these settings pyarrow keeps the whole compressed columns in memory, some 14 bytes a row.
                bounded = {"pre_buffer": False, "buffer_size": 1 << 20, "page_checksum_verification": True}
                with pq.ParquetFile(self.path, read_dictionary=coded, **bounded) as table:
                    yield from table.iter_batches(BATCH_ROWS, columns=present)
            else:
                kinds = dict.fromkeys(("x_location", "y_location", "qv"), pa.float64())
                kinds |= dict.fromkeys(("feature_name", "codeword_category"), pa.dictionary(pa.int32(), pa.string()))
                options = pa.csv.ConvertOptions(
                    include_columns=present, column_types={name: kinds[name] for name in present if name in kinds}
                )
                blocks = pa.csv.ReadOptions(block_size=1 << 23)
                with pa.csv.open_csv(self.path, read_options=blocks, convert_options=options) as table:
                    yield from table
        except (OSError, ValueError, pa.ArrowException) as error:
            raise unreadable(self.path, error) from None


class _Names:
    """Gives every name one code for the whole table; each batch has its own."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.known: dict[str, int] = {name: code for code, name in enumerate(known)}
        self._seen: pa.Array | None = None
        self._code = np.empty(0, np.int64)

    def codes(self, column: pa.Array) -> np.ndarray:
        """(n,) int64; -1 where there is no name."""
        indices, code = self.indices(column)
        return code.take(indices)

    def indices(self, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
        """(n,) integers into the second, which has the codes of the batch's own names and, last, the -1 of no name."""
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        if self._seen is None or not column.dictionary.equals(self._seen):
            self._seen = column.dictionary
            names = (_text(name) for name in column.dictionary.to_pylist())
            codes = [-1 if name is None else self.known.setdefault(name, len(self.known)) for name in names]
            self._code = np.array([*codes, -1], np.int64)
        indices = column.indices
        if indices.null_count:
            indices = indices.cast(pa.int64()).fill_null(len(self._code) - 1)
        return np.from_dlpack(indices), self._code


def _text(name: str | bytes | None) -> str | None:
    return name.decode("utf-8", errors="replace") if isinstance(name, bytes) else name


def _numbers(column: pa.Array) -> np.ndarray:
    """(n,) floats, NaN where there is nothing."""
    # Both `to_numpy` and `fill_null` import pandas, which takes longer than to survey a slide.
    plain = pa.types.is_floating(column.type) and not column.null_count
    values = np.from_dlpack(column) if plain else column.to_numpy(zero_copy_only=False)
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def _says_gene(column: pa.Array) -> np.ndarray:
    """(n,) bool from an ``is_gene`` or a ``codeword_category`` column."""
    if pa.types.is_boolean(column.type) or pa.types.is_integer(column.type):
        flags = column.cast(pa.bool_())
        return np.from_dlpack((flags.fill_null(False) if flags.null_count else flags).cast(pa.uint8())) > 0
    names = _Names()
    codes = names.codes(column)
    gene = [name.lower() in ("true", "1") or name.lower().endswith("gene") for name in names.known]
    return np.array([*gene, False], bool)[codes]


def no_such_gene(gene: str, known: Iterable[str], where: str) -> BundleError:
    """The error for a name that is not in the table, with the three nearest names that are."""
    # A later name wins where two differ in case only; the suggestion is right either way.
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(gene.casefold(), folded, n=3, cutoff=0.0)
    hint = f" The nearest names are {', '.join(folded[name] for name in near)}." if near else ""
    return BundleError(f"There is no gene {gene!r} in {where}.{hint}")
