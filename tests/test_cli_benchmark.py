"""`s2sst benchmark` as a user meets it: real processes on a small count cube made here."""

import csv

import numpy as np
import pytest
from test_cli import assert_one_clear_line, s2sst

from napari_s2sst.engine.baselines import METHODS

GENES = ("WAVE", "RIDGE")


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    y, x = np.mgrid[:48, :44]
    depth = np.stack([4 + 3 * np.sin(y / 6) * np.cos(x / 5), 2 + np.cos(y / 8), 0 * x])
    counts = np.random.default_rng(0).poisson(depth).astype(np.float32)
    path = tmp_path_factory.mktemp("cube") / "cube.npz"
    np.savez_compressed(path, counts=counts, genes=np.array([*GENES, "SILENT"]), bin_um=10.0)
    return path


def test_a_benchmark_writes_every_method_and_gene_and_prints_them(cube, tmp_path):
    out = tmp_path / "tables" / "table.csv"
    methods = "classical,instant,fast,information limit"
    done = s2sst("benchmark", cube, "--all-genes", "--methods", methods, "--steps", 3, "--seeds", "0,1", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "Left out, without a transcript in any measured bin: SILENT" in done.stderr
    assert "no morphology image" in done.stderr
    rows = list(csv.DictReader(out.read_text().splitlines()))
    named = {(row["gene"], row["method"], row["seed"]) for row in rows}
    once = (*METHODS, "instant", "information limit")
    expected = {(gene, method, "") for gene in GENES for method in once}
    assert named == expected | {(gene, "fast", seed) for gene in GENES for seed in "01"}
    for row in rows:
        assert 0 < float(row["mae"]) < float(row["mae_unmeasured"])
        assert row["method"] == "information limit" or float(row["seconds"]) > 0
    for word in (
        *GENES,
        *once,
        "fast",
        "unmeasured bins",
        "all tissue bins",
        "standard deviation over 2 seeds",
        str(out),
    ):
        assert word in done.stdout
    assert "…" not in done.stdout
    assert all(len(line) <= 80 for line in done.stdout.splitlines() if line.startswith("│"))


def test_the_image_of_a_slide_is_used(sample_slide, tmp_path):
    out = tmp_path / "table.csv"
    done = s2sst("benchmark", sample_slide, "--top", 1, "--methods", "TESLA,TESLA with image", "--out", out)
    assert done.returncode == 0, done.stderr
    scores = [row["mae_unmeasured"] for row in csv.DictReader(out.read_text().splitlines())]
    assert len(scores) == 2
    assert scores[0] != scores[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--genes", "WAVE", "--methods", "cubist"], ["cubist", "kriging", "fast", "information limit"]),
        (["--genes", "WAVY"], ["WAVY", "WAVE"]),
        ([], ["--genes", "--top"]),
        (["--genes", "WAVE", "--top", "1"], ["one way"]),
        (["--genes", "WAVE", "--seeds", "1,x"], ["--seeds", "1,x"]),
        (["--genes", "WAVE", "--stride", "30"], ["stride", "30"]),
        (["--genes", "SILENT"], ["SILENT", "transcript"]),
        (["--genes", "WAVE", "--steps", "3", "--seconds", "3"], ["--steps", "--seconds"]),
        (["--genes", "WAVE", "--bin-um", "20"], ["10 um"]),
    ],
)
def test_what_makes_no_sense_is_one_clear_line_and_writes_nothing(cube, tmp_path, arguments, words):
    out = tmp_path / "table.csv"
    assert_one_clear_line(s2sst("benchmark", cube, "--out", out, *arguments), *words)
    assert not out.exists()


def test_a_folder_in_the_files_place_is_one_clear_line(cube, tmp_path):
    assert_one_clear_line(s2sst("benchmark", cube, "--genes", "WAVE", "--out", tmp_path), "--out", tmp_path)
