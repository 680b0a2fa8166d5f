"""`s2sst info` reads every kind of file that can be opened, and results, as text and as JSON."""

import json

import anndata
import numpy as np
import pandas as pd

from napari_s2sst import GeneMap, interpolate, sample
from napari_s2sst.cli.app import main
from napari_s2sst.engine.export.tables import write_h5ad, write_ome_tiff


def said(capsys, *arguments):
    assert main(["info", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_a_count_cube_says_its_bins_and_counts(cube, capsys):
    text = said(capsys, cube)
    assert "10 um, 44 x 48" in text
    assert "3 genes, by counts" in text
    facts = json.loads(said(capsys, cube, "--json"))
    assert facts["bin_um"] == 10.0
    assert list(facts["genes"])[-1] == "SILENT"


def test_spots_of_an_h5ad_say_that_their_bins_are_assumed(tmp_path, capsys):
    row, column = np.divmod(np.arange(30), 6)
    table = anndata.AnnData(np.ones((30, 2), np.float32), var=pd.DataFrame(index=["A", "B"]))
    table.obs_names = [f"s{k}" for k in range(30)]
    table.obs["array_row"], table.obs["array_col"] = row, column
    table.write_h5ad(tmp_path / "spots.h5ad")
    assert "100 um (assumed), 6 x 5" in said(capsys, tmp_path / "spots.h5ad")
    assert json.loads(said(capsys, tmp_path / "spots.h5ad", "--json"))["bin_is_assumed"] is True


def test_results_say_where_their_maps_lie_and_which_run_made_them(tmp_path, capsys):
    truth = GeneMap(np.random.default_rng(0).poisson(3, (20, 30)), gene="WAVE", bin_um=5.0, origin_um=(40.0, 10.0))
    sparse = sample(truth, stride=2)
    imputed, run = interpolate(sparse, method="nearest"), {"seed": 7, "genes": ["WAVE"]}
    table = write_h5ad(tmp_path / "imputed.h5ad", sparse=[sparse], imputed=[imputed], truth=[truth], run=run)
    picture = write_ome_tiff(tmp_path / "WAVE.ome.tif", sparse=sparse, imputed=imputed, truth=truth, run=run)
    for path in (table, picture):
        text = said(capsys, path)
        for words in ("0.15 x 0.10 mm, from x 10 and y 40 um", "5 um, 30 x 20", "stride 2", "log1p", "1 gene\nWAVE"):
            assert words in text
        facts = json.loads(said(capsys, path, "--json"))
        assert (facts["genes"], facts["run"]["seed"]) == (["WAVE"], 7)


def test_an_absent_file_is_one_clear_line(tmp_path, capsys):
    for name in ("no.npz", "no.h5ad", "no.ome.tif", "no"):
        assert main(["info", str(tmp_path / name)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_size_that_no_file_tells_is_said_with_an_option_and_a_wrong_one_is_refused(
    cube, cube_without_bin, tmp_path, capsys
):
    assert main(["info", str(cube_without_bin)]) == 2
    assert "--size-um" in capsys.readouterr().err
    assert "12.5 um" in said(capsys, cube_without_bin, "--size-um", "12.5")
    asked = ["impute", "--map", str(cube), "--gene", "WAVE", "--preset", "instant", "--out", str(tmp_path / "out")]
    assert main([*asked, "--size-um", "12.5"]) == 2
    assert "leave --size-um out" in capsys.readouterr().err
