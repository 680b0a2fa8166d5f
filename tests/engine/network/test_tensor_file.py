"""A file of ours is read whole, whoever replaces it meanwhile."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save

from napari_s2sst.engine.errors import CheckpointError
from napari_s2sst.engine.network.model import read_tensors

READINGS = 1000
ASKED = dict(wanted="a test 1", kind="a checkpoint", advice="Begin anew.")
REPLACE = """
import os, shutil, sys, time
versions = sys.argv[1:-1]
while True:
    for version in versions:
        shutil.copyfile(version, sys.argv[-1] + ".new")
        os.replace(sys.argv[-1] + ".new", sys.argv[-1])
        time.sleep(0.001)
"""


def content(number: int) -> bytes:
    values = torch.full((100 + number,), float(number))
    return save({"values": values, "more": values.clone()}, {"format": "a test 1", "number": str(number)})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not replace a file that is being read")
def test_a_file_that_another_process_replaces_all_the_time_is_read_from_one_version(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content(0))
    versions = [tmp_path / str(number) for number in range(7)]
    for number, version in enumerate(versions):
        version.write_bytes(content(number))
    seen = set()
    with subprocess.Popen([sys.executable, "-c", REPLACE, *map(str, versions), str(path)]) as writer:
        try:
            for _ in range(READINGS):
                notes, tensors = read_tensors(path, **ASKED)
                number = int(notes["number"])
                assert all(len(each) == 100 + number and bool((each == number).all()) for each in tensors.values())
                seen.add(number)
            assert writer.poll() is None
        finally:
            writer.kill()
    assert len(seen) > 1


@pytest.mark.parametrize("kept", [0, 4, 40, -1])
def test_a_file_that_ends_early_is_one_clear_line(tmp_path, kept):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(content(3)[:kept])
    with pytest.raises(CheckpointError, match=r"can't be read as a checkpoint .* Begin anew"):
        read_tensors(path, **ASKED)


@pytest.mark.parametrize("with_tensors", [True, False])
@pytest.mark.parametrize(
    "header",
    [
        '{"__metadata__": ["a test 1"]}',
        '{"__metadata__": "a test 1"}',
        '{"__metadata__": 7}',
        '{"__metadata__": {"format": ["a test 1"]}}',
        '{"__metadata__": {"format": "a test 1"}, "values": {"dtype": "F32", "shape": [1], "data_offsets": [0, 1e999]}}',
        '{"__metadata__": {"format": "a test 1"}, "values": {"dtype": "F32", "shape": [1], "data_offsets": [0, "x"]}}',
        '{"__metadata__": {"format": "a test 1"}, "values": 3}',
        "[]",
    ],
)
def test_a_header_of_another_shape_is_one_clear_line(tmp_path, header, with_tensors):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
    with pytest.raises(CheckpointError, match="Begin anew"):
        read_tensors(path, **ASKED, with_tensors=with_tensors)
