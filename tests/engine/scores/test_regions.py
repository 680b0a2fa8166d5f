"""Area, means and error of every region."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from shapely.geometry import Polygon, box

from napari_s2sst import GeneMap, interpolate, sample, score
from napari_s2sst.engine.errors import ExportError, RegionError
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.engine.scores.regions import region_rows, write_regions_csv

LEFT = Region("left", box(0, 0, 400, 800))
RING = Region(
    "ring", Polygon([(0, 0), (800, 0), (800, 800), (0, 800)], [[(200, 200), (600, 200), (600, 600), (200, 600)]])
)


@pytest.fixture
def maps():
    """Truth in counts, what was measured of it, and what an interpolation makes of that; 40 x 40 bins of 20 um."""
    counts = np.random.default_rng(0).poisson(4, (40, 40))
    tissue = np.ones(counts.shape, bool)
    tissue[:4] = False
    truth = GeneMap(counts, tissue, gene="LTF", bin_um=20.0)
    sparse = sample(truth)
    return truth, sparse, interpolate(sparse)


def test_a_row_tells_area_bins_means_and_error(maps):
    truth, sparse, imputed = maps
    (row,) = region_rows([LEFT], sparse=sparse, imputed=imputed, truth=truth)
    inside = truth.tissue & (np.arange(40) < 20)
    known = inside & sparse.lattice_mask()
    expected = np.log1p(truth.values)
    assert (row.name, row.bins, row.measured_bins) == ("left", 720, 180)
    assert row.area_mm2 == pytest.approx(0.32)
    assert row.measured_mean == pytest.approx(expected[known].mean(), rel=1e-6)
    assert row.measured_counts == pytest.approx(truth.values[known].mean(), rel=1e-6)
    assert row.imputed_mean == pytest.approx(imputed.values[inside].mean(), rel=1e-6)
    assert row.mae == pytest.approx(np.abs(imputed.values - expected)[inside & ~known].mean(), rel=1e-6)


def test_a_hole_counts_neither_for_the_area_nor_for_the_means(maps):
    _, sparse, imputed = maps
    (row,) = region_rows([RING], sparse=sparse, imputed=imputed)
    assert row.area_mm2 == pytest.approx(0.48)
    assert row.bins == 40 * 36 - 20 * 20


def test_without_a_truth_there_is_no_error(maps):
    _, sparse, imputed = maps
    assert region_rows([LEFT], sparse=sparse, imputed=imputed)[0].mae is None


def test_without_regions_the_whole_slide_is_one_row_with_the_scores_error(maps):
    truth, sparse, imputed = maps
    (row,) = region_rows([], sparse=sparse, imputed=imputed, truth=truth)
    assert row.name == "whole slide"
    assert row.area_mm2 == pytest.approx(truth.tissue.sum() * 400 / 1e6)
    assert row.mae == pytest.approx(score(imputed, truth=truth, sparse=sparse).mae_unmeasured, rel=1e-6)


def test_a_region_without_tissue_has_an_area_and_nothing_else(maps):
    truth, sparse, imputed = maps
    (row,) = region_rows([Region("glass", box(0, 0, 800, 60))], sparse=sparse, imputed=imputed, truth=truth)
    assert (row.bins, row.measured_bins) == (0, 0)
    assert (row.measured_mean, row.imputed_mean, row.measured_counts, row.mae) == (None,) * 4


def test_maps_of_different_grids_are_refused(maps):
    truth, sparse, imputed = maps
    with pytest.raises(RegionError, match="The truth has 20 x 40 bins"):
        region_rows([LEFT], sparse=sparse, imputed=imputed, truth=GeneMap(truth.values[:20]))
    with pytest.raises(RegionError, match="holds counts"):
        region_rows([LEFT], sparse=sparse, imputed=truth)


def test_the_table_is_written_with_a_line_a_region(maps, tmp_path):
    truth, sparse, imputed = maps
    rows = region_rows([LEFT, RING], sparse=sparse, imputed=imputed, truth=truth)
    path = write_regions_csv(tmp_path / "regions.csv", [*rows, replace(rows[0], name="a, b", mae=None)])
    with path.open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["name"] for line in lines] == ["left", "ring", "a, b"]
    assert float(lines[0]["mae"]) == pytest.approx(rows[0].mae, rel=1e-5)
    assert lines[2]["mae"] == ""
    assert [file.name for file in tmp_path.iterdir()] == ["regions.csv"]


def test_a_table_that_cannot_be_written_is_one_clear_error(tmp_path):
    with pytest.raises(ExportError, match="can't be written"):
        write_regions_csv(tmp_path / "none" / "regions.csv", [])
