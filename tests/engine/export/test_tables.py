"""Exported files say exactly what the maps say, where they lie and how they were made, and are whole or not there."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from shapely.geometry import box

from napari_s2sst import GeneMap, SparseMap, error_map, interpolate, open_xenium, sample, score
from napari_s2sst.engine.classical.methods import METHODS
from napari_s2sst.engine.errors import ExportError
from napari_s2sst.engine.export.tables import (
    check_output_folder,
    file_stems,
    safe_name,
    write_figure,
    write_h5ad,
    write_losses_csv,
    write_ome_tiff,
    write_run_json,
    write_scores_csv,
)
from napari_s2sst.engine.sampling.lattice import sparse_layer
from napari_s2sst.engine.sampling.regions import Region

RUN = {
    "program": "napari-s2sst",
    "seed": 3,
    "config": {"training": {"seconds": None, "betas": (0.9, 0.999)}, "sampling": {"phase": [0, 0]}},
    "held_out_mae": {"CDCIN": 0.25, "inverse distance": float("nan")},
    "regions": [],
    "genes": ["ERBB2"],
    "note": 'µm <&> "quoted"',
}


@pytest.fixture(scope="module")
def truth(sample_slide) -> GeneMap:
    return open_xenium(sample_slide).gene_map("ERBB2", bin_um=25.0)


@pytest.fixture(scope="module")
def sparse(truth) -> SparseMap:
    return sample(truth, stride=2)


@pytest.fixture(scope="module")
def imputed(sparse) -> GeneMap:
    estimate = interpolate(sparse, method="bilinear")
    return replace(estimate, uncertainty=np.where(sparse.lattice_mask(), 0, 0.5 + estimate.values / 4))


def test_every_channel_of_the_ome_tiff_reads_back_exactly(tmp_path, sparse, imputed, truth):
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, truth=truth, run=RUN)
    got_sparse, got_imputed, got_uncertainty, got_truth, got_error = tifffile.imread(path)
    inside = imputed.tissue
    np.testing.assert_array_equal(got_sparse, sparse_layer(sparse, "log1p"))
    np.testing.assert_array_equal(got_imputed[inside], imputed.values[inside])
    np.testing.assert_array_equal(got_uncertainty[inside], imputed.uncertainty[inside])
    np.testing.assert_array_equal(got_truth[inside], np.log1p(truth.values)[inside])
    np.testing.assert_array_equal(got_error, error_map(imputed, truth))
    np.testing.assert_array_equal(got_error[inside], (got_imputed - got_truth)[inside])
    for channel in (got_imputed, got_uncertainty, got_truth, got_error):
        np.testing.assert_array_equal(np.isnan(channel), ~inside)
    np.testing.assert_array_equal(np.isfinite(got_sparse), sparse.lattice_mask())


def test_measured_bins_of_the_export_equal_the_truth(tmp_path, sparse, imputed, truth):
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, truth=truth, run=RUN)
    got_sparse, _, _, got_truth, _ = tifffile.imread(path)
    measured = sparse.lattice_mask()
    np.testing.assert_array_equal(got_sparse[measured], got_truth[measured])


def test_the_ome_tiff_is_one_series_with_names_units_and_place(tmp_path, sparse, imputed, truth):
    moved = [replace(one, origin_um=(-12.5, 340.0)) for one in (sparse, imputed, truth)]
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=moved[0], imputed=moved[1], truth=moved[2], run=RUN)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert len(file.series) == 1
        series = file.series[0]
        assert (series.axes, series.dtype, series.shape) == ("CYX", np.float32, (5, *imputed.shape))
        assert file.pages[0].is_tiled
        assert file.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
    pixels = image["Pixels"]
    assert image["Name"] == "ERBB2"
    assert [channel["Name"] for channel in pixels["Channel"]] == ["sparse", "imputed", "uncertainty", "truth", "error"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeY"]) == (25.0, 25.0)
    assert (pixels["PhysicalSizeXUnit"], pixels["PhysicalSizeYUnit"]) == ("µm", "µm")
    assert {(plane["PositionY"], plane["PositionX"]) for plane in pixels["Plane"]} == {(-12.5, 340.0)}
    assert {plane["PositionXUnit"] for plane in pixels["Plane"]} == {"µm"}


def test_the_run_is_in_the_ome_tiff_as_json(tmp_path, sparse, imputed):
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, run=RUN)
    with tifffile.TiffFile(path) as file:
        notes = tifffile.xml2dict(file.ome_metadata)["OME"]["StructuredAnnotations"]["MapAnnotation"]
    entries = {entry["K"]: entry["value"] for entry in notes["Value"]["M"]}
    run = json.loads(entries["run"])
    assert notes["Namespace"] == "s2sst"
    assert run["note"] == RUN["note"]
    assert run["config"]["training"] == {"seconds": None, "betas": [0.9, 0.999]}


def test_without_a_truth_there_are_three_channels(tmp_path, sparse, imputed):
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, run=RUN)
    assert tifffile.imread(path).shape == (3, *imputed.shape)


def test_a_map_without_uncertainty_keeps_its_channels_in_place(tmp_path, sparse, imputed):
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=replace(imputed, uncertainty=None), run=RUN)
    assert np.isnan(tifffile.imread(path)[2]).all()


def test_the_truth_is_normalised_with_the_constants_of_the_measured_bins(tmp_path, truth):
    sparse = sample(truth, stride=2)
    imputed = interpolate(sparse, method="nearest", normalisation="median-log1p")
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, truth=truth, run=RUN)
    got_sparse, _, _, got_truth, _ = tifffile.imread(path)
    expected = truth.normalised(sparse.normalisation("median-log1p")).values
    np.testing.assert_array_equal(got_truth[truth.tissue], expected[truth.tissue])
    np.testing.assert_array_equal(got_sparse[sparse.lattice_mask()], expected[sparse.lattice_mask()])


def test_a_map_larger_than_2048_bins_gets_a_pyramid_in_the_same_series(tmp_path):
    rng = np.random.default_rng(0)
    tissue = np.ones((301, 2101), bool)
    tissue[:, 1000:1301] = False
    gene_map = GeneMap(rng.poisson(2.0, tissue.shape), tissue=tissue, gene="LARGE", bin_um=2.0)
    sparse = sample(gene_map, stride=2)
    imputed = interpolate(sparse, method="nearest")
    path = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, truth=gene_map, run=RUN)
    with tifffile.TiffFile(path) as file:
        assert len(file.series) == 1
        levels = [level.asarray() for level in file.series[0].levels]
    assert [level.shape for level in levels] == [(5, 301, 2101), (5, 151, 1051), (5, 76, 526), (5, 38, 263)]
    np.testing.assert_allclose(
        levels[1][3, :150, :400], levels[0][3, :300, :800].reshape(150, 2, 400, 2).mean((1, 3)), rtol=1e-5
    )
    np.testing.assert_array_equal(levels[1][0, :150, :400], levels[0][0, :300:2, :800:2])
    assert np.isnan(levels[1][1, :, 505:645]).all()


def test_the_h5ad_has_a_row_for_every_tissue_bin_with_the_maps_values(tmp_path, sparse, imputed):
    table = anndata.read_h5ad(write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], run=RUN))
    row, column = table.obs["row"].to_numpy(), table.obs["column"].to_numpy()
    assert table.shape == (imputed.tissue.sum(), 1)
    assert imputed.tissue[row, column].all()
    assert list(table.var_names) == ["ERBB2"]
    assert table.X.dtype == np.float32
    np.testing.assert_array_equal(table.X[:, 0], imputed.values[row, column])
    np.testing.assert_array_equal(table.layers["uncertainty"][:, 0], imputed.uncertainty[row, column])
    np.testing.assert_array_equal(table.layers["measured"][:, 0], sparse_layer(sparse, "log1p")[row, column])
    np.testing.assert_array_equal(table.obs["measured"], sparse.lattice_mask()[row, column])
    assert table.obs["measured"].dtype == bool
    assert table.obs_names.is_unique


def test_the_map_comes_back_from_the_h5ad_bin_for_bin(tmp_path, sparse, imputed):
    table = anndata.read_h5ad(write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], run=RUN))
    back = np.full(imputed.shape, np.nan, np.float32)
    back[table.obs["row"], table.obs["column"]] = table.X[:, 0]
    np.testing.assert_array_equal(back, np.where(imputed.tissue, imputed.values, np.nan).astype(np.float32))


def test_spatial_holds_bin_centres_as_x_and_y_in_um(tmp_path, sparse, imputed):
    moved = [replace(one, origin_um=(100.0, 7.0)) for one in (sparse, imputed)]
    table = anndata.read_h5ad(write_h5ad(tmp_path / "i.h5ad", sparse=moved[:1], imputed=moved[1:], run=RUN))
    x, y = table.obsm["spatial"].T
    np.testing.assert_allclose(x, 7.0 + (table.obs["column"] + 0.5) * 25.0)
    np.testing.assert_allclose(y, 100.0 + (table.obs["row"] + 0.5) * 25.0)


def test_genes_of_one_slide_share_a_table(tmp_path, sample_slide):
    maps = open_xenium(sample_slide).gene_maps(["KRT8", "LUM"], bin_um=40.0)
    sparse = [sample(gene_map, stride=3) for gene_map in maps]
    imputed = [interpolate(one, method="nearest") for one in sparse]
    table = anndata.read_h5ad(write_h5ad(tmp_path / "i.h5ad", sparse=sparse, imputed=imputed, run=RUN))
    assert list(table.var_names) == ["KRT8", "LUM"]
    for index, one in enumerate(imputed):
        np.testing.assert_array_equal(table.X[:, index], one.values[table.obs["row"], table.obs["column"]])
    assert np.isnan(table.layers["uncertainty"]).all()


def test_bins_carry_the_region_that_holds_their_centre(tmp_path, sparse, imputed):
    regions = [Region("tumour", box(300, 600, 800, 900)), Region("lobule", box(700, 300, 1700, 700))]
    table = anndata.read_h5ad(
        write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], regions=regions, run=RUN)
    )
    x, y = table.obsm["spatial"].T
    tumour = (x > 300) & (x < 800) & (y > 600) & (y < 900)
    lobule = (x > 700) & (x < 1700) & (y > 300) & (y < 700) & ~tumour
    region = table.obs["region"]
    assert region.dtype == "category"
    np.testing.assert_array_equal(region == "tumour", tumour)
    np.testing.assert_array_equal(region == "lobule", lobule)
    assert region[~tumour & ~lobule].isna().all()


def test_without_regions_every_bin_is_of_the_whole_slide(tmp_path, sparse, imputed):
    table = anndata.read_h5ad(write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], run=RUN))
    assert set(table.obs["region"]) == {"whole slide"}


def test_the_run_is_in_the_h5ad_as_values_and_exactly_as_json(tmp_path, sparse, imputed):
    table = anndata.read_h5ad(write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], run=RUN))
    run = table.uns["s2sst"]
    assert run["seed"] == 3
    assert run["held_out_mae"] == {"CDCIN": 0.25}
    np.testing.assert_array_equal(run["config"]["training"]["betas"], [0.9, 0.999])
    assert list(run["genes"]) == ["ERBB2"]
    exact = json.loads(run["json"])
    assert exact["config"]["training"] == {"seconds": None, "betas": [0.9, 0.999]}
    assert exact["held_out_mae"] == {"CDCIN": 0.25, "inverse distance": None}


def test_a_run_with_anything_json_knows_can_be_stored(tmp_path, sparse, imputed):
    run = {"a/b": {"": 1, "/": None}, "mixed": [1, "a", None], "deep": [{"x": [1, [2]]}], "truth": [True, False],
           "path": Path("x"), "array": np.arange(3), "empty": {}, "big": 2**40}  # fmt: skip
    table = anndata.read_h5ad(write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], run=run))
    assert json.loads(table.uns["s2sst"]["json"])["a/b"] == {"": 1, "/": None}
    assert table.uns["s2sst"]["big"] == 2**40


def test_maps_of_different_grids_are_refused(tmp_path, sparse, imputed):
    with pytest.raises(ExportError, match="different grids"):
        write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=replace(imputed, bin_um=30.0), run=RUN)
    other = replace(imputed, origin_um=(5.0, 5.0)), replace(sparse, origin_um=(5.0, 5.0))
    with pytest.raises(ExportError, match="different grids"):
        write_h5ad(tmp_path / "i.h5ad", sparse=[sparse, other[1]], imputed=[imputed, other[0]], run=RUN)
    assert not list(tmp_path.iterdir())


def test_a_map_of_counts_is_refused_with_what_to_do(tmp_path, sparse, truth):
    with pytest.raises(ExportError, match="Impute it"):
        write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=truth, run=RUN)


def test_a_gene_given_twice_is_refused(tmp_path, sparse, imputed):
    with pytest.raises(ExportError, match="twice"):
        write_h5ad(tmp_path / "i.h5ad", sparse=[sparse] * 2, imputed=[imputed] * 2, run=RUN)


def test_tables_have_every_column_that_any_row_has(tmp_path):
    rows = [{"step": 10, "loss": 0.1}, {"step": 20, "loss": 1 / 3, "held_out_mae": 0.25}]
    with open(write_losses_csv(tmp_path / "losses.csv", rows), newline="", encoding="utf-8") as file:
        back = list(csv.DictReader(file))
    assert list(back[0]) == ["step", "loss", "held_out_mae"]
    assert [float(row["loss"]) for row in back] == [0.1, 1 / 3]
    assert back[0]["held_out_mae"] == ""


def test_tables_without_rows_still_have_a_header(tmp_path):
    assert write_losses_csv(tmp_path / "losses.csv", []).read_text() == "step,loss\n"
    assert write_scores_csv(tmp_path / "scores.csv", []).read_text() == "gene,method\n"


def test_a_gene_name_with_a_comma_survives_the_table(tmp_path):
    path = write_scores_csv(tmp_path / "scores.csv", [{"gene": 'a,"b"\n', "method": "µ", "mae": np.float64(0.5)}])
    with open(path, newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{"gene": 'a,"b"\n', "method": "µ", "mae": "0.5"}]


def test_run_json_is_strict_json_with_null_for_what_is_no_number(tmp_path):
    text = write_run_json(tmp_path / "run.json", RUN | {"x": np.float32(0.5)}).read_text(encoding="utf-8")
    run = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert run["held_out_mae"]["inverse distance"] is None
    assert run["x"] == 0.5


@pytest.mark.parametrize("with_truth", [True, False])
def test_the_figure_is_a_picture_with_ink_in_every_panel(tmp_path, sparse, imputed, truth, with_truth):
    scores = {name: score(interpolate(sparse, method=name), truth=truth, sparse=sparse) for name in METHODS}
    known = dict(truth=truth, scores=scores) if with_truth else {}
    picture = np.asarray(
        Image.open(write_figure(tmp_path / "f.png", sparse=sparse, imputed=imputed, **known)).convert("RGB")
    )
    assert picture.shape[1] > 1000
    for panel in np.array_split(picture[150:-60], 3, axis=1):
        assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 50


def test_the_figure_uses_no_global_state_of_matplotlib(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from napari_s2sst import GeneMap, sample, interpolate\n"
        "from napari_s2sst.engine.export.tables import write_figure\n"
        "s = sample(GeneMap(np.arange(96.).reshape(8, 12), gene='$x_{$'), stride=2)\n"
        f"write_figure({str(tmp_path / 'f.png')!r}, sparse=s, imputed=interpolate(s, method='nearest'))\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_map_without_any_count_still_has_a_figure(tmp_path):
    sparse = sample(GeneMap(np.zeros((9, 9)), gene="NONE"), stride=2)
    flat = interpolate(sparse, method="nearest")
    assert write_figure(tmp_path / "f.png", sparse=sparse, imputed=flat, truth=GeneMap(np.zeros((9, 9)))).is_file()


@given(st.text(max_size=120))
def test_a_gene_s_file_stays_in_its_folder_whatever_its_name(name):
    safe = safe_name(name)
    assert safe
    assert Path(safe).name == safe
    assert safe not in (".", "..")
    assert not safe.startswith(".")
    assert len(f"{safe}.ome.tif".encode()) < 120


def test_ordinary_gene_names_are_kept_and_odd_ones_stay_apart():
    assert [safe_name(gene) for gene in ("ERBB2", "HLA-DRA", "MT-CO1", "Gm1.2")] == [
        "ERBB2",
        "HLA-DRA",
        "MT-CO1",
        "Gm1.2",
    ]
    odd = ["A/B", "A_B", "A\\B", "A:B", "../A", "", "con", "A" * 300, "A" * 301]
    assert len({safe_name(gene) for gene in odd}) == len(odd)


def test_genes_that_differ_only_in_case_have_files_that_do_not():
    stems = file_stems(["GAD1", "Gad1", "ERBB2"])
    assert stems["ERBB2"] == "ERBB2"
    assert len({stem.casefold() for stem in stems.values()}) == 3
    assert stems["GAD1"].startswith("GAD1-")
    assert file_stems(["Gad1"]) == {"Gad1": "Gad1"}


def test_odd_names_reach_the_file_s_contents_unchanged(tmp_path, sparse, imputed):
    gene = '../A<b>&"c" µ'
    maps = dict(sparse=replace(sparse, gene=gene), imputed=replace(imputed, gene=gene))
    path = write_ome_tiff(tmp_path / f"{safe_name(gene)}.ome.tif", **maps, run=RUN)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    with tifffile.TiffFile(path) as file:
        assert tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Name"] == gene
    table = write_h5ad(tmp_path / "i.h5ad", sparse=[maps["sparse"]], imputed=[maps["imputed"]], run=RUN)
    assert list(anndata.read_h5ad(table).var_names) == [gene]
    assert write_figure(tmp_path / "f.png", **maps).is_file()


def test_an_output_folder_is_made_with_its_parents(tmp_path):
    assert check_output_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not list((tmp_path / "a" / "b").iterdir())


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_an_output_folder_that_cannot_be_is_one_clear_sentence(tmp_path, place):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ExportError, match="can't be written") as error:
        check_output_folder(tmp_path / place)
    assert "\n" not in str(error.value)


def test_files_replace_older_ones_of_their_name_as_a_whole(tmp_path, sparse, imputed):
    (tmp_path / "a.ome.tif").write_bytes(b"x" * 5_000_000)
    write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, run=RUN)
    assert tifffile.imread(tmp_path / "a.ome.tif").shape[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.tif"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from napari_s2sst import GeneMap, sample, interpolate
from napari_s2sst.engine.export import tables as export
from napari_s2sst.engine.errors import ExportError
folder = Path(sys.argv[1])
sparse = sample(GeneMap(np.random.default_rng(0).poisson(3, (200, 200)), gene="G"), stride=2)
maps = dict(sparse=sparse, imputed=interpolate(sparse, method="nearest"))
export.write_figure(folder / "warm.png", **maps)   # matplotlib writes its font list once
(folder / "warm.png").unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
rows = [{"step": step} for step in range(9999)]
for write in (
    lambda: export.write_ome_tiff(folder / "a.ome.tif", **maps, run={}),
    lambda: export.write_h5ad(folder / "i.h5ad", sparse=[sparse], imputed=[maps["imputed"]], run={}),
    lambda: export.write_figure(folder / "f.png", **maps),
    lambda: export.write_losses_csv(folder / "losses.csv", rows),
    lambda: export.write_run_json(folder / "run.json", {"rows": rows}),
):
    try:
        write()
    except ExportError as error:
        print(str(error).replace("\\n", "<new line>"))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as only POSIX systems can")
def test_a_full_disk_leaves_no_file_behind_and_is_told_in_one_sentence_each(tmp_path):
    (tmp_path / "losses.csv").write_text("older")
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=120, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == 5, done.stdout + done.stderr
    assert all("can't be written" in line and "Make room" in line and "<new line>" not in line for line in told)
    assert [path.name for path in tmp_path.iterdir()] == ["losses.csv"]
    assert (tmp_path / "losses.csv").read_text() == "older"
