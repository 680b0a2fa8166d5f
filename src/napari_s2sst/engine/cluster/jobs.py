"""A jobs file (TOML) -> what is to be done with each slide, checked before anything is opened.

[defaults]                      # any key of a job
preset = "fast"
bin_um = 20

[[job]]
slide = "slides/output-XETG01"  # a Xenium folder, a .npz of counts, an .h5ad of spots; from the file's own folder
all_genes = true                # or genes = ["LTF", "CD3E"], or genes_file = "genes.txt"
out = "results/01"              # a folder of its own
# name, regions, fill_in, genes_per_task, stride, seconds, steps, device, seed, min_qv, normalisation, images,
# [job.settings] with any other setting by its name in run.json
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..config import RunConfig
from ..errors import ConfigError, S2SSTError
from ..files import local_path

GENES_PER_TASK = 16
"""Genes that share one network and travel as one task: a network learns from several genes as well as from one, and what
it has learnt then costs each of them a sixteenth."""

WHOLE_SLIDE = "all"
"""In place of that number: a slide's genes share one network, and the worker reads the slide itself."""

_SETTINGS = ("bin_um", "stride", "seconds", "steps", "device", "seed", "min_qv", "normalisation", "images")
"""Keys that are settings of a run, by the same name."""

_GENE_KEYS = ("genes", "genes_file", "all_genes")
_PATHS = {"slide": Path.exists, "regions": Path.is_file, "genes_file": Path.is_file, "images": Path.is_dir}
"""Keys of what must be there, and as what."""


class _Entry(BaseModel):
    """The keys of a [[job]] or of [defaults], as TOML has them."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: str = ""
    slide: str | None = None
    genes: list[Any] | None = None
    genes_file: str | None = None
    all_genes: bool = False
    preset: str = "fast"
    out: str | None = None
    regions: str | None = None
    fill_in: bool = False
    genes_per_task: Annotated[int, Field(ge=1)] | Literal["all"] = GENES_PER_TASK
    settings: dict[str, Any] = {}
    bin_um: int | float | None = None
    seconds: int | float | None = None
    min_qv: int | float | None = None
    stride: int | None = None
    steps: int | None = None
    seed: int | None = None
    device: str | None = None
    normalisation: str | None = None
    images: str | None = None


_WANTED = {
    "string_type": "text",
    "list_type": "a list",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "dict_type": "a table",
    "literal_error": 'a whole number from 1 on, or "all"',
}
"""pydantic's kind of error -> what the key must be."""


@dataclass(frozen=True)
class SlideJob:
    """Genes of one slide, the settings and the folder of their results. ``bin_um`` is um; :func:`.run_jobs` checks them."""

    slide: Path
    out: Path
    genes: tuple[str, ...] | None = None
    """None: every gene of the slide."""
    config: RunConfig = field(default_factory=lambda: RunConfig.preset("fast"))
    name: str = ""
    """In messages; the slide's where there is none."""
    regions: Path | None = None
    """A file of polygons, as ``--region`` takes it."""
    fill_in: bool = False
    genes_per_task: int | None = GENES_PER_TASK
    """None: all genes share one network, and the worker reads the slide itself, which it must see under the same path."""
    bin_um: float | None = None
    """As given; a file with bins of its own must have these."""

    @property
    def title(self) -> str:
        return self.name or self.slide.name


def read_jobs(path: str | Path) -> tuple[SlideJob, ...]:
    """The jobs of a TOML file, in its order.

    Raises :class:`ConfigError` naming the job and the key, or when the file can't be read, :class:`BundleError` when it is not on
    this computer.
    """
    path = local_path(path, "a .toml file of jobs")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The jobs file {path} can't be read: {getattr(error, 'strerror', None) or error}.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not valid TOML: {str(error)[:1].lower()}{str(error)[1:]}.") from None
    if unknown := [key for key in content if key not in ("defaults", "job")]:
        raise ConfigError(
            f"{path} has {unknown[0]!r} outside of a job. Put it into [defaults] or under a [[job]] heading."
        )
    defaults, entries = content.get("defaults", {}), content.get("job", [])
    if not isinstance(defaults, dict) or not isinstance(entries, list) or not entries:
        raise ConfigError(f"{path} has no job. Write one [[job]] heading for each slide, with slide, out and genes.")
    shared = _entry(f"{path}, [defaults]", defaults)
    jobs = [_job(path, number, table, shared) for number, table in enumerate(entries, start=1)]
    check_folders(jobs, str(path))
    return tuple(jobs)


def check_folders(jobs: Sequence[SlideJob], where: str = "the jobs") -> None:
    """Raises :class:`ConfigError` when two jobs write to one folder."""
    places: dict[Path, int] = {}
    for number, job in enumerate(jobs, start=1):
        folder = job.out.expanduser().resolve()
        if folder in places:
            raise ConfigError(
                f"In {where}, jobs {places[folder]} and {number} ({job.title}) both have the folder out = {job.out}. "
                "Give each a folder of its own."
            )
        places[folder] = number


def _job(path: Path, number: int, table: Any, defaults: _Entry) -> SlideJob:
    title = table.get("name") if isinstance(table, dict) else None
    where = f"{path}, job {number}" + (f" ({title})" if title else "")
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table. Write [[job]] with two brackets on each side.")
    entry, home = _with_defaults(_entry(where, table), defaults), path.parent
    for needed in ("slide", "out"):
        if getattr(entry, needed) is None:
            raise ConfigError(f"{where}: the key {needed!r} is missing. Give it a path.")
    places = {key: home / Path(getattr(entry, key)).expanduser() for key in _PATHS if getattr(entry, key) is not None}
    for key, is_there in _PATHS.items():
        if key in places and not is_there(places[key]):
            raise ConfigError(f"{where}: there is no {key} = {getattr(entry, key)!r}; looked for {places[key]}.")
    return SlideJob(
        slide=places["slide"],
        out=home / Path(entry.out).expanduser(),
        genes=_genes(where, entry, places.get("genes_file")),
        config=_config(where, entry, home),
        name=entry.name,
        regions=places.get("regions"),
        fill_in=entry.fill_in,
        genes_per_task=None if entry.genes_per_task == WHOLE_SLIDE else entry.genes_per_task,
        bin_um=entry.bin_um,
    )


def _entry(where: str, table: Mapping[str, Any]) -> _Entry:
    """The keys of a table. Raises :class:`ConfigError` on one that no job has, or of another kind."""
    try:
        return _Entry.model_validate(table)
    except ValidationError as error:
        # The last kind that was tried speaks for a key: what is neither int nor float is no number.
        problems = {tried["loc"][0]: tried["type"] for tried in error.errors()}
        key = next(key for key in table if key in problems)
        problem = problems[key]
    if problem == "extra_forbidden":
        near = difflib.get_close_matches(key, _Entry.model_fields, n=1)
        advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(_Entry.model_fields)}."
        raise ConfigError(f"{where}: there is no key {key!r}. {advice}")
    raise ConfigError(f"{where}: {key} = {table[key]!r} must be {_WANTED[problem]}.")


def _with_defaults(entry: _Entry, defaults: _Entry) -> _Entry:
    """A job's own choice of genes takes the place of the defaults', its steps that of their seconds and vice versa."""
    own = entry.model_fields_set
    replaced = {key for group in (_GENE_KEYS, ("seconds", "steps")) if own & set(group) for key in group}
    keys = defaults.model_dump(exclude_unset=True, exclude=replaced) | entry.model_dump(exclude_unset=True)
    return _Entry(**keys | {"settings": defaults.settings | entry.settings})


def _genes(where: str, entry: _Entry, genes_file: Path | None) -> tuple[str, ...] | None:
    chosen = [key for key in _GENE_KEYS if getattr(entry, key) not in (None, False)]
    if len(chosen) != 1:
        choice = f"it has {' and '.join(chosen)}" if chosen else "it has none"
        raise ConfigError(f"{where}: choose genes with one of genes, genes_file and all_genes = true; {choice}.")
    if entry.all_genes:
        return None
    genes = entry.genes
    if genes_file is not None:
        genes = [line.strip() for line in genes_file.read_text("utf-8-sig").splitlines() if line.strip()]
    if not genes or not all(isinstance(gene, str) and gene for gene in genes):
        given = getattr(entry, chosen[0])
        raise ConfigError(f"{where}: {chosen[0]} = {given!r} must be names of genes, and at least one.")
    return tuple(dict.fromkeys(genes))


def _config(where: str, entry: _Entry, home: Path) -> RunConfig:
    if entry.seconds is not None and entry.steps is not None:
        raise ConfigError(f"{where}: seconds and steps exclude each other; give one of them.")
    own = {key: getattr(entry, key) for key in _SETTINGS}
    if entry.images is not None:
        own["images"] = home / Path(entry.images).expanduser()
    others = dict(entry.settings)
    if isinstance(others.get("start_from"), str) and others["start_from"] not in ("random", "shipped"):
        others["start_from"] = home / Path(others["start_from"]).expanduser()
    for key in others:
        if key in _Entry.model_fields or key in ("preset_name", *RunConfig.model_fields):
            raise ConfigError(f"{where}: settings.{key} can't be; write {key} beside slide and out, or leave it out.")
    try:
        return RunConfig.preset(entry.preset, **own, **others)
    except S2SSTError as error:
        raise ConfigError(f"{where}: {error}") from None
