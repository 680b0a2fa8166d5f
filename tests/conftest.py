"""What every test may ask for: the shared real slides, and the embedded sample slide written once."""

import os
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from support.garbage import no_garbage_search_in_what_is_there

SHARED = Path(os.environ.get("S2SST_SHARED_DATA", Path(__file__).parents[2] / "shared" / "data"))

_missing: set[str] = set()


@pytest.fixture(scope="module", autouse=True)
def quick_garbage_search():
    no_garbage_search_in_what_is_there()


@pytest.fixture(scope="session")
def shared_data():
    """A function: name of a folder or file of the shared real data -> its path. Skips, saying why, where it is absent."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            _missing.add(name)
            pytest.skip(f"the shared real data set {name} is not on this machine (S2SST_SHARED_DATA names its folder)")
        return path

    return find


@pytest.fixture(scope="session")
def sample_slide(tmp_path_factory) -> Path:
    """The folder of the embedded sample slide, a complete Xenium bundle; the same for all processes of a run of the tests."""
    from napari_s2sst.engine.simulated.slide import write_sample_slide

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each process has a folder of its own, in that of the run
        folder = folder.parent
    with FileLock(folder / "sample_slide.lock"):
        return write_sample_slide(folder / "sample_slide")  # at once where it stands


@pytest.fixture(scope="session")
def cube(tmp_path_factory) -> Path:
    """A small count cube: two genes with structure, WAVE and RIDGE, and SILENT, which has no count."""
    y, x = np.mgrid[:48, :44]
    depth = np.stack([4 + 3 * np.sin(y / 6) * np.cos(x / 5), 2 + np.cos(y / 8), 0 * x])
    counts = np.random.default_rng(0).poisson(depth).astype(np.float32)
    path = tmp_path_factory.mktemp("cube") / "cube.npz"
    np.savez_compressed(path, counts=counts, genes=np.array(["WAVE", "RIDGE", "SILENT"]), bin_um=10.0)
    return path


@pytest.fixture
def cube_without_bin(cube, tmp_path) -> Path:
    """The same, but nothing tells how large a bin is."""
    path = tmp_path / "silent.npz"
    with np.load(cube) as arrays:
        np.savez(path, counts=arrays["counts"], genes=arrays["genes"])
    return path


def pytest_terminal_summary(terminalreporter) -> None:
    if _missing:
        terminalreporter.write_line(f"Not tested, as the shared real data is absent: {', '.join(sorted(_missing))}")
    else:
        terminalreporter.write_line("The shared real data was used wherever a test asks for it.")
