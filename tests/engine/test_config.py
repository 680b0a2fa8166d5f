import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from napari_s2sst import RunConfig
from napari_s2sst.engine.config import PRESETS
from napari_s2sst.engine.errors import ConfigError


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json(name):
    config = RunConfig.preset(name)
    assert RunConfig.parsed(json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_the_papers_preset_has_the_papers_numbers():
    config = RunConfig.preset("paper")
    network, training = config.network, config.training
    assert (network.cascades, network.blocks, network.channels, network.growth, network.convolutions) == (
        3,
        8,
        32,
        32,
        4,
    )
    assert (network.heads, network.window, network.layout, network.start) == (4, 8, "dense", "replicate")
    assert (training.patch_bins, training.batch, training.image_batch, training.epochs) == (64, 16, 16, 3000)
    assert (training.learning_rate, training.schedule, training.slide_weight) == (1e-4, "constant", 10)
    assert training.betas == (0.9, 0.999)


def test_a_setting_is_changed_by_its_name_wherever_it_lives():
    config = RunConfig.preset("fast", seconds=60, bin_um=16, symmetries=1, seed=5)
    assert (config.training.seconds, config.grid.bin_um, config.imputation.symmetries, config.seed) == (60, 16, 1, 5)


def test_none_leaves_a_setting_as_the_preset_has_it():
    assert RunConfig.preset("fast", seconds=None) == RunConfig.preset("fast")


def test_a_wider_stride_keeps_the_measured_bins_a_lattice_network_sees():
    assert RunConfig.preset("fast", stride=4).training.patch_bins == 2 * RunConfig.preset("fast").training.patch_bins
    assert RunConfig.preset("paper", stride=4).training.patch_bins == 64


def test_a_config_can_t_be_changed_in_place():
    with pytest.raises(ValidationError):
        RunConfig.preset("fast").seed = 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (dict(sed=1), "Did you mean 'seed'"),
        (dict(stride=1), "sampling.stride can't be 1"),
        (dict(bin_um=-2), "grid.bin_um can't be -2"),
        (dict(device=3), "device can't be 3"),
        (dict(normalisation="log2"), "normalisation can't be 'log2'"),
        (dict(seconds=float("inf")), "training.seconds can't be inf"),
        (dict(betas=(1.0, 0.9)), "training.betas can't be 1.0"),
        (dict(stride="wide"), "sampling.stride can't be 'wide'"),
    ],
)
def test_nonsense_is_refused_naming_the_setting_and_the_value(settings, words):
    with pytest.raises(ConfigError, match=words):
        RunConfig.preset("fast", **settings)


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="balanced"):
        RunConfig.preset("quick")


def test_a_model_in_memory_is_no_path_and_reads_from_files_that_name_it():
    config = RunConfig.preset("fast").resolved(2, from_memory=True)
    data = json.loads(json.dumps(config.model_dump(mode="json")))
    assert data["training"]["start_from"] == "a model in memory"
    assert RunConfig.parsed(data) == config
    assert not isinstance(config.training.start_from, Path)
    assert isinstance(RunConfig.preset("fast", start_from="model.safetensors").training.start_from, Path)


def test_resolved_settings_have_the_stride_of_the_maps_and_stay_as_they_are_where_they_had_it():
    config = RunConfig.preset("fast")
    assert config.resolved(config.sampling.stride, from_memory=False) == config
    assert config.resolved(3, from_memory=False) == config.changed(stride=3)


@pytest.mark.parametrize("name", PRESETS)
def test_the_flat_view_has_every_setting_once(name):
    config = RunConfig.preset(name)
    data = config.model_dump(mode="json")
    parts = [part for part in data.values() if isinstance(part, dict)]
    assert len(config.flat()) == sum(map(len, parts)) + len(data) - len(parts)


def test_differences_name_what_two_runs_do_not_share():
    fast = RunConfig.preset("fast")
    assert fast.differences(fast) == {}
    other = fast.changed(batch=5, device="cpu", quantiles=(0.1, 0.9))
    assert other.differences(fast) == {
        "device": ("cpu", "auto"),
        "quantiles": ([0.1, 0.9], [0.05, 0.5, 0.95]),
        "batch": (5, 8),
    }


def test_where_a_run_is_computed_decides_no_numbers():
    fast = RunConfig.preset("fast")
    elsewhere = fast.changed(device="cpu", precision="float32", compiled=True, preset_name="mine")
    assert elsewhere.deciding_numbers() == fast.deciding_numbers()
    assert fast.changed(seed=1).deciding_numbers() != fast.deciding_numbers()
