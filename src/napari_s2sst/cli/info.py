"""`s2sst info`: a slide of any kind, or a result of this program -> the rows of its card and its genes, as text or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .inputs import SizeOption

GENES_SHOWN = 20


def info(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="SLIDE",
            help="A Xenium output folder, a SpatialData store, a count cube (.npz), spots (.h5ad), or a result: imputed.h5ad, "
            "GENE.ome.tif.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    size_um: SizeOption = None,
) -> None:
    """Show what a slide or a result is: size, images, genes by count; of a result the run that made it."""
    from ..engine.export.reading import is_result

    path = path.expanduser()
    if is_result(path):
        rows, facts = _of_result(path)
        counted = ""
    else:
        rows, facts = _of_slide(path, size_um)
        counted = ", by counts" if facts["bin_um"] else ", by transcripts of quality 20 and better"
    if as_json:
        print(json.dumps(facts, indent=2, ensure_ascii=False))
    else:
        _show(rows, facts["genes"], counted)


def _of_slide(path: Path, size_um: float | None) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Rows to print of a slide, and everything for JSON."""
    from ..engine.slides.facts import slide_facts, slide_record
    from ..engine.slides.opening import open_slide

    slide = open_slide(path, size_um)
    facts = slide_record(slide)
    rows, pixel_um = dict(slide_facts(slide)), facts["pixel_size_um"]
    if pixel_um:
        rows.setdefault("Pixel", f"{pixel_um:g} um")
    if slide.um_said_by:
        rows["Places"] = f"in um, {slide.um_said_by}"
    return [("Name", facts["name"]), *rows.items()], facts


def _of_result(path: Path) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    """Rows to print of a result, and everything for JSON."""
    from ..engine.export.reading import genes_of, read_result, result_facts

    genes = genes_of(path)
    result = read_result(path, genes[:1])
    rows = result_facts(result)
    return rows, {"name": path.name, "genes": list(genes), "result": dict(rows), "run": result.run}


def _show(rows: Sequence[tuple[str, str]], genes: Mapping[str, int] | Sequence[str], counted: str) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from .terminal import say

    console = Console()
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        say(console, f"{label:{width}}  {value}")
    say(console, f"\n{len(genes):,} gene{'s' if len(genes) != 1 else ''}{counted}")
    if not isinstance(genes, Mapping):
        say(console, ", ".join(genes[:GENES_SHOWN]))
    else:
        table = Table()
        table.add_column("gene")
        table.add_column("counts" if counted == ", by counts" else "transcripts", justify="right")
        for gene, count in list(genes.items())[:GENES_SHOWN]:
            table.add_row(Text(gene), f"{count:,}")
        console.print(table)
    if len(genes) > GENES_SHOWN:
        say(console, f"and {len(genes) - GENES_SHOWN:,} more; --json lists all of them.")
