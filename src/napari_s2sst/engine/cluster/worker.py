"""What runs on a Dask worker: an order, packed -> a part's files, or its packed result, or a packed network.

The worker and the process that ordered the work talk through two of Dask's queues: all messages go up through one, commands
come down through one of this attempt alone. A queue keeps nothing that was read, so the scheduler's memory does not grow with
what was told; Dask's own topics would keep the last thousand messages of each.

up    hello      an attempt begins: worker, process, whether it sees the folder of results
      event      of the training, packed
      checkpoint the file, where the worker does not see the folder
down  go         begin, from this checkpoint if there is one, and with this command already given
      command    STOP, PREVIEW, PAUSE, RESUME
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, sentence
from ..events import Command, Stepped
from ..training.checkpoint import CHECKPOINT_NAME
from .connect import own_version
from .part import ADVICE, Abandoned, finish, this_process, work
from .wire import pack, trained_bytes, trained_from, unpack

if TYPE_CHECKING:
    from ..runs.execute import Output
    from ..runs.run import Job, Result

PUT_S = 5.0
"""A message waits so long for room in the queue, before it is looked whether anybody still wants it."""

_one_at_a_time = threading.Lock()
"""A worker with several threads still trains one network at a time; give workers one thread each."""


class _Line:
    """Messages to and from the process that ordered the work."""

    def __init__(self, up: str, assignment: str) -> None:
        from distributed import Queue, get_client, get_worker

        self._worker, self._key = get_worker(), get_worker().get_current_task()
        self.attempt = uuid.uuid4().hex
        self.assignment = assignment
        client = get_client()
        self._up = Queue(up, client=client)
        self._down = Queue(f"{up}-{self.attempt}", client=client)
        self.address, self.name = self._worker.address, self._worker.name

    def is_unwanted(self) -> bool:
        """Whether the task was cancelled, or whoever ordered it is gone."""
        task = self._worker.state.tasks.get(self._key)
        return task is None or task.state in ("cancelled", "released", "forgotten")

    def tell(self, kind: str, **fields: Any) -> None:
        """Raises :class:`.Abandoned` when nobody wants to know."""
        message = {"assignment": self.assignment, "attempt": self.attempt, "kind": kind, **fields}
        while True:
            if self.is_unwanted():
                raise Abandoned("Nobody waits for this part any more.")
            with contextlib.suppress(TimeoutError):
                return self._up.put(message, timeout=PUT_S)

    def heard(self) -> list[dict[str, Any]]:
        """Messages that have come down since the last call."""
        return self._down.get(batch=True)

    def wait(self) -> dict[str, Any]:
        """The next that comes down. Raises :class:`.Abandoned` when nobody will send anything."""
        while not self.is_unwanted():
            with contextlib.suppress(TimeoutError):
                return self._down.get(timeout=1)
        raise Abandoned("Nobody waits for this part any more.")

    def close(self) -> None:
        self._up.close()
        self._down.close()


def run_assignment(payload: bytes, up: str, assignment: str) -> bytes:
    """Do what the packed order says; called by Dask, which needs only the names of this function and module, bytes and text.

    Returns, packed, one of ``failed`` (a sentence), ``abandoned``, ``files`` and ``facts``, ``result``, ``trained``.
    """
    with _one_at_a_time:
        line = _Line(up, assignment)
        try:
            return pack(_assignment(line, unpack(payload)))
        except Abandoned:
            return pack({"abandoned": True})
        except Exception as error:
            return pack({"failed": sentence(error, ADVICE)})
        finally:
            line.close()


def _assignment(line: _Line, order: Mapping[str, Any]) -> dict[str, Any]:
    began = time.time()
    if order["version"] != own_version():
        raise ConfigError(
            f"{this_process()} has napari-s2sst {own_version()}, and the program that sends it work {order['version']}. Install "
            "one version on both."
        )
    folder = None if order.get("folder") is None else Path(order["folder"])
    shared = folder is not None and _sees(folder, order["token"])
    line.tell("hello", worker=line.address, process=os.getpid(), shared=shared)
    go = line.wait()
    if go.get("give_up"):
        raise Abandoned("It was tried often enough.")
    with tempfile.TemporaryDirectory(prefix="s2sst-") as own:
        if shared:
            folder.mkdir(exist_ok=True)
        checkpoint = (folder if shared else Path(own)) / CHECKPOINT_NAME
        if go.get("checkpoint") and not shared:
            checkpoint.write_bytes(go["checkpoint"])
        start = None if order.get("start") is None else trained_from(order["start"])
        drive = partial(_drive, line, order["tell_every_s"], go.get("command"), None if shared else checkpoint)
        if order["kind"] == "train":
            from ..runs.execute import train_or_resume

            config = _with_device(order["config"], line.name)
            trained = drive(
                train_or_resume(
                    order["maps"], config, checkpoint=checkpoint, checkpoint_every_s=order["every_s"], start=start,
                    preview_every_s=order["preview_every_s"],
                )
            )  # fmt: skip
            return {"trained": trained_bytes(trained)}
        job = _job(order, start)
        job = replace(job, config=_with_device(job.config, line.name))
        output = _output(order, folder) if shared else None
        result, files = drive(work(job, checkpoint=checkpoint, every_s=order["every_s"], output=output))
        if shared:
            facts = finish(result, files, order["identity"], folder, worker=this_process(), began=began)
            return {"files": files, "facts": facts}
        return {"result": packed_result(result), "worker": this_process(), "began": began}


def _output(order: Mapping[str, Any], folder: Path) -> Output:
    from ..runs.execute import Output

    return Output(folder=folder, command=order["command"], slide_path=Path(order["slide"]))


def packed_result(result: Result) -> dict[str, Any]:
    """Parts of a result that are not known where the work was ordered."""
    return {
        "trained": trained_bytes(result.trained),
        "imputed": result.imputed,
        "scores": result.scores,
        "impute_s": result.impute_s,
        "score_s": result.score_s,
    }


class _Orders:
    """Commands to a training, as far as it has not obeyed them."""

    def __init__(self, first: str | None) -> None:
        self.is_paused = self.is_stopped = False
        self._next: Command | None = None
        self.take(first)

    def take(self, name: str | None) -> None:
        if name == "STOP":
            self.is_stopped, self.is_paused = True, False
        elif name in ("PAUSE", "RESUME"):
            self.is_paused = name == "PAUSE" and not self.is_stopped
        elif name in Command.__members__:
            self._next = Command[name]

    def next(self) -> Command | None:
        if self.is_stopped:
            return Command.STOP
        command, self._next = self._next, None
        return command


def _drive(line: _Line, tell_every_s: float, command: str | None, checkpoint: Path | None, steps: Generator) -> Any:
    """Run a generator of events to its end, telling them, obeying commands, and sending checkpoints that nobody else sees."""
    told_at, sent_ns, orders = 0.0, 0, _Orders(command)
    try:
        event = next(steps)
        while True:
            if (
                not isinstance(event, Stepped)
                or time.monotonic() - told_at >= tell_every_s
                or event.step == event.steps
            ):
                told_at = time.monotonic()
                line.tell("event", event=pack(event))
            if (
                checkpoint is not None
                and checkpoint.is_file()
                and (changed := checkpoint.stat().st_mtime_ns) != sent_ns
            ):
                sent_ns = changed
                line.tell("checkpoint", checkpoint=checkpoint.read_bytes())
            for message in line.heard():
                orders.take(message["command"])
            while orders.is_paused:
                orders.take(line.wait()["command"])
            if line.is_unwanted():
                orders.take("STOP")
            event = steps.send(orders.next())
    except StopIteration as end:
        if line.is_unwanted():
            raise Abandoned("Nobody waits for this part any more.") from None
        return end.value


def _sees(folder: Path, token: str) -> bool:
    """Whether a folder's parent is the very one in which the token was laid: on this computer, or on a shared file system."""
    try:
        return (folder.parent / f".s2sst-{token}").is_file() and os.access(folder.parent, os.W_OK)
    except OSError:
        return False


def _job(order: Mapping[str, Any], start: Any) -> Job:
    """The measured bins that came, or those of a slide that this worker sees."""
    from ..runs.run import job_from

    if "job" in order:
        return job_from(order["job"], start)
    return _read(order)


def _read(order: Mapping[str, Any]) -> Job:
    from .jobs import SlideJob
    from .plan import Part, prepare_part

    own = dict(order["slide_job"])
    slide = Path(own["slide"])
    if not slide.exists():
        raise ConfigError(
            f"{this_process()} does not see the slide {slide}, and a whole slide is one task only on a file system that all "
            "workers share. Give genes_per_task a number, so that measured bins travel instead."
        )
    regions = None if own["regions"] is None else Path(own["regions"])
    job = SlideJob(slide=slide, out=Path(own["out"]), config=own["config"], regions=regions, fill_in=own["fill_in"])
    return prepare_part(Part(job=job, genes=tuple(own["genes"]), folder=Path(order["folder"]), settings={}))


def _with_device(config: Any, name: Any) -> Any:
    """Workers on one computer share its GPUs out by their numbers."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if config.device != "auto" or count < 2 or not isinstance(name, int):
        return config
    return config.changed(device=f"cuda:{name % count}")
