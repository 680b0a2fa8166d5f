"""Ablations: what a variant changes, and what its row says. Trained on a tiny network, a few steps."""

from dataclasses import fields

import numpy as np
import pytest

from napari_s2sst import RunConfig, open_count_cube
from napari_s2sst.engine.benchmark.ablations import (
    FULL,
    GROUPS,
    TRAINED_PRESETS,
    VARIANTS,
    ablate,
    choose_variants,
    full_run,
    rows,
    same_as_full,
)
from napari_s2sst.engine.errors import ConfigError
from napari_s2sst.engine.runs.run import prepare
from napari_s2sst.engine.scores.metrics import Scores

TINY = dict(
    blocks=1, channels=8, growth=4, convolutions=1, heads=2, window=4, patch_bins=16, tile_bins=32, overlap="hann", batch=2,
    image_batch=2, learning_rate=0.01, steps=8, bin_um=10.0, device="cpu",
)  # fmt: skip
"""After fewer or smaller steps several cascades still estimate nothing above 0, and all such maps score alike."""


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    y, x = np.mgrid[:32, :28]
    depth = np.stack([4 + 3 * np.sin(y / 6) * np.cos(x / 5), 2 + np.cos(y / 8)])
    path = tmp_path_factory.mktemp("cube") / "cube.npz"
    counts = np.random.default_rng(0).poisson(depth).astype(np.float32)
    np.savez_compressed(path, counts=counts, genes=np.array(["WAVE", "RIDGE"]), bin_um=10.0)
    return prepare(open_count_cube(path), ["WAVE", "RIDGE"], full_run("paper", **TINY))


@pytest.fixture(scope="module")
def outcomes(job):
    """Every variant once, on one gene."""
    one = job.first(1)
    return list(ablate(one, choose_variants("all", job.config)))


def flat(config: RunConfig) -> dict:
    parts = config.model_dump()
    return {
        f"{name}.{field}": value
        for name, part in parts.items()
        for field, value in (part.items() if isinstance(part, dict) else [("", part)])
    }


EXPECTED = {
    "no natural images": {"training.image_batch": 0},
    "no data consistency": {"network.data_consistency": False},
    "neither": {"training.image_batch": 0, "network.data_consistency": False},
    "1 cascade": {"network.cascades": 1},
    "2 cascades": {"network.cascades": 2},
    "4 cascades": {"network.cascades": 4},
    "5 cascades": {"network.cascades": 5},
    "no HAB": {"network.attention": False},
}


@pytest.mark.parametrize("variant", EXPECTED)
def test_a_variant_differs_from_the_full_network_in_exactly_the_setting_it_names(variant):
    runs = choose_variants("all", full_run("paper"))
    full, changed = flat(runs[FULL]), flat(runs[variant])
    assert {name: value for name, value in changed.items() if value != full[name]} == EXPECTED[variant]


def test_all_are_the_papers_ablations_with_the_full_network_first():
    assert list(choose_variants("all", full_run("paper"))) == [FULL, *EXPECTED]


def test_the_full_network_is_the_papers_own_preset():
    assert full_run() == RunConfig.preset("paper")


@pytest.mark.parametrize("preset", TRAINED_PRESETS)
def test_every_variant_starts_from_random_weights_whatever_the_preset_starts_from(preset):
    runs = choose_variants("all", full_run(preset))
    assert {config.training.start_from for config in runs.values()} == {"random"}
    assert {config.preset_name for config in runs.values()} == {preset}


def test_what_the_preset_has_already_is_left_out():
    assert same_as_full(full_run("paper")) == ("3 cascades",)
    assert same_as_full(full_run("fast")) == ("2 cascades", "no HAB")
    assert not {"2 cascades", "no HAB"} & set(choose_variants("all", full_run("fast")))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("table2", GROUPS["table2"]),
        ("cascades", ("1 cascade", "2 cascades", "4 cascades", "5 cascades")),
        ("HAB", ("no HAB",)),
        ("no hab, Neither", ("neither", "no HAB")),
        ("full, 5 cascades", ("5 cascades",)),
    ],
)
def test_groups_and_names_are_taken_in_any_order_and_case_and_run_in_a_fixed_one(wanted, expected):
    assert tuple(choose_variants(wanted, full_run("paper"))) == (FULL, *expected)


@pytest.mark.parametrize("wanted", ["no loss", "cascades,6 cascades", "table 2"])
def test_an_unknown_variant_is_refused_with_the_known_ones(wanted):
    with pytest.raises(ConfigError, match=r"no variant '.*neither.*no HAB.*table2"):
        choose_variants(wanted, full_run("paper"))


@pytest.mark.parametrize(
    ("wanted", "said"), [("hab", "no HAB changes nothing of the preset fast"), (" , ", "no variant was")]
)
def test_nothing_to_compare_is_refused(wanted, said):
    with pytest.raises(ConfigError, match=rf"{said}.*Choose from no natural images"):
        choose_variants(wanted, full_run("fast"))


@pytest.mark.parametrize(("preset", "said"), [("instant", "trains nothing"), ("quick", "does not exist")])
def test_a_preset_that_trains_nothing_has_no_ablations(preset, said):
    with pytest.raises(ConfigError, match=rf"{preset}.*{said}.*paper"):
        full_run(preset)


def test_every_variant_trains_and_is_another_network_or_another_training(outcomes):
    assert [each.method for each in outcomes] == [FULL, *EXPECTED]
    assert len({each.scores.mae_unmeasured for each in outcomes}) == len(outcomes)


def test_more_cascades_are_so_many_times_the_weights_and_attention_has_some_of_its_own(outcomes):
    weights = {each.method: each.parameters for each in outcomes}
    assert [weights[f"{n} cascades"] / weights["1 cascade"] for n in (2, 4, 5)] == [2, 4, 5]
    assert weights[FULL] == 3 * weights["1 cascade"]
    assert weights["no HAB"] < weights[FULL] == weights["neither"]


def test_the_rows_say_what_ran_and_how_well_and_what_it_cost(outcomes):
    table = rows(outcomes)
    assert len({tuple(row) for row in table}) == 1
    for row, outcome in zip(table, outcomes, strict=True):
        assert (row["variant"], row["gene"], row["seed"]) == (outcome.method, "WAVE", 0)
        for field in fields(Scores):
            np.testing.assert_equal(row[field.name], getattr(outcome.scores, field.name))
        assert 0 < row["mae"] < row["mae_unmeasured"]
        assert row["train_s"] > 0
        assert row["steps"] == 8
        assert row["parameters"] == outcome.parameters
        assert row["preset"] == "paper"
        named = {name.split(".")[1]: value for name, value in EXPECTED.get(outcome.method, {}).items()}
        full = {"image_batch": 2, "data_consistency": True, "cascades": 3, "attention": True}
        assert {name: row[name] for name in full} == full | named


def test_every_gene_is_trained_alone_once_a_seed_and_announced_before(job):
    told = []
    runs = choose_variants("no HAB", job.config.changed(cascades=1))
    found = list(ablate(job, runs, (4, 7), on_start=lambda *which: told.append(which)))
    order = [(variant, gene, seed) for variant in (FULL, "no HAB") for seed in (4, 7) for gene in ("WAVE", "RIDGE")]
    assert told == order == [(each.method, each.gene, each.seed) for each in found]
    assert [each.config.seed for each in found] == [seed for _, _, seed in order]
    assert len({each.scores.mae for each in found}) == len(found)


def test_the_names_of_a_group_are_variants():
    assert {name for group in GROUPS.values() for name in group} | {FULL} == set(VARIANTS)
