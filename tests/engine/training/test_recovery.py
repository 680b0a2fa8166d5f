"""A training that explodes goes back to its last good weights; after three times it ends with the best."""

import numpy as np
import pytest
import torch

from napari_s2sst import GeneMap, RunConfig, Trained, fit, impute, sample, train
from napari_s2sst.engine.errors import TrainingError
from napari_s2sst.engine.events import Finished, Recovered, Stepped, Validated
from napari_s2sst.engine.training.learner import Learner
from napari_s2sst.engine.training.mishaps import HIGH_STEPS, Recovery
from napari_s2sst.engine.training.train import stopping_at


def sparse_map():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:72, :80] / 12
    return sample(GeneMap(rng.poisson(6 * (1 + np.sin(x + np.cos(y)))).astype(np.float32), gene="G"))


def quick(**settings) -> RunConfig:
    small = dict(steps=16, batch=3, image_batch=2, patch_bins=32, device="cpu", start_from="random")
    return RunConfig.preset("fast", **(small | settings))


def listen(training) -> tuple[list, Trained]:
    events = []
    try:
        while True:
            events.append(next(training))
    except StopIteration as end:
        return events, end.value


def told(events) -> list[str]:
    return [event.what for event in events if isinstance(event, Recovered)]


def test_a_loss_that_explodes_is_followed_by_the_last_good_weights_at_half_the_rate_and_said():
    config = quick(learning_rate=1.0, steps=60, warmup_steps=0, blocks=1, channels=16, growth=8, start_from="random")
    events = []
    with pytest.raises(TrainingError, match="learning rate below 1"):  # too high by far: a half is not enough
        fit([sparse_map()], config, events.append)
    found = told(events)
    assert len(found) == 3
    assert all("goes on from the weights of step 0, at half the learning rate" in what for what in found)


def test_after_three_times_a_training_ends_with_the_best_weights_and_says_so():
    events, trained = listen(train([sparse_map()], quick(learning_rate=1.0, steps=200, start_from="shipped")))
    found = told(events)
    assert len(found) == 4
    assert "4th time, so the training ends here with the best weights so far" in found[-1]
    assert isinstance(events[-1], Finished)
    assert events[-1].stopped
    assert events[-1].reason == "the loss exploded again and again"
    errors = [event.held_out_mae for event in events if isinstance(event, Validated)]
    assert trained.held_out_mae == pytest.approx(min(errors), rel=1e-6)
    assert trained.steps < 200
    assert np.isfinite(impute(trained, sparse_map()).values).all()


def test_a_training_that_recovers_repeats_bit_for_bit_also_when_it_is_ended_and_goes_on(tmp_path):
    config, path = quick(learning_rate=1.0, start_from="shipped"), tmp_path / "checkpoint.safetensors"
    events, whole = listen(train([sparse_map()], config))
    assert told(events)
    listen(stopping_at(7, train([sparse_map()], config, checkpoint=path)))
    again = fit([sparse_map()], config, checkpoint=path, resume=True)
    assert all(torch.equal(weight, again.weights[name]) for name, weight in whole.weights.items())
    assert again.steps == whole.steps


def test_a_training_that_ended_by_itself_stays_ended_when_resumed(tmp_path):
    config, path = quick(learning_rate=1.0, start_from="shipped", steps=200), tmp_path / "checkpoint.safetensors"
    first = fit([sparse_map()], config, checkpoint=path)
    events, again = listen(train([sparse_map()], config, checkpoint=path, resume=True))
    assert not any(isinstance(event, Stepped) for event in events)
    assert events[-1].reason == "the loss exploded again and again"
    assert again.steps == first.steps


@pytest.fixture
def learner():
    return Learner(quick(blocks=1, channels=16, growth=8), 2, torch.device("cpu"))


def one_step(learner) -> None:
    learner.learn([[torch.ones_like(weight) for weight in learner.weights]], 0.1)


def test_single_high_losses_are_no_explosion_and_several_in_a_row_are(learner):
    recovery = Recovery(learner, expected=1.0)
    losses = [1.0, 5000.0, 1.0, 5000.0, 5000.0, 2.0]
    assert not any(recovery.exploded(loss, step) for step, loss in enumerate(losses))
    assert [recovery.exploded(5000.0, step) for step in range(HIGH_STEPS)][-1]


def test_a_first_batch_that_happens_to_be_empty_makes_no_later_one_an_explosion(learner):
    recovery = Recovery(learner, expected=2.0)
    assert not any(recovery.exploded(loss, step) for step, loss in enumerate([1e-7, *[3.0] * 10]))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_going_back_gives_every_bit_of_the_good_weights_moments_and_mean(learner, loss):
    one_step(learner)
    recovery = Recovery(learner, expected=1.0)
    recovery.begin_step(0)
    before = learner.tensors()
    assert not recovery.exploded(1.0, 0)
    for step in range(1, 4):
        recovery.begin_step(step)
        assert not recovery.exploded(1.0, step)
        one_step(learner)
    assert not torch.equal(learner.weights[0], before[next(iter(before))])
    assert recovery.exploded(loss, 4)
    recovery.go_back()
    after = learner.tensors()
    assert before.keys() == after.keys()
    assert all(torch.equal(each, after[name]) for name, each in before.items())
    assert all(each.stride() == after[name].stride() for name, each in before.items())
    assert (recovery.rate, recovery.count) == (0.5, 1)


def test_early_stopping_ends_a_training_whose_held_out_error_no_longer_falls():
    settings = dict(learning_rate=0.01, start_from="shipped", steps=60, schedule="constant")
    events, trained = listen(train([sparse_map()], quick(patience=2, **settings)))
    assert events[-1].stopped
    assert events[-1].reason == "the held-out error no longer fell"
    assert trained.steps < 60
    errors = [event.held_out_mae for event in events if isinstance(event, Validated)]
    assert any(trained.held_out_mae == pytest.approx(error, rel=1e-6) for error in errors[:-2])


@pytest.mark.parametrize("name", ["fast", "balanced", "paper"])
def test_no_preset_stops_early_by_itself(name):
    assert RunConfig.preset(name).training.patience == 0
