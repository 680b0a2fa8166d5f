"""Products in one thread while somebody is inside, and as many as before once all have left."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import scipy.linalg  # noqa: F401  (its own library is to be among those looked at)
from threadpoolctl import threadpool_info, threadpool_limits

from napari_s2sst.engine.blas_threads import one_blas_thread


def threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def two_threads():
    with threadpool_limits(2, user_api="blas"):
        assert threads() == {2}
        yield


def test_inside_there_is_one_thread_and_afterwards_those_of_before(two_threads):
    with one_blas_thread():
        assert threads() == {1}
        with one_blas_thread():
            assert threads() == {1}
        assert threads() == {1}
    assert threads() == {2}


def test_an_error_inside_leaves_the_number_as_it_was(two_threads):
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0  # noqa: B018
    assert threads() == {2}


def test_whoever_leaves_last_puts_it_back(two_threads):
    first_left, both_in = Barrier(2, timeout=60), Barrier(2, timeout=60)

    def first() -> None:
        with one_blas_thread():
            both_in.wait()
        first_left.wait()

    def second() -> set[int]:
        with one_blas_thread():
            both_in.wait()
            first_left.wait()
            return threads()

    with ThreadPoolExecutor(2) as pool:
        pool.submit(first)
        assert pool.submit(second).result() == {1}
    assert threads() == {2}
