"""A real worker process whose installed version of this program is another one."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("distributed", reason="the extra cluster (Dask) is not installed")

from distributed import Client, LocalCluster

from napari_s2sst import GeneMap, RunConfig, sample, train_on_cluster
from napari_s2sst.engine.cluster.connect import ClusterFacts, ClusterPlace, look_at, own_version
from napari_s2sst.engine.errors import TrainingError

OTHER = "0.0.7"
LONG_S = 120


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The address of a scheduler whose one worker finds the metadata of another version first."""
    folder = tmp_path_factory.mktemp("other")
    metadata = folder / f"napari_s2sst-{OTHER}.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: napari-s2sst\nVersion: {OTHER}\n")
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        address = client.scheduler.address
        arguments = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        worker = subprocess.Popen(
            [*arguments, "--local-directory", str(folder)], env={**os.environ, "PYTHONPATH": path}
        )
        try:
            client.wait_for_workers(1, timeout=LONG_S)
            yield address
        finally:
            worker.terminate()
            worker.wait(LONG_S)


def run_to_end(training) -> None:
    end = time.monotonic() + LONG_S
    for _ in training:
        assert time.monotonic() < end, "it waits for ever"


def test_a_look_at_a_cluster_tells_workers_that_have_another_version(elsewhere):
    facts = look_at(ClusterPlace(elsewhere))
    assert facts == ClusterFacts(workers=1, versions=(OTHER,))
    said = facts.sentence()
    assert f"napari-s2sst {own_version()} is here and {OTHER} there" in said
    assert "Install one version" in said


def test_a_worker_with_another_version_refuses_work_and_says_why(elsewhere):
    sparse = sample(GeneMap(np.random.default_rng(0).poisson(3.0, (24, 24)).astype(np.float32), gene="G"), 2)
    training = train_on_cluster([sparse], RunConfig.preset("fast", steps=1, device="cpu"), elsewhere)
    with pytest.raises(TrainingError, match=f"has napari-s2sst {OTHER}.* Install one version on both"):
        run_to_end(training)


def test_workers_of_the_same_version_are_only_counted():
    assert ClusterFacts(workers=1_200).sentence() == "It answers, and has 1,200 workers."
    assert ClusterFacts(workers=0).sentence() == "It answers, and has no worker yet."
