"""A run's script is a command line that makes the same maps again, in a real process."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.geometry import box

from napari_s2sst import RunConfig, fit, open_xenium, train
from napari_s2sst.cli.options import read_settings
from napari_s2sst.engine.errors import ExportError
from napari_s2sst.engine.events import Command, Stepped, Validated
from napari_s2sst.engine.export.choice import ExportChoice
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.script import script_of, settings_of, write_script
from napari_s2sst.engine.runs.write import write_result
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.slides.opening import open_slide
from napari_s2sst.engine.training.learner import TIMED_STEPS
from napari_s2sst.engine.training.train import stopping_at

SHORT = dict(steps=5, batch=2, image_batch=1, symmetries=1, device="cpu")
SMALL = SHORT | dict(blocks=1, channels=8, growth=4, start_from="random")


def run_script(script: Path, out: Path) -> dict:
    """Run it with `sh`, from another folder, and return the run.json that it left."""
    found = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", str(script), str(out)], capture_output=True, text=True, timeout=300, env=found, cwd=script.parent.parent
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "run.json").read_text())


def values(folder: Path) -> dict[str, np.ndarray]:
    table = anndata.read_h5ad(folder / "imputed.h5ad")
    kept = {"X": table.X, "uncertainty": table.layers["uncertainty"], "measured": table.layers["measured"]}
    return {name: np.asarray(each) for name, each in kept.items()}


def assert_repeats(folder: Path, result, slide: Path, tmp_path: Path) -> dict:
    """Write the result with its script, run that, and compare every value; returns the repeated run.json."""
    write_result(folder, result, choice=ExportChoice(script=True, figure=False), slide_path=slide)
    run = run_script(folder / "repeat.sh", tmp_path / "repeated")
    first, second = values(folder), values(tmp_path / "repeated")
    for name, each in first.items():
        np.testing.assert_array_equal(each, second[name], err_msg=name)
    assert run["input"]["sparse_sha256"] == json.loads((folder / "run.json").read_text())["input"]["sparse_sha256"]
    return run


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
def test_a_run_with_advanced_settings_and_regions_repeats_bit_for_bit(sample_slide, tmp_path):
    config = RunConfig.preset(
        "fast", **SMALL, seed=11, bin_um=31.0, min_qv=25.0, stride=3, phase=(1, 2), learning_rate=3e-4, average=0.5,
        betas=(0.8, 0.95), hidden_share=0.3, classical=("bilinear",), classical_share=0.4, warmup_steps=2,
    )  # fmt: skip
    regions = [Region("left, 'quoted'", box(100, 100, 900, 1200)), Region("right", box(1000, 200, 1500, 1100))]
    job = prepare(open_xenium(sample_slide), ["ERBB2", "EPCAM"], config, regions)
    result = complete(job, fit(list(job.sparse), job.config))
    run = assert_repeats(tmp_path / "it's a folder", result, sample_slide, tmp_path)
    assert [region["name"] for region in run["regions"]] == [region.name for region in regions]


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
@pytest.mark.parametrize("at", [7, 15])
def test_a_run_that_was_stopped_by_hand_repeats_bit_for_bit(cube, tmp_path, at):
    """Its rate fell as though all 40 steps had been to come."""
    config = RunConfig.preset("fast", **SMALL | {"steps": 40}, bin_um=10.0, seed=3, held_out=0.0, warmup_steps=0)
    job = prepare(open_count_cube(cube), ["WAVE"], config)
    training = train(list(job.sparse), job.config)
    trained = ended(stopping_at(at, training))
    assert trained.steps == at
    assert trained.config.training.steps == 40
    run = assert_repeats(tmp_path / "out", complete(job, trained), cube, tmp_path)
    assert run["steps"] == at
    shorter = fit(list(job.sparse), job.config.changed(steps=at))
    is_same = all((shorter.weights[name] == weight).all() for name, weight in trained.weights.items())
    assert is_same == (at < TIMED_STEPS), "a run of so many steps is another one, once the rate falls"


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
def test_a_run_stopped_before_its_time_limit_had_become_steps_repeats_bit_for_bit(cube, tmp_path):
    settings = {name: value for name, value in SHORT.items() if name != "steps"}
    config = RunConfig.preset("fast", **settings, seconds=60, bin_um=10.0, held_out=0.3)
    job = prepare(open_count_cube(cube), ["WAVE"], config)
    trained = ended(stopping_at(4, train(list(job.sparse), job.config)))
    result = complete(job, trained)
    assert "--stop-at 4" in script_of(result, cube)
    assert_repeats(tmp_path / "out", result, cube, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
def test_a_run_that_went_on_from_a_model_in_an_edited_tissue_repeats_bit_for_bit(cube, tmp_path):
    config = RunConfig.preset("fast", **SMALL, bin_um=10.0)
    slide = open_count_cube(cube)
    tissue = slide.gene_map("WAVE", bin_um=10.0).tissue.copy()
    tissue[:9] = False
    job = prepare(slide, ["WAVE"], config, tissue=tissue)
    assert not job.sparse[0].tissue[:9].any()
    start = fit(list(job.sparse), config.changed(seed=5))
    job = replace(job, config=job.config.changed(held_out=0.0))  # or the first weights would be kept as the best ones
    result = complete(replace(job, start=start), fit(list(job.sparse), job.config, start=start))
    assert_repeats(tmp_path / "out", result, cube, tmp_path)
    assert {"start.safetensors", "tissue.npy"} <= {path.name for path in (tmp_path / "out").iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
def test_a_model_used_as_it_is_on_a_finer_grid_repeats_bit_for_bit(cube, tmp_path):
    config = RunConfig.preset("fast", **SMALL, bin_um=10.0)
    slide = open_count_cube(cube)
    other = prepare(slide, ["RIDGE"], config)
    start = fit(list(other.sparse), config)
    job = prepare(slide, ["WAVE"], config, fill_in=True)
    result = complete(replace(job, start=start), start)
    text = script_of(result, cube)
    assert "--fill-in" in text
    assert "--preset" not in text
    assert_repeats(tmp_path / "out", result, cube, tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="the script is for a POSIX shell")
def test_a_bin_size_that_only_the_user_knew_is_said_again(cube_without_bin, tmp_path):
    config = RunConfig.preset("instant", device="cpu", bin_um=12.5)
    job = prepare(open_slide(cube_without_bin, 12.5), ["WAVE"], config)
    result = complete(job, fit(list(job.sparse), job.config))
    assert "--size-um 12.5" in script_of(result, cube_without_bin)
    run = assert_repeats(tmp_path / "out", result, cube_without_bin, tmp_path)
    assert run["config"]["grid"]["bin_um"] == 12.5


def test_the_instant_preset_has_no_steps(cube):
    job = prepare(open_count_cube(cube), ["WAVE"], RunConfig.preset("instant", device="cpu", bin_um=10.0))
    text = script_of(complete(job, fit(list(job.sparse), job.config)), cube)
    assert "--preset instant" in text
    assert "--steps" not in text


def test_a_slide_of_no_known_kind_and_unknown_first_weights_are_one_clear_sentence(cube, tmp_path):
    config = RunConfig.preset("fast", **SHORT | {"steps": 0}, bin_um=10.0)
    job = prepare(open_count_cube(cube), ["WAVE"], config)
    trained = fit(list(job.sparse), job.config)
    result = complete(job, trained)
    with pytest.raises(ExportError, match="reads no other slides"):
        write_script(tmp_path, result, tmp_path / "slide.zarr")
    with pytest.raises(ExportError, match="did not learn from it"):
        write_script(tmp_path, replace(result, trained=replace(trained, genes=("RIDGE",))), cube)
    began = fit(list(job.sparse), job.config, start=trained)
    with pytest.raises(ExportError, match="in memory"):
        write_script(tmp_path, replace(result, trained=began), cube)
    with pytest.raises(ExportError, match="nobody said"):
        write_result(tmp_path, result, choice=ExportChoice(script=True))
    assert not list(tmp_path.iterdir())


SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "stride": st.sampled_from([2, 3, 4]),
        "phase": st.sampled_from([(0, 0), (1, 0)]),
        "patch_bins": st.sampled_from([32, 64, 96]),
        "tile_bins": st.sampled_from([64, 300]),
        "learning_rate": st.floats(1e-7, 1e-1),
        "batch": st.integers(1, 64),
        "attention": st.booleans(),
        "quantiles": st.sampled_from([(), (0.1, 0.5, 0.9)]),
        "schedule": st.sampled_from(["constant", "cosine"]),
        "start_from": st.sampled_from(["random", "shipped", Path("/models/it's one.safetensors")]),
        "normalisation": st.sampled_from(["none", "median-log1p"]),
        "classical": st.sampled_from([(), ("thin plate",), ("Gaussian", "bilinear")]),
        "symmetries": st.sampled_from([1, 4]),
        "seed": st.integers(0, 2**40),
        "bin_um": st.floats(0.1, 999),
        "min_qv": st.floats(0, 60),
    },
)


@settings(deadline=None)
@given(st.sampled_from(["instant", "fast", "balanced", "paper"]), SETTINGS)
def test_every_config_is_what_its_options_say(preset, changes):
    config = RunConfig.preset(preset, device="cpu", **changes)
    words = shlex.split(" ".join(settings_of(config)))
    options = dict(zip(words[::2], words[1::2], strict=True)) | {"--set": None}
    given = [value for name, value in zip(words[::2], words[1::2], strict=True) if name == "--set"]
    named = {name.replace("--", "").replace("-", "_"): value for name, value in options.items() if name != "--set"}
    read = {
        "stride": int(named["stride"]), "bin_um": float(named["bin_um"]), "min_qv": float(named["min_qv"]),
        "seed": int(named["seed"]), "device": named["device"], "normalisation": named["normalisation"],
    }  # fmt: skip
    again = RunConfig.preset(named["preset"], **read, **read_settings(given))
    assert again == config


def test_stopping_keeps_events_in_order_and_shows_no_preview_of_its_own(cube):
    config = RunConfig.preset("fast", **SMALL | {"steps": 30}, bin_um=10.0)
    job = prepare(open_count_cube(cube), ["WAVE"], config)
    seen: list = []
    training = stopping_at(6, train(list(job.sparse), job.config))
    trained = ended(training, seen)
    assert trained.steps == 6
    names = [type(event).__name__ for event in seen]
    assert "Previewed" not in names
    assert (names[0], names[-1]) == ("Started", "Finished")
    steps = [event.step for event in seen if isinstance(event, Stepped | Validated)]
    assert steps == sorted(steps)
    assert seen[-1].stopped


def test_a_stop_from_outside_comes_before_the_chosen_step(cube):
    config = RunConfig.preset("fast", **SMALL | {"steps": 30}, bin_um=10.0)
    job = prepare(open_count_cube(cube), ["WAVE"], config)
    training = stopping_at(20, train(list(job.sparse), job.config))
    next(training)
    training.send(Command.STOP)
    assert ended(training).steps == 0


def ended(training, seen: list | None = None):
    """What a training returns."""
    while True:
        try:
            event = next(training)
        except StopIteration as end:
            return end.value
        if seen is not None:
            seen.append(event)
