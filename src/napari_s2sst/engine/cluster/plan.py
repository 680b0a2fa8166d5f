"""Jobs -> their parts, each a folder of results, and which of them are still missing.

OUT/
  LTF/                              a part of one gene
  ERBB2-and-15-more-1a2b3c/         a part of several that share a network
    imputed.h5ad, LTF.ome.tif ...   what `s2sst impute` writes
    part.json                       written last: genes, a hash of what decided the numbers, the files
    checkpoint.safetensors          while it is not finished

A gene is done when a part.json of the folder names it with the same settings and all of its files are there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..config import setting_differences
from ..errors import BundleError, ConfigError, S2SSTError
from ..files import file_stems, safe_name, written_whole
from ..provenance import versions
from .jobs import SlideJob

if TYPE_CHECKING:
    from ..runs.run import Job
    from ..slides.slide import Slide

RECORD_NAME = "part.json"

ATTEMPTS = 3
"""Of a part, or of whatever else a worker is given. A worker that dies takes what it did with it; one that dies three times
over it was killed by it."""

_LONGEST_RECORD = 10_000_000
"""Bytes; a larger file is not ours."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One task: genes of one slide that share a network."""

    job: SlideJob
    genes: tuple[str, ...]
    folder: Path
    settings: Mapping[str, Any]
    """What decided the numbers, beside the genes; plain values for JSON."""
    why: str = ""
    """It is done again for this reason; nothing where it was never done."""

    @property
    def title(self) -> str:
        more = f" and {len(self.genes) - 1} more" if len(self.genes) > 1 else ""
        return f"{self.job.title}, {self.genes[0]}{more}"


@dataclass(frozen=True)
class Plan:
    """Parts that are missing of some jobs, in the jobs' order."""

    jobs: tuple[SlideJob, ...]
    parts: tuple[Part, ...]
    genes_done: int
    """Genes, of all slides, whose results are there."""
    again: tuple[str, ...] = ()
    """Sentences: what is done again, and why."""


def plan(jobs: Sequence[SlideJob]) -> Plan:
    """Look into every slide and every folder of results. Nothing is written.

    Raises :class:`ConfigError` or another of our errors, naming the job, for a slide that can't be read or has no such gene.
    """
    parts: list[Part] = []
    done = 0
    for job in jobs:
        own, there = _missing(job)
        parts += own
        done += there
    again = tuple(f"{part.title}: {part.why}" for part in parts if part.why)
    return Plan(tuple(jobs), tuple(parts), done, again)


def open_job(job: SlideJob) -> tuple[Slide, SlideJob]:
    """The slide, whatever kind of file it is in, and the job with the bin size of one that has its own.

    Raises what opening raises, with the job's name before it, and :class:`ConfigError` where the job says another bin size.
    """
    from ..slides.opening import open_slide

    try:
        slide = open_slide(job.slide)
    except S2SSTError as error:
        raise type(error)(f"{job.title}: {error}") from None
    if slide.bin_um is None:
        return slide, job
    if job.bin_um is not None and job.bin_um != slide.bin_um:
        raise ConfigError(
            f"{job.title}: {job.slide} has bins of {slide.bin_um:g} um, not {job.bin_um:g}; leave bin_um out."
        )
    return slide, replace(job, config=job.config.changed(bin_um=slide.bin_um))


def prepare_part(part: Part, slide: Slide | None = None) -> Job:
    """The measured bins of a part, and the truth where it is known. Raises as :func:`~.runs.run.prepare` does."""
    from ..runs.run import prepare
    from ..sampling.regions import read_regions

    slide = open_job(part.job)[0] if slide is None else slide
    regions = () if part.job.regions is None else read_regions(part.job.regions)
    job = prepare(slide, part.genes, part.job.config, regions, fill_in=part.job.fill_in)
    first = part.job.config.training.start_from
    if isinstance(first, Path):  # other computers may not see the file
        from ..network.model import load_model

        job = replace(job, start=load_model(first))
    return job


def write_record(part: Part | Mapping[str, Any], folder: Path, files: Sequence[str], facts: Mapping[str, Any]) -> Path:
    """Say that a part is done: the last of its files. Raises :class:`ExportError`."""
    identity = part if isinstance(part, Mapping) else identity_of(part)
    record = {
        **identity,
        "files": list(files),
        "finished_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
    }
    with written_whole(folder / RECORD_NAME) as beside:
        beside.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return folder / RECORD_NAME


def remove_if_empty(folder: Path) -> None:
    """Remove the folder of a part that failed before it had written anything."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def identity_of(part: Part) -> dict[str, Any]:
    """Genes and settings that tell a part from others, as its record has them."""
    return {
        "program": "napari-s2sst",
        "genes": list(part.genes),
        "sha256": _hash([part.genes, part.settings]),
        "settings": dict(part.settings),
    }


def _missing(job: SlideJob) -> tuple[list[Part], int]:
    """The parts that are to be done, and the number of genes that are done."""
    slide, job = open_job(job)
    known = slide.genes
    genes = tuple(known) if job.genes is None else job.genes
    if unknown := [gene for gene in genes if gene not in known]:
        names = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise BundleError(f"{job.title}: {job.slide} has no gene {names}. `s2sst info {job.slide}` lists its genes.")
    if not genes:
        raise BundleError(f"{job.title}: {job.slide} has no genes.")
    from ..runs.run import check_sampling

    if not job.fill_in:
        check_sampling(slide, job.config)
    settings = _settings(job)
    done: set[str] = set()
    others: dict[str, str] = {}
    for record in _records(job.out):
        if record["settings"] == settings:
            done.update(record["genes"] if record["lost"] == "" else ())
            others |= {} if record["lost"] == "" else dict.fromkeys(record["genes"], record["lost"])
        else:
            others |= dict.fromkeys(record["genes"], _difference(record["settings"], settings))
    missing = [gene for gene in genes if gene not in done]
    size = len(missing) if job.genes_per_task is None else job.genes_per_task
    parts, stems = [], file_stems(genes)
    for begin in range(0, len(missing), max(1, size)):
        own = tuple(missing[begin : begin + size])
        why = next((others[gene] for gene in own if gene in others), "")
        folder = job.out / _folder_name(own, stems)
        parts.append(Part(job=job, genes=own, folder=folder, settings=settings, why=why))
    return parts, len(genes) - len(missing)


def _folder_name(genes: Sequence[str], stems: Mapping[str, str]) -> str:
    if len(genes) == 1:
        return stems[genes[0]]
    return f"{safe_name(genes[0])}-and-{len(genes) - 1}-more-{_hash(list(genes))[:6]}"


def _settings(job: SlideJob) -> dict[str, Any]:
    """Everything that decides a job's numbers, beside its genes."""
    regions = "" if job.regions is None else hashlib.sha256(job.regions.read_bytes()).hexdigest()
    around = {"slide": _stamp(job.slide), "regions": regions, "fill_in": job.fill_in}
    around |= {"genes_per_task": job.genes_per_task, "version": versions()["napari-s2sst"]}
    return json.loads(json.dumps(job.config.deciding_numbers() | around))


def _stamp(slide: Path) -> dict[str, Any]:
    """The slide's place and, of the file with its counts, size and time of change: whether it is still the same."""
    from ..transcripts.table import FILE_NAMES

    files = [slide / name for name in FILE_NAMES] if slide.is_dir() else [slide]
    for path in files:
        with contextlib.suppress(OSError):
            if path.is_file():
                facts = path.stat()
                return {"path": str(slide.resolve()), "bytes": facts.st_size, "changed_ns": facts.st_mtime_ns}
    return {"path": str(slide.resolve())}


def _records(out: Path) -> Iterator[dict[str, Any]]:
    """The records of a folder that can be read; ``lost`` says which of a part's files is gone."""
    for path in sorted(out.glob(f"*/{RECORD_NAME}")):
        try:
            if path.stat().st_size > _LONGEST_RECORD:
                continue
            record = json.loads(path.read_text(encoding="utf-8"))
            gone = [name for name in map(str, record["files"]) if not (path.parent / Path(name).name).is_file()]
            yield {
                "genes": [str(gene) for gene in record["genes"]],
                "settings": dict(record["settings"]),
                "lost": f"{gone[0]} is gone" if gone else "",
            }
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a part that nobody can read is done again


def _difference(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> str:
    """``stride 3 instead of 2``: what is now, and what was."""
    changes = [
        "the slide has changed" if name == "slide" else
        "the regions have changed" if name == "regions" else
        f"{name} {our_value} instead of {their_value}"
        for name, (our_value, their_value) in setting_differences(ours, theirs).items()
    ]  # fmt: skip
    return ", ".join(changes[:5]) + (f" and {len(changes) - 5} more" if len(changes) > 5 else "")


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
