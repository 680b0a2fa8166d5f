import numpy as np
import torch
from pretraining import pretrain, simulated_patches

from napari_s2sst import GeneMap, RunConfig, impute, load_model, sample, save_model
from napari_s2sst.engine.network.model import shipped_model
from napari_s2sst.engine.training.natural_images import NaturalImages


def config(stride: int = 2, **settings) -> RunConfig:
    return RunConfig.preset(
        "instant", stride=stride, batch=2, device="cpu", start_from="random", average=0.9, **settings
    )


def test_simulated_patches_are_empty_on_glass():
    rng = np.random.default_rng(0)
    values, tissue, _ = simulated_patches(NaturalImages(None, rng), 10, 48, rng)
    assert values.shape == tissue.shape == (10, 1, 48, 48)
    assert (values[tissue == 0] == 0).all()
    assert 0 < (tissue == 0).mean() < 0.3


def test_pretraining_learns_weights_that_make_maps(tmp_path):
    rows = []
    trained = pretrain(config(), seconds=3, on_report=lambda row, so_far: rows.append(row))
    assert trained.steps > 0
    again = load_model(save_model(tmp_path / "weights.safetensors", trained))
    sparse = sample(GeneMap(np.random.default_rng(0).poisson(3, (64, 64))))
    assert np.isfinite(impute(again, sparse).values).all()


def test_weights_of_another_stride_give_all_layers_that_fit():
    start = load_model(shipped_model(2))
    begun = pretrain(config(stride=3, learning_rate=1e-12), seconds=0.5, start=start)
    same = [name for name, weight in begun.weights.items()
            if weight.shape == start.weights[name].shape and torch.allclose(weight, start.weights[name], atol=1e-6)]  # fmt: skip
    assert len(same) > 0.8 * len(begun.weights)
    assert begun.stride == 3
