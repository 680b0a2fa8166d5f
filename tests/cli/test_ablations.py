"""`s2sst ablations` as a user meets it: on a small count cube made here."""

import csv

import pytest
from support.command import assert_one_clear_line, s2sst


@pytest.fixture(scope="module")
def done(cube, tmp_path_factory):
    """A tiny run of two variants and two seeds, as a user would start it."""
    out = tmp_path_factory.mktemp("ablations") / "tables" / "table.csv"
    arguments = ("--gene", "WAVE", "--preset", "fast", "--steps", 1, "--seeds", "0,1", "--only", "neither,hab")
    done = s2sst("ablations", cube, *arguments, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


def test_the_table_has_a_row_for_every_variant_gene_and_seed(done):
    rows = list(csv.DictReader(done[0].read_text().splitlines()))
    named = [(row["variant"], row["gene"], row["seed"]) for row in rows]
    assert named == [(variant, "WAVE", seed) for variant in ("full", "neither") for seed in "01"]
    assert [(row["image_batch"], row["data_consistency"]) for row in rows] == [("8", "True")] * 2 + [("0", "False")] * 2
    assert all(int(row["parameters"]) > 0 and int(row["steps"]) == 1 and float(row["train_s"]) > 0 for row in rows)
    assert all(0 < float(row["mae"]) < float(row["mae_unmeasured"]) for row in rows)


def test_the_terminal_shows_each_variant_against_the_full_network(done):
    out, printed = done[0], done[1].stdout
    for word in (
        "WAVE, unmeasured bins",
        "full",
        "neither",
        "to full",
        "+0.0%",
        "2 seeds",
        "random weights",
        "1 step.",
        str(out),
    ):
        assert word in printed
    assert "…" not in printed
    assert all(len(line) <= 80 for line in printed.splitlines() if line.startswith("│"))


def test_the_notes_say_what_runs_and_what_the_preset_has_already(done):
    notes = done[1].stderr
    assert "no HAB is left out: it is what the preset fast has already" in notes
    assert "4 trainings" in notes
    for number, what in enumerate(("full, WAVE, seed 0", "full, WAVE, seed 1", "neither, WAVE, seed 0"), start=1):
        assert f"{number} of 4: {what}" in notes


def test_the_help_says_that_all_start_from_random_weights():
    done = s2sst("ablations", "--help")
    assert done.returncode == 0
    assert "random weights" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--gene", "WAVE"]),
        (["--gene", "WAVY"], ["WAVY", "WAVE"]),
        (["--gene", "SILENT"], ["SILENT", "transcript"]),
        (["--gene", "WAVE", "--only", "no loss"], ["no loss", "neither", "table2"]),
        (["--gene", "WAVE", "--preset", "fast", "--only", "hab"], ["no HAB", "fast"]),
        (["--gene", "WAVE", "--preset", "instant"], ["instant", "paper"]),
        (["--gene", "WAVE", "--seeds", "1,x"], ["--seeds", "1,x"]),
        (["--gene", "WAVE", "--stride", "30"], ["stride", "30"]),
        (["--gene", "WAVE", "--steps", "3", "--seconds", "3"], ["--steps", "--seconds"]),
        (["--gene", "WAVE", "--bin-um", "20"], ["10 um"]),
        (["--gene", "WAVE", "--images", "nowhere"], ["nowhere", "--images"]),
        (["--gene", "WAVE", "--hest", "TENX94.h5ad"], ["--hest", "not both"]),
    ],
)
def test_what_makes_no_sense_is_one_clear_line_and_writes_nothing(cube, tmp_path, arguments, words):
    out = tmp_path / "table.csv"
    assert_one_clear_line(s2sst("ablations", cube, "--out", out, *arguments), *words)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_files_place_is_one_clear_line(cube, tmp_path):
    assert_one_clear_line(s2sst("ablations", cube, "--gene", "WAVE", "--out", tmp_path), "--out", tmp_path)
