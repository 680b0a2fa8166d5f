"""Run the command line as its users do, and look at what it says when it refuses."""

import os
import subprocess
import sys


def s2sst(*arguments, timeout=240, **environment):
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "napari_s2sst", *map(str, arguments)],
        capture_output=True, text=True, timeout=timeout, env=os.environ | environment,
    )  # fmt: skip


def assert_one_clear_line(done, *words):
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("s2sst: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert str(word) in lines[0]
