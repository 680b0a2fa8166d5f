"""`s2sst benchmark` as a user meets it: on a small count cube made here."""

import csv

import anndata
import numpy as np
import pandas as pd
import pytest
from support.command import assert_one_clear_line, s2sst

from napari_s2sst.engine.classical.methods import METHODS

GENES = ("WAVE", "RIDGE")


@pytest.fixture(scope="module")
def hest_file(cube, tmp_path_factory):
    """The same counts as HEST-1k keeps a Xenium slide: a row for each bin of 100 um that has any, centres in pixels."""
    with np.load(cube) as arrays:
        counts, genes = arrays["counts"], arrays["genes"]
    row, column = (each.ravel() for each in np.mgrid[: counts.shape[1], : counts.shape[2]])
    obs = pd.DataFrame(
        {"array_row": row, "array_col": column}, index=[f"{r:03}x{c:03}" for r, c in zip(row, column, strict=True)]
    )
    table = anndata.AnnData(counts.reshape(len(genes), -1).T.astype(np.uint16), obs, pd.DataFrame(index=genes))
    table.obsm["spatial"] = np.column_stack([column + 0.5, row + 0.5]) * 100 / 0.2125
    path = tmp_path_factory.mktemp("hest") / "TENX94.h5ad"
    table[np.asarray(table.X.sum(axis=1)).ravel() > 0].copy().write_h5ad(path)
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


def test_a_hest_sample_gives_the_scores_of_the_same_counts_in_a_cube(cube, hest_file, tmp_path):
    tables = []
    for where in (
        ["--hest", hest_file, "--gene", "WAVE", "--gene", "RIDGE"],
        [cube, "--gene", "WAVE", "--genes", "RIDGE"],
    ):
        out = tmp_path / f"{len(tables)}.csv"
        done = s2sst("benchmark", *where, "--methods", "bilinear,inverse distance", "--out", out)
        assert done.returncode == 0, done.stderr
        tables.append(list(csv.DictReader(out.read_text().splitlines())))
        assert "48 x 44 bins of 100 um" in done.stderr or where[0] == cube
    assert [(row["gene"], row["method"]) for row in tables[0]] == [(row["gene"], row["method"]) for row in tables[1]]
    assert {row["gene"] for row in tables[0]} == set(GENES)
    for ours, of_cube in zip(*tables, strict=True):
        # HEST leaves out bins without any count; a cube's outline closes over them.
        assert float(ours["mae_unmeasured"]) == pytest.approx(float(of_cube["mae_unmeasured"]), rel=0.02)


def test_a_hest_sample_without_a_pixel_size_is_said_to_be_taken_as_100_um(hest_file, tmp_path):
    done = s2sst(
        "benchmark", "--hest", hest_file, "--gene", "WAVE", "--methods", "bilinear", "--out", tmp_path / "table.csv"
    )
    assert "TENX94 does not say how large its bins are: 100 um, assumed, as of HEST's Xenium samples." in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--gene", "WAVY"], ["WAVY", "WAVE"]),
        (["--gene", "WAVE", "--bin-um", "20"], ["100 um", "--bin-um"]),
        (["--gene", "WAVE", "SLIDE"], ["--hest", "not both"]),
    ],
)
def test_what_makes_no_sense_of_a_hest_sample_is_one_clear_line_and_writes_nothing(
    hest_file, tmp_path, arguments, words
):
    out = tmp_path / "table.csv"
    assert_one_clear_line(s2sst("benchmark", "--hest", hest_file, "--out", out, *arguments), *words)
    assert not out.exists()


def test_a_hest_sample_in_the_slides_place_is_told_the_option(hest_file, tmp_path):
    done = s2sst("benchmark", hest_file, "--gene", "WAVE", "--out", tmp_path / "table.csv")
    assert_one_clear_line(done, "--hest", hest_file)


def test_neither_a_slide_nor_a_hest_sample_is_one_clear_line(tmp_path):
    assert_one_clear_line(s2sst("benchmark", "--gene", "WAVE", "--out", tmp_path / "table.csv"), "--hest", "count cube")


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
