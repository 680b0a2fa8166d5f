"""`s2sst impute` takes every setting of a run, and says in one line what it can't take."""

import json

import anndata
import numpy as np
import pytest
import torch
from support.command import s2sst

from napari_s2sst import load_model


def run(out) -> dict:
    return json.loads((out / "run.json").read_text())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "learning_rate"], ["NAME=VALUE"]),
        (["--set", "learning_rat=1"], ["learning_rat", "learning_rate"]),
        (["--set", "learning_rate=fast"], ["learning_rate", "fast"]),
        (["--set", "learning_rate=null"], ["learning_rate"]),
        (["--set", "stride=3"], ["--stride"]),
        (["--set", "preset_name=x"], ["--preset"]),
        (["--set", "batch=2", "--set", "batch=3"], ["batch", "twice"]),
        (["--stop-at", "3"], ["--steps"]),
        (["--stop-at", "9", "--steps", "5"], ["--stop-at"]),
        (["--tissue", "nowhere.npy"], ["nowhere.npy"]),
        (["--model", "nowhere.safetensors"], ["nowhere.safetensors"]),
        (["--model", "some.safetensors", "--steps", "3"], ["--model", "--steps"]),
        (["--model", "some.safetensors", "--resume"], ["--model", "--resume"]),
        (["--checkpoint-every", "-1"], ["--checkpoint-every"]),
        (["--hest", "some.h5ad"], ["--hest", "only one"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_what_cannot_be_taken_is_one_clear_line(cube, tmp_path, options, words):
    done = s2sst("impute", "--map", cube, "--gene", "WAVE", *options, "--out", tmp_path / "out")
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert all(word in lines[0] for word in words), lines[0]
    assert not (tmp_path / "out").exists()


def test_settings_without_an_option_are_set_by_name_and_stop_at_stops(cube, tmp_path):
    done = s2sst(
        "impute", "--map", cube, "--gene", "WAVE", "--steps", 30, "--stop-at", 4, "--set", "learning_rate=0.002",
        "--set", "betas=[0.5,0.75]", "--set", "schedule=constant", "--set", "batch=2", "--set", "image_batch=0",
        "--set", "symmetries=1", "--out", tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = run(tmp_path)
    training = told["config"]["training"]
    assert (told["steps"], training["steps"]) == (4, 30)
    assert (training["learning_rate"], training["betas"], training["schedule"]) == (0.002, [0.5, 0.75], "constant")


def test_a_model_imputes_as_it_is_in_the_given_tissue(cube, tmp_path):
    first = ("impute", "--map", cube, "--gene", "WAVE", "--steps", 2, "--set", "symmetries=1", "--out", tmp_path / "a")
    assert s2sst(*first).returncode == 0
    tissue = np.zeros((48, 44), bool)
    tissue[8:40, 10:40] = True
    np.save(tmp_path / "tissue.npy", tissue)
    second = ("impute", "--map", cube, "--gene", "WAVE", "--tissue", tmp_path / "tissue.npy",
              "--model", tmp_path / "a" / "model.safetensors", "--out", tmp_path / "b")  # fmt: skip
    done = s2sst(*second)
    assert done.returncode == 0, done.stderr
    assert anndata.read_h5ad(tmp_path / "b" / "imputed.h5ad").n_obs == tissue.sum()
    before, after = (load_model(tmp_path / name / "model.safetensors") for name in "ab")
    assert all(torch.equal(weight, after.weights[name]) for name, weight in before.weights.items())
    assert (before.steps, before.config, before.losses) == (after.steps, after.config, after.losses)


@pytest.mark.parametrize("array", [np.zeros((4, 4), bool), np.zeros((48, 44))], ids=["another grid", "no booleans"])
def test_a_tissue_that_does_not_fit_is_one_clear_line(cube, tmp_path, array):
    np.save(tmp_path / "tissue.npy", array)
    done = s2sst(
        "impute", "--map", cube, "--gene", "WAVE", "--tissue", tmp_path / "tissue.npy", "--out", tmp_path / "o"
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "issue" in done.stderr
