import re
import time

import pytest
import torch

from napari_s2sst.engine.device import choose_device, devices, free_memory_bytes, label
from napari_s2sst.engine.errors import ConfigError


def test_the_processor_is_always_there_and_the_last_of_the_list():
    name, text = devices()[-1]
    assert name == "cpu"
    assert re.fullmatch(r"CPU, \d+ cores?(, [\d.]+ GB free)?", text)


def test_every_device_of_the_list_can_be_chosen_by_its_name():
    for name, _ in devices():
        assert str(choose_device(name)) == name


def test_a_recorded_label_does_not_change_with_the_free_memory():
    text = label(torch.device("cpu"))
    assert "free" not in text
    assert devices()[-1][1].startswith(text)


def test_free_memory_is_less_than_the_machine_has():
    import psutil

    free = free_memory_bytes()
    assert 0 < free < psutil.virtual_memory().total


def _falls() -> bool:
    before = free_memory_bytes()
    taken = torch.ones(2**28, dtype=torch.uint8)  # a quarter of a GB, written to
    for _ in range(10):
        if before - free_memory_bytes() > taken.numel() / 2:
            return True
        time.sleep(0.1)  # some systems count a moment later
    return False


def test_free_memory_falls_by_what_a_program_takes():
    assert any(_falls() for _ in range(5))  # another program may give back as much at the same moment


def test_a_device_that_is_not_there_is_named_with_those_that_are():
    with pytest.raises(ConfigError, match=r"'cuda:9'.*cpu"):
        choose_device("cuda:9")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_is_listed_with_its_memory_and_what_is_free_of_it():
    assert re.fullmatch(r".+, [\d.]+ GB, [\d.]+ GB free", devices()[0][1])
