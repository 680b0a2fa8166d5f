"""The embedded sample slide is a complete Xenium bundle, the same every time, and nobody's files are lost to it."""

import csv
import gzip
import hashlib
import itertools
import json
import multiprocessing
import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile

from napari_s2sst import open_xenium
from napari_s2sst.engine.errors import ExportError
from napari_s2sst.engine.simulated.cells import GENES
from napari_s2sst.engine.simulated.slide import FILES, write_sample_slide
from napari_s2sst.engine.simulated.tissue import draw_tissue

TABLES = [name for name in FILES if not name.endswith(".ome.tif")]
STAINS = ["DAPI", "ATP1A1/CD45/E-Cadherin", "18S", "AlphaSMA/Vimentin"]


def hashes(folder: Path, names=FILES) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


@pytest.fixture(scope="module")
def transcripts(sample_slide):
    return pq.read_table(sample_slide / "transcripts.parquet")


@pytest.fixture(scope="module")
def cells(sample_slide):
    return pq.read_table(sample_slide / "cells.parquet")


def column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


def test_every_file_of_the_bundle_is_there_and_it_is_small(sample_slide):
    assert all((sample_slide / name).is_file() for name in FILES)
    assert sum((sample_slide / name).stat().st_size for name in FILES) < 45e6


def test_it_opens_as_a_bundle_with_every_gene_it_names(sample_slide):
    bundle = open_xenium(sample_slide)
    assert set(bundle.genes) == set(GENES)
    assert bundle.version == "xenium-3.0.0.15"
    assert [image.name for image in bundle.images] == STAINS


def test_the_manifest_says_plainly_that_it_is_simulated(sample_slide):
    manifest = json.loads((sample_slide / "experiment.xenium").read_text())
    assert "simulated" in manifest["run_name"]
    assert "Simulated" in manifest["region_name"]


def test_the_manifest_has_the_keys_of_a_real_one_and_names_files_that_exist(sample_slide, shared_data):
    real = json.loads((shared_data("xenium_v3_mouse_tiny") / "experiment.xenium").read_text())
    ours = json.loads((sample_slide / "experiment.xenium").read_text())
    assert not set(real) - set(ours) - {"xenium_explorer_files"}
    assert all((sample_slide / name).is_file() for name in ours["images"].values())


def test_the_tables_have_the_columns_and_types_of_real_ones(sample_slide, shared_data):
    real = shared_data("xenium_v3_mouse_tiny")
    for name in ("transcripts", "cells", "cell_boundaries", "nucleus_boundaries"):
        ours, theirs = (pq.read_schema(folder / f"{name}.parquet") for folder in (sample_slide, real))
        assert ours.names == theirs.names
        for field in theirs:
            same_kind = ours.field(field.name).type == field.type
            assert same_kind or pa.types.is_floating(field.type) or field.name == "nucleus_count"


def test_transcripts_have_the_columns_that_the_instrument_writes(transcripts):
    types = {field.name: str(field.type) for field in transcripts.schema}
    assert types == {
        "transcript_id": "uint64", "cell_id": "string", "overlaps_nucleus": "uint8", "feature_name": "string",
        "x_location": "float", "y_location": "float", "z_location": "float", "qv": "float", "fov_name": "string",
        "nucleus_distance": "float", "codeword_index": "int32", "codeword_category": "string", "is_gene": "bool",
    }  # fmt: skip
    assert pc.count_distinct(transcripts["transcript_id"]).as_py() == len(transcripts)


def test_transcripts_come_in_several_row_groups_so_that_streaming_is_real(sample_slide):
    assert pq.ParquetFile(sample_slide / "transcripts.parquet").num_row_groups >= 5


def test_genes_differ_in_abundance_from_a_thousand_to_sixty_thousand(sample_slide):
    counts = list(open_xenium(sample_slide).genes.values())
    assert 800 < min(counts) < 1_500
    assert 50_000 < max(counts) < 70_000
    assert 300_000 < sum(counts) < 450_000


def test_some_transcripts_are_of_low_quality_and_some_are_controls(transcripts):
    qv, gene = column(transcripts, "qv"), column(transcripts, "is_gene")
    assert 0.08 < (qv[gene] < 20).mean() < 0.15
    assert qv.min() >= 0
    assert qv.max() <= 40
    categories = set(column(transcripts, "codeword_category"))
    assert {"predesigned_gene", "negative_control_codeword", "negative_control_probe"} <= categories
    names = set(column(transcripts, "feature_name")[~gene])
    assert not names & set(GENES)


def test_counts_of_a_gene_vary_more_than_poisson_between_cells(sample_slide):
    with h5py.File(sample_slide / "cell_feature_matrix.h5") as file:
        gene = list(file["matrix/features/name"].asstr()).index("KRT8")
        counts = file["matrix/data"][file["matrix/indices"][:] == gene]
    counts = counts[counts > 5]
    assert counts.var() > 2 * counts.mean()


def test_a_transcript_assigned_to_a_cell_lies_inside_its_outline(sample_slide, transcripts):
    outline = pq.read_table(sample_slide / "cell_boundaries.parquet")
    owner = column(transcripts, "cell_id")
    for cell in np.unique(owner[owner != "UNASSIGNED"])[::400]:
        corners = outline.filter(pc.equal(outline["cell_id"], cell))
        x, y = column(corners, "vertex_x"), column(corners, "vertex_y")
        mine = owner == cell
        assert (column(transcripts, "x_location")[mine] > x.min() - 0.05).all()
        assert (column(transcripts, "x_location")[mine] < x.max() + 0.05).all()
        assert (column(transcripts, "y_location")[mine] > y.min() - 0.05).all()
        assert (column(transcripts, "y_location")[mine] < y.max() + 0.05).all()


def test_outlines_are_closed_have_the_stated_area_and_never_overlap(sample_slide, cells):
    table = pq.read_table(sample_slide / "cell_boundaries.parquet")
    corners = np.stack([column(table, "vertex_x"), column(table, "vertex_y")], axis=1).reshape(len(cells), -1, 2)
    assert (corners[:, 0] == corners[:, -1]).all()
    outlines = shapely.polygons(corners)
    np.testing.assert_allclose(shapely.area(outlines), column(cells, "cell_area"), rtol=1e-3)
    assert shapely.union_all(outlines).area == pytest.approx(shapely.area(outlines).sum(), rel=1e-6)
    assert (column(cells, "nucleus_area") < column(cells, "cell_area")).all()


def test_the_count_matrix_agrees_with_the_transcripts_and_the_cells(sample_slide, transcripts, cells):
    good = (column(transcripts, "qv") >= 20) & (column(transcripts, "cell_id") != "UNASSIGNED")
    with h5py.File(sample_slide / "cell_feature_matrix.h5") as file:
        matrix = file["matrix"]
        features, barcodes = list(matrix["features/name"].asstr()), list(matrix["barcodes"].asstr())
        data, indices, indptr = (matrix[name][:] for name in ("data", "indices", "indptr"))
        assert tuple(matrix["shape"]) == (len(features), len(barcodes))
        assert {"id", "name", "feature_type", "genome"} <= set(matrix["features"])
    assert data.sum() == good.sum()
    assert barcodes == cells["cell_id"].to_pylist()
    per_cell = np.array([data[start:stop].sum() for start, stop in itertools.pairwise(indptr)])
    assert (per_cell == column(cells, "total_counts")).all()
    pick = 123
    for feature, count in zip(
        indices[indptr[pick] : indptr[pick + 1]], data[indptr[pick] : indptr[pick + 1]], strict=True
    ):
        here = good & (column(transcripts, "cell_id") == barcodes[pick])
        assert count == (column(transcripts, "feature_name")[here] == features[feature]).sum()


def test_the_csv_of_cells_says_the_same_as_the_parquet(sample_slide, cells):
    with gzip.open(sample_slide / "cells.csv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == cells.column_names
    assert [row["cell_id"] for row in rows] == cells["cell_id"].to_pylist()
    assert [float(row["x_centroid"]) for row in rows] == cells["x_centroid"].to_pylist()


def test_the_gene_panel_gives_every_gene_its_ensembl_identifier(sample_slide):
    payload = json.loads((sample_slide / "gene_panel.json").read_text())["payload"]
    genes = {
        target["type"]["data"]["name"]: target["type"]["data"]["id"]
        for target in payload["targets"]
        if target["type"]["descriptor"] == "gene"
    }
    assert set(genes) == set(GENES)
    assert all(name.startswith("ENSG") and len(name) == 15 for name in genes.values())
    assert len(set(genes.values())) == len(genes)


@pytest.mark.parametrize("number", range(4))
def test_any_stain_file_opens_the_series_of_all_four(sample_slide, number):
    with tifffile.TiffFile(sample_slide / f"morphology_focus/morphology_focus_{number:04d}.ome.tif") as file:
        series = file.series
        assert len(series) == 1
        assert series[0].axes == "CYX"
        assert series[0].shape[0] == 4
        assert len(series[0].levels) >= 4
        assert series[0].levels[1].shape[1:] == tuple(length // 2 for length in series[0].shape[1:])
        own = file.pages[0].asarray()
        assert file.pages[0].is_tiled
        np.testing.assert_array_equal(series[0].asarray()[number], own)
        xml = file.ome_metadata
    assert all(f'Name="{stain}"' in xml for stain in STAINS)
    pixel = json.loads((sample_slide / "experiment.xenium").read_text())["pixel_size"]
    assert f'PhysicalSizeX="{pixel}"' in xml


def test_nuclei_glow_in_dapi_and_glass_is_dark(sample_slide, cells):
    bundle = open_xenium(sample_slide)
    dapi = np.asarray(bundle.images[0].levels[0])
    row, col = ((column(cells, name) / bundle.pixel_size_um).astype(int) for name in ("y_centroid", "x_centroid"))
    assert np.median(dapi[row, col]) > 10 * np.median(dapi)
    assert dapi[:40, :40].mean() < 0.05 * dapi[row, col].mean()


def test_muscle_genes_lie_where_the_actin_stain_is_bright(sample_slide, transcripts):
    image = open_xenium(sample_slide).images[3]
    stain = np.asarray(image.levels[0])
    bright = {}
    for gene in ("MYH11", "ERBB2"):
        mine = column(transcripts, "feature_name") == gene
        row, col = (
            (column(transcripts, name)[mine] / image.pixel_size_um).astype(int) for name in ("y_location", "x_location")
        )
        bright[gene] = stain[row, col].mean()
    assert bright["MYH11"] > 3 * bright["ERBB2"]


def test_most_of_the_image_border_is_empty_glass(sample_slide):
    gene_map = open_xenium(sample_slide).gene_map("ACTB")
    assert 0.5 < gene_map.tissue.mean() < 0.9


def test_another_seed_grows_another_tissue():
    one, other = (draw_tissue(np.random.default_rng(seed)).compartment for seed in (0, 1))
    assert 0.05 < (one != other).mean() < 0.6


def test_a_slide_that_already_stands_is_left_untouched(sample_slide):
    before = {name: (sample_slide / name).stat().st_mtime_ns for name in FILES}
    assert write_sample_slide(sample_slide) == sample_slide.resolve()
    assert {name: (sample_slide / name).stat().st_mtime_ns for name in FILES} == before


def test_a_damaged_slide_is_written_anew_with_the_very_same_bytes(sample_slide, tmp_path):
    folder = tmp_path / "slide"
    shutil.copytree(sample_slide, folder)
    (folder / "cells.parquet").unlink()
    write_sample_slide(folder)
    assert hashes(folder) == hashes(sample_slide)
    assert [path.name for path in tmp_path.iterdir()] == ["slide"]


def test_a_folder_with_something_else_in_it_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ExportError, match=r"something else \(mine\.txt\)"):
        write_sample_slide(tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_real_bundle_is_never_replaced_by_the_sample(tmp_path):
    (tmp_path / "experiment.xenium").write_text('{"run_name": "mine"}')
    (tmp_path / "transcripts.parquet").write_bytes(b"mine")
    with pytest.raises(ExportError, match="something else"):
        write_sample_slide(tmp_path)
    assert (tmp_path / "transcripts.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_place_that_cannot_be_a_folder_is_one_clear_sentence(tmp_path, place):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(ExportError, match="Choose another"):
        write_sample_slide(tmp_path / place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_two_processes_that_write_the_same_slide_both_end_with_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        folders = pool.map(write_sample_slide, [tmp_path / "slide"] * 2)
    assert folders == [tmp_path / "slide"] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["slide"]
    assert all((tmp_path / "slide" / name).is_file() for name in FILES)
