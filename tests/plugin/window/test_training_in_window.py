"""Training from the dock: real, short trainings in a real window."""

import numpy as np
import pytest
from support.window_state import buttons, names

from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs.run import CountedJob
from napari_s2sst.plugin.session import Several, State
from napari_s2sst.plugin.threads.request import Request
from napari_s2sst.plugin.viewer.layers import KINDS


def test_train_clicked_right_after_typing_bins_waits_for_their_counts(opened, qtbot):
    """The box tells its value only when the click on Train takes the focus away."""
    opened.panels.sampling.bin_box.setValue(40)
    opened.panels.run.train_button.click()
    assert not opened.run_queue.active
    qtbot.waitUntil(lambda: opened.session.can_train, timeout=300_000)
    assert opened.session.gene_map.bin_um == opened.session.config.grid.bin_um == 40


def test_training_adds_new_layers_and_scores(trained):
    gene = trained.session.gene
    assert names(trained)[-5:] == [f"{gene} - {kind}" for kind in KINDS]
    assert all(str(unit) == "micrometer" for layer in trained.viewer.layers for unit in layer.units)
    table = trained.panels.result.table
    methods = [table.item(row, 0).text() for row in range(table.rowCount())]
    assert methods[0] == "CDCIN"
    assert {"inverse distance", "bilinear", "Gaussian"} <= set(methods)
    assert buttons(trained) == {"open": True, "train": True, "pause": False, "stop": False, "export": True}


def test_the_sparse_input_shows_through_the_imputed_map_exactly(trained):
    gene = trained.session.gene
    sparse = trained.viewer.layers[f"{gene} - sparse input"].data
    imputed = trained.viewer.layers[f"{gene} - imputed"].data
    measured = np.isfinite(sparse)
    assert measured.any()
    assert np.array_equal(sparse[measured], imputed[measured])


def test_a_second_run_leaves_the_first_ones_layers(trained, qtbot, train):
    gene, first = trained.session.gene, trained.session.result
    before = trained.viewer.layers[f"{gene} - imputed"].data.copy()
    train(trained, 2, seed=1)
    qtbot.waitUntil(lambda: trained.session.result is not first and not trained.display.busy, timeout=300_000)
    assert {f"{gene} - {kind} 2" for kind in KINDS} <= set(names(trained))
    assert np.array_equal(trained.viewer.layers[f"{gene} - imputed"].data, before, equal_nan=True)


def test_only_what_is_possible_is_enabled_while_training(opened, qtbot, train):
    train(opened, 100_000)
    assert buttons(opened)["train"] is False
    assert buttons(opened)["stop"] is False  # nothing can be told before the first event
    qtbot.waitUntil(lambda: opened.session.state is State.TRAINING, timeout=300_000)
    assert buttons(opened) == {"open": True, "train": False, "pause": True, "stop": True, "export": False}
    assert not opened.panels.genes.view.isEnabled()
    opened.panels.run.stop_button.click()
    assert buttons(opened)["stop"] is False
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=300_000)


def test_stop_keeps_the_weights(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=300_000)
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=300_000)
    assert 1 <= opened.session.result.trained.steps < 100_000
    assert f"{opened.session.gene} - imputed" in names(opened)


def test_pause_rests_and_goes_on(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=300_000)
    opened.panels.run.pause_button.click()
    qtbot.waitUntil(lambda: opened.session.state is State.PAUSED, timeout=300_000)
    assert opened.panels.run.pause_button.text() == "Go on"
    qtbot.wait(200)  # what was under way arrives
    step = opened.session.progress.step
    qtbot.wait(500)
    assert opened.session.progress.step == step
    opened.panels.run.pause_button.click()
    qtbot.waitUntil(lambda: opened.session.progress.step > step, timeout=300_000)
    opened.run_queue.abandon()


def test_a_preview_is_shown_while_training_and_becomes_the_imputed_layer(opened, viewer, qtbot, train):
    train(opened, 100_000)
    gene = opened.session.gene
    qtbot.waitUntil(lambda: f"{gene} - preview" in names(opened), timeout=300_000)
    preview = viewer.layers[f"{gene} - preview"]
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=300_000)
    assert viewer.layers[f"{gene} - imputed"] is preview


def test_a_preview_that_was_deleted_does_not_come_back(opened, qtbot, train):
    train(opened, 100_000)
    gene = opened.session.gene
    qtbot.waitUntil(lambda: f"{gene} - preview" in names(opened), timeout=300_000)
    del opened.viewer.layers[f"{gene} - preview"]
    del opened.viewer.layers[f"{gene} - counts"]
    step = opened.session.progress.step
    qtbot.waitUntil(lambda: opened.session.progress.step > step + 5, timeout=300_000)
    assert f"{gene} - preview" not in names(opened)
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=300_000)
    assert f"{gene} - imputed" in names(opened)


def test_an_error_in_the_worker_stays_readable_in_the_dock(opened, qtbot, train):
    """Counts of nothing but zeros can't be trained on; the engine says so."""
    empty = opened.session.gene_map
    opened.session.gene_map = GeneMap(np.zeros(empty.shape), tissue=empty.tissue, gene=empty.gene)
    train(opened, 3)
    qtbot.waitUntil(lambda: bool(opened.session.message), timeout=300_000)
    assert "nothing to learn" in opened.panels.message.message()
    assert "Traceback" not in opened.panels.message.message()
    assert opened.panels.message.isVisible()
    assert opened.session.can_train


def test_a_lattice_that_does_not_fit_says_so_before_training(opened, train):
    opened.session.gene_map = GeneMap(np.ones((3, 3)), gene="LTF")
    opened.session.gene = "LTF"
    train(opened, 3)
    assert "stride" in opened.panels.message.message()
    assert not opened.session.running


@pytest.fixture
def two_genes(opened) -> tuple[str, ...]:
    genes = tuple(opened.session.slide.genes)[:2]
    opened.choose_genes(genes)
    return genes


def test_genes_in_turn_have_a_training_each(opened, qtbot, train, two_genes):
    train(opened, 2)
    qtbot.waitUntil(lambda: len(opened.session.entries) == 2 and not opened.session.running, timeout=300_000)
    assert {entry.gene for entry in opened.session.entries} == set(two_genes)
    assert len({id(entry.result.trained) for entry in opened.session.entries}) == 2
    assert opened.session.queue is None


def test_genes_together_share_a_network(opened, qtbot, train, two_genes):
    opened.panels.several.together_button.setChecked(True)
    assert opened.session.several is Several.TOGETHER
    train(opened, 2)
    qtbot.waitUntil(lambda: len(opened.session.entries) == 2 and not opened.session.running, timeout=300_000)
    assert opened.session.entries[0].result is opened.session.entries[1].result
    assert opened.session.entries[0].result.trained.genes == two_genes


def test_stop_ends_a_row_of_trainings(opened, qtbot, train, two_genes):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=300_000)
    assert opened.session.queue.total == 2
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: not opened.session.running, timeout=300_000)
    assert [entry.gene for entry in opened.session.entries] == [two_genes[0]]


def test_a_gene_that_can_not_be_trained_on_does_not_end_the_row(opened, qtbot, train, two_genes):
    """Its config is refused for the first only: no measured bin holds a transcript of it."""
    whole = opened.session.gene_map
    empty = GeneMap(np.zeros(whole.shape), tissue=whole.tissue, gene="EMPTY", bin_um=whole.bin_um)
    config = opened.session.settings.changed(steps=2, batch=2, image_batch=1, symmetries=1, device="cpu")
    jobs = [CountedJob(maps=(gene_map,), config=config) for gene_map in (empty, whole)]
    opened.run_queue.start(*(Request(job=job, slide=opened.session.slide.path) for job in jobs))
    qtbot.waitUntil(lambda: opened.session.result is not None and not opened.session.running, timeout=300_000)
    assert "EMPTY" in opened.session.message
    assert opened.session.entries[0].gene == whole.gene


def test_training_goes_on_from_the_last_run(trained, qtbot, train):
    first = trained.session.result
    train(trained, 2)
    trained.run_queue.abandon()
    trained.panels.training.setStartFrom("last")
    trained.panels.run.train_button.click()
    qtbot.waitUntil(lambda: trained.session.result is not first, timeout=300_000)
    assert trained.session.result.job.start is first.trained


def test_the_preview_is_scored_while_the_network_learns(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: "MAE" in opened.panels.live.text(), timeout=300_000)
    opened.run_queue.abandon()


def test_a_deleted_map_of_the_run_does_no_harm(opened, qtbot, train):
    train(opened, 100_000)
    qtbot.waitUntil(lambda: opened.session.progress is not None, timeout=300_000)
    opened.viewer.layers.clear()
    opened.panels.run.stop_button.click()
    qtbot.waitUntil(lambda: opened.session.result is not None, timeout=300_000)
    assert opened.session.message == ""


def test_a_saved_model_is_loaded_and_imputes_without_training(trained, qtbot, tmp_path):
    first = trained.session.result
    trained.models.save(tmp_path / "model")
    qtbot.waitUntil(lambda: (tmp_path / "model.safetensors").exists() and not trained.session.busy, timeout=300_000)
    trained.models.load(tmp_path / "model.safetensors")
    qtbot.waitUntil(lambda: trained.models.card is not None, timeout=300_000)
    trained.models.card.impute_button.click()
    qtbot.waitUntil(lambda: trained.session.result is not first, timeout=300_000)
    again = trained.session.result
    assert again.trained.steps == first.trained.steps
    assert np.array_equal(again.imputed[0].values, first.imputed[0].values)


def test_a_file_that_is_no_model_leaves_a_message(trained, qtbot, tmp_path):
    (tmp_path / "x.safetensors").write_text("no")
    trained.models.load(tmp_path / "x.safetensors")
    qtbot.waitUntil(lambda: "x.safetensors" in trained.session.message, timeout=300_000)
    assert trained.session.can_train
