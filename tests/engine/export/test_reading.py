"""What was exported comes back as the same maps and the same run; what others wrote is left alone."""

import json
import shutil
from dataclasses import replace

import anndata
import h5py
import numpy as np
import pytest
import tifffile

from napari_s2sst import GeneMap, RunConfig, fit, interpolate, open_xenium, sample
from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.export.reading import genes_of, is_result, read_result, run_summary
from napari_s2sst.engine.export.tables import write_h5ad, write_ome_tiff
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.write import describe, write_result
from napari_s2sst.engine.sampling.lattice import refine, sparse_layer
from napari_s2sst.engine.scores.metrics import error_map
from napari_s2sst.engine.slides.count_cube import open_count_cube


@pytest.fixture(scope="module")
def result(cube):
    """A run on two genes of the cube, from a lattice that does not begin in the corner; trained for no step."""
    config = RunConfig.preset("fast", steps=0, symmetries=1, bin_um=10.0, device="cpu", phase=(1, 0))
    job = prepare(open_count_cube(cube), ["WAVE", "RIDGE"], config)
    return complete(job, fit(list(job.sparse), job.config))


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    place = tmp_path_factory.mktemp("exported")
    write_result(place, result)
    return place


def same_map(one: GeneMap, other: GeneMap) -> None:
    np.testing.assert_array_equal(one.tissue, other.tissue)
    np.testing.assert_array_equal(one.values[one.tissue], other.values[other.tissue])
    assert (one.gene, one.bin_um, tuple(one.origin_um)) == (other.gene, other.bin_um, tuple(other.origin_um))
    assert one.normalisation == other.normalisation


def test_the_table_gives_back_every_map_and_the_counts_that_were_measured(folder, result):
    back = read_result(folder / "imputed.h5ad")
    assert back.genes == ("WAVE", "RIDGE")
    for maps, sparse, imputed, truth in zip(
        back.maps, result.job.sparse, result.imputed, result.job.truth, strict=True
    ):
        same_map(maps.imputed, imputed)
        same_map(maps.truth, truth.normalised(imputed.normalisation))
        inside = imputed.tissue
        np.testing.assert_array_equal(maps.imputed.uncertainty[inside], imputed.uncertainty[inside])
        np.testing.assert_array_equal(maps.sparse.values, sparse.values)
        np.testing.assert_array_equal(maps.sparse.measured, sparse.measured)
        assert (maps.sparse.stride, maps.sparse.phase) == (sparse.stride, sparse.phase)
        np.testing.assert_array_equal(error_map(maps.imputed, maps.truth), error_map(imputed, truth))


def test_the_picture_gives_back_every_map_in_the_normalised_space(folder, result):
    back = read_result(folder / "RIDGE.ome.tif").maps[0]
    sparse, imputed, truth = (part[1] for part in (result.job.sparse, result.imputed, result.job.truth))
    same_map(back.imputed, imputed)
    same_map(back.truth, truth.normalised(imputed.normalisation))
    np.testing.assert_array_equal(
        sparse_layer(back.sparse, back.sparse_kind), sparse_layer(sparse, imputed.normalisation.kind)
    )
    np.testing.assert_array_equal(back.imputed.uncertainty[imputed.tissue], imputed.uncertainty[imputed.tissue])


@pytest.mark.parametrize("name", ["imputed.h5ad", "WAVE.ome.tif"])
def test_the_run_comes_back_as_run_json_has_it(folder, name):
    written = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    run = read_result(folder / name).run
    written["seconds"].pop("writing")
    assert run == written


@pytest.mark.parametrize("kind", ["log1p", "median-log1p", "none"])
@pytest.mark.parametrize("ending", ["h5ad", "ome.tif"])
def test_a_part_of_a_slide_comes_back_in_any_normalisation_at_its_place(tmp_path, sample_slide, kind, ending):
    truth = replace(open_xenium(sample_slide).gene_map("ERBB2", bin_um=25.0), origin_um=(-50.0, 325.0))
    sparse = sample(truth, stride=3, phase=(2, 1))
    imputed = interpolate(sparse, method="bilinear", normalisation=kind)
    if ending == "h5ad":
        path = write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], truth=[truth], run={})
    else:
        path = write_ome_tiff(tmp_path / "i.ome.tif", sparse=sparse, imputed=imputed, truth=truth, run={})
    back = read_result(path).maps[0]
    same_map(back.imputed, imputed)
    same_map(back.truth, truth.normalised(imputed.normalisation))
    np.testing.assert_array_equal(sparse_layer(back.sparse, back.sparse_kind), sparse_layer(sparse, kind))


def test_a_measured_table_can_be_imputed_from_again(folder, result):
    back = read_result(folder / "imputed.h5ad", ["RIDGE"]).maps[0]
    again, before = (interpolate(one, method="bicubic") for one in (back.sparse, result.job.sparse[1]))
    np.testing.assert_array_equal(again.values, before.values)


def test_where_nobody_knows_the_truth_none_comes_back(tmp_path, sample_slide):
    sparse = refine(open_xenium(sample_slide).gene_map("ERBB2", bin_um=40.0), 2)
    imputed = interpolate(sparse, method="nearest")
    table = write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], truth=[None], run={})
    picture = write_ome_tiff(tmp_path / "i.ome.tif", sparse=sparse, imputed=imputed, run={})
    for path in (table, picture):
        back = read_result(path).maps[0]
        assert back.truth is None
        assert back.imputed.uncertainty is None
        np.testing.assert_array_equal(back.sparse.measured, sparse.measured)
        assert tuple(back.imputed.origin_um) == tuple(imputed.origin_um)


def test_only_the_genes_asked_for_are_read_in_their_order(folder):
    back = read_result(folder / "imputed.h5ad", ["RIDGE", "WAVE", "RIDGE"])
    assert [maps.imputed.gene for maps in back.maps] == ["RIDGE", "WAVE"]
    assert genes_of(folder / "imputed.h5ad") == ("WAVE", "RIDGE")
    assert genes_of(folder / "WAVE.ome.tif") == ("WAVE",)


@pytest.mark.parametrize("name", ["imputed.h5ad", "WAVE.ome.tif"])
def test_an_unknown_gene_is_refused_with_those_that_are_there(folder, name):
    with pytest.raises(BundleError, match=r"has no map of NOPE\. It holds WAVE"):
        read_result(folder / name, ["NOPE"])


@pytest.mark.parametrize("gene", ["007", "1e5", "NaN", ' A <b>&"c" µ', "a\nb"])
def test_a_gene_s_name_comes_back_letter_for_letter(tmp_path, gene):
    sparse = sample(GeneMap(np.arange(96.0).reshape(8, 12), gene=gene), stride=2)
    imputed = interpolate(sparse, method="nearest")
    write_ome_tiff(tmp_path / "i.ome.tif", sparse=sparse, imputed=imputed, run={"note": gene})
    write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], run={"note": gene})
    for name in ("i.ome.tif", "i.h5ad"):
        back = read_result(tmp_path / name)
        assert (back.genes, back.maps[0].imputed.gene, back.run) == ((gene,), gene, {"note": gene})


@pytest.fixture
def foreign(tmp_path):
    """Name -> a file of another program."""
    anndata.AnnData(np.ones((3, 2), np.float32)).write_h5ad(tmp_path / "other.h5ad")
    with h5py.File(tmp_path / "bare.h5ad", "w") as file:
        file["X"] = [1]
    (tmp_path / "text.h5ad").write_text("no table")
    picture = np.zeros((2, 32, 32), np.float32)
    tifffile.imwrite(tmp_path / "other.ome.tif", picture, metadata={"axes": "CYX"})
    tifffile.imwrite(tmp_path / "plain.ome.tif", picture)
    (tmp_path / "text.ome.tif").write_text("no picture")
    (tmp_path / "empty.ome.tif").write_bytes(b"")
    (tmp_path / "folder.h5ad").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["other.h5ad", "bare.h5ad", "text.h5ad", "folder.h5ad", "absent.h5ad", "other.ome.tif", "plain.ome.tif",
     "text.ome.tif", "empty.ome.tif", "absent.ome.tif", "absent.png"],
)  # fmt: skip
def test_a_file_of_others_is_not_taken_for_ours_and_refused_in_one_sentence(foreign, name):
    assert not is_result(foreign / name)
    with pytest.raises(BundleError) as error:
        read_result(foreign / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["imputed.h5ad", "WAVE.ome.tif"])
def test_our_own_files_are_known(folder, name):
    assert is_result(folder / name)


@pytest.mark.parametrize("gone", ["layers/counts", "layers/measured", "obs/row", "X", "var/_index", "uns/s2sst/json"])
def test_a_table_that_was_changed_is_one_clear_error(folder, tmp_path, gone):
    path = tmp_path / "changed.h5ad"
    path.write_bytes((folder / "imputed.h5ad").read_bytes())
    with h5py.File(path, "a") as file:
        del file[gone]
    with pytest.raises(BundleError, match="changed or is damaged"):
        read_result(path)


@pytest.mark.parametrize("name", ["imputed.h5ad", "WAVE.ome.tif"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_file_cut_short_is_one_clear_error(folder, tmp_path, name, share):
    whole = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BundleError):
        read_result(tmp_path / name)


def test_the_table_can_be_read_after_scanpy_wrote_it_again(folder, tmp_path):
    anndata.read_h5ad(folder / "imputed.h5ad").write_h5ad(tmp_path / "again.h5ad")
    before, after = (read_result(path) for path in (folder / "imputed.h5ad", tmp_path / "again.h5ad"))
    assert after.run == before.run
    for one, other in zip(after.maps, before.maps, strict=True):
        same_map(one.imputed, other.imputed)


def test_the_summary_names_what_people_ask_for(result):
    lines = run_summary(describe(result)).splitlines()
    for line in ("Genes: WAVE, RIDGE", "Mode: check", "Stride: 2", "Preset: fast", "Input: cube.npz", "Bins: 10 um"):
        assert line in lines
    assert run_summary({}) == "Program: napari-s2sst"


def test_a_grid_of_a_huge_declared_size_is_one_clear_error(folder, tmp_path):
    path = shutil.copy(folder / "imputed.h5ad", tmp_path / "imputed.h5ad")
    with h5py.File(path, "r+") as file:
        file["uns/s2sst_grid/rows"][()] = 1 << 24
        file["uns/s2sst_grid/columns"][()] = 1 << 24
    with pytest.raises(BundleError, match=r"damaged .*a grid of 16,777,216 x 16,777,216 bins"):
        read_result(path)


def test_a_picture_of_a_huge_declared_size_is_one_clear_error(folder, tmp_path):
    path = shutil.copy(next(folder.glob("*.ome.tif")), tmp_path / "huge.ome.tif")
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            for tag in ("ImageWidth", "ImageLength"):
                page.tags[tag].overwrite(60_000)
    with pytest.raises(BundleError, match="damaged"):
        read_result(path)
