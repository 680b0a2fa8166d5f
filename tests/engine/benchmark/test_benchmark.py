import math
import subprocess
import sys

import numpy as np
import pytest

from napari_s2sst import RunConfig, open_count_cube
from napari_s2sst.engine.benchmark.benchmark import (
    CLASSICAL,
    MEDIAN,
    NETWORKS,
    OURS,
    PANEL_METHODS,
    WITH_IMAGE,
    WITHOUT_IMAGE,
    benchmark,
    choose_methods,
    rows,
    summary,
)
from napari_s2sst.engine.benchmark.limit import LIMIT
from napari_s2sst.engine.classical.methods import METHODS
from napari_s2sst.engine.config import PRESETS
from napari_s2sst.engine.errors import ConfigError
from napari_s2sst.engine.runs.run import prepare


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    y, x = np.mgrid[:48, :44]
    depth = np.stack([4 + 3 * np.sin(y / 6) * np.cos(x / 5), 2 + np.cos(y / 8)])
    counts = np.random.default_rng(0).poisson(depth).astype(np.float32)
    path = tmp_path_factory.mktemp("cube") / "cube.npz"
    np.savez_compressed(path, counts=counts, genes=np.array(["WAVE", "RIDGE"]), bin_um=10.0)
    config = RunConfig.preset("fast", bin_um=10.0, device="cpu")
    return prepare(open_count_cube(path), ["WAVE", "RIDGE"], config)


def test_all_means_every_method_and_the_limit():
    assert choose_methods("all") == (*CLASSICAL, *PANEL_METHODS, *NETWORKS, LIMIT)
    assert choose_methods("classical") == CLASSICAL
    assert choose_methods("panel") == PANEL_METHODS
    assert choose_methods("networks") == NETWORKS
    assert set(OURS) - {WITHOUT_IMAGE, MEDIAN} < set(PRESETS)


def test_names_are_taken_in_any_order_and_case_and_run_in_a_fixed_one():
    assert choose_methods("fast, KRIGING,gaussian,Kriging") == ("Gaussian", "kriging", "fast")


def test_a_name_with_a_comma_in_it_is_one_name():
    assert choose_methods("nearest,paper, small network") == ("nearest", "paper, small network")


def test_the_panels_methods_give_every_gene_from_one_training_on_all_of_them(job):
    outcomes = list(benchmark(job, ["DIST"], seconds=3, panel=job.sparse[1:]))
    assert [(each.gene, each.method, each.seed) for each in outcomes] == [("WAVE", "DIST", 0), ("RIDGE", "DIST", 0)]
    assert outcomes[0].train_s == outcomes[1].train_s > 0


def test_the_small_stand_in_of_the_paper_trains_each_gene_alone(job):
    outcomes = list(benchmark(job, ["pictures alone, small network"], steps=2))
    assert [(each.gene, each.trained_on, each.steps) for each in outcomes] == [("WAVE", 1, 2), ("RIDGE", 1, 2)]


@pytest.mark.parametrize("wanted", ["cubic", "fast,splines", "", " , "])
def test_an_unknown_method_is_refused_with_the_known_ones(wanted):
    with pytest.raises(ConfigError, match=r"kriging.*fast.*information limit.*classical"):
        choose_methods(wanted)


def test_every_method_has_a_row_for_every_gene_and_nothing_is_random_about_the_classical(job):
    outcomes = list(benchmark(job, choose_methods("classical,information limit"), seeds=(0, 1)))
    expected = [*METHODS, LIMIT]  # a count cube has no image
    assert [(each.method, each.gene) for each in outcomes] == [(m, g) for m in expected for g in ("WAVE", "RIDGE")]
    assert all(each.seed is None and each.train_s == 0 for each in outcomes)
    table = rows(outcomes)
    assert all(row["bins"] == (job.truth[0].tissue & ~job.sparse[0].lattice_mask()).sum() for row in table)
    assert [row["pcc"] > row["pcc_unmeasured"] for row in table] == [True] * len(table)


def test_the_image_is_used_where_there_is_one(job):
    colour = job.truth[0].values[..., None]  # an image that shows the first gene itself
    with_image, without = (next(benchmark(job, [method], colour=colour)) for method in (WITH_IMAGE, "TESLA"))
    assert with_image.scores.mae_unmeasured < 0.5 * without.scores.mae_unmeasured


def test_a_network_trains_once_a_seed_for_all_genes_or_once_for_each(job):
    together = list(benchmark(job, ["instant", "fast"], seeds=(0, 1), steps=2))
    assert [(each.method, each.seed) for each in together] == [("instant", None)] * 2 + [("fast", 0)] * 2 + [
        ("fast", 1)
    ] * 2
    assert {each.trained_on for each in together} == {2}
    assert together[2].train_s == together[3].train_s
    assert together[2].seconds == pytest.approx(together[2].train_s / 2 + together[2].impute_s)
    apart = list(benchmark(job, ["fast"], steps=2, one_by_one=True))
    assert {each.trained_on for each in apart} == {1}
    assert apart[0].steps == 2
    assert all(0.5 < each.scores.coverage <= 1 for each in together)


def test_means_are_over_genes_and_the_spread_over_seeds(job):
    outcomes = list(benchmark(job, ["bilinear", "fast"], seeds=(0, 1, 2), steps=3))
    means = summary(outcomes)
    by_seed = [np.mean([each.scores.mae for each in outcomes if each.seed == seed]) for seed in (0, 1, 2)]
    assert means["fast"].mean["mae"] == pytest.approx(np.mean(by_seed))
    assert means["fast"].spread["mae"] == pytest.approx(np.std(by_seed, ddof=1))
    assert (means["fast"].genes, means["fast"].seeds) == (2, 3)
    assert math.isnan(means["bilinear"].spread["mae"])


ALONE = """
import numpy as np
from napari_s2sst.engine.benchmark.benchmark import PeakMemory
with PeakMemory() as peak:
    np.ones(25_000_000).sum()
with PeakMemory() as after:
    pass
print(peak.mb, peak.extra_mb, after.extra_mb)
"""
"""In a process of its own: here, what earlier tests gave back meanwhile would hide what was taken."""


def test_peak_memory_sees_what_was_held_for_a_moment_only():
    done = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=True)
    peak, extra, after = map(float, done.stdout.split())
    assert peak > 200
    assert math.isnan(extra) or 190 < extra < 260
    assert math.isnan(after) or after < 20
