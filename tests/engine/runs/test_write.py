"""The chosen files of a run, or of several in one folder, are written, and no others."""

import csv
import re
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from shapely.geometry import box

from napari_s2sst import RunConfig, fit
from napari_s2sst.engine.export.choice import (
    ExportChoice,
    ExportItem,
    estimated_bytes,
    file_names,
    free_bytes,
    suffixes,
)
from napari_s2sst.engine.export.values import region_of_bins
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.write import export_item, write_result, write_results
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.engine.slides.count_cube import open_count_cube

NOTHING = ExportChoice(ome_tiff=False, h5ad=False, figure=False, tables=False, model=False)
EVERYTHING = ExportChoice(csv=True, comparison=True, regions=True, region_table=True, script=True)
REGIONS = (Region("corner", box(0, 0, 200, 200)), Region("else", box(200, 0, 440, 480)))


@pytest.fixture(scope="module")
def results(cube):
    """Three runs on the cube: WAVE twice, and WAVE with RIDGE in regions; trained for no step."""
    slide, config = open_count_cube(cube), RunConfig.preset("fast", steps=0, symmetries=1, bin_um=10.0, device="cpu")
    jobs = [prepare(slide, ["WAVE"], config), prepare(slide, ["WAVE"], config.changed(stride=3))]
    jobs.append(prepare(slide, ["WAVE", "RIDGE"], config, REGIONS))
    return [complete(job, fit(list(job.sparse), job.config)) for job in jobs]


@pytest.mark.parametrize("which", ["the command line's", "all", "none", "a PDF"])
def test_exactly_the_announced_files_are_written(tmp_path, results, cube, which):
    choice = {"the command line's": ExportChoice(), "all": EVERYTHING, "none": NOTHING,
              "a PDF": replace(NOTHING, figure=True, figure_format="pdf")}[which]  # fmt: skip
    for number, result in enumerate(results):
        folder = tmp_path / str(number)
        paths = write_result(folder, result, choice=choice, slide_path=cube)
        announced = file_names(export_item(result, "a run", cube), choice)
        assert sorted(path.name for path in paths) == sorted(announced)
        assert {path.name for path in folder.iterdir()} == set(announced)


def test_without_a_choice_the_files_are_those_of_the_contract(tmp_path, results):
    names = {path.name for path in write_result(tmp_path, results[0])}
    contract = {"imputed.h5ad", "scores.csv", "losses.csv", "model.safetensors", "run.json"}
    assert names == contract | {"WAVE.ome.tif", "WAVE.png"}


def test_several_results_of_one_gene_keep_their_own_files(tmp_path, results, cube):
    paths = write_results(tmp_path, results, choice=EVERYTHING, slide_paths=[cube] * 3)
    assert len({path.name for path in paths}) == len(paths)
    items = [export_item(result, "", cube) for result in results]
    ends = suffixes([item.genes for item in items])
    announced = [name for item, end in zip(items, ends, strict=True) for name in file_names(item, EVERYTHING, end)]
    assert sorted(path.name for path in paths) == sorted(announced)
    for result, end in zip(results, ends, strict=True):
        imputed = tifffile.imread(tmp_path / f"WAVE{end.gene}.ome.tif")[1]
        inside = result.imputed[0].tissue
        np.testing.assert_array_equal(imputed[inside], result.imputed[0].values[inside])


def test_a_script_among_several_names_its_own_regions(tmp_path, results, cube):
    write_results(tmp_path, results, choice=EVERYTHING, slide_paths=[cube] * 3)
    script = next(path for path in tmp_path.glob("repeat*.sh") if "--region" in path.read_text())
    named = re.search(r'--region "\$here/(.*?)"', script.read_text())[1]
    assert (tmp_path / named).is_file()


@given(
    st.lists(st.lists(st.sampled_from(["A", "a", "B", "A/B", "x"]), min_size=1, max_size=3, unique=True), max_size=7)
)
def test_no_two_results_ever_share_a_file(genes):
    """Nor two genes of one, also where A and a are one file."""
    items = [
        ExportItem(
            name="", genes=tuple(each), bins=1, tissue_bins=1, has_regions=True, has_start=True, edited_tissue=True
        )
        for each in genes
    ]
    names = [
        name for item, end in zip(items, suffixes(genes), strict=True) for name in file_names(item, EVERYTHING, end)
    ]
    assert len({name.casefold() for name in names}) == len(names)


def test_the_estimated_size_is_enough_and_not_ten_times_too_much(tmp_path, results, cube):
    for number, result in enumerate(results):
        paths = write_result(tmp_path / str(number), result, choice=EVERYTHING, slide_path=cube)
        size = sum(path.stat().st_size for path in paths)
        assert size <= estimated_bytes(export_item(result, "", cube), EVERYTHING) < 10 * size


def test_room_is_known_of_a_folder_that_is_not_there_yet(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(free_bytes(tmp_path), rel=0.1)


def test_a_result_that_no_script_can_repeat_is_written_without_one(tmp_path, results, cube):
    stranger = replace(results[0], trained=replace(results[0].trained, genes=("RIDGE",)))
    paths = write_results(tmp_path, [stranger, results[1]], choice=EVERYTHING, slide_paths=[cube] * 2)
    assert [path.name for path in paths if path.suffix == ".sh"] == ["repeat-WAVE-run2.sh"]


def test_bins_csv_has_every_tissue_bin_of_every_gene_with_its_values(tmp_path, results):
    result = results[2]
    write_result(tmp_path, result, choice=replace(NOTHING, csv=True))
    with open(tmp_path / "bins.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(int(one.tissue.sum()) for one in result.imputed)
    names = region_of_bins(result.imputed[0], REGIONS)
    maps = dict(zip(("WAVE", "RIDGE"), zip(result.imputed, result.job.sparse, strict=True), strict=True))
    for row in rows[::97]:
        imputed, sparse = maps[row["gene"]]
        at = int(row["row"]), int(row["column"])
        assert np.float32(row["imputed"]) == imputed.values[at]
        assert (row["measured"] != "") == bool(sparse.lattice_mask()[at])
        assert (float(row["x_um"]), float(row["y_um"])) == (10 * at[1] + 5, 10 * at[0] + 5)
        assert row["region"] == names[at]
        assert float(row["error"]) == pytest.approx(float(row["imputed"]) - float(row["truth"]), abs=1e-5)


def test_the_region_table_has_a_line_for_every_gene_and_region(tmp_path, results):
    def lines(result) -> list[dict[str, str]]:
        (path,) = (
            path
            for path in write_result(tmp_path, result, choice=replace(NOTHING, region_table=True))
            if path.name == "region_table.csv"
        )
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    assert [(line["gene"], line["name"]) for line in lines(results[2])] == [
        ("WAVE", "corner"), ("WAVE", "else"), ("RIDGE", "corner"), ("RIDGE", "else"),
    ]  # fmt: skip
    (whole,) = lines(results[0])
    assert whole["name"] == "whole slide"
    ours = next(iter(results[0].scores["WAVE"].values()))
    assert float(whole["mae"]) == pytest.approx(ours.mae_unmeasured, rel=1e-4)
