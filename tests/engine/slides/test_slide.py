"""Every kind of slide answers the same questions, and one function opens them all."""

import inspect
from pathlib import Path
from types import NoneType

import anndata
import numpy as np
import pandas as pd
import pytest

from napari_s2sst import GeneMap
from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.pictures.stains import StainImage
from napari_s2sst.engine.slides.count_cube import CountCube
from napari_s2sst.engine.slides.h5ad import AnnDataSlide
from napari_s2sst.engine.slides.opening import kind_of, open_slide
from napari_s2sst.engine.slides.questions import question_to
from napari_s2sst.engine.slides.slide import Slide
from napari_s2sst.engine.slides.xenium import Bundle
from napari_s2sst.engine.transcripts.table import TranscriptTable

KINDS = ["xenium", "cube", "spots", "pseudo_spots", "store"]
WITH_BINS = ["cube", "spots", "pseudo_spots"]
ANSWERS = {
    "path": Path, "name": str, "genes": dict, "images": tuple, "transcripts": TranscriptTable | None,
    "bin_um": float | None, "shape": tuple | None, "bin_is_assumed": bool, "bin_said_by": str, "um_said_by": str,
    "pixel_size_um": float | None, "given_um": float | None, "version": str | None, "software": str,
    "panel_name": str | None, "organism": str | None, "tissue_type": str | None, "num_cells": int | None,
    "num_transcripts": int | None, "store": Path | None, "extent_um": tuple, "size_mm": tuple,
}  # fmt: skip


def spots_file(path, names, xy=None, **obs):
    """Spots that fill a grid of 6 x 5 bins, two genes and a control."""
    counts = np.random.default_rng(0).poisson([5, 2, 1], (30, 3)) + np.array([1, 0, 0])
    genes = ["EPCAM", "VIM", "NegControlProbe_1"]
    table = anndata.AnnData(counts.astype(np.float32), pd.DataFrame(obs, index=names), pd.DataFrame(index=genes))
    if xy is not None:
        table.obsm["spatial"] = xy
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_h5ad(path)
    return path


@pytest.fixture
def place(request, tmp_path, sample_slide, cube):
    """The path of a small slide of the kind that the test asks for."""
    row, column = (index.ravel() for index in np.mgrid[:6, :5])
    match request.param:
        case "xenium":
            return sample_slide
        case "cube":
            return cube
        case "spots":  # binned Visium HD: the names say how large a bin is
            names = [f"s_008um_{r:05}_{c:05}-1" for r, c in zip(row, column, strict=True)]
            return spots_file(tmp_path / "hd.h5ad", names, array_row=row, array_col=column)
        case "pseudo_spots":  # a sample of HEST-1k of which nothing says how large its bins are
            names = [f"{r:03}x{c:03}" for r, c in zip(row, column, strict=True)]
            xy = np.column_stack([column, row]) * 470.0 + 235.0
            return spots_file(tmp_path / "st" / "TENX94.h5ad", names, xy, array_row=row, array_col=column)
    return store_of(sample_slide, tmp_path / "slide.zarr")


def store_of(folder, path):
    """The sample slide's transcripts as the points of a SpatialData store."""
    sd = pytest.importorskip("spatialdata", reason="a store needs the package spatialdata")
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "transcripts.parquet").to_pandas()
    table = table.rename(columns={"x_location": "x", "y_location": "y"}).drop(columns=["z_location"])
    table["feature_name"] = table["feature_name"].astype(str).astype("category")
    to_um = {"microns": sd.transformations.Identity()}
    points = sd.models.PointsModel.parse(
        table, coordinates={"x": "x", "y": "y"}, feature_key="feature_name", transformations=to_um
    )
    sd.SpatialData(points={"transcripts": points}).write(path)
    return path


of_every_kind = pytest.mark.parametrize("place", KINDS, indirect=True)
with_bins = pytest.mark.parametrize("place", WITH_BINS, indirect=True)


@of_every_kind
def test_every_kind_answers_every_question_with_a_value_of_its_type(place):
    slide = open_slide(place)
    assert isinstance(slide, Slide)
    answers = {name: getattr(slide, name) for name in ANSWERS}
    wrong = {name: value for name, value in answers.items() if not isinstance(value, ANSWERS[name])}
    assert not wrong
    assert slide.path == place
    assert all(isinstance(gene, str) and isinstance(count, int) for gene, count in slide.genes.items())
    assert list(slide.genes.values()) == sorted(slide.genes.values(), reverse=True)
    assert all(isinstance(image, StainImage) for image in slide.images)
    assert len(slide.summary().splitlines()) == 1
    y0, x0, y1, x1 = slide.extent_um
    assert slide.size_mm == pytest.approx(((y1 - y0) / 1000, (x1 - x0) / 1000))


def test_no_question_is_left_out_of_the_test_above():
    asked = {name for name in {**inspect.get_annotations(Slide), **vars(Slide)} if not name.startswith("_")}
    assert asked - {"gene_map", "gene_maps", "summary"} == set(ANSWERS)


@of_every_kind
def test_every_kind_counts_genes_one_by_one_and_together(place):
    slide = open_slide(place)
    genes = list(slide.genes)[:2][::-1]
    maps = slide.gene_maps(genes, bin_um=20.0, min_qv=20.0)
    assert [gene_map.gene for gene_map in maps] == genes
    for gene_map in maps:
        one = slide.gene_map(gene_map.gene, bin_um=20.0, min_qv=20.0)
        assert isinstance(one, GeneMap)
        assert one.bin_um == (slide.bin_um or 20.0)
        assert slide.shape in (None, one.shape)
        np.testing.assert_array_equal(one.values, gene_map.values)
        assert one.values.sum() == slide.genes[one.gene]
    with pytest.raises(BundleError, match="There is no gene 'NOPE'"):
        slide.gene_map("NOPE")


@of_every_kind
def test_bins_are_the_files_own_or_single_transcripts_are_counted_in_any(place):
    slide = open_slide(place)
    assert (slide.transcripts is None) == (slide.bin_um is not None) == (slide.shape is not None)


@of_every_kind
def test_the_size_that_the_user_says_is_remembered(place):
    assert open_slide(place).given_um is None
    assert open_slide(place, 7.5).given_um == 7.5


@with_bins
def test_a_table_of_counts_opens_whatever_the_case_of_its_suffix(place, tmp_path):
    shouted = tmp_path / f"SLIDE{place.suffix.upper()}"
    shouted.write_bytes(place.read_bytes())
    slide, shouted_slide = open_slide(place), open_slide(shouted)
    assert type(shouted_slide) is type(slide) is (CountCube if place.suffix == ".npz" else AnnDataSlide)
    assert shouted_slide.genes == slide.genes


@with_bins
def test_a_table_of_another_name_opens_as_what_it_is_said_to_be(place, tmp_path):
    renamed = tmp_path / "slide.dat"
    renamed.write_bytes(place.read_bytes())
    assert open_slide(renamed, kind=kind_of(place)).genes == open_slide(place).genes
    with pytest.raises(BundleError, match=r"slide.dat is a file\. Choose the folder"):
        open_slide(renamed)


def test_a_folder_is_a_xenium_folder_however_it_is_named(sample_slide, tmp_path):
    folder = tmp_path / "named.h5ad"
    folder.symlink_to(sample_slide, target_is_directory=True)
    slide = open_slide(folder)
    assert isinstance(slide, Bundle)
    assert slide.genes == open_slide(sample_slide).genes


def test_what_a_kind_does_not_know_is_none_and_not_an_error(cube):
    slide = open_slide(cube)
    unknown = (slide.panel_name, slide.organism, slide.tissue_type, slide.num_cells, slide.pixel_size_um, slide.store)
    assert set(map(type, unknown)) == {NoneType}


@pytest.mark.parametrize("name", ["a" * 300 + ".npz", "b" * 5000, "c" * 300 + ".h5ad", "nul\0.npz"])
def test_a_path_that_no_system_takes_is_one_clear_sentence(name):
    with pytest.raises(BundleError):
        open_slide(name)
    assert question_to(name) is None
