from dataclasses import replace

import pytest
from support.small_training import gene_map, quick

from napari_s2sst import RunConfig, fit, load_model, sample, save_model
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.network.cdcin import parameters
from napari_s2sst.engine.network.model import shipped_model
from napari_s2sst.engine.runs.model_card import differences, fits, model_facts


@pytest.fixture(scope="module")
def trained():
    """Three steps on gene G0 in bins of 20 um."""
    return fit([sample(gene_map())], quick(steps=3))


def same(trained, **changed) -> list[str]:
    there = dict(genes=trained.genes, bin_um=20.0, stride=2, normalisation="log1p", min_qv=20.0)
    return differences(trained, **(there | changed))


def test_a_card_tells_where_a_model_comes_from(trained):
    facts = dict(model_facts(trained))
    assert facts["Genes"] == "G0"
    assert facts["Stride"] == "2, measures 1 bin of 4"
    assert facts["Bin size"] == "20 um"
    assert facts["Steps"] == "3"
    assert facts["Device"].startswith("CPU")
    assert facts["First weights"] == "random"
    assert float(facts["Held-out error"]) == pytest.approx(trained.held_out_mae, abs=1e-4)
    best = min(trained.classical, key=trained.classical.get)
    assert facts["Best classical"] == f"{trained.classical[best]:.4f}, {best}"


def test_a_card_counts_the_weights_of_the_network(trained):
    import torch

    network = trained.network(torch.device("cpu"))
    assert dict(model_facts(trained))["Weights"] == f"{parameters(network):,}"


def test_a_saved_model_has_the_same_card(trained, tmp_path):
    assert model_facts(load_model(save_model(tmp_path / "a.safetensors", trained))) == model_facts(trained)


def test_a_card_says_how_much_of_a_stopped_training_was_done(trained):
    stopped = replace(trained, config=trained.config.changed(steps=1000))
    assert dict(model_facts(stopped))["Steps"] == "3 of 1,000, stopped"


def test_a_card_of_many_genes_names_a_few(trained):
    many = replace(trained, genes=tuple(f"G{i}" for i in range(312)))
    assert dict(model_facts(many))["Genes"] == "G0, G1, G2, G3 and 308 more"


def test_the_card_of_the_shipped_weights_says_that_they_have_seen_no_slide():
    facts = dict(model_facts(load_model(shipped_model(2))))
    assert "simulated" in facts["Genes"]
    assert facts["Bin size"] == "any"
    assert facts["Held-out error"] == "nothing was held out"


def test_a_card_names_the_file_that_a_training_began_with(trained, tmp_path):
    path = save_model(tmp_path / "first.safetensors", trained)
    again = fit([sample(gene_map())], quick(steps=1, start_from=path))
    assert dict(model_facts(again))["First weights"] == "those of first.safetensors"


def test_nothing_differs_where_a_model_was_trained(trained):
    assert same(trained) == []
    assert fits(trained, stride=2)


def test_another_stride_is_said_to_be_impossible_and_is_refused_by_the_training_too(trained):
    (sentence,) = same(trained, stride=3)
    assert "stride of 2" in sentence
    assert "can't be used" in sentence
    assert not fits(trained, stride=3)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"genes": ("G7", "G0")}, "not G7"),
        ({"bin_um": 50.0}, "2.5 times smaller"),
        ({"bin_um": 10.0}, "2 times larger"),
        ({"normalisation": "none"}, "counts as they are"),
        ({"min_qv": 0.0}, "lower in the same tissue"),
    ],
)
def test_each_difference_has_one_sentence(trained, changed, words):
    (sentence,) = same(trained, **changed)
    assert words in sentence
    assert sentence.endswith(".")


def test_all_differences_are_told_at_once(trained):
    assert len(same(trained, genes=("G7",), bin_um=50.0, stride=4, normalisation="none", min_qv=0.0)) == 5


def test_the_shipped_weights_differ_from_no_gene_and_no_bin_size():
    assert same(load_model(shipped_model(2)), genes=("LTF",), bin_um=100.0, min_qv=0.0) == []


def test_a_model_of_counts_as_they_are_says_so():
    model = fit([sample(GeneMap(gene_map().values / 10, gene="G0"))], quick(steps=1, normalisation="none"))
    assert dict(model_facts(model))["Values"] == "counts as they are"
    assert RunConfig().grid.normalisation == "log1p"
    assert len(same(model)) == 1
