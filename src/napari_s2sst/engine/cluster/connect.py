"""Worker processes of this computer, or a Dask cluster that is there already -> a client of it.

A cluster of this computer listens on 127.0.0.1 only and has no dashboard. Whoever reaches a Dask scheduler can run code on its
workers; one elsewhere is used only when its address is given, and is encrypted and guarded only with Dask's TLS (`tls://`).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..errors import ConfigError, S2SSTError
from ..provenance import versions

CONNECT_S = 10.0
"""Until a scheduler answers."""

CORES_PER_WORKER = 4
"""A training cuts a step's batch of 8 into at most as many parts."""

MEMORY_PER_WORKER = 1.5e9
"""Bytes, generously; `benchmarks/scaling.py` measures it."""

LEAST_ARENAS = 2
"""glibc's pools of memory in a worker are as many as the threads that compute, which would wait for each other with fewer, but at
least this many. Left alone there are eight for each core: a training's many short-lived threads get one each, and what they
freed stays in it."""

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[^\s/:\[\]]+):(\d{1,5})")


class ClusterError(S2SSTError):
    """A cluster can't be reached or started, or was lost."""


@dataclass(frozen=True)
class Tls:
    """Dask's own encryption: who signed the certificates, and this program's own."""

    ca_file: Path
    cert_file: Path
    key_file: Path

    def security(self) -> Any:
        """Dask's object for it. Raises :class:`ConfigError` for a file that is not there."""
        from distributed.security import Security

        for path in (self.ca_file, self.cert_file, self.key_file):
            if not Path(path).is_file():
                raise ConfigError(f"There is no TLS file {path}. Give a PEM file.")
        return Security(
            tls_ca_file=str(self.ca_file), tls_client_cert=str(self.cert_file), tls_client_key=str(self.key_file),
            require_encryption=True,
        )  # fmt: skip


@dataclass(frozen=True)
class ClusterPlace:
    """A cluster to train on, as a user names it."""

    address: str
    """``tcp://HOST:PORT``, or ``tls://HOST:PORT`` with ``tls``."""
    tls: Tls | None = None

    @property
    def name(self) -> str:
        """``HOST:PORT``."""
        return self.address.partition("://")[2]

    @property
    def is_encrypted(self) -> bool:
        return self.address.startswith("tls://")

    @property
    def is_here(self) -> bool:
        """Whether it is this computer, where nothing travels."""
        address = _ADDRESS.fullmatch(self.address)
        host = address[2].strip("[]") if address else ""
        return host in ("localhost", "::1") or re.fullmatch(r"127(\.\d{1,3}){3}", host) is not None

    def problem(self) -> str:
        """Reason why it can't be a place for trainings, as a sentence; empty where it can."""
        address = _ADDRESS.fullmatch(self.address)
        if address is None or not 0 < int(address[3]) < 2**16:
            return "Write tcp://HOST:PORT, or tls://HOST:PORT with certificates."
        if self.is_encrypted and self.tls is None:
            return "tls:// needs three files: the authority's certificate, your own, and its key."
        return ""


def usual_workers() -> int:
    """Count the workers that suit this computer: one for each GPU, or one for every few cores, as far as the memory goes."""
    import torch

    from ..device import CORES, free_memory_bytes

    if torch.cuda.is_available():
        return max(1, torch.cuda.device_count())
    free = free_memory_bytes()
    fit = CORES if free is None else int(free / MEMORY_PER_WORKER)
    return max(1, min(CORES // CORES_PER_WORKER, fit))


def has_dask() -> bool:
    """Whether the extra ``cluster`` is installed."""
    from importlib.util import find_spec

    return find_spec("distributed") is not None


def local_cluster(workers: int) -> tuple[Any, Any]:
    """Start a scheduler in this process and workers in processes of their own, on 127.0.0.1. Raises :class:`ClusterError`."""
    import dask
    from distributed import Client, LocalCluster

    from ..device import CORES

    threads = max(1, CORES // workers)
    fixed = {
        # Read at a process's very beginning; a user's own choice stays.
        "distributed.nanny.pre-spawn-environ": {
            "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
            "MALLOC_ARENA_MAX": str(max(LEAST_ARENAS, threads)),
        },
        "distributed.worker.profile.enabled": False,  # it looks at the stack a hundred times a second, for a dashboard
    }  # fmt: skip
    before = dict(os.environ)
    try:
        with dask.config.set(fixed):
            cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
                worker_dashboard_address=None, memory_limit=0, silence_logs=50,
                preload=["napari_s2sst.engine.cluster.worker_start"],
            )  # fmt: skip
            return cluster, Client(cluster, timeout=CONNECT_S, set_as_default=False)
    except Exception as error:
        raise ClusterError(f"{workers} workers can't be started on this computer: {error}.") from error
    finally:  # Dask sets them here, too
        for name in os.environ.keys() - before.keys():
            del os.environ[name]


def connected(address: str, tls: Tls | None) -> Any:
    """Connect to a scheduler that is there; returns Dask's client. Raises :class:`ClusterError`, :class:`ConfigError`."""
    from distributed import Client

    if "://" not in address:
        raise ConfigError(f"--cluster {address} is no address; write tcp://HOST:PORT, or tls://HOST:PORT with TLS.")
    if address.startswith("tls://") and tls is None:
        raise ConfigError(f"{address} is encrypted: give the certificates with --tls-ca, --tls-cert and --tls-key.")
    security = None if tls is None else tls.security()
    try:
        client = Client(address, timeout=CONNECT_S, security=security, set_as_default=False)
    except Exception as error:
        raise ClusterError(
            f"There is no Dask scheduler at {address}, or it does not let this program in ({type(error).__name__}). Start one "
            "with `dask scheduler`, and workers with `dask worker ADDRESS --nthreads 1`."
        ) from None
    return client


@dataclass(frozen=True)
class ClusterFacts:
    """A cluster, as far as it was seen."""

    workers: int
    versions: tuple[str, ...] = ()
    """Of this program, on workers that have another one than this computer has; "none" where it is not installed."""

    def sentence(self) -> str:
        """Sentence for the user."""
        count = {0: "has no worker yet", 1: "has 1 worker"}.get(self.workers, f"has {self.workers:,} workers")
        if not self.versions:
            return f"It answers, and {count}."
        there = ", ".join(dict.fromkeys(self.versions))
        return (
            f"It answers, and {count}, but {len(self.versions)} can't train for this program: napari-s2sst {own_version()} is "
            f"here and {there} there. Install one version on all."
        )


def own_version() -> str:
    """Version of this program."""
    return versions()["napari-s2sst"]


def look_at(place: ClusterPlace) -> ClusterFacts:
    """Connect, and see which workers a cluster has. Raises :class:`ClusterError`, :class:`ConfigError`."""
    client = connected(place.address, place.tls)
    try:
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        # A function of Python's own: the workers may not have this program at all.
        answers = client.run(version, "napari-s2sst", on_error="return") if count else {}
        theirs = ["none" if isinstance(answer, Exception) else answer for answer in answers.values()]
        return ClusterFacts(count, tuple(sorted(other for other in theirs if other != own_version())))
    except Exception as error:
        raise ClusterError(f"The scheduler at {place.address} does not answer ({type(error).__name__}).") from error
    finally:
        client.close(timeout=5)
