"""`s2sst batch` and `s2sst impute --workers`, as real processes with real workers."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from support.command import assert_one_clear_line, command_of, s2sst

from napari_s2sst.engine.cluster.plan import RECORD_NAME
from napari_s2sst.engine.training.checkpoint import CHECKPOINT_NAME, unfinished

pytest.importorskip("distributed", reason="the extra cluster (Dask) is not installed")
psutil = pytest.importorskip("psutil")

JOBS = """
[defaults]
device = "cpu"
genes_per_task = 1
[defaults.settings]
blocks = 1
channels = 8
growth = 4
cascades = 1
start_from = "random"
batch = 3
image_batch = 2
symmetries = 1
[[job]]
name = "short"
slide = "{cube}"
genes = ["SILENT", "WAVE"]
steps = 3
out = "short"
"""
ENDLESS = """
[[job]]
name = "endless"
slide = "{cube}"
genes = ["RIDGE"]
steps = 1000000
out = "endless"
"""


@pytest.fixture
def jobs(cube, tmp_path) -> Path:
    path = tmp_path / "jobs.toml"
    path.write_text(JOBS.format(cube=cube))
    return path


def test_a_dry_run_says_what_is_missing_and_writes_nothing(jobs):
    done = s2sst("batch", jobs, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "2 parts missing, 2 genes of 1 job; 0 genes are done." in done.stdout
    assert "short, WAVE -> " in done.stdout
    assert {path.name for path in jobs.parent.iterdir()} == {"jobs.toml"}


def test_ctrl_c_ends_the_workers_and_keeps_what_is_finished_and_the_next_run_does_only_what_is_missing(jobs, cube):
    out = jobs.parent
    whole = jobs.read_text()
    jobs.write_text(whole + ENDLESS.format(cube=cube))
    arguments = command_of("batch", jobs, "--workers", 2, "--checkpoint-every", 0.1)
    process = subprocess.Popen(
        arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        end = time.monotonic() + 200
        while not (
            (out / "short" / "WAVE" / RECORD_NAME).exists() and (out / "endless" / "RIDGE" / CHECKPOINT_NAME).exists()
        ):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "nothing happened"
            time.sleep(0.1)
        family = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the workers hear it, too
        printed, notes = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, notes
    assert "Traceback" not in notes
    assert "SILENT failed (attempt 1)" in notes
    assert "1 part done" in printed
    _, alive = psutil.wait_procs(family, timeout=60)  # the system takes a moment to clear away what has ended
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]
    assert unfinished(out / "endless" / "RIDGE" / CHECKPOINT_NAME).step > 0
    jobs.write_text(whole.replace('["SILENT", "WAVE"]', '["WAVE"]'))
    again = s2sst("batch", jobs, "--workers", 2)
    assert again.returncode == 0, again.stderr
    assert "0 parts done, 0 failed, 0 left; 1 genes were done before." in again.stdout


def test_what_failed_three_times_has_an_exit_status_of_its_own(jobs):
    jobs.write_text(jobs.read_text().replace('["SILENT", "WAVE"]', '["SILENT"]'))
    done = s2sst("batch", jobs)  # no worker is needed to fail
    assert done.returncode == 3, done.stderr
    assert "Failed: short, SILENT: No measured bin" in done.stderr
    assert list((jobs.parent / "short").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--workers", "2", "--cluster", "tcp://127.0.0.1:1"], "exclude each other"),
        (["--cluster", "127.0.0.1:1"], "is no address"),
        (["--workers", "2", "--tls-ca", "ca.pem"], "are for --cluster tls://"),
        (["--cluster", "tls://127.0.0.1:1", "--tls-ca", "ca.pem"], "all three"),
        (["--workers", "2", "--stop-at", "3", "--steps", "4"], "--stop-at can't be used"),
        (["--genes-per-task", "2"], "are for --workers and --cluster"),
    ],
)
def test_options_that_do_not_go_together_are_one_line(cube, tmp_path, options, said):
    done = s2sst("impute", "--map", cube, "--gene", "WAVE", "--out", tmp_path / "out", *options)
    assert_one_clear_line(done, said)
