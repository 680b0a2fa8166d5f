from dataclasses import replace

import numpy as np
import pytest
import torch
from support.small_training import gene_map, quick

from napari_s2sst import Command, GeneMap, RunConfig, fit, impute, interpolate, sample, save_model, score, train
from napari_s2sst.engine.errors import ConfigError, TrainingError
from napari_s2sst.engine.events import Finished, Previewed, Started, Stepped, Validated
from napari_s2sst.engine.sampling.lattice import lattice


def same_weights(a, b) -> bool:
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)


def run(training, sent=None):
    """All events of a training and its result; ``sent`` maps an event to the command that answers it."""
    events, command = [], None
    while True:
        try:
            event = training.send(command) if events else next(training)
        except StopIteration as end:
            return events, end.value
        events.append(event)
        command = sent(event) if sent else None


def test_changing_every_unmeasured_bin_changes_no_weight():
    dense = gene_map()
    noise = np.random.default_rng(1).poisson(50, dense.shape)
    other = GeneMap(np.where(lattice(dense.shape, 2), dense.values, noise), gene="G0")
    assert same_weights(fit([sample(dense)], quick()), fit([sample(other)], quick()))


def test_changing_a_measured_bin_changes_the_weights():
    dense = gene_map()
    values = dense.values.copy()
    values[40:60:2, 40:60:2] += 20
    assert not same_weights(fit([sample(dense)], quick()), fit([sample(GeneMap(values, gene="G0"))], quick()))


def test_held_out_bins_are_never_a_target():
    from napari_s2sst.engine.training.patches import SlidePatches, hold_out

    sparse = sample(gene_map())
    rng = np.random.default_rng(0)
    hidden = hold_out(sparse, 0.2, rng)
    marked = np.where(hidden, 1.0, 0.0).astype(np.float32)
    only = GeneMap(np.kron(marked, np.ones((2, 2))))
    patches = SlidePatches(
        [sample(only)], 16, normalisation="none", held_out=[hidden], rng=rng, device=torch.device("cpu")
    )
    batch = patches.draw(64)
    assert batch.values.sum() > 0
    assert (batch.values * batch.target).sum() == 0


def test_scattered_held_out_bins_are_neither_seen_nor_a_target():
    from napari_s2sst.engine.training.patches import SlidePatches, hold_out

    sparse = sample(gene_map())
    rng = np.random.default_rng(0)
    hidden = hold_out(sparse, 0.2, rng, "scattered")
    assert hidden[::2, ::2].any()
    patches = SlidePatches(
        [sparse], 16, normalisation="none", held_out=[hidden], rng=rng, device=torch.device("cpu"), hiding="scattered"
    )
    batch = patches.draw(16)
    assert torch.equal(batch.measured, batch.target)
    assert batch.measured.mean() == pytest.approx(0.8, abs=0.05)


def test_what_is_hidden_of_a_patch_does_not_reach_the_network():
    from napari_s2sst.engine.network.cdcin import CDCIN
    from napari_s2sst.engine.training.objective import Objective
    from napari_s2sst.engine.training.patches import SlidePatches

    config = RunConfig.preset("fast", image_batch=0, batch=2, precision="float32")
    sparse = sample(gene_map())
    rng, cpu = np.random.default_rng(0), torch.device("cpu")
    patches = SlidePatches(
        [sparse], 16, normalisation="log1p", held_out=[np.zeros(sparse.measured.shape, bool)], rng=rng, device=cpu,
        hiding="scattered",
    )  # fmt: skip
    objective = Objective([sparse], config, 16, rng, cpu)
    batch = objective.batch(patches.draw(2))
    assert 0.05 < batch.gaps.mean() < 0.4
    changed = replace(batch, slide=replace(batch.slide, values=batch.slide.values + 3 * batch.gaps))
    seen = []

    class Seen(CDCIN):
        def forward(self, values, measured, unit=None):
            seen.append(values * measured)
            return super().forward(values, measured, unit)

    network = Seen(config.network, 2)
    for each in (batch, changed):
        objective(network, each)
    assert torch.equal(*seen)


def test_the_same_seed_and_steps_give_the_same_weights_bit_for_bit():
    sparse = sample(gene_map())
    assert same_weights(fit([sparse], quick(seed=3)), fit([sparse], quick(seed=3)))
    assert not same_weights(fit([sparse], quick(seed=3)), fit([sparse], quick(seed=4)))


def test_a_run_limited_by_time_repeats_exactly_with_its_steps():
    sparse = sample(gene_map())
    timed = fit([sparse], quick(steps=None, seconds=4))
    assert timed.steps >= 12
    assert timed.config.training.steps == timed.steps
    assert same_weights(timed, fit([sparse], timed.config))


def test_training_tells_of_its_start_its_steps_its_held_out_error_and_its_end():
    events, trained = run(train([sample(gene_map())], quick(steps=30)))
    assert isinstance(events[0], Started)
    assert events[0].classical.keys() >= {"bilinear", "inverse distance"}
    assert events[0].held_out_bins > 50
    assert isinstance(events[-1], Finished)
    assert not events[-1].stopped
    stepped = [event for event in events if isinstance(event, Stepped)]
    assert stepped[-1].step == stepped[-1].steps == 30
    assert any(isinstance(event, Validated) for event in events)
    assert trained.steps == 30


def test_stop_returns_the_weights_learnt_so_far():
    def answer(event):
        return Command.STOP if isinstance(event, Stepped) and event.step >= 3 else None

    events, trained = run(train([sample(gene_map())], quick(steps=100_000)), answer)
    assert events[-1].stopped
    assert 3 <= trained.steps < 100_000
    assert np.isfinite(impute(trained, sample(gene_map())).values).all()


def test_stop_before_the_first_step_still_gives_a_map():
    _, trained = run(train([sample(gene_map())], quick()), lambda event: Command.STOP)
    assert trained.steps == 0
    assert np.isfinite(impute(trained, sample(gene_map())).values).all()


def test_a_preview_is_the_map_as_it_is_now():
    asked = []

    def answer(event):
        if isinstance(event, Stepped) and not asked:
            asked.append(event.step)
            return Command.PREVIEW
        return None

    events, _ = run(train([sample(gene_map())], quick(steps=20)), answer)
    previews = [event for event in events if isinstance(event, Previewed)]
    assert len(previews) == 1
    assert previews[0].imputed.shape == (96, 104)


def test_previews_change_no_weight():
    sparse = sample(gene_map())
    _, watched = run(train([sparse], quick(steps=12), preview_every_s=0.01))
    assert same_weights(watched, fit([sparse], quick(steps=12)))


def test_training_beats_the_nearest_bin_and_its_own_start():
    dense = gene_map()
    sparse = sample(dense)
    trained = fit([sparse], quick(steps=120, batch=8))
    found = score(impute(trained, sparse), truth=dense, sparse=sparse)
    nearest = score(interpolate(sparse, "nearest"), truth=dense, sparse=sparse)
    bilinear = score(interpolate(sparse, "bilinear"), truth=dense, sparse=sparse)
    assert found.mae_unmeasured < min(nearest.mae_unmeasured, bilinear.mae_unmeasured)
    assert found.pcc_unmeasured > max(nearest.pcc_unmeasured, bilinear.pcc_unmeasured)


@pytest.mark.parametrize("stride", [3, 4])
def test_wider_lattices_train_and_impute_too(stride):
    sparse = sample(gene_map(), stride)
    trained = fit([sparse], quick())
    assert trained.stride == stride
    assert impute(trained, sparse).shape == (96, 104)


def test_the_papers_preset_trains_with_all_four_losses():
    config = RunConfig.preset("paper", steps=1, batch=1, image_batch=1, blocks=1, cascades=2, device="cpu")
    events, trained = run(train([sample(gene_map())], config))
    terms = next(event for event in events if isinstance(event, Stepped)).terms
    assert set(terms) == {"sparser_to_sparse", "sparse_to_dense", "pictures_sparse", "pictures_dense"}
    assert trained.weights


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_shipped_weights_alone_beat_the_nearest_bin(stride):
    dense = gene_map()
    sparse = sample(dense, stride)
    _, trained = run(train([sparse], quick(start_from="shipped")), lambda event: Command.STOP)
    found = score(impute(trained, sparse), truth=dense, sparse=sparse)
    nearest = score(interpolate(sparse, "nearest"), truth=dense, sparse=sparse)
    assert found.mae_unmeasured < nearest.mae_unmeasured
    assert found.pcc_unmeasured > nearest.pcc_unmeasured


def test_the_weights_that_did_best_on_held_out_bins_are_kept():
    """Of weights that such a rate spoils; which of them are best, and by how much, differs between processors."""
    spoiling = quick(steps=60, learning_rate=0.005, schedule="constant", average=0.0, start_from="shipped")
    events, trained = run(train([sample(gene_map())], spoiling))
    errors = [event.held_out_mae for event in events if isinstance(event, Validated)]
    assert trained.held_out_mae < errors[-1]
    assert any(trained.held_out_mae == pytest.approx(error, rel=1e-6) for error in errors)


def test_several_genes_train_one_network():
    maps = [sample(gene_map(seed)) for seed in (0, 1)]
    trained = fit(maps, quick())
    assert trained.genes == ("G0", "G1")
    assert impute(trained, maps[1]).gene == "G1"


def test_maps_smaller_than_a_patch_can_be_trained_on():
    sparse = sample(gene_map(shape=(40, 30)))
    assert impute(fit([sparse], quick()), sparse).shape == (40, 30)


def test_a_gene_that_was_never_measured_is_refused():
    with pytest.raises(TrainingError, match="nothing to learn"):
        fit([sample(GeneMap(np.zeros((96, 96)), gene="NONE"))], quick())


def test_a_gene_without_a_count_does_not_end_the_training_of_a_panel():
    nothing = sample(GeneMap(np.zeros((96, 104)), gene="NONE"))
    trained = fit([sample(gene_map()), nothing], quick())
    assert impute(trained, nothing).values.max() < 0.5


def test_a_stopped_run_records_the_course_it_was_on():
    def answer(event):
        return Command.STOP if isinstance(event, Stepped) else None

    _, trained = run(train([sample(gene_map())], quick(steps=500)), answer)
    assert trained.steps < 500
    assert trained.config.training.steps == 500


def test_maps_of_different_strides_are_refused():
    with pytest.raises(TrainingError, match="same stride"):
        fit([sample(gene_map(), 2), sample(gene_map(), 3)], quick())


def test_a_device_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ConfigError, match="cpu"):
        fit([sample(gene_map())], quick(device="cuda:7"))


def test_a_loss_that_is_no_number_ends_the_training_with_advice():
    huge = GeneMap(gene_map().values * 1e30, gene="HUGE")
    with pytest.raises(TrainingError, match="learning rate below"):
        fit([sample(huge)], quick(normalisation="none"))


def test_nothing_told_after_a_stop_takes_it_back():
    told = {Stepped: Command.STOP, Previewed: Command.PREVIEW}
    events, trained = run(
        train([sample(gene_map())], quick(steps=200), preview_every_s=1e-6), lambda event: told.get(type(event))
    )
    assert any(isinstance(event, Previewed) for event in events)  # told after the STOP, in the same step
    assert trained.steps < 200


def test_slow_steps_do_not_outlast_the_time_limit():
    config = RunConfig.preset("paper", seconds=1.0, batch=4, image_batch=4, blocks=2, cascades=2, device="cpu")
    sparse = sample(gene_map())
    trained = fit([sparse], config)
    assert trained.steps < 12
    assert same_weights(trained, fit([sparse], config.changed(steps=trained.steps)))


def test_the_papers_losses_work_without_co_training():
    config = quick(image_batch=0, hiding="lattice", sparse_to_dense=True, steps=1)
    assert "sparse_to_dense" in fit([sample(gene_map())], config).losses[0]


def test_a_model_in_memory_gives_the_first_weights():
    sparse = sample(gene_map())
    first = fit([sparse], quick(steps=3))
    again = fit([sparse], quick(steps=0, start_from="shipped"), start=first)
    assert same_weights(again, first)
    assert not same_weights(fit([sparse], quick(steps=2), start=first), first)


def test_going_on_from_memory_is_going_on_from_the_same_models_file(tmp_path):
    sparse = sample(gene_map())
    first = fit([sparse], quick(steps=3))
    path = save_model(tmp_path / "first.safetensors", first)
    assert same_weights(fit([sparse], quick(start_from=path)), fit([sparse], quick(), start=first))


def test_a_training_leaves_the_model_it_begins_with_as_it_is():
    sparse = sample(gene_map())
    first = fit([sparse], quick(steps=3))
    before = {name: weight.clone() for name, weight in first.weights.items()}
    fit([sparse], quick(steps=3), start=first)
    assert all(torch.equal(before[name], weight) for name, weight in first.weights.items())


def test_going_on_is_validated_before_its_first_step_and_keeps_the_better():
    sparse = sample(gene_map())
    first = fit([sparse], quick(steps=0, start_from="shipped"))
    events, again = run(train([sparse], quick(steps=12, learning_rate=0.02), start=first))
    assert isinstance(events[1], Validated)
    assert events[1].step == 0
    assert again.held_out_mae == pytest.approx(first.held_out_mae, rel=1e-5)  # such a rate spoils the weights


def test_a_run_that_went_on_from_memory_is_not_repeated_from_another_start():
    sparse = sample(gene_map())
    again = fit([sparse], quick(steps=1), start=fit([sparse], quick(steps=1)))
    with pytest.raises(TrainingError, match="in memory"):
        fit([sparse], again.config)


def test_first_weights_of_another_stride_are_refused():
    with pytest.raises(TrainingError, match="stride of 3, and these maps have a stride of 2"):
        fit([sample(gene_map())], quick(), start=fit([sample(gene_map(), 3)], quick(steps=1)))


def test_first_weights_of_another_network_are_refused_with_what_differs(tmp_path):
    other = fit([sample(gene_map())], quick(steps=1, blocks=1))
    with pytest.raises(TrainingError, match="blocks 1 instead of 3"):
        fit([sample(gene_map())], quick(), start=other)
    path = save_model(tmp_path / "other.safetensors", other)
    with pytest.raises(TrainingError, match=r"other\.safetensors are of another network"):
        fit([sample(gene_map())], quick(start_from=path))
