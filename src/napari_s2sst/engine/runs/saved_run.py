"""A training <-> its folder in the user's own state folder, from which it goes on after a crash; what is left there -> offers.

    trainings/<id>.lock                  held by the process that trains; the system lets go of it when that process dies
    trainings/<id>/run.json              what was asked for
                   regions.geojson, tissue.npz, start.safetensors    where there are any
                   checkpoint.safetensors                            the training itself, as training/checkpoint.py writes it

The folder is never the slide's. It is removed when the result is shown; whatever is left and held by nobody was interrupted,
and is an :class:`Interrupted`: what a user is told of it, and whether it can go on.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np

from ..config import RunConfig
from ..errors import CheckpointError, ExportError, S2SSTError
from ..files import STATE_VARIABLE, written_whole
from ..provenance import versions
from ..sampling.regions import Region, read_regions, write_regions

if TYPE_CHECKING:
    from filelock import BaseFileLock

    from ..network.model import Trained
    from ..training.checkpoint import Unfinished

FORMAT = "napari-s2sst run 1"

RECORD, REGIONS, TISSUE, START, CHECKPOINT = (
    "run.json", "regions.geojson", "tissue.npz", "start.safetensors", "checkpoint.safetensors",
)  # fmt: skip

GENES_NAMED = 3
"""Of a training with more, the others are counted."""

_LOCK_S = 5.0
"""Another window that looks at a new lock lets go of it at once."""

_held: set[Path] = set()
"""Folders that this process holds: on some network file systems a process is never in its own way."""
_held_guard = threading.Lock()


@dataclass(frozen=True, eq=False)
class Painted:
    """Bins that somebody painted and erased of a tissue mask."""

    values: np.ndarray
    """(rows, columns), uint8: 0 as it was found, 1 painted, 2 erased."""
    bin_um: float
    origin_um: tuple[float, float]
    """(y, x) of the outer corner of bin (0, 0)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Record:
    """Record of all that it takes to ask for a training again."""

    slide: Path
    slide_name: str
    mode: str
    """As the window names it."""
    genes: tuple[str, ...]
    config: RunConfig
    regions: tuple[Region, ...] = ()
    painted: Painted | None = None
    edited_tissue: bool = False
    start: Trained | None = None
    """First weights that were in no file. What is read has None: see :meth:`SavedRun.start`."""
    waiting: tuple[str, ...] = ()
    """Genes whose trainings were to follow."""
    size_um: float | None = None
    """The slide's pixel, bin or unit as somebody said it, where no file does."""
    began_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    program: str = field(default_factory=lambda: versions()["napari-s2sst"])


class SavedRun:
    """One training's folder. Every method may be called in any thread, more than once, and in any order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint = folder / CHECKPOINT
        self._lock: BaseFileLock | None = None
        self._guard = threading.RLock()

    def hold(self, wait_s: float = 0.0) -> bool:
        """Keep other windows and processes off it; False where one of them holds it, or nothing can be written there."""
        from filelock import FileLock

        with self._guard:
            if self._lock is not None:
                return True
            with _held_guard:
                if self.folder in _held:
                    return False
                _held.add(self.folder)
            try:
                self.folder.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(self._lock_path, timeout=wait_s, thread_local=False)
                lock.acquire()
            except (OSError, NotImplementedError):  # filelock's Timeout among them
                with _held_guard:
                    _held.discard(self.folder)
                return False
            self._lock = lock
            return True

    def write(self, record: Record) -> None:
        """Make the folder, hold it, and write all but the training itself. Raises :class:`ExportError`, leaving nothing."""
        if not self.hold(_LOCK_S):
            raise ExportError(f"Nothing can be written to {self.folder.parent}.")
        try:
            self.folder.mkdir(exist_ok=True)
            _write(self.folder, record)
        except (OSError, S2SSTError) as error:
            self.remove()
            reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            raise ExportError(f"{self.folder} can't be written: {reason}.") from error

    def read(self) -> Record:
        """All but the first weights. Raises :class:`CheckpointError`."""
        try:
            about = json.loads((self.folder / RECORD).read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise ValueError(about["format"])
            return Record(
                slide=Path(about["slide"]), slide_name=str(about["slide_name"]), mode=str(about["mode"]),
                genes=tuple(about["genes"]),
                config=RunConfig.parsed(about["config"]), regions=self._regions(), painted=self._painted(),
                edited_tissue=bool(about["edited_tissue"]), waiting=tuple(about["waiting"]), size_um=about.get("size_um"),
                began_at=str(about["began_at"]), program=str(about["program"]),
            )  # fmt: skip
        except (OSError, EOFError, KeyError, TypeError, ValueError, BadZipFile, S2SSTError) as error:
            raise CheckpointError(f"{self.folder} holds a damaged record of a training ({error}).") from error

    def start(self) -> Trained | None:
        """The first weights, if they were in no other file. Raises :class:`CheckpointError`."""
        from ..network.model import load_model

        path = self.folder / START
        return load_model(path) if path.exists() else None

    def release(self) -> None:
        """Let go of it, so that it is offered; a training that was never saved is removed."""
        with self._guard:
            if self._lock is not None and not self.checkpoint.exists():
                self.remove()
            self._let_go()

    def remove(self) -> None:
        """Remove everything of it, unless another process holds it."""
        with self._guard:
            if not self.hold():
                return
            with contextlib.suppress(OSError):
                for path in self.folder.iterdir():
                    with contextlib.suppress(OSError):
                        path.unlink()
                self.folder.rmdir()
            self._let_go()
            if not self.folder.exists():
                with contextlib.suppress(OSError):
                    self._lock_path.unlink(missing_ok=True)

    @property
    def _lock_path(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    def _let_go(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            with contextlib.suppress(OSError):
                lock.release(force=True)
            with _held_guard:
                _held.discard(self.folder)

    def _regions(self) -> tuple[Region, ...]:
        path = self.folder / REGIONS
        return tuple(read_regions(path)) if path.exists() else ()

    def _painted(self) -> Painted | None:
        path = self.folder / TISSUE
        if not path.exists():
            return None
        with np.load(path, allow_pickle=False) as file:
            y, x = map(float, file["origin_um"])
            return Painted(np.asarray(file["values"], np.uint8), float(file["bin_um"]), (y, x))


def trainings_folder() -> Path:
    """Folder where the user's system wants such things to be; need not exist."""
    from platformdirs import user_state_path

    chosen = os.environ.get(STATE_VARIABLE)
    return (Path(chosen).expanduser() if chosen else user_state_path("napari-s2sst", appauthor=False)) / "trainings"


def new_saved_run() -> SavedRun:
    """A place that no other training has. Nothing is written yet."""
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    return SavedRun(trainings_folder() / f"{now}-{uuid.uuid4().hex[:8]}")


def left_behind() -> list[SavedRun]:
    """Trainings that nobody holds and that have taken steps, the newest first; those that have not are removed."""
    try:
        folders = sorted((path for path in trainings_folder().iterdir() if path.is_dir()), reverse=True)
    except OSError:
        return []
    left = []
    for saved_run in map(SavedRun, folders):
        if saved_run.hold():
            saved_run.release()
            if saved_run.checkpoint.exists():
                left.append(saved_run)
    return left


def _write(folder: Path, record: Record) -> None:
    from ..network.model import save_model

    if record.regions:
        write_regions(folder / REGIONS, record.regions)
    if record.painted is not None:
        painted = record.painted
        with written_whole(folder / TISSUE) as beside, beside.open("wb") as file:
            np.savez_compressed(file, values=painted.values, bin_um=painted.bin_um, origin_um=painted.origin_um)
    if record.start is not None:
        save_model(folder / START, record.start)
    about: dict[str, Any] = {
        "format": FORMAT,
        "slide": str(record.slide.absolute()),
        "slide_name": record.slide_name,
        "mode": record.mode,
        "genes": list(record.genes),
        "waiting": list(record.waiting),
        "edited_tissue": record.edited_tissue,
        "size_um": record.size_um,
        "began_at": record.began_at,
        "program": record.program,
        "config": record.config.model_dump(mode="json"),
    }
    with written_whole(folder / RECORD) as beside:
        beside.write_text(json.dumps(about, indent=1), encoding="utf-8")


@dataclass(frozen=True, eq=False)
class Interrupted:
    """A training that was left behind."""

    saved_run: SavedRun
    record: Record | None
    """None where it can't be read."""
    unfinished: Unfinished | None
    problem: str = ""
    """Why it can't go on, as a sentence; empty where it can."""

    def sentence(self, now: datetime | None = None) -> str:
        """Sentence with what the window offers, or why it can't."""
        return self.problem or _offer(self.record, self.unfinished, now or datetime.now(UTC))


def interrupted_trainings() -> list[Interrupted]:
    """All that nobody goes on with, the newest first. Imports torch if there are any."""
    return [_looked_at(saved_run) for saved_run in left_behind()]


def named(genes: Sequence[str]) -> str:
    """``LTF``, ``LTF, KRT8 and ERBB2``, ``LTF, KRT8, ERBB2 and 397 more genes``."""
    first = list(genes[:GENES_NAMED])
    more = len(genes) - len(first)
    if more:
        return f"{', '.join(first)} and {more:,} more gene{'s' if more > 1 else ''}"
    return " and ".join([", ".join(first[:-1]), first[-1]] if len(first) > 1 else first)


def day_and_time(at: datetime, now: datetime) -> str:
    """``today 17:03``, ``yesterday 17:03``, ``on 2026-11-12 at 17:03``, where the user is."""
    at, now = at.astimezone(), now.astimezone()
    days = {now.date(): "today", (now - timedelta(days=1)).date(): "yesterday"}
    return f"{days[at.date()]} {at:%H:%M}" if at.date() in days else f"on {at:%Y-%m-%d} at {at:%H:%M}"


def _looked_at(saved_run: SavedRun) -> Interrupted:
    from ..training.checkpoint import unfinished

    record = left = None
    try:
        record = saved_run.read()
        left = unfinished(saved_run.checkpoint)
    except CheckpointError:
        of = "A training" if record is None else f"The training of {named(record.genes)}"
        return Interrupted(saved_run, record, left, f"{of} was interrupted, and what was kept of it can't be read.")
    return Interrupted(saved_run, record, left, _problem(record))


def _problem(record: Record) -> str:
    was = f"The training of {named(record.genes)} was interrupted, and can't go on:"
    here = versions()["napari-s2sst"]
    if record.program != here:
        return f"{was} version {record.program} of the program began it, and this is version {here}."
    if not record.slide.exists():
        return f"{was} its slide is no longer at {record.slide}."
    return ""


def _offer(record: Record, left: Unfinished, now: datetime) -> str:
    config = record.config
    where = f"{record.slide_name}, {config.grid.bin_um:g} µm, stride {config.sampling.stride}"
    step = f"step {left.step:,}" + ("" if left.steps is None else f" of {left.steps:,}")
    when = day_and_time(datetime.fromisoformat(left.saved_at), now)
    count = len(record.waiting)
    others = f" {count:,} more {'was' if count == 1 else 'were'} waiting." if count else ""
    return f"A training of {named(record.genes)} ({where}) was interrupted at {step}, {when}.{others}"
