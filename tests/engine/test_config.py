import json

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
