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
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import BundleError
from ..files import first_file
from .cache import CountCache, Kept, file_key, keep_panel, kept_panel
from .counting import Points, Tally, ahead
from .grid import Grid
from .panel import SparsePanel
from .reading import Names, check_header, numbers, read_batches, read_header, read_metadata, read_pieces, says_gene

MIN_QV = 20.0
"""Phred: 1 error in 100. 10x counts from Q20 in its own matrix."""
FILE_NAMES = ("transcripts.parquet", "transcripts.csv.gz", "transcripts.csv")
"""In order of preference."""
CONTROL = re.compile(
    r"neg(ative)?_?control|blank[_-]|unassigned|deprecated|antisense[_-]|intergenic|genomic_?control", re.IGNORECASE
)
"""How 10x has begun the names of what is not a gene, from 1.0 to 4.0."""
MAX_SLIDE_UM = 100_000.0
"""A glass slide is 75 mm long; transcripts farther apart are in pixels, or one of them is wrong."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Survey of a table's names, made in one pass."""

    names: tuple[str, ...]
    counts: np.ndarray
    """Transcripts of each name with qv >= ``MIN_QV``, or all where there is no qv."""
    is_gene: np.ndarray
    rows: int
    extent_um: tuple[float, float, float, float] | None
    """(y0, x0, y1, x1) of the finite coordinates; None where they were not read, or where there are none."""

    def columns(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Columns and notes that the cache keeps of it."""
        columns = {"name": list(self.names), "count": self.counts, "is_gene": self.is_gene}
        return columns, {"rows": self.rows, "extent_um": self.extent_um}

    @classmethod
    def of_kept(cls, kept: Kept | None) -> Survey | None:
        """Make one from the cache; None where there is nothing, or it is damaged."""
        columns = kept and kept.columns()
        if (
            not columns
            or set(columns) != {"name", "count", "is_gene"}
            or not {"rows", "extent_um"} <= kept.notes.keys()
        ):
            return None
        extent = kept.notes["extent_um"]
        names, is_gene = tuple(columns["name"]), columns["is_gene"].astype(bool)
        return cls(
            names=names,
            counts=columns["count"],
            is_gene=is_gene,
            rows=kept.notes["rows"],
            extent_um=tuple(extent) if extent else None,
        )

    @cached_property
    def code(self) -> dict[str, int]:
        return {name: code for code, name in enumerate(self.names)}


@dataclass(frozen=True, eq=False)
class TranscriptTable:
    """A transcript table on disk. Cheap to make: nothing but its header is read."""

    path: Path
    panel: Mapping[str, bool] = field(default_factory=dict)
    """Name -> is it a gene, from gene_panel.json; used where the table itself does not tell."""
    cache: CountCache | None = None
    """Where counts are kept from one opening to the next."""

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
        key = self.cache_key("survey")
        survey = Survey.of_kept(self.cache.get(key)) if key else None
        if survey is None:
            survey = self._counted_survey()
            if key and key == self.cache_key("survey"):  # or the file was replaced meanwhile
                self.cache.keep(key, *survey.columns())
        return survey

    def cache_key(self, kind: str, **how: Any) -> dict[str, Any] | None:
        """Key that tells something counted of this file from everything else that is kept; None where nothing is."""
        file = file_key(self.path) if self.cache else None
        return file and {"kind": kind, **file, "panel": sorted(self.panel.items()), **how}

    def _counted_survey(self) -> Survey:
        sort = self._gene_column
        with_yx = self._stored_extent_um is None
        columns = ["feature_name", "qv", sort, *(("y_location", "x_location") if with_yx else ())]
        known: dict[str, int] = {}
        # [name, flags]: bit 0 says gene, bit 1 good quality.
        histogram = np.zeros((0, 4), np.int64)
        rows, low, high = 0, np.full(2, np.inf), np.full(2, -np.inf)
        for piece in ahead(lambda batches: _surveyed(batches, sort, with_yx), self.pieces(columns)):
            codes = [known.setdefault(name, len(known)) for name in piece.names]
            histogram = np.pad(histogram, ((0, len(known) - len(histogram)), (0, 0)))
            histogram[codes] += piece.histogram
            rows += piece.rows
            low, high = np.minimum(low, piece.low), np.maximum(high, piece.high)
        counts = histogram[:, 2:].sum(axis=1)
        if sort:
            genes = histogram[:, 1::2].any(axis=1)
        else:
            genes = np.array([self.panel.get(name, CONTROL.match(name) is None) for name in known], bool)
        extent = (*low.tolist(), *high.tolist()) if np.isfinite([low, high]).all() else None
        return Survey(names=tuple(known), counts=counts, is_gene=genes, rows=rows, extent_um=extent)

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
    ) -> tuple[SparsePanel, np.ndarray | None]:
        """Count the genes' transcripts of ``min_qv`` and better per bin, all genes in one pass.

        Returns the genes' counts, in the order asked for, and, with ``totals``, (rows, columns) int32 of all genes without
        controls. Points whose coordinates are not numbers are left out. The names must be in :attr:`survey`, each at most once.
        """
        key = self.cache_key("counts", bin_um=grid.bin_um, first=grid.first, min_qv=float(min_qv))
        kept = kept_panel(self.cache, key, genes, grid) if key else None
        if kept is not None:
            return kept[0], kept[1] if totals else None
        survey = self.survey
        # One entry more than names: code -1, a row without a name, reads the last one.
        slot = np.full(len(survey.names) + 1, -1, np.int64)
        slot[[survey.code[gene] for gene in genes]] = np.arange(len(genes))
        in_total = np.append(survey.is_gene, False)
        # Counts of all genes add up to the totals, and there are fewer bins to add up than transcripts to count.
        is_panel = np.array_equal(slot >= 0, in_total)
        panel, of_all = self._counted(
            Tally(genes=len(genes), grid=grid, totals=totals and not is_panel), slot, in_total, min_qv
        )
        if is_panel and (totals or key):
            of_all = panel.totals()
            if key and key["end"] == (file_key(self.path) or {}).get("end"):
                keep_panel(self.cache, key, genes, panel, of_all)
        return panel, of_all if totals else None

    def _counted(self, tally: Tally, slot: np.ndarray, in_total: np.ndarray, min_qv: float):
        """One pass over the table; what :meth:`Tally.result` returns."""

        def points(batches: Iterable[pa.RecordBatch]) -> Iterator[Points]:
            names = Names(self.survey.names)
            for batch in batches:
                name, code = names.indices(batch["feature_name"])
                good = numbers(batch["qv"]) >= min_qv if "qv" in batch.schema.names else None
                y, x = numbers(batch["y_location"]), numbers(batch["x_location"])
                yield Points(y_um=y, x_um=x, good=good, name=name, slot=slot[code], in_total=in_total[code])

        columns = ["feature_name", "y_location", "x_location", "qv"]
        for _ in ahead(lambda batches: tally.add(points(batches)), self.pieces(columns)):
            pass
        return tally.result()

    def batches(self, columns: Iterable[str | None]) -> Iterator[pa.RecordBatch]:
        """The named columns, as far as the table has them, a batch at a time. Raises :class:`BundleError`."""
        return read_batches(self.path, self._present(columns))

    def pieces(self, columns: Iterable[str | None]) -> Iterator[Iterable[pa.RecordBatch]]:
        """Batches as :meth:`batches` gives them, in pieces that threads may read at the same time, in the table's order."""
        return read_pieces(self.path, self._present(columns))

    def _present(self, columns: Iterable[str | None]) -> list[str]:
        return [name for name in columns if name in self.columns]

    @property
    def _is_parquet(self) -> bool:
        return self.path.suffix == ".parquet"

    @cached_property
    def _metadata(self) -> pq.FileMetaData:
        return read_metadata(self.path)

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


@dataclass(frozen=True, eq=False, kw_only=True)
class _Surveyed:
    """A piece's part of the survey."""

    names: tuple[str, ...]
    histogram: np.ndarray
    """(names, 4)."""
    rows: int
    low: np.ndarray
    high: np.ndarray
    """(2,) smallest and largest y and x."""


def _surveyed(batches: Iterable[pa.RecordBatch], sort: str | None, with_yx: bool) -> _Surveyed:
    names = Names()
    # Row 0 is for rows without a name.
    histogram = np.zeros((1, 4), np.int64)
    rows, low, high = 0, np.full(2, np.inf), np.full(2, -np.inf)
    for batch in batches:
        rows += len(batch)
        codes = names.codes(batch["feature_name"])
        histogram = np.pad(histogram, ((0, len(names.known) + 1 - len(histogram)), (0, 0)))
        flags = says_gene(batch[sort]).astype(np.uint8) if sort else np.zeros(len(codes), np.uint8)
        flags += np.uint8(2) * (numbers(batch["qv"]) >= MIN_QV) if "qv" in batch.schema.names else np.uint8(2)
        codes += 1
        codes *= 4
        codes += flags
        histogram += np.bincount(codes, minlength=histogram.size).reshape(-1, 4)
        if with_yx:
            for axis, name in enumerate(("y_location", "x_location")):
                values = numbers(batch[name])
                # A point with one bad coordinate is dropped later; a bin of margin for it does no harm.
                values = values[np.isfinite(values)]
                if values.size:
                    low[axis], high[axis] = min(low[axis], values.min()), max(high[axis], values.max())
    return _Surveyed(names=tuple(names.known), histogram=histogram[1:], rows=rows, low=low, high=high)


def no_such_gene(gene: str, known: Iterable[str], where: str) -> BundleError:
    """The error for a name that is not in the table, with the three nearest names that are."""
    # A later name wins where two differ in case only; the suggestion is right either way.
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(gene.casefold(), folded, n=3, cutoff=0.0)
    hint = f" The nearest names are {', '.join(folded[name] for name in near)}." if near else ""
    return BundleError(f"There is no gene {gene!r} in {where}.{hint}")
