"""Tables of spots on square lattices as their makers write them: Spatial Transcriptomics, binned Visium HD, and others."""

import math

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.h5ad import open_anndata

GENES = ["ACTB", "EPCAM", "VIM"]


def counts_on_grid(rows=14, columns=11, seed=0):
    return np.random.default_rng(seed).poisson([6, 2, 1], (rows, columns, len(GENES))) + np.array([1, 0, 0])


def table_of(counts, kept, names, xy=None, **obs):
    """A table of the kept bins, in reading order."""
    table = anndata.AnnData(
        counts[kept].astype(np.float32), pd.DataFrame(obs, index=names), pd.DataFrame(index=GENES)
    )  # fmt: skip
    if xy is not None:
        table.obsm["spatial"] = xy
    return table


def saved(table, path):
    table.write_h5ad(path)
    return path


def spatial_transcriptomics(counts, spacing_px=287.0, tilt=0.0, offset=0.0):
    """The first generation: names ``column x row`` from 1 on, spots only where there is tissue, no array_row."""
    kept = np.ones(counts.shape[:2], bool)
    kept[:4, :3] = kept[9, 6] = False
    row, column = np.nonzero(kept)
    turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    xy = np.column_stack([column, row]) * spacing_px @ turn + 4000
    names = [f"{c + 2 + offset:g}x{r + 3 + offset:g}" for r, c in zip(row, column, strict=True)]
    return table_of(counts, kept, names, xy), kept


def assert_same(slide, counts, kept):
    for gene_map, expected in zip(slide.gene_maps(GENES), np.moveaxis(counts, 2, 0), strict=True):
        np.testing.assert_array_equal(gene_map.values, expected * kept)
        np.testing.assert_array_equal(gene_map.tissue, kept)


@pytest.mark.parametrize("with_xy", [True, False])
@pytest.mark.parametrize("offset", [0.0, 0.07])
def test_names_of_spatial_transcriptomics_place_its_spots_and_its_200_um_are_said_to_be_assumed(
    tmp_path, with_xy, offset
):
    counts = counts_on_grid()
    table, kept = spatial_transcriptomics(counts, offset=offset)
    if not with_xy:
        del table.obsm["spatial"]
    slide = open_anndata(saved(table, tmp_path / "st.h5ad"))
    assert_same(slide, counts, kept)
    assert (slide.bin_um, slide.bin_is_assumed) == (200.0, True)
    assert "assumed, as of Spatial Transcriptomics" in slide.summary()
    assert slide.pitch_px == (pytest.approx(287.0) if with_xy else None)
    assert math.prod(slide.shape) - len(slide.bins) == 13


def test_an_array_that_lies_tilted_on_its_picture_is_placed_by_its_names(tmp_path):
    counts = counts_on_grid(30, 28)
    table, kept = spatial_transcriptomics(counts, tilt=0.05)
    assert_same(open_anndata(saved(table, tmp_path / "st.h5ad")), counts, kept)
    table.obs_names = [f"spot{k}" for k in range(len(table))]
    with pytest.raises(BundleError, match="do not lie on a grid"):
        open_anndata(saved(table, tmp_path / "st.h5ad"))


def test_spots_of_100_um_tell_the_pixel_size_of_spatial_transcriptomics(tmp_path):
    table, _ = spatial_transcriptomics(counts_on_grid())
    table.uns["spatial"] = {"breast": {"scalefactors": {"spot_diameter_fullres": 143.5}}}
    slide = open_anndata(saved(table, tmp_path / "st.h5ad"))
    assert (slide.bin_um, slide.bin_is_assumed) == (200.0, False)
    assert slide.pixel_size_um == pytest.approx(100 / 143.5)
    assert "by its spots of 100 um" in slide.summary()


def visium_hd(counts, *, flip=False, pitch_px=29.2):
    """Square bins of 8 um, some missing; the array may lie mirrored on the picture, as the chip lies face down."""
    kept = np.random.default_rng(5).random(counts.shape[:2]) > 0.1
    kept[0] = kept[:, 0] = kept[-1] = kept[:, -1] = True
    row, column = np.nonzero(kept)
    xy = np.column_stack([column, row]) * pitch_px + [910.4, 77.2]
    array_row = (counts.shape[0] - 1 - row if flip else row) + 301
    names = [f"s_008um_{r:05}_{c:05}-1" for r, c in zip(array_row, column + 12, strict=True)]
    table = table_of(counts, kept, names, xy, in_tissue=1, array_row=array_row, array_col=column + 12)
    factors = {"bin_size_um": 8.0, "microns_per_pixel": 8.0 / pitch_px, "spot_diameter_fullres": pitch_px}
    table.uns["spatial"] = {"square_008um": {"scalefactors": factors}}
    return table, kept


@pytest.mark.parametrize("flip", [False, True])
def test_binned_visium_hd_lies_as_its_picture_does_with_the_bins_that_it_states(tmp_path, flip):
    counts = counts_on_grid(40, 33)
    table, kept = visium_hd(counts, flip=flip)
    slide = open_anndata(saved(table, tmp_path / "hd.h5ad"))
    assert_same(slide, counts, kept)
    assert (slide.bin_um, slide.bin_is_assumed) == (8.0, False)
    assert slide.pixel_size_um == pytest.approx(8.0 / 29.2)
    assert math.prod(slide.shape) - len(slide.bins) == np.count_nonzero(~kept)
    assert slide.summary() == (
        f"3 genes on 40 x 33 bins of 8 um (by bin_size_um of its scalefactors), {kept.sum():,} of 1,320 bins filled"
    )


@pytest.mark.parametrize("left", ["microns_per_pixel", "names", "folder"])
def test_the_bins_of_visium_hd_are_told_by_whatever_is_left(tmp_path, left):
    table, _ = visium_hd(counts_on_grid(40, 33))
    folder = tmp_path / ("square_008um" if left == "folder" else "slides")
    folder.mkdir()
    factors = table.uns["spatial"]["square_008um"]["scalefactors"]
    table.uns["spatial"] = {"hd": {"scalefactors": {k: v for k, v in factors.items() if k == left}}}
    if left != "names":
        table.obs_names = [f"bin-{k}" for k in range(len(table))]
    slide = open_anndata(saved(table, folder / "filtered.h5ad"))
    assert (slide.bin_um, slide.bin_is_assumed) == (8.0, False)


def test_a_bin_that_nobody_states_is_said_to_be_assumed_and_can_be_given(tmp_path):
    table, _ = visium_hd(counts_on_grid())
    del table.uns["spatial"]
    table.obs_names = [f"bin-{k}" for k in range(len(table))]
    path = saved(table, tmp_path / "unknown.h5ad")
    slide = open_anndata(path)
    assert (slide.bin_um, slide.bin_is_assumed) == (100.0, True)
    assert "assumed" in slide.summary()
    given = open_anndata(path, bin_um=8.0)
    assert (given.bin_um, given.bin_is_assumed, given.gene_map("VIM").bin_um) == (8.0, False, 8.0)
    assert given.extent_um == (0.0, 0.0, 14 * 8.0, 11 * 8.0)
    with pytest.raises(BundleError, match="choose one above 0"):
        open_anndata(path, bin_um=float("nan"))


def test_spots_beside_the_tissue_are_counted_but_are_no_tissue(tmp_path):
    counts = counts_on_grid(40, 33)
    table, kept = visium_hd(counts)
    outside = table.obs["array_row"].to_numpy() < 310
    table.obs["in_tissue"] = (~outside).astype(int)
    gene_map = open_anndata(saved(table, tmp_path / "raw.h5ad")).gene_map("ACTB")
    np.testing.assert_array_equal(gene_map.values, counts[..., 0] * kept)
    assert not gene_map.tissue[:9].any()
    np.testing.assert_array_equal(gene_map.tissue[9:], kept[9:])


@pytest.mark.parametrize("as_sparse", [True, False])
def test_counts_are_read_from_their_layer_where_the_table_itself_was_normalised(tmp_path, as_sparse):
    counts = counts_on_grid(40, 33)
    table, kept = visium_hd(counts)
    table.layers["counts"] = sparse.csr_matrix(table.X) if as_sparse else table.X.copy()
    table.X = np.log1p(table.X)
    assert_same(open_anndata(saved(table, tmp_path / "hd.h5ad")), counts, kept)
    table.X = None
    assert_same(open_anndata(saved(table, tmp_path / "without_x.h5ad")), counts, kept)


def test_a_layer_of_other_counts_is_left_alone_where_the_table_itself_holds_counts(tmp_path):
    counts = counts_on_grid(40, 33)
    table, kept = visium_hd(counts)
    table.layers["counts"] = table.X * 3
    assert_same(open_anndata(saved(table, tmp_path / "hd.h5ad")), counts, kept)


def test_a_layer_that_holds_no_counts_either_is_named(tmp_path):
    table, _ = visium_hd(counts_on_grid())
    table.X = np.log1p(table.X)
    table.layers["counts"] = table.X - 1
    with pytest.raises(BundleError, match=r"The layer counts of .* holds values that are no counts"):
        open_anndata(saved(table, tmp_path / "hd.h5ad"))


def test_proteins_among_the_rows_of_the_matrix_are_no_genes(tmp_path):
    table, _ = visium_hd(counts_on_grid())
    table.var["feature_types"] = ["Gene Expression", "Gene Expression", "Protein Expression"]
    slide = open_anndata(saved(table, tmp_path / "hd.h5ad"))
    assert set(slide.genes) == {"ACTB", "EPCAM"}
    np.testing.assert_array_equal(
        slide.gene_map("ACTB").totals, sum(each.values for each in slide.gene_maps(["ACTB", "EPCAM"]))
    )
    table.var["feature_types"] = "Antibody Capture"
    with pytest.raises(BundleError, match="holds no row of 'Gene Expression'"):
        open_anndata(saved(table, tmp_path / "hd.h5ad"))


def test_no_sentence_speaks_of_hest_where_the_file_may_be_anyones(tmp_path):
    table, _ = visium_hd(counts_on_grid())
    spoilt = []
    for spoil in ("X", "places", "cells", "repeat"):
        one = table.copy()
        if spoil == "X":
            one.X = np.log1p(one.X)
        if spoil in ("places", "cells"):
            one.obs = one.obs[["in_tissue"]]
        if spoil == "places":
            del one.obsm["spatial"]
        if spoil == "cells":
            one.obsm["spatial"] = np.random.default_rng(0).uniform(0, 500, (len(one), 2))
        if spoil == "repeat":
            one = anndata.concat([one, one])
            one.obs_names_make_unique()
        with pytest.raises(BundleError) as refused:
            open_anndata(saved(one, tmp_path / f"{spoil}.h5ad"))
        spoilt.append(str(refused.value))
    assert not [said for said in spoilt if "HEST" in said]
    assert all(str(tmp_path) in said for said in spoilt)
