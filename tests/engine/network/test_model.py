import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_s2sst import GeneMap, RunConfig, fit, impute, load_model, sample, save_model
from napari_s2sst.engine.errors import CheckpointError, ExportError, TrainingError


@pytest.fixture(scope="module")
def sparse():
    return sample(GeneMap(np.random.default_rng(0).poisson(5, (64, 64)), gene="A"))


@pytest.fixture(scope="module")
def trained(sparse):
    return fit([sparse], RunConfig.preset("fast", steps=2, batch=2, image_batch=1, device="cpu", start_from="random"))


def test_a_model_read_back_makes_the_same_map(tmp_path, sparse, trained):
    again = load_model(save_model(tmp_path / "model.safetensors", trained))
    assert np.array_equal(impute(again, sparse).values, impute(trained, sparse).values)
    assert np.array_equal(impute(again, sparse).uncertainty, impute(trained, sparse).uncertainty)
    assert again.config == trained.config
    assert again.genes == ("A",)
    assert [dict(row) for row in again.losses] == [dict(row) for row in trained.losses]


def test_a_training_can_start_from_a_model_file(tmp_path, sparse, trained):
    path = save_model(tmp_path / "model.safetensors", trained)
    settings = dict(steps=1, batch=2, image_batch=1, learning_rate=1e-9, device="cpu", average=0.0)
    begun = fit([sparse], RunConfig.preset("fast", start_from=path, **settings))
    for name, weight in trained.weights.items():
        torch.testing.assert_close(begun.weights[name], weight, atol=1e-6, rtol=0)


def test_a_model_for_another_stride_is_refused_as_a_start(tmp_path, trained):
    path = save_model(tmp_path / "model.safetensors", trained)
    wider = sample(GeneMap(np.random.default_rng(0).poisson(5, (96, 96)), gene="A"), 3)
    with pytest.raises(TrainingError, match="stride of 2"):
        fit([wider], RunConfig.preset("fast", start_from=path, steps=1, device="cpu"))


@pytest.mark.parametrize("damage", ["cut", "text", "other"])
def test_a_file_that_is_no_model_is_refused_in_one_sentence(tmp_path, trained, damage):
    path = save_model(tmp_path / "model.safetensors", trained)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "text":
        path.write_text("not a model")
    else:
        save_file({"weight": torch.zeros(2)}, path)
    with pytest.raises(CheckpointError, match=r"model\.safetensors"):
        load_model(path)


def test_a_missing_model_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nothing\.safetensors"):
        load_model(tmp_path / "nothing.safetensors")


def test_a_model_that_can_t_be_written_leaves_nothing_behind(tmp_path, trained):
    folder = tmp_path / "file"
    folder.write_text("")
    with pytest.raises(ExportError, match="can't be written"):
        save_model(folder / "model.safetensors", trained)
    assert list(tmp_path.iterdir()) == [folder]
