"""A training that was ended goes on from its checkpoint as if it never had been, or says why it can't."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from napari_s2sst import Command, GeneMap, RunConfig, Trained, fit, sample, train
from napari_s2sst.engine.errors import CheckpointError, ExportError
from napari_s2sst.engine.events import Finished, Started, Stepped, Unsaved, Validated
from napari_s2sst.engine.training.checkpoint import remove_checkpoint, unfinished
from napari_s2sst.engine.training.train import stopping_at


def sparse_map(seed: int = 0):
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:72, :80] / 12
    rate = 6 * (1 + np.sin(x + np.cos(y))) * (1 + 0.5 * np.cos(y))
    return sample(GeneMap(rng.poisson(rate).astype(np.float32), gene=f"G{seed}"))


def quick(**settings) -> RunConfig:
    small = dict(steps=16, batch=3, image_batch=2, patch_bins=32, blocks=1, channels=16, growth=8, device="cpu",
                 start_from="random")  # fmt: skip
    return RunConfig.preset("fast", **(small | settings))


PAPERS = RunConfig.preset("paper", batch=2, image_batch=1, blocks=1, cascades=2, patch_bins=32, device="cpu", steps=3)


def stopped(maps, config, path, step, **options) -> Trained:
    """A training that is stopped after that step, its checkpoint kept."""
    return listen(stopping_at(step, train(maps, config, checkpoint=path, **options)))[1]


def listen(training):
    events = []
    try:
        while True:
            events.append(next(training))
    except StopIteration as end:
        return events, end.value


def assert_same(one: Trained, other: Trained) -> None:
    for name, weight in one.weights.items():
        assert torch.equal(weight, other.weights[name]), f"{name} differs"
    assert one.steps == other.steps
    assert one.held_out_mae == other.held_out_mae
    assert one.calibration == other.calibration
    assert one.config == other.config


@pytest.mark.parametrize(
    ("config", "step"),
    [
        (quick(), 5),
        (quick(), 13),
        (quick(start_from="shipped", blocks=3, channels=64, growth=32), 13),
        (quick(average=0.0, hiding="lattice", held_out=0.0), 7),
        (PAPERS, 1),
    ],
    ids=["before a validation", "after a validation", "from shipped weights", "without a mean", "the paper's"],
)
def test_a_training_that_goes_on_ends_with_the_weights_of_one_that_was_never_ended(tmp_path, config, step):
    maps, path = [sparse_map(0), sparse_map(1)], tmp_path / "checkpoint.safetensors"
    assert stopped(maps, config, path, step).steps == step
    assert_same(fit(maps, config, checkpoint=path, resume=True), fit(maps, config))


def test_a_training_may_be_ended_again_and_again(tmp_path):
    maps, path = [sparse_map()], tmp_path / "checkpoint.safetensors"
    for step in (0, 2, 3, 14):
        assert stopped(maps, quick(), path, step, resume=True).steps == step
    assert_same(fit(maps, quick(), checkpoint=path, resume=True), fit(maps, quick()))


def test_keeping_a_checkpoint_changes_no_weight(tmp_path):
    maps, path = [sparse_map()], tmp_path / "checkpoint.safetensors"
    assert_same(fit(maps, quick(), checkpoint=path, checkpoint_every_s=0), fit(maps, quick()))


def test_a_finished_training_goes_on_to_the_same_result_without_a_step(tmp_path):
    maps, path = [sparse_map()], tmp_path / "checkpoint.safetensors"
    first = fit(maps, quick(), checkpoint=path)
    events, again = listen(train(maps, quick(), checkpoint=path, resume=True))
    assert not any(isinstance(event, Stepped) for event in events)
    assert_same(again, first)
    assert [dict(row) for row in again.losses] == [dict(row) for row in first.losses]


def test_going_on_is_told_with_what_was_validated_before(tmp_path):
    maps, path = [sparse_map()], tmp_path / "checkpoint.safetensors"
    before, _ = listen(stopping_at(14, train(maps, quick(), checkpoint=path)))
    after, trained = listen(train(maps, quick(), checkpoint=path, resume=True))
    assert isinstance(after[0], Started)
    assert (before[0].step, after[0].step) == (0, 14)
    told = [event for event in before if isinstance(event, Validated)]
    assert told
    assert after[1 : 1 + len(told)] == told
    steps = [row["step"] for row in trained.losses if "loss" in row]
    assert steps == sorted(set(steps))
    assert steps[-1] == 16


def test_a_time_limit_is_kept_as_the_steps_that_it_became(tmp_path):
    maps, path = [sparse_map()], tmp_path / "checkpoint.safetensors"
    config = quick(steps=None, seconds=2.0)
    training = train(maps, config, checkpoint=path, checkpoint_every_s=1e6)
    while not path.exists():  # it is written at the step at which the time became a number
        next(training)
    training.close()
    known = unfinished(path)
    assert 0 < known.step <= known.steps
    timed = fit(maps, config, checkpoint=path, resume=True)
    assert timed.steps == known.steps
    assert_same(timed, fit(maps, config.changed(steps=known.steps)))


def test_a_time_limit_counts_only_the_time_spent(tmp_path):
    maps, path = [sparse_map()], tmp_path / "checkpoint.safetensors"
    config = quick(steps=None, seconds=5.0)
    stopped(maps, config, path, 2)
    assert unfinished(path).steps is None
    time.sleep(5.5)
    assert fit(maps, config, checkpoint=path, resume=True).steps > 2 + 1


def test_a_checkpoint_tells_what_it_is_of_without_its_weights_being_read(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    assert unfinished(path) is None
    stopped([sparse_map(3)], quick(), path, 2)
    found = unfinished(path)
    assert (found.genes, found.step, found.steps) == (("G3",), 2, 16)
    assert found.config.training.batch == 3
    assert found.seconds > 0


def test_without_resuming_a_checkpoint_is_not_used(tmp_path):
    maps, path = [sparse_map()], tmp_path / "checkpoint.safetensors"
    stopped(maps, quick(), path, 2)
    events, _ = listen(train(maps, quick(), checkpoint=path))
    assert events[0].step == 0


@pytest.mark.parametrize(
    ("maps", "config", "words"),
    [
        ([sparse_map(1)], quick(), "other measured bins .of G0"),
        ([sparse_map()], quick(batch=4), "batch 3 instead of 4"),
        ([sparse_map()], quick(steps=17), "steps 16 instead of 17"),
        ([sparse_map()], quick(seed=1), "seed 0 instead of 1"),
    ],
    ids=["gene", "batch", "steps", "seed"],
)
def test_a_checkpoint_of_something_else_is_refused_with_what_differs(tmp_path, maps, config, words):
    path = tmp_path / "checkpoint.safetensors"
    stopped([sparse_map()], quick(), path, 2)
    with pytest.raises(CheckpointError, match=words):
        fit(maps, config, checkpoint=path, resume=True)


def test_a_checkpoint_of_another_version_of_the_program_is_refused(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    stopped([sparse_map()], quick(), path, 2)
    with safe_open(path, framework="pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    other = json.loads(told["identity"]) | {"program": "0.0.1"}
    save_file(tensors, path, told | {"identity": json.dumps(other)})
    with pytest.raises(CheckpointError, match=r"version 0\.0\.1"):
        fit([sparse_map()], quick(), checkpoint=path, resume=True)
    save_file(tensors, path, told | {"format": "napari-s2sst training 0"})
    with pytest.raises(CheckpointError, match="napari-s2sst training 1"):
        fit([sparse_map()], quick(), checkpoint=path, resume=True)


def test_a_training_that_began_with_other_weights_is_refused(tmp_path):
    path, maps = tmp_path / "checkpoint.safetensors", [sparse_map()]
    first, other = (fit(maps, quick(steps=1, seed=seed)) for seed in (0, 1))
    listen(stopping_at(2, train(maps, quick(), start=first, checkpoint=path)))
    with pytest.raises(CheckpointError, match="other weights"):
        fit(maps, quick(), start=other, checkpoint=path, resume=True)


def test_a_training_from_a_model_in_memory_goes_on_without_it(tmp_path):
    path, maps = tmp_path / "checkpoint.safetensors", [sparse_map()]
    first = fit(maps, quick(steps=1))
    whole = fit(maps, quick(), start=first)
    listen(stopping_at(6, train(maps, quick(), start=first, checkpoint=path)))
    assert_same(fit(maps, unfinished(path).config, checkpoint=path, resume=True), whole)


@pytest.mark.parametrize("damage", ["cut", "text", "model", "a tensor less", "a record less"])
def test_a_damaged_checkpoint_is_refused_in_one_sentence(tmp_path, damage):
    path, maps = tmp_path / "checkpoint.safetensors", [sparse_map()]
    stopped(maps, quick(), path, 2)
    with safe_open(path, framework="pt") as file:
        told, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "text":
        path.write_text("no checkpoint")
    elif damage == "model":
        save_file({"weight": torch.zeros(2)}, path)
    elif damage == "a tensor less":
        lost = next(name for name in tensors if name.startswith("now.adam.exp_avg."))
        save_file({name: each for name, each in tensors.items() if name != lost}, path, told)
    else:
        save_file(tensors, path, {name: each for name, each in told.items() if name != "state"})
    with pytest.raises(CheckpointError, match=r"checkpoint\.safetensors"):
        fit(maps, quick(), checkpoint=path, resume=True)


def test_a_folder_removed_during_the_training_is_made_again(tmp_path):
    path, maps = tmp_path / "out" / "checkpoint.safetensors", [sparse_map()]

    def remove(event):
        if isinstance(event, Stepped) and path.is_file():
            remove_checkpoint(path)
            path.parent.rmdir()

    trained = fit(maps, quick(), remove, checkpoint=path, checkpoint_every_s=0)
    assert_same(trained, fit(maps, quick()))
    assert unfinished(path).step == 16


def test_a_checkpoint_that_can_t_be_written_is_told_once_and_costs_no_training(tmp_path):
    path, maps, events = tmp_path / "a" / "b" / "checkpoint.safetensors", [sparse_map()], []

    def spoil(event):
        events.append(event)
        if isinstance(event, Started):
            path.parent.rmdir()
            path.parent.parent.rmdir()
            (tmp_path / "a").write_text("a file in the folder's place")

    trained = fit(maps, quick(), spoil, checkpoint=path, checkpoint_every_s=0)
    assert_same(trained, fit(maps, quick()))
    told = [event for event in events if isinstance(event, Unsaved)]
    assert len(told) == 1
    assert "checkpoint.safetensors can't be written" in told[0].why
    assert isinstance(events[-1], Finished)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_a_place_that_can_t_be_written_to_is_refused_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="can't be written"):
        fit([sparse_map()], quick(), checkpoint=tmp_path / "file" / "checkpoint.safetensors")


def test_nothing_in_a_checkpoint_is_pickled():
    code = (
        "import sys, builtins\nimport napari_s2sst.engine.training\n"
        "import napari_s2sst.engine.training.checkpoint as t, inspect, napari_s2sst.engine.training.checkpoint as k\n"
        "print(any(w in inspect.getsource(m) for m in (t, k) for w in ('pickle', 'torch.load', 'torch.save', 'eval(')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr


def test_leftovers_of_a_killed_write_go_with_the_checkpoint(tmp_path):
    path = tmp_path / "checkpoint.safetensors"
    for name in ("checkpoint.safetensors", ".checkpoint.safetensors.4711.part", "other.safetensors"):
        (tmp_path / name).write_text("")
    remove_checkpoint(path)
    assert [each.name for each in tmp_path.iterdir()] == ["other.safetensors"]


def test_a_stop_is_kept(tmp_path):
    path, maps = tmp_path / "checkpoint.safetensors", [sparse_map()]
    training = train(maps, quick(steps=100_000), checkpoint=path, checkpoint_every_s=1e6)
    event, trained = next(training), None
    while trained is None:
        try:
            event = training.send(Command.STOP if isinstance(event, Stepped) else None)
        except StopIteration as end:
            trained = end.value
    assert 0 < unfinished(path).step == trained.steps < 100_000


def test_a_training_goes_on_on_another_device(tmp_path):
    path, maps = tmp_path / "checkpoint.safetensors", [sparse_map()]
    stopped(maps, quick(device="auto", precision="float32"), path, 5)
    again = fit(maps, quick(device="cpu", precision="auto"), checkpoint=path, resume=True)
    assert again.steps == 16
    assert again.config.device == "cpu"
