"""Products in one thread while somebody is inside, and as many as before once all have left."""

import subprocess
import sys

import pytest

INSIDE = """
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
import scipy.linalg
from threadpoolctl import threadpool_info
from napari_s2sst.engine.threads import one_blas_thread

def threads():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

assert threads() == {2}, threads()
"""

NESTED = """
with one_blas_thread():
    assert threads() == {1}
    with one_blas_thread():
        assert threads() == {1}
    assert threads() == {1}
assert threads() == {2}
"""

AFTER_AN_ERROR = """
try:
    with one_blas_thread():
        1 / 0
except ZeroDivisionError:
    pass
assert threads() == {2}
"""

TWO_AT_A_TIME = """
both_in, one_left = Barrier(2, timeout=60), Barrier(2, timeout=60)

def work(leaves_first):
    with one_blas_thread():
        both_in.wait()
        if not leaves_first:
            one_left.wait()
    if leaves_first:
        one_left.wait()

with ThreadPoolExecutor(2) as pool:
    for _ in range(20):
        list(pool.map(work, (True, False)))
        assert threads() == {2}
with one_blas_thread():
    assert threads() == {1}
"""

AFTER_A_FORK = """
import os
with one_blas_thread():
    pass
child = os.fork()
if not child:
    with one_blas_thread():
        is_one = threads() == {1}
    os._exit(0 if is_one and threads() == {2} else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("what", [NESTED, AFTER_AN_ERROR, TWO_AT_A_TIME, AFTER_A_FORK])
def test_the_number_of_threads_is_what_it_was_before(what):
    """In a process of its own: how many threads there are is decided when the libraries are loaded."""
    environment = {"PATH": "", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", INSIDE + what], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
