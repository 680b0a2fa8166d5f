"""Run the command line in this process, or as its users do in one of its own, and look at what it says when it refuses."""

import contextlib
import io
import os
import subprocess
import sys
import warnings
from dataclasses import dataclass
from unittest import mock

import torch

from napari_s2sst.cli.app import main


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed, a warning as a process would print it."""

    returncode: int
    stdout: str
    stderr: str


def s2sst(*arguments, cwd=None, **environment) -> Done:
    """Run the command in this process, which takes the second or more of a process's imports only once.

    As in a process of its own, 80 columns wide and without a terminal, a warning that Python shows by default is printed;
    and nothing that it sets for the process outlives it.
    """
    printed, complaints = io.StringIO(), io.StringIO()
    threads = torch.get_num_threads()
    with contextlib.ExitStack() as around:
        around.enter_context(mock.patch.dict(os.environ, {"COLUMNS": "80"} | environment))
        if cwd is not None:
            around.enter_context(contextlib.chdir(cwd))
        around.enter_context(contextlib.redirect_stdout(printed))
        around.enter_context(contextlib.redirect_stderr(complaints))
        warned = around.enter_context(warnings.catch_warnings(record=True))
        _show_warnings_as_python_does()
        around.callback(torch.set_num_threads, threads)
        status = main([str(argument) for argument in arguments])
    shown = "".join(warnings.formatwarning(it.message, it.category, it.filename, it.lineno) for it in warned)
    return Done(status, printed.getvalue(), complaints.getvalue() + shown)


def _show_warnings_as_python_does() -> None:
    """The filters of a process that nobody gave -W, newest first."""
    warnings.resetwarnings()
    for category in (ResourceWarning, ImportWarning, PendingDeprecationWarning, DeprecationWarning):
        warnings.simplefilter("ignore", category, append=True)


def command_of(*arguments) -> list[str]:
    """The command as a process of its own."""
    return [sys.executable, "-m", "napari_s2sst", *map(str, arguments)]


def s2sst_process(*arguments, timeout=240, cwd=None, **environment) -> subprocess.CompletedProcess:
    """Run the command in a process of its own: for what holds of a process, as its start, its end and its exit status."""
    return subprocess.run(
        command_of(*arguments), capture_output=True, text=True, timeout=timeout, cwd=cwd, env=os.environ | environment
    )


def assert_one_clear_line(done, *words):
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("s2sst: ")
    assert "Traceback" not in done.stderr
    for word in words:
        assert str(word) in lines[0]
