"""`s2sst impute` loses nothing: killed, stopped, its terminal closed, its disk full, its folders removed."""

import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from support.command import command_of, s2sst

from napari_s2sst import load_model
from napari_s2sst.engine.training.checkpoint import CHECKPOINT_NAME, unfinished

SMALL = ["--set", "blocks=1", "--set", "channels=8", "--set", "growth=4", "--set", "start_from=random",
         "--set", "batch=3", "--set", "image_batch=2", "--set", "symmetries=1", "--device", "cpu"]  # fmt: skip
EVER = 1_000_000
"""Steps that no test waits for."""
RESULTS = {"imputed.h5ad", "WAVE.ome.tif", "WAVE.png", "scores.csv", "losses.csv", "model.safetensors", "run.json"}


@pytest.fixture(autouse=True)
def hangups_end_programs():
    """Also where the tests themselves run under nohup, which programs that they start would inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def impute(cube: Path, out: Path, steps: int, *more: str) -> list:
    """The arguments of `s2sst`."""
    return [
        "impute",
        "--map",
        cube,
        "--gene",
        "WAVE",
        "--steps",
        steps,
        "--checkpoint-every",
        0.05,
        *SMALL,
        *more,
        "--out",
        out,
    ]


def command(cube: Path, out: Path, steps: int, *more: str) -> list[str]:
    return command_of(*impute(cube, out, steps, *more))


@contextlib.contextmanager
def begun(arguments: list[str], out: Path, **options):
    """The process, once it has taken some steps and kept them."""
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(arguments, **pipes, **options) as process:
        try:
            until(lambda: step_of(out) >= 5, process)
            yield process
        finally:
            process.kill()


def step_of(out: Path) -> int:
    """Steps in the folder's checkpoint; it is replaced all the time, but always whole."""
    left = unfinished(out / CHECKPOINT_NAME)
    return 0 if left is None else left.step


def until(true, process: subprocess.Popen, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def names(out: Path) -> set[str]:
    return {path.name for path in out.iterdir()}


def steps_written(out: Path) -> int:
    return json.loads((out / "run.json").read_text())["steps"]


def assert_same_model(one: Path, other: Path) -> None:
    one, other = (load_model(folder / "model.safetensors") for folder in (one, other))
    assert one.weights.keys() == other.weights.keys()
    assert all(torch.equal(weight, other.weights[name]) for name, weight in one.weights.items())
    assert (one.steps, one.held_out_mae, one.config) == (other.steps, other.held_out_mae, other.config)


def test_a_killed_run_resumed_ends_with_the_weights_of_one_that_was_never_killed(cube, tmp_path):
    steps = 60
    with begun(command(cube, tmp_path / "killed", steps), tmp_path / "killed") as process:
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert RESULTS.isdisjoint(names(tmp_path / "killed"))
    assert 5 <= step_of(tmp_path / "killed") < steps
    again = s2sst(*impute(cube, tmp_path / "killed", steps, "--resume"))
    assert again.returncode == 0, again.stderr
    assert "Going on after step" in again.stderr
    assert names(tmp_path / "killed") == RESULTS
    whole = s2sst(*impute(cube, tmp_path / "whole", steps))
    assert whole.returncode == 0, whole.stderr
    assert_same_model(tmp_path / "killed", tmp_path / "whole")


def test_a_crash_costs_no_more_than_the_time_between_checkpoints(cube, tmp_path):
    with begun(command(cube, tmp_path, EVER, "--checkpoint-every", "1"), tmp_path) as process:
        before = step_of(tmp_path)
        until(lambda: step_of(tmp_path) > before, process, seconds=15)
        changed = (tmp_path / CHECKPOINT_NAME).stat().st_mtime
        until(lambda: (tmp_path / CHECKPOINT_NAME).stat().st_mtime > changed, process, seconds=15)
        assert (tmp_path / CHECKPOINT_NAME).stat().st_mtime - changed < 5


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["TERM", "HUP"])
def test_an_ended_run_keeps_what_was_learnt_and_can_go_on(cube, tmp_path, number, status):
    with begun(command(cube, tmp_path, EVER), tmp_path) as process:
        process.send_signal(number)
        _, complaints = process.communicate(timeout=120)
    assert process.returncode == status, complaints
    assert "Traceback" not in complaints
    assert "--resume goes on" in complaints
    assert names(tmp_path) == RESULTS | {CHECKPOINT_NAME}
    assert step_of(tmp_path) == steps_written(tmp_path) < EVER


def test_ctrl_c_is_a_wish_to_end_so_no_checkpoint_stays(cube, tmp_path):
    with begun(command(cube, tmp_path, EVER), tmp_path) as process:
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=120)
    assert process.returncode == 130, complaints
    assert names(tmp_path) == RESULTS


def test_a_closed_terminal_ends_a_run_as_ctrl_c_does(cube, tmp_path):
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, command(cube, tmp_path, EVER))
    try:
        end = time.monotonic() + 120
        while step_of(tmp_path) < 5 and time.monotonic() < end:
            os.read(terminal, 1 << 16)
        assert step_of(tmp_path) >= 5
    finally:
        os.close(terminal)
        impatience = threading.Timer(120, os.kill, (child, signal.SIGKILL))
        impatience.start()
        _, status = os.waitpid(child, 0)
        impatience.cancel()
    assert os.waitstatus_to_exitcode(status) == 129
    assert names(tmp_path) == RESULTS | {CHECKPOINT_NAME}
    assert steps_written(tmp_path) < EVER


def test_a_run_that_ignores_hangups_goes_on_when_its_terminal_is_closed(cube, tmp_path):
    ignoring = ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *command(cube, tmp_path, EVER)]
    with begun(ignoring, tmp_path) as process:
        process.send_signal(signal.SIGHUP)
        before = step_of(tmp_path)
        until(lambda: step_of(tmp_path) > before + 3, process)


def test_a_full_disk_costs_no_training_and_leaves_no_half_file(cube, tmp_path):
    steps = 60
    with begun(command(cube, tmp_path, steps), tmp_path) as process:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (2000, 2000))  # bytes that a file may have from now on
        _, complaints = process.communicate(timeout=120)
    kept = step_of(tmp_path)
    assert process.returncode == 2, complaints
    assert "Traceback" not in complaints
    told = [line for line in complaints.splitlines() if line.startswith("s2sst:")]
    assert len(told) == 1
    assert "can't be written" in told[0]
    assert "--resume" in told[0]
    assert sum("Training goes on, and tries again" in line for line in complaints.splitlines()) == 1
    assert names(tmp_path) == {CHECKPOINT_NAME}
    assert 5 <= kept < steps
    again = s2sst(*impute(cube, tmp_path, steps, "--resume"))
    assert again.returncode == 0, again.stderr
    assert names(tmp_path) == RESULTS


def test_a_result_that_can_t_be_written_leaves_the_finished_training(cube, tmp_path):
    blocks = 200  # of 512 bytes: room for a small checkpoint, and for no picture
    tiny = ["--set", "cascades=1", "--set", "convolutions=1", "--set", "average=0", "--set", "held_out=0"]
    limited = ["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh", *command(cube, tmp_path, 20, *tiny)]
    full = subprocess.run(limited, capture_output=True, text=True, timeout=240)
    assert full.returncode == 2, full.stderr
    assert "--resume goes on from there" in full.stderr
    assert step_of(tmp_path) == 20
    again = s2sst(*impute(cube, tmp_path, 20, *tiny, "--resume"))
    assert again.returncode == 0, again.stderr
    assert names(tmp_path) == RESULTS
    assert steps_written(tmp_path) == 20


def test_an_output_folder_removed_during_the_run_is_made_again(cube, tmp_path):
    out = tmp_path / "out"
    with begun(command(cube, out, 60), out) as process:
        out.rename(tmp_path / "elsewhere")
        printed, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    assert names(out) == RESULTS
    assert "CDCIN" in printed


def test_a_slide_removed_during_the_run_is_not_missed(cube, tmp_path):
    copy = tmp_path / "cube.npz"
    copy.write_bytes(cube.read_bytes())
    with begun(command(copy, tmp_path / "out", 60), tmp_path / "out") as process:
        copy.unlink()
        _, complaints = process.communicate(timeout=120)
    assert process.returncode == 0, complaints
    assert names(tmp_path / "out") == RESULTS


def test_a_reader_that_closes_its_pipe_ends_no_run(cube, tmp_path):
    with begun(command(cube, tmp_path, 60), tmp_path) as process:
        process.stdout.close()
        process.stderr.close()
        process.wait(timeout=120)
    assert names(tmp_path) == RESULTS


def test_without_resume_a_checkpoint_is_mentioned_and_not_used(cube, tmp_path):
    with begun(command(cube, tmp_path, 60), tmp_path) as process:
        process.kill()
        process.wait(timeout=60)
    anew = s2sst(*impute(cube, tmp_path, 60))
    assert anew.returncode == 0, anew.stderr
    assert "holds a training on WAVE that was ended after step" in anew.stderr
    assert "Going on after step" not in anew.stderr


def test_resume_without_a_checkpoint_begins_with_the_first_step_and_says_so(cube, tmp_path):
    done = s2sst(*impute(cube, tmp_path, 3, "--resume"))
    assert done.returncode == 0, done.stderr
    assert "no checkpoint" in done.stderr
    assert steps_written(tmp_path) == 3


def test_a_checkpoint_of_other_settings_is_one_clear_line_and_stays(cube, tmp_path):
    with begun(command(cube, tmp_path, EVER), tmp_path) as process:
        process.kill()
        process.wait(timeout=60)
    before = (tmp_path / CHECKPOINT_NAME).read_bytes()
    done = s2sst(*impute(cube, tmp_path, 30, "--resume"))
    assert done.returncode == 2
    assert f"steps {EVER} instead of 30" in done.stderr
    assert done.stderr.count("s2sst:") == 1
    assert "Traceback" not in done.stderr
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before
