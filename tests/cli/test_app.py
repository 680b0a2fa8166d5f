"""The command line as a user meets it: its exit status, what it prints and what it writes, and real processes of it."""

import csv
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
from support.command import assert_one_clear_line, command_of, s2sst, s2sst_process

import napari_s2sst
from napari_s2sst.engine.simulated.cells import GENES

GENE, OTHER_GENE = list(GENES)[:2]
FILES = {"imputed.h5ad", "scores.csv", "losses.csv", "run.json", "model.safetensors"}


def table(path):
    """The rows of a CSV file."""
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def run_folder(sample_slide, tmp_path_factory):
    """A tiny run of two genes, as a user would start it."""
    out = tmp_path_factory.mktemp("run") / "result"
    options = ("--gene", GENE, "--gene", OTHER_GENE, "--steps", 3, "--seed", 7)
    done = s2sst_process("impute", sample_slide, *options, "--out", out)
    assert done.returncode == 0, done.stderr
    return out, done


@pytest.fixture
def count_cube(tmp_path):
    """A count cube of one smooth gene, 48 x 40 bins of 12.5 um."""
    rows, columns = np.mgrid[:48, :40]
    depth = 4 + 3 * np.sin(rows / 6) * np.cos(columns / 5)
    counts = np.random.default_rng(0).poisson(depth).astype(np.float32)
    path = tmp_path / "cube.npz"
    np.savez_compressed(path, counts=counts[None], genes=np.array(["WAVE"]), bin_um=12.5)
    return path


# what goes wrong


def test_a_folder_that_is_no_bundle_is_one_clear_line(tmp_path):
    done = s2sst_process("impute", tmp_path, "--gene", "LTF", "--out", tmp_path / "out")
    assert_one_clear_line(done, tmp_path, "experiment.xenium")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path):
    assert_one_clear_line(s2sst("info", tmp_path / "nowhere"), "nowhere")


def test_a_bundle_without_transcripts_is_one_clear_line(sample_slide, tmp_path):
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "experiment.xenium").write_bytes((sample_slide / "experiment.xenium").read_bytes())
    done = s2sst("impute", bundle, "--gene", "LTF", "--out", tmp_path / "out")
    assert_one_clear_line(done, "transcripts")
    assert not (tmp_path / "out").exists()


def test_an_unknown_gene_names_the_nearest_ones(sample_slide, tmp_path):
    done = s2sst("impute", sample_slide, "--gene", GENE[:-1] + "x", "--out", tmp_path / "out")
    assert_one_clear_line(done, GENE[:-1] + "x", GENE)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("stride", [1, 0, -2, 1000])
def test_a_stride_that_measures_everything_or_next_to_nothing_is_refused(sample_slide, tmp_path, stride):
    done = s2sst("impute", sample_slide, "--gene", GENE, "--stride", stride, "--out", tmp_path / "out")
    assert_one_clear_line(done, "stride", stride)
    assert not (tmp_path / "out").exists()


def test_bins_as_large_as_the_slide_are_refused(sample_slide, tmp_path):
    done = s2sst("impute", sample_slide, "--gene", GENE, "--bin-um", 1000, "--out", tmp_path / "out")
    assert_one_clear_line(done, "smaller bins")


def test_an_output_folder_below_a_file_is_refused_before_training(sample_slide, tmp_path):
    (tmp_path / "file").write_text("kept")
    done = s2sst("impute", sample_slide, "--gene", GENE, "--seconds", 36_000, "--out", tmp_path / "file" / "out")
    assert_one_clear_line(done, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--colour", "red"], "--colour"),
        (["--stride", "two"], "--stride"),
        (["--preset", "quick"], "quick"),
        (["--device", "abacus"], "abacus"),
        (["--normalisation", "sqrt"], "sqrt"),
        (["--steps", "-1"], "steps"),
        (["--seconds", "5", "--steps", "5"], "--steps"),
        (["--images", "/no/such/folder"], "/no/such/folder"),
        (["--region", "/no/such/file.geojson"], "file.geojson"),
        (["--genes-file", "/no/such/list.txt"], "list.txt"),
        (["--all-genes"], "--all-genes"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_bad_option_is_one_clear_line(sample_slide, tmp_path, options, word):
    done = s2sst("impute", sample_slide, "--gene", GENE, *options, "--out", tmp_path / "out")
    assert_one_clear_line(done, word)
    assert not (tmp_path / "out").exists()


def test_no_gene_asks_for_one_and_names_some(sample_slide, tmp_path):
    done = s2sst("impute", sample_slide, "--out", tmp_path / "out")
    assert_one_clear_line(done, "--gene")
    assert any(gene in done.stderr for gene in GENES)


def test_a_missing_out_is_one_clear_line(sample_slide):
    assert_one_clear_line(s2sst("impute", sample_slide, "--gene", GENE), "--out")


def test_a_bundle_and_a_map_together_are_refused(sample_slide, count_cube, tmp_path):
    done = s2sst("impute", sample_slide, "--map", count_cube, "--gene", "WAVE", "--out", tmp_path / "out")
    assert_one_clear_line(done, "--map")


@pytest.mark.parametrize(("option", "value"), [("--bin-um", 7), ("--min-qv", 30)])
def test_an_option_that_a_map_file_leaves_no_choice_of_is_refused(count_cube, tmp_path, option, value):
    done = s2sst("impute", "--map", count_cube, "--gene", "WAVE", option, value, "--out", tmp_path / "out")
    assert_one_clear_line(done, option)
    assert not (tmp_path / "out").exists()


def test_an_unknown_command_is_one_clear_line():
    assert_one_clear_line(s2sst("imput"), "imput")


def test_view_says_that_there_is_no_screen(sample_slide):
    if not sys.platform.startswith("linux"):
        pytest.skip("only Linux tells by DISPLAY whether there is a screen")
    done = s2sst_process("view", sample_slide, DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM="")
    assert_one_clear_line(done, "no screen")


def test_view_refuses_a_table_that_is_no_result_before_a_window_opens(tmp_path):
    (tmp_path / "other.h5ad").write_text("no table")
    (tmp_path / "other.ome.tif").write_text("no picture")
    for name in ("other.h5ad", "other.ome.tif", "absent.h5ad"):
        assert_one_clear_line(s2sst("view", tmp_path / name, DISPLAY="", WAYLAND_DISPLAY="", QT_QPA_PLATFORM=""), name)


def test_view_s_genes_are_of_results_alone(sample_slide):
    assert_one_clear_line(s2sst("view", sample_slide, "--gene", "ERBB2", DISPLAY="", WAYLAND_DISPLAY=""), "--gene")


# what goes right


def test_help_is_there_without_arguments():
    done = s2sst()
    assert done.returncode == 0
    assert all(command in done.stdout for command in ("demo", "info", "impute", "view"))


def test_version_is_the_packages():
    assert s2sst_process("--version").stdout.strip() == napari_s2sst.__version__


def test_demo_writes_a_bundle_that_info_reads(tmp_path):
    assert s2sst("demo", tmp_path / "slide").returncode == 0
    done = s2sst("info", tmp_path / "slide")
    assert done.returncode == 0, done.stderr
    assert GENE in done.stdout


def test_info_as_json_names_every_gene_by_count(sample_slide):
    done = s2sst("info", sample_slide, "--json")
    facts = json.loads(done.stdout)
    assert set(facts["genes"]) == set(GENES)
    counts = list(facts["genes"].values())
    assert counts == sorted(counts, reverse=True)
    assert len(facts["images"]) == 4
    assert facts["transcripts"] > sum(counts) / 2


def test_impute_writes_every_file_of_the_contract(run_folder):
    out, done = run_folder
    genes = {f"{gene}{end}" for gene in (GENE, OTHER_GENE) for end in (".ome.tif", ".png")}
    assert {path.name for path in out.iterdir()} == FILES | genes
    assert "Traceback" not in done.stderr


def test_the_scores_hold_the_network_and_every_classical_method_of_each_gene(run_folder):
    out, done = run_folder
    rows = table(out / "scores.csv")
    methods = {"CDCIN", "nearest", "bilinear", "bicubic", "inverse distance", "Gaussian"}
    assert {(row["gene"], row["method"]) for row in rows} >= {(g, m) for g in (GENE, OTHER_GENE) for m in methods}
    assert {"mae", "pcc", "ssim", "mae_unmeasured", "pcc_unmeasured", "ssim_unmeasured"} <= set(rows[0])
    assert all(0 < float(row["mae_unmeasured"]) < 10 for row in rows)
    for word in ("CDCIN", "inverse distance", "MAE", "PCC", "SSIM", str(out)):
        assert word in done.stdout


def test_the_run_is_described_well_enough_to_repeat_it(run_folder):
    out, _ = run_folder
    run = json.loads((out / "run.json").read_text())
    assert run["steps"] == 3
    assert run["seed"] == 7
    assert run["genes"] == [GENE, OTHER_GENE]
    assert "--steps 3" in run["command"]
    assert re.fullmatch("[0-9a-f]{64}", run["input"]["sparse_sha256"])
    assert run["versions"]["torch"]
    assert run["config"]["sampling"]["stride"] == 2
    assert all(seconds >= 0 for seconds in run["seconds"].values())


def test_the_files_hold_the_imputed_maps(run_folder):
    out, _ = run_folder
    maps = anndata.read_h5ad(out / "imputed.h5ad")
    assert list(maps.var_names) == [GENE, OTHER_GENE]
    assert np.isfinite(np.asarray(maps.X)).all()
    with tifffile.TiffFile(out / f"{GENE}.ome.tif") as image:
        assert image.series[0].shape[0] == 5
    rows = [row for row in table(out / "losses.csv") if row["loss"]]
    assert int(rows[-1]["step"]) == 3
    assert np.isfinite(float(rows[-1]["loss"]))


def test_the_same_seed_and_steps_give_the_same_maps(run_folder, sample_slide, tmp_path):
    out, _ = run_folder
    again = tmp_path / "again"
    options = ("--gene", GENE, "--gene", OTHER_GENE, "--steps", 3, "--seed", 7)
    assert s2sst("impute", sample_slide, *options, "--out", again).returncode == 0
    first, second = (anndata.read_h5ad(folder / "imputed.h5ad").X for folder in (out, again))
    np.testing.assert_array_equal(np.asarray(first), np.asarray(second))


def test_an_earlier_result_is_replaced_and_that_is_said(count_cube, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "scores.csv").write_text("old")
    (out / "notes.txt").write_text("mine")
    done = s2sst("impute", "--map", count_cube, "--gene", "WAVE", "--steps", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "replaced" in done.stderr
    assert (out / "scores.csv").read_text() != "old"
    assert (out / "notes.txt").read_text() == "mine"


def test_a_map_file_is_imputed_with_its_own_bin_size(count_cube, tmp_path):
    done = s2sst("impute", "--map", count_cube, "--all-genes", "--stride", 3, "--steps", 2, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["config"]["grid"]["bin_um"] == 12.5
    assert run["config"]["sampling"]["stride"] == 3
    assert run["genes"] == ["WAVE"]


def test_filling_in_makes_a_finer_grid_and_scores_nothing(count_cube, tmp_path):
    out = tmp_path / "out"
    done = s2sst("impute", "--map", count_cube, "--gene", "WAVE", "--fill-in", "--steps", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    assert "no scores" in done.stdout
    assert table(out / "scores.csv") == []
    with tifffile.TiffFile(out / "WAVE.ome.tif") as image:
        assert image.series[0].shape == (3, 96, 80)
        assert 'PhysicalSizeX="6.25"' in image.ome_metadata


def test_a_list_of_genes_is_read_from_a_file(sample_slide, tmp_path):
    names = tmp_path / "genes.txt"
    names.write_text(f"{GENE}\n\n{OTHER_GENE}\n{GENE}\n")
    out = tmp_path / "out"
    done = s2sst("impute", sample_slide, "--genes-file", names, "--steps", 1, "--bin-um", 40, "--out", out)
    assert done.returncode == 0, done.stderr
    assert json.loads((out / "run.json").read_text())["genes"] == [GENE, OTHER_GENE]


def test_a_region_keeps_only_its_bins(sample_slide, run_folder, tmp_path):
    whole = anndata.read_h5ad(run_folder[0] / "imputed.h5ad")
    middle = np.asarray(whole.obsm["spatial"]).mean(0)
    x0, y0, x1, y1 = (*(middle - 300), *(middle + 300))
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    shape = {"type": "Polygon", "coordinates": [[[float(x), float(y)] for x, y in ring]]}
    feature = {"type": "Feature", "properties": {"name": "middle"}, "geometry": shape}
    path = tmp_path / "roi.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    out = tmp_path / "out"
    done = s2sst("impute", sample_slide, "--gene", GENE, "--steps", 2, "--region", path, "--out", out)
    assert done.returncode == 0, done.stderr
    part = anndata.read_h5ad(out / "imputed.h5ad")
    assert 0 < part.n_obs < whole.n_obs
    assert (np.abs(np.asarray(part.obsm["spatial"]) - middle) <= 300).all()
    assert json.loads((out / "run.json").read_text())["regions"][0]["name"] == "middle"


def test_ctrl_c_stops_the_training_and_keeps_what_was_learnt(sample_slide, tmp_path):
    out = tmp_path / "out"
    process = subprocess.Popen(
        command_of("impute", sample_slide, "--gene", GENE, "--bin-um", 40, "--steps", 100_000, "--out", out),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    for line in process.stderr:  # the first line of progress: steps are being taken
        if "steps/s" in line:
            break
    process.send_signal(signal.SIGINT)
    printed, complaints = process.communicate(timeout=180)
    assert process.returncode == 130, complaints
    assert "Stopping" in complaints
    assert "Traceback" not in complaints
    assert {path.name for path in out.iterdir()} == FILES | {f"{GENE}.ome.tif", f"{GENE}.png"}
    assert 0 < json.loads((out / "run.json").read_text())["steps"] < 100000
    assert "CDCIN" in printed


def readme_python() -> str:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    return re.search(r"```python\n(.*?)```", text, flags=re.DOTALL).group(1)


def test_the_python_example_of_the_readme_runs(sample_slide, tmp_path):
    code = readme_python()
    shorter = code.replace("seconds=60", "steps=3").replace("demo/slide", str(sample_slide))
    assert shorter.count("steps=3") == 1, "the README's example is to name seconds=60 once"
    assert str(sample_slide) in shorter
    done = subprocess.run(
        [sys.executable, "-c", shorter], capture_output=True, text=True, cwd=tmp_path, timeout=240
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "the README's example prints its scores"
