"""One run as asked for in the window: a counted job, and what becomes of it here -> how the engine executes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...engine.cluster.connect import ClusterPlace
from ...engine.config import CHECKPOINT_EVERY_S
from ...engine.runs.execute import Elsewhere, TrainingPlan
from ...engine.runs.run import CountedJob, Job
from ...engine.runs.saved_run import Painted, Record, SavedRun
from ..session import Mode

PREVIEW_EVERY_S = 2.0
"""Imputing a preview costs training time, and a map sharpens no faster than this."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Request:
    """A counted job, and what the window adds to it."""

    job: CountedJob
    slide: Path
    slide_name: str = ""
    trains: bool = True
    """False: the job's first model imputes as it is."""
    painted: Painted | None = None
    """What was painted on the tissue; only to be saved."""
    waiting: tuple[str, ...] = ()
    """Genes of the runs that follow; only to be saved."""
    saved_run: SavedRun | None = None
    """Where the training is kept until its result is shown; None: nowhere."""
    checkpoint_every_s: float = CHECKPOINT_EVERY_S
    resumes: bool = False
    """Go on from what is kept there."""
    cluster: ClusterPlace | None = None
    """Where it trains; None: on this computer. All before and after the training happens here."""

    @property
    def elsewhere(self) -> ClusterPlace | None:
        """The cluster, if its training really goes there: what is resumed was kept here, and goes on here."""
        return self.cluster if self.trains and not self.resumes else None

    @property
    def mode(self) -> Mode:
        return Mode.FILL_IN if self.job.fill_in else Mode.CHECK

    def prepared(self) -> Job:
        """The job, with its first weights at hand where the cluster may not see their file.

        Raises SamplingError, BundleError and CheckpointError.
        """
        from ...engine.network.model import load_model

        source, job = self.job.config.training.start_from, self.job
        if self.elsewhere is not None and job.start is None and isinstance(source, Path):
            return job.starting_with(load_model(source)).prepared()
        return job.prepared()

    def training(self) -> TrainingPlan | None:
        """Plan of the training; None: there is none."""
        if not self.trains:
            return None
        return TrainingPlan(
            checkpoint_every_s=self.checkpoint_every_s,
            resume=self.resumes,
            preview_every_s=PREVIEW_EVERY_S,
            elsewhere=None if self.elsewhere is None else _on(self.elsewhere),
            saved_run=self.saved_run,
            record=self._record,
        )

    def _record(self, job: Job) -> Record:
        return Record(
            slide=self.slide,
            slide_name=self.slide_name,
            mode=self.mode.value,
            genes=tuple(gene_map.gene for gene_map in self.job.maps),
            config=job.config,
            regions=job.regions,
            painted=self.painted,
            edited_tissue=job.edited_tissue,
            start=job.start,
            waiting=self.waiting,
            size_um=job.size_um,
        )


def _on(place: ClusterPlace) -> Elsewhere:
    from ...engine.cluster.remote import train_on_cluster

    return Elsewhere(place.name, partial(train_on_cluster, cluster=place.address, tls=place.tls))
