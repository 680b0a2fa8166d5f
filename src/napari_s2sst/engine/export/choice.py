"""What of a run, or of several, is written -> the names of the files, so that none takes another's place."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..files import file_stems, safe_name

FigureFormat = Literal["png", "pdf", "svg"]


@dataclass(frozen=True, kw_only=True)
class ExportChoice:
    """Choice of the files that are written. As it stands: what `s2sst impute` writes."""

    folder: Path | None = None
    """Where; None where the caller says so elsewhere."""
    every_result: bool = False
    """All results of the window, not only the one that is shown."""
    ome_tiff: bool = True
    h5ad: bool = True
    csv: bool = False
    """Every bin of every gene as a row of `bins.csv`."""
    figure: bool = True
    comparison: bool = False
    """The figure with the classical methods, their errors and an inset."""
    figure_format: FigureFormat = "png"
    tables: bool = True
    """Scores and losses."""
    model: bool = True
    regions: bool = False
    """`regions.geojson`, when the run had some."""
    region_table: bool = False
    """Area, means and error of every gene in every region, or in the whole slide, as `region_table.csv`."""
    script: bool = False
    """`repeat.sh`, which repeats the run on the command line, and what it needs."""
    store: Path | None = None
    """A SpatialData store that the maps are put into as well; None: no."""


@dataclass(frozen=True, kw_only=True)
class ExportItem:
    """A result, as far as the names and sizes of its files depend on it."""

    name: str
    """As a list of results shows it."""
    genes: tuple[str, ...]
    bins: int
    """Of one map: rows times columns."""
    tissue_bins: int
    has_regions: bool = False
    has_script: bool = True
    """The slide is at hand, and of a kind that the command line reads."""
    has_start: bool = False
    """The run began with a model in memory, which the script needs as a file."""
    edited_tissue: bool = False


@dataclass(frozen=True)
class Suffixes:
    """Additions to names, before their endings, where several results share a folder."""

    shared: str = ""
    """To the names that every run uses: ``imputed-LTF-run2.h5ad``."""
    gene: str = ""
    """To the names with a gene in them: ``LTF-run2.ome.tif``."""


def suffixes(genes_of_results: Sequence[Sequence[str]]) -> list[Suffixes]:
    """Give each result a suffix, none to a single one. No two results get the same name for a file."""
    if len(genes_of_results) == 1:
        return [Suffixes()]
    times_of: dict[str, int] = {}
    given = []
    for number, genes in enumerate(genes_of_results, start=1):
        folded = [gene.casefold() for gene in genes]  # some systems take GAD1 and Gad1 for one file
        times = max(times_of.get(gene, 0) for gene in folded) + 1
        times_of |= dict.fromkeys(folded, times)
        own = "" if times == 1 else f"-run{times}"
        name = f"-{safe_name(genes[0])}{own}" if len(genes) == 1 else f"-{number}-{len(genes)}-genes"
        given.append(Suffixes(name, own))
    return given


def file_names(item: ExportItem, choice: ExportChoice, suffix: Suffixes | None = None) -> list[str]:
    """Name all files that are written of a result; `run.json` always is."""
    shared, own = (suffix or Suffixes()).shared, (suffix or Suffixes()).gene
    wanted = [(choice.h5ad, f"imputed{shared}.h5ad"), (choice.csv, f"bins{shared}.csv")]
    for stem in (f"{name}{own}" for name in file_stems(item.genes).values()):
        wanted += [
            (choice.ome_tiff, f"{stem}.ome.tif"),
            (choice.figure, f"{stem}.{choice.figure_format}"),
            (choice.comparison, f"{stem}-comparison.{choice.figure_format}"),
        ]
    wanted += [(choice.tables, f"{name}{shared}.csv") for name in ("scores", "losses")]
    wanted += [(choice.region_table, f"region_table{shared}.csv")]
    script = choice.script and item.has_script
    wanted += [
        (choice.model, f"model{shared}.safetensors"),
        (item.has_regions and (choice.regions or script), f"regions{shared}.geojson"),
        (script and item.has_start, f"start{shared}.safetensors"),
        (script and item.edited_tissue, f"tissue{shared}.npy"),
        (script, f"repeat{shared}.sh"),
        (True, f"run{shared}.json"),
    ]
    return [name for is_wanted, name in wanted if is_wanted]


def estimated_bytes(item: ExportItem, choice: ExportChoice) -> int:
    """Estimate how much the files take, a little more rather than less; measured on the bone marrow section."""
    genes = len(item.genes)
    return (
        choice.ome_tiff * genes * item.bins * 20  # five float32 channels before compression
        + choice.h5ad * item.tissue_bins * (80 + 12 * genes)
        + choice.csv * genes * item.tissue_bins * 110
        + (choice.figure + 2 * choice.comparison) * genes * 600_000
        + choice.model * 3_300_000
        + 100_000
    )


def has_script(slide_path: Path | None) -> bool:
    """Whether the command line reads this slide: a Xenium folder, a count cube, or a sample of HEST-1k."""
    from ..slides.opening import kind_of

    return slide_path is not None and (Path(slide_path).is_dir() or kind_of(slide_path) != "folder")


def free_bytes(folder: Path) -> int | None:
    """Look up the room on the disk of a folder that is there or will be made; None where nobody can tell."""
    for place in (folder, *folder.parents):
        if place.exists():
            try:
                return shutil.disk_usage(place).free
            except OSError:
                return None
    return None
