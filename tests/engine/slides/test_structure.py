"""Moran's I against its definition and its known values, and the score of whole slides."""

import math

import numpy as np
import pytest

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.slides.h5ad import open_anndata
from napari_s2sst.engine.slides.structure import morans_i, structure_parts
from napari_s2sst.engine.slides.xenium import open_xenium

EVERYWHERE = np.ones((12, 12), bool)


def scores_of(slide, genes, bin_um=20.0):
    return {gene: score for part in structure_parts(slide, genes, bin_um) for gene, score in part.items()}


def by_definition(values, tissue) -> float:
    """Moran (1950) with the full matrix of weights: 1 where two bins of the tissue share an edge."""
    places = np.argwhere(tissue)
    weights = np.abs(places[:, None] - places[None]).sum(axis=2) == 1
    off = values[tissue].astype(float) - values[tissue].astype(float).mean()
    return len(off) / weights.sum() * (weights * np.outer(off, off)).sum() / (off**2).sum()


@pytest.fixture
def ragged() -> np.ndarray:
    """(14, 17) a disc with a hole and an island of one bin, away from the map's edges and at them."""
    y, x = np.mgrid[:14, :17]
    tissue = (np.hypot(y - 6, x - 8) < 7.5) & (np.hypot(y - 5, x - 9) > 2)
    tissue[13, 16] = True
    return tissue


@pytest.fixture(scope="module")
def bundle(sample_slide):
    return open_xenium(sample_slide)


# ---- the score of one map


@pytest.mark.parametrize("seed", range(5))
def test_it_is_what_its_definition_says_on_a_tissue_of_any_shape(ragged, seed):
    values = np.random.default_rng(seed).gamma(1.0, 3.0, ragged.shape).astype(np.float32)
    assert morans_i(values, ragged) == pytest.approx(by_definition(values, ragged), abs=1e-6)


def test_a_checkerboard_is_minus_one():
    assert morans_i(np.indices((12, 12)).sum(axis=0) % 2, EVERYWHERE) == pytest.approx(-1)


def test_a_smooth_gradient_is_near_one():
    y, x = np.mgrid[:80, :80]
    assert morans_i(y + x, np.ones((80, 80), bool)) > 0.97


def test_noise_is_near_zero():
    values = np.random.default_rng(0).poisson(2.0, (200, 200))
    assert abs(morans_i(values, np.ones((200, 200), bool))) < 0.02


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_equal_values_have_no_score(ragged, value):
    assert math.isnan(morans_i(np.full(ragged.shape, value, np.float32), ragged))


def test_bins_without_neighbours_have_no_score():
    assert math.isnan(morans_i(np.indices((12, 12))[0], np.indices((12, 12)).sum(axis=0) % 2 == 0))
    assert math.isnan(morans_i(np.indices((12, 12))[0], ~EVERYWHERE))


def test_values_outside_the_tissue_are_not_looked_at(ragged):
    values = np.random.default_rng(0).normal(size=ragged.shape).astype(np.float32)
    assert morans_i(np.where(ragged, values, np.nan), ragged) == morans_i(np.where(ragged, values, 1e9), ragged)


def test_turning_scaling_and_shifting_a_map_leaves_the_score(ragged):
    values = np.random.default_rng(0).normal(size=ragged.shape).astype(np.float32)
    score = morans_i(values, ragged)
    assert morans_i(np.rot90(values), np.rot90(ragged)) == pytest.approx(score, abs=1e-6)
    assert morans_i(5 * values + 3, ragged) == pytest.approx(score, abs=1e-5)


def test_scoring_a_map_leaves_it_as_it_is(ragged):
    values = np.random.default_rng(0).normal(size=ragged.shape).astype(np.float32)
    before = values.copy()
    morans_i(values, ragged)
    assert np.array_equal(values, before)


# ---- the genes of a slide


def expected(gene_map: GeneMap) -> tuple[int, float, float]:
    inside = gene_map.values[gene_map.tissue]
    score = morans_i(np.log1p(gene_map.values), gene_map.tissue)
    return round(gene_map.values.sum()), np.count_nonzero(inside) / inside.size, score


def test_every_gene_of_a_slide_has_the_score_of_its_own_map(bundle):
    found = scores_of(bundle, bundle.genes, 20.0)
    assert list(found) == list(bundle.genes)
    for gene_map in bundle.gene_maps(bundle.genes, 20.0):
        each = found[gene_map.gene]
        assert (each.transcripts, each.bins_share, each.morans_i) == pytest.approx(expected(gene_map), nan_ok=True)


def test_the_transcripts_of_a_slide_are_those_of_its_list_of_genes(bundle):
    found = scores_of(bundle, bundle.genes)
    assert {gene: each.transcripts for gene, each in found.items()} == bundle.genes


def test_parts_and_blocks_change_no_score(bundle):
    bins = bundle.gene_map(next(iter(bundle.genes))).values.size
    parts = list(structure_parts(bundle, bundle.genes, block_bytes=4 * bins * 5, part_values=bins * 2))
    assert [len(part) for part in parts[:4]] == [2, 2, 1, 2]
    assert {gene: each for part in parts for gene, each in part.items()} == scores_of(bundle, bundle.genes)


def test_parts_come_in_the_order_asked_for_and_tell_each_gene_once(bundle):
    genes = list(bundle.genes)[::-1]
    assert [gene for part in structure_parts(bundle, [*genes, genes[0]], 10.0) for gene in part] == genes


def test_a_cube_is_scored_on_its_own_bins(cube):
    found = scores_of(open_count_cube(cube), ["WAVE", "SILENT"], 20.0)
    assert found["WAVE"].morans_i == pytest.approx(expected(open_count_cube(cube).gene_map("WAVE"))[2])
    assert found["WAVE"].morans_i > 0.3
    assert (found["SILENT"].transcripts, found["SILENT"].bins_share) == (0, 0.0)
    assert math.isnan(found["SILENT"].morans_i)


def test_a_hest_slide_is_scored_inside_its_spots(hest_file):
    slide = open_anndata(hest_file)
    for gene, each in scores_of(slide, slide.genes).items():
        assert each.transcripts == slide.genes[gene]
        assert (each.transcripts, each.bins_share, each.morans_i) == pytest.approx(expected(slide.gene_map(gene)))


@pytest.fixture
def hest_file(tmp_path):
    """Two genes on 9 x 8 spots of 100 um, of which one corner has none."""
    import anndata
    import pandas as pd

    rows, columns = (each.ravel() for each in np.indices((9, 8)))
    there = rows + columns > 2
    rows, columns = rows[there], columns[there]
    counts = np.random.default_rng(0).poisson(np.stack([rows, 1 + 0 * rows], axis=1)).astype(np.float32)
    spots = pd.DataFrame({"array_row": rows, "array_col": columns}, index=[f"spot{n}" for n in range(len(rows))])
    table = anndata.AnnData(counts, obs=spots, var=pd.DataFrame(index=["SLOPE", "FLAT"]))
    table.obsm["spatial"] = np.stack([columns, rows], axis=1) * 200.0 + 100
    path = tmp_path / "TENX0.h5ad"
    table.write_h5ad(path)
    return path


def test_an_unknown_gene_is_a_sentence(bundle):
    with pytest.raises(BundleError, match="There is no gene 'NOPE'"):
        scores_of(bundle, ["NOPE"])


def test_no_gene_has_no_score(bundle):
    assert scores_of(bundle, []) == {}


def test_marker_genes_of_bone_marrow_have_more_structure_than_controls(shared_data):
    slide = open_xenium(shared_data("xenium_bone_marrow"))
    survey = slide.transcripts.survey
    assert len(survey.names) == 541
    found = scores_of(slide, survey.names, 20.0)
    markers, controls = ["SLC4A1", "LTF", "S100A12"], [name for name in survey.names if name not in slide.genes]
    assert all(found[gene].morans_i > 0.5 for gene in markers)
    assert max(each.morans_i for name in controls if not math.isnan((each := found[name]).morans_i)) < 0.1
    assert found["SLC4A1"].transcripts == 69_207
