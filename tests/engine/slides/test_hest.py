"""HEST-1k files: what HEST's library writes of a Xenium slide, written here through anndata, stands in for a bundle."""

import json
import math

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_s2sst import sample
from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.h5ad import open_anndata

GENES = ["ACTA2", "ERBB2", "MKI67", "NegControlProbe_00042"]
PITCH_PX = 100 / 0.2125
"""100 um in pixels of 0.2125 um, which is what HEST has for TENX94."""


def counts_on_grid(rows=12, columns=9):
    """(rows, columns, genes) with an empty corner and a hole, which HEST leaves out."""
    counts = np.random.default_rng(0).poisson([3, 9, 1, 0.2], (rows, columns, len(GENES)))
    counts[..., 1] += 1
    counts[:3, :4] = counts[6, 5] = counts[:, 7] = 0
    return counts


def table_of(counts, *, origin=(812.3, 377.9), pitch=PITCH_PX):
    """As ``pool_transcripts_xenium`` makes it: every bin in reading order, then those without counts dropped."""
    rows, columns = counts.shape[:2]
    row, column = (each.ravel() for each in np.mgrid[:rows, :columns])
    xy = np.column_stack([origin[0] + (column + 0.5) * pitch, origin[1] + (row + 0.5) * pitch])
    obs = pd.DataFrame(
        {"in_tissue": True, "pxl_col_in_fullres": xy[:, 0], "pxl_row_in_fullres": xy[:, 1], "array_col": column,
         "array_row": row, "n_counts": counts.sum(axis=2).ravel()},
        index=[f"{r:03}x{c:03}" for r, c in zip(row, column, strict=True)],
    )  # fmt: skip
    table = anndata.AnnData(counts.reshape(-1, len(GENES)).astype(np.uint16), obs, pd.DataFrame(index=GENES))
    table.obsm["spatial"] = xy
    factors = {"spot_diameter_fullres": 55 / 0.2125, "tissue_downscaled_fullres_scalef": 0.02}
    picture = np.zeros((20, 15, 3), np.uint8)
    table.uns["spatial"] = {"ST": {"images": {"downscaled_fullres": picture}, "scalefactors": factors}}
    return table[counts.sum(axis=2).ravel() > 0].copy()


def saved(table, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.write_h5ad(path)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "hest" / "st" / "TENX94.h5ad"


def assert_same_maps(slide, counts):
    """The spots' bounding box of the grid that was written."""
    there = counts.sum(axis=2) > 0
    box = np.ix_(*(np.arange(np.flatnonzero(any_).min(), np.flatnonzero(any_).max() + 1)
                   for any_ in (there.any(axis=1), there.any(axis=0))))  # fmt: skip
    for gene_map, expected in zip(slide.gene_maps(GENES), np.moveaxis(counts, 2, 0), strict=True):
        np.testing.assert_array_equal(gene_map.values, expected[box])
        np.testing.assert_array_equal(gene_map.tissue, there[box])
        np.testing.assert_array_equal(gene_map.totals, counts[..., :3].sum(axis=2)[box])


def test_every_spot_is_in_its_bin_and_the_others_are_no_tissue(path):
    counts = counts_on_grid()
    slide = open_anndata(saved(table_of(counts), path))
    assert_same_maps(slide, counts)
    assert slide.shape == (12, 9)
    assert not slide.gene_map("ERBB2").tissue[:3, :4].any()


def test_it_answers_what_a_run_asks_of_a_slide(path):
    counts = counts_on_grid()
    slide = open_anndata(saved(table_of(counts), path))
    assert slide.name == "TENX94"
    assert slide.path == path
    assert slide.images == ()
    assert slide.genes == {"ERBB2": counts[..., 1].sum(), "ACTA2": counts[..., 0].sum(), "MKI67": counts[..., 2].sum()}
    assert list(slide.genes) == ["ERBB2", "ACTA2", "MKI67"]
    assert slide.extent_um == (0, 0, 1200, 900)
    assert slide.gene_map("ERBB2", bin_um=20.0, min_qv=20.0).bin_um == slide.bin_um == 100.0
    assert sample(slide.gene_map("ERBB2"), stride=2).values.shape == (6, 5)


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csc_matrix, lambda x: x.astype(np.float32)])
def test_counts_may_be_stored_sparse_or_dense(path, kind):
    counts = counts_on_grid()
    table = table_of(counts)
    table.X = kind(table.X)
    assert_same_maps(open_anndata(saved(table, path)), counts)


def test_coordinates_alone_are_enough(path):
    counts = counts_on_grid()
    table = table_of(counts)
    table.obs = table.obs[["in_tissue"]]
    assert_same_maps(open_anndata(saved(table, path)), counts)


def test_whole_pixels_never_add_up_to_a_shifted_bin(path):
    counts = counts_on_grid(300, 8)
    table = table_of(counts)
    table.obs = table.obs[["in_tissue"]]
    table.obsm["spatial"] = np.rint(table.obsm["spatial"]).astype(np.int64)
    assert_same_maps(open_anndata(saved(table, path)), counts)


def test_rows_and_columns_alone_are_enough(path):
    counts = counts_on_grid()
    table = table_of(counts)
    table.obs = table.obs[["array_row", "array_col"]]
    del table.obsm["spatial"]
    slide = open_anndata(saved(table, path))
    assert_same_maps(slide, counts)
    assert (slide.bin_um, slide.bin_is_assumed) == (100.0, True)


def test_rows_and_columns_numbered_after_empty_bins_were_dropped_are_not_believed(path):
    counts = counts_on_grid()
    table = table_of(counts)
    number = np.arange(len(table))  # what HEST's pool_bins_visiumhd does
    table.obs["array_col"], table.obs["array_row"] = number % 9, number // 9
    assert_same_maps(open_anndata(saved(table, path)), counts)


def test_the_bin_is_the_distance_of_spots_by_the_metadata_beside_the_file(path):
    saved(table_of(counts_on_grid()), path)
    beside = path.parents[1] / "metadata" / "TENX94.json"
    beside.parent.mkdir()
    beside.write_text(json.dumps({"pixel_size_um_embedded": 1.0, "pixel_size_um_estimated": 0.17}))
    slide = open_anndata(path)
    assert (slide.bin_um, slide.pixel_size_um) == (80.0, 0.17)


def test_the_bin_is_the_distance_of_spots_by_the_pixel_size_in_the_file(path):
    table = table_of(counts_on_grid())
    table.uns["pixel_size_um_estimated"] = 0.425
    assert open_anndata(saved(table, path)).bin_um == 200.0


def test_a_spot_of_55_um_on_bins_of_100_um_tells_the_pixel_size(path):
    slide = open_anndata(saved(table_of(counts_on_grid()), path))
    assert slide.pixel_size_um == pytest.approx(0.2125)
    assert (slide.bin_um, slide.bin_is_assumed) == (100.0, False)


def test_without_any_pixel_size_the_bin_is_hests_100_um(path):
    table = table_of(counts_on_grid())
    del table.uns["spatial"]
    slide = open_anndata(saved(table, path))
    assert (slide.bin_um, slide.bin_is_assumed) == (100.0, True)


def test_an_unknown_gene_gets_the_nearest_names(path):
    with pytest.raises(BundleError, match=r"no gene 'ERBB3' in TENX94.*ERBB2"):
        open_anndata(saved(table_of(counts_on_grid()), path)).gene_map("ERBB3")


# what is refused


def honeycomb(turn=0.0):
    """Visium: rows 86.6 um apart, every other one shifted by 50 um, and columns counted in halves."""
    row, half = (each.ravel() for each in np.mgrid[:14, :14])
    column = 2 * half + row % 2
    xy = np.column_stack([column * 50.0, row * 86.6]) @ [
        [math.cos(turn), math.sin(turn)],
        [-math.sin(turn), math.cos(turn)],
    ]
    obs = pd.DataFrame(
        {"in_tissue": 1, "array_row": row, "array_col": column}, index=[f"{i}-1" for i in range(len(row))]
    )
    table = anndata.AnnData(np.ones((len(row), len(GENES)), np.float32), obs, pd.DataFrame(index=GENES))
    table.obsm["spatial"] = xy
    return table


@pytest.mark.parametrize("turn", [0.0, 0.02])
@pytest.mark.parametrize("without", ["nothing", "array", "spatial"])
def test_visiums_honeycomb_is_refused_however_its_places_are_said(path, turn, without):
    table = honeycomb(turn)
    if without == "array":
        table.obs = table.obs[["in_tissue"]]
    if without == "spatial":
        del table.obsm["spatial"]
    with pytest.raises(
        BundleError, match=r"TENX94\.h5ad lie in a honeycomb.*square bins is needed.*Choose a Xenium sample"
    ):
        open_anndata(saved(table, path))


def test_a_table_of_cells_is_refused(path):
    table = table_of(counts_on_grid())
    table.obs = table.obs[["in_tissue"]]
    table.obsm["spatial"] = np.random.default_rng(0).uniform(0, 4000, (len(table), 2))
    with pytest.raises(BundleError, match=r"TENX94\.h5ad do not lie on a grid.*half a bin off.*not a table of cells"):
        open_anndata(saved(table, path))


def no_places(table):
    del table.obsm["spatial"]
    table.obs = table.obs[["in_tissue"]]


def not_numbers(table):
    table.obsm["spatial"][3, 0] = np.nan


def normalised(table):
    table.X = np.log1p(table.X.astype(np.float32))


def negative(table):
    table.X = -table.X.astype(np.float32)


def one_name_twice(table):
    table.var_names = ["ACTA2", "ERBB2", "ERBB2", "MKI67"]


def shared_bins(table):
    table.obs = table.obs[["in_tissue"]]
    table.obsm["spatial"] = table.obsm["spatial"].copy()
    table.obsm["spatial"][1] = table.obsm["spatial"][0]


def no_table(table):
    table.X = None


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_places, "neither obs array_row and array_col nor obsm spatial"),
        (not_numbers, "not all numbers"),
        (normalised, "no counts: below 0, not whole.*before any normalisation"),
        (negative, "no counts: below 0"),
        (one_name_twice, "names ERBB2 more than once"),
        (shared_bins, "1 spots .* lie in a bin that another spot is in"),
        (no_table, "holds nothing"),
    ],
)
def test_a_table_that_will_not_do_is_one_clear_sentence_with_the_files_name(path, spoil, said):
    table = table_of(counts_on_grid())
    spoil(table)
    with pytest.raises(BundleError, match=said) as refused:
        open_anndata(saved(table, path))
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_of_another_kind_is_one_clear_sentence(path):
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file["matrix/data"] = np.arange(3)
    with pytest.raises(BundleError, match=r"TENX94\.h5ad can't be read as a table of anndata"):
        open_anndata(path)
    path.write_bytes(b"PK\x03\x04 not HDF5")
    with pytest.raises(BundleError, match="can't be read as a table of anndata"):
        open_anndata(path)
    with pytest.raises(BundleError, match="There is no file"):
        open_anndata(path.with_name("TENX95.h5ad"))
