"""Write the embedded sample slide: a seed -> a folder as a Xenium instrument of the third generation writes it.

    experiment.xenium               what was run, pixel size, names of the files
    transcripts.parquet             one row a decoded point: gene, place in um, quality, cell
    cells.parquet  cells.csv.gz     one row a cell
    cell_boundaries.parquet  nucleus_boundaries.parquet     corners of their outlines in um
    cell_feature_matrix.h5          counts of cells by genes, as columns of a sparse matrix
    gene_panel.json                 what each gene is and marks
    metrics_summary.csv
    morphology_focus/morphology_focus_0000 ... 0003.ome.tif     four stains, one pyramid in four files

Every number in it is simulated. The same seed writes the same tables, byte for byte.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from ..errors import ExportError
from .cells import place_cells, scatter_transcripts
from .stains import STAINS, write_stains
from .tables import (
    LOW_QUALITY,
    boundary_columns,
    cell_columns,
    cell_names,
    count_matrix,
    gene_panel,
    metrics_summary,
    transcript_columns,
    write_matrix,
)
from .tables import (
    manifest as manifest_of,
)
from .tissue import draw_tissue

VERSION = 1
"""Of what is simulated; a slide of another version is written anew."""

_GENERATOR = "napari-s2sst sample slide"

FILES = (
    "experiment.xenium", "transcripts.parquet", "cells.parquet", "cells.csv.gz", "cell_boundaries.parquet",
    "nucleus_boundaries.parquet", "cell_feature_matrix.h5", "gene_panel.json", "metrics_summary.csv",
    *(f"morphology_focus/morphology_focus_{number:04d}.ome.tif" for number in range(len(STAINS))),
)  # fmt: skip

_ROWS_PER_GROUP = 65_536


def write_sample_slide(folder: str | Path, seed: int = 0) -> Path:
    """Write the sample slide and return its folder; at once where it already stands, complete and of this version.

    Raises :class:`ExportError` when the folder can't be written, or holds something else.
    """
    folder = Path(folder).expanduser().resolve()
    try:
        if is_sample_slide(folder, seed):
            return folder
        _refuse_foreign(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            _write_all(beside, seed)
            beside.chmod(0o755)  # mkdtemp's own is for its owner only
            if is_sample_slide(folder, seed):  # another process was quicker
                shutil.rmtree(beside)
                return folder
            _refuse_foreign(folder)  # again, as seconds have passed
            if folder.exists():
                shutil.rmtree(folder)
            os.replace(beside, folder)
        except BaseException:
            shutil.rmtree(beside, ignore_errors=True)
            raise
    except OSError as error:
        if is_sample_slide(folder, seed):  # another process came in between
            return folder
        raise ExportError(
            f"The sample slide can't be written to {folder}: {error.strerror or error}. Choose another folder."
        ) from error
    return folder


def is_sample_slide(folder: Path, seed: int = 0) -> bool:
    """Whether the folder is a complete sample slide of this version and seed."""
    try:
        manifest = json.loads((folder / "experiment.xenium").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return (
        isinstance(manifest, dict)
        and manifest.get("simulation") == _simulation(seed)
        and all((folder / name).is_file() for name in FILES)
    )


def _simulation(seed: int) -> dict:
    return {"generator": _GENERATOR, "version": VERSION, "seed": seed}


def _refuse_foreign(folder: Path) -> None:
    """Raise ExportError unless the folder is empty, or holds an older or broken sample slide and nothing else."""
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir():
        raise ExportError(f"The sample slide needs a folder, and {folder} is a file. Choose another name.")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    foreign = sorted(files - set(FILES))
    if files and not foreign:
        try:
            manifest = json.loads((folder / "experiment.xenium").read_text(encoding="utf-8"))
            foreign = [] if manifest["simulation"]["generator"] == _GENERATOR else ["experiment.xenium"]
        except (OSError, ValueError, KeyError, TypeError):
            foreign = sorted(files)
    if foreign:
        raise ExportError(f"{folder} already holds something else ({foreign[0]}). Choose an empty or a new folder.")


def _write_all(folder: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    tissue = draw_tissue(rng)
    cells = place_cells(tissue, rng)
    points = scatter_transcripts(cells, tissue, rng, surplus=1 / (1 - LOW_QUALITY))
    (folder / "morphology_focus").mkdir()
    write_stains(folder / "morphology_focus", tissue, cells, seed)

    names = cell_names(len(cells.kind), rng)
    transcripts = transcript_columns(points, cells, names, rng)
    _write_table(folder / "transcripts.parquet", transcripts)
    counts = count_matrix(transcripts, names)
    table = cell_columns(cells, names, counts)
    _write_table(folder / "cells.parquet", table)
    with open(folder / "cells.csv.gz", "wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as zipped:
        pa.csv.write_csv(pa.table(table), zipped)
    for file, radii in (("cell_boundaries", cells.cell_um), ("nucleus_boundaries", cells.nucleus_um)):
        _write_table(folder / f"{file}.parquet", boundary_columns(cells, names, radii))
    write_matrix(folder / "cell_feature_matrix.h5", counts, names)
    _write_json(folder / "gene_panel.json", gene_panel())
    metrics = metrics_summary(cells, transcripts, counts)
    lines = [",".join(metrics), ",".join(str(value) for value in metrics.values())]
    (folder / "metrics_summary.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_json(folder / "experiment.xenium", manifest_of(_simulation(seed), metrics))


def _write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")


def _write_table(path: Path, columns: dict) -> None:
    pa.parquet.write_table(pa.table(columns), path, row_group_size=_ROWS_PER_GROUP, compression="zstd")
