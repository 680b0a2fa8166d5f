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
from typing import Any

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
_KEYS = {
    "name": str, "slide": str, "genes": list, "genes_file": str, "all_genes": bool, "preset": str, "out": str,
    "regions": str, "fill_in": bool, "genes_per_task": (int, str), "settings": dict,
    **dict.fromkeys(("bin_um", "seconds", "min_qv"), (int, float)), **dict.fromkeys(("stride", "steps", "seed"), int),
    **dict.fromkeys(("device", "normalisation", "images"), str),
}  # fmt: skip
_WORDS = {str: "text", list: "a list", bool: "true or false", int: "a whole number", dict: "a table",
          (int, float): "a number", (int, str): 'a whole number or "all"'}  # fmt: skip


@dataclass(frozen=True)
class SlideJob:
    """Genes of one slide, the settings and the folder of their results."""

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
    """The jobs of a TOML file, in its order. Raises :class:`ConfigError` naming the job and the key."""
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
    _check_keys(f"{path}, [defaults]", defaults)
    jobs = [_job(path, number, entry, defaults) for number, entry in enumerate(entries, start=1)]
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


def _job(path: Path, number: int, entry: Any, defaults: Mapping[str, Any]) -> SlideJob:
    named = entry.get("name") if isinstance(entry, dict) else None
    where = f"{path}, job {number}" + (f" ({named})" if named else "")
    if not isinstance(entry, dict):
        raise ConfigError(f"{where} is no table. Write [[job]] with two brackets on each side.")
    _check_keys(where, entry)
    inherited = dict(defaults)
    if {"genes", "genes_file", "all_genes"} & entry.keys():  # a job's own choice takes the place of the defaults'
        inherited = {k: v for k, v in inherited.items() if k not in ("genes", "genes_file", "all_genes")}
    if "seconds" in entry:
        inherited.pop("steps", None)
    if "steps" in entry:
        inherited.pop("seconds", None)
    keys = inherited | entry | {"settings": {**defaults.get("settings", {}), **entry.get("settings", {})}}
    for needed in ("slide", "out"):
        if needed not in keys:
            raise ConfigError(f"{where}: the key {needed!r} is missing. Give it a path.")
    home = path.parent

    def place(key: str) -> Path | None:
        return None if key not in keys else home / Path(keys[key]).expanduser()

    slide = place("slide")
    if not slide.exists():
        raise ConfigError(f"{where}: there is no slide = {keys['slide']!r}; looked for {slide}.")
    for key, kind in (("regions", Path.is_file), ("genes_file", Path.is_file), ("images", Path.is_dir)):
        if (named := place(key)) is not None and not kind(named):
            raise ConfigError(f"{where}: there is no {key} = {keys[key]!r}; looked for {named}.")
    return SlideJob(
        slide=slide,
        out=place("out"),
        genes=_genes(where, keys, place("genes_file")),
        config=_config(where, keys, home),
        name=keys.get("name", ""),
        regions=place("regions"),
        fill_in=keys.get("fill_in", False),
        genes_per_task=_per_task(where, keys.get("genes_per_task", GENES_PER_TASK)),
        bin_um=keys.get("bin_um"),
    )


def _check_keys(where: str, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(key, _KEYS, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are {', '.join(_KEYS)}."
            raise ConfigError(f"{where}: there is no key {key!r}. {advice}")
        kind = _KEYS[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigError(f"{where}: {key} = {value!r} must be {_WORDS[kind]}.")


def _genes(where: str, keys: Mapping[str, Any], genes_file: Path | None) -> tuple[str, ...] | None:
    chosen = [key for key in ("genes", "genes_file") if key in keys] + ["all_genes"] * keys.get("all_genes", False)
    if len(chosen) != 1:
        found = f"it has {' and '.join(chosen)}" if chosen else "it has none"
        raise ConfigError(f"{where}: choose genes with one of genes, genes_file and all_genes = true; {found}.")
    if chosen == ["all_genes"]:
        return None
    genes = keys.get("genes")
    if genes_file is not None:
        genes = [line.strip() for line in genes_file.read_text("utf-8-sig").splitlines() if line.strip()]
    if not genes or not all(isinstance(gene, str) and gene for gene in genes):
        raise ConfigError(f"{where}: {chosen[0]} = {keys[chosen[0]]!r} must be names of genes, and at least one.")
    return tuple(dict.fromkeys(genes))


def _config(where: str, keys: Mapping[str, Any], home: Path) -> RunConfig:
    if "seconds" in keys and "steps" in keys:
        raise ConfigError(f"{where}: seconds and steps exclude each other; give one of them.")
    own = {key: keys[key] for key in _SETTINGS if key in keys}
    if "images" in own:
        own["images"] = home / Path(own["images"]).expanduser()
    others = dict(keys["settings"])
    if isinstance(others.get("start_from"), str) and others["start_from"] not in ("random", "shipped"):
        others["start_from"] = home / Path(others["start_from"]).expanduser()
    for key in others:
        if key in _KEYS or key in ("preset_name", *RunConfig.model_fields):
            raise ConfigError(f"{where}: settings.{key} can't be; write {key} beside slide and out, or leave it out.")
    try:
        return RunConfig.preset(keys.get("preset", "fast"), **own, **others)
    except S2SSTError as error:
        raise ConfigError(f"{where}: {error}") from None


def _per_task(where: str, value: int | str) -> int | None:
    if value == WHOLE_SLIDE:
        return None
    if isinstance(value, int) and value >= 1:
        return value
    raise ConfigError(f'{where}: genes_per_task = {value!r} must be a whole number from 1 on, or "all".')
