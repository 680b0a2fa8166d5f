"""Xenium folders of every version at hand: what they hold, and why some are refused."""

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.slide import KEPT_GRIDS
from napari_s2sst.engine.slides.xenium import is_xenium, open_xenium

FOLDERS = ["xenium_bone_marrow", "xenium_v1_breast_crop", "xenium_v3_mouse_tiny", "xenium_v3_tables_only",
           "xenium_cell_mix_no_manifest"]  # fmt: skip


def write_bundle(folder, names=("LTF", "CD4", "LTF"), manifest=None, panel=None):
    folder.mkdir(exist_ok=True)
    n = len(names)
    table = pa.table({"feature_name": list(names), "x_location": np.linspace(5, 95, n), "y_location": np.full(n, 7.0)})
    pq.write_table(table, folder / "transcripts.parquet")
    (folder / "experiment.xenium").write_text(json.dumps({} if manifest is None else manifest))
    if panel is not None:
        (folder / "gene_panel.json").write_text(json.dumps(panel))
    return folder


@pytest.mark.parametrize(
    ("folder", "name", "version", "transcripts", "genes", "counted", "first", "pixel_size_um", "cells"),
    [
        ("xenium_bone_marrow", "Xenium_V1_hBoneMarrow_nondiseased_section", "REASSEMBLED-unknown",
         1_336_636, 477, 1_319_831, ("SLC4A1", 69_207), 0.425, 84_518),
        ("xenium_v1_breast_crop", "breast_rep1_crop", "xenium-1.0.2", 23_691, 298, 18_774, ("LUM", 1_627), 0.2125, 122),
        ("xenium_v3_mouse_tiny", "region", "xenium-3.0.0.15", 1_985, 582, 531, ("Defa5", 403), 0.2125, 23),
        ("xenium_v3_tables_only", "Ovarian_Cancer", "xenium-3.0.0.15",
         2_649, 428, 1_089, ("ABCA10", 3), 0.2125, 407_124),
        ("xenium_cell_mix_no_manifest", "xenium_cell_mix_no_manifest", "unknown",
         5_260, 27, 5_257, ("LEF1", 821), None, 526),
    ],
)  # fmt: skip
def test_what_the_real_slides_hold(
    shared_data, folder, name, version, transcripts, genes, counted, first, pixel_size_um, cells
):
    bundle = open_xenium(shared_data(folder))
    assert (bundle.name, bundle.version, bundle.num_cells) == (name, version, cells)
    assert bundle.num_transcripts == transcripts
    assert len(bundle.genes) == genes
    assert sum(bundle.genes.values()) == counted
    assert next(iter(bundle.genes.items())) == first
    assert list(bundle.genes.values()) == sorted(bundle.genes.values(), reverse=True)
    assert bundle.pixel_size_um == pixel_size_um
    assert len(bundle.images) == (0 if folder == "xenium_v3_tables_only" else 1)


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_maps_of_all_genes_hold_every_good_transcript_once(shared_data, folder):
    bundle = open_xenium(shared_data(folder))
    some = list(bundle.genes)[:6]
    maps = bundle.gene_maps(some, bin_um=33.0)
    for gene, gene_map in zip(some, maps, strict=True):
        assert gene_map.gene == gene
        assert gene_map.values.sum() == bundle.genes[gene]
    assert maps[0].totals.sum(dtype=np.float64) == sum(bundle.genes.values())
    assert maps[0].tissue.any()


def test_one_gene_of_a_whole_slide_bin_by_bin(shared_data):
    bundle = open_xenium(shared_data("xenium_bone_marrow"))
    gene_map = bundle.gene_map("LTF", bin_um=20.0)
    assert bundle.genes["LTF"] == 61_804
    assert gene_map.shape == (182, 513)
    assert gene_map.origin_um == (0.0, 0.0)
    assert np.unravel_index(gene_map.values.argmax(), gene_map.shape) == (72, 327)
    assert gene_map.values.max() == 63
    assert np.count_nonzero(gene_map.values) == 13_216
    assert gene_map.tissue.mean() == pytest.approx(0.566, abs=0.02)
    assert gene_map.totals[~gene_map.tissue].sum() < 0.001 * gene_map.totals.sum()
    assert bundle.size_mm == pytest.approx((3.633, 10.247), abs=0.001)
    assert bundle.summary() == "Human Bone marrow, 10.2 x 3.6 mm, 1.34 M transcripts"


def test_a_map_agrees_with_one_that_others_made_of_the_slide(shared_data):
    cube = np.load(shared_data("maps/xenium_bonemarrow_core_bin16um.npz"))
    folder = shared_data("xenium_bone_marrow")
    # The cube starts at x = 3900 um, on no edge of a 16 um grid but on one of 4 um.
    fine = open_xenium(folder).gene_map("SLC4A1", bin_um=4.0)
    assert fine.origin_um == (4.0, 4.0)
    part = np.pad(fine.values, ((1, 0), (1, 0)))[: 128 * 4, 975 : 975 + 250 * 4]
    ours = part.reshape(128, 4, 250, 4).sum(axis=(1, 3))
    theirs = cube["counts"][list(cube["genes"]).index("SLC4A1")]
    table = pq.read_table(folder / "transcripts.parquet", filters=[("feature_name", "==", "SLC4A1")])
    x, y = table["x_location"].to_numpy() - 3900, table["y_location"].to_numpy()
    # Points exactly on an edge between two bins belong to the later one here and to the earlier one there.
    on_edge = np.count_nonzero((x % 16 == 0) | (y % 16 == 0))
    assert on_edge < 20
    assert np.abs(ours - theirs).sum() <= 2 * on_edge
    assert ours.sum() == theirs.sum()


@pytest.mark.parametrize("folder", ["xenium_v1_breast_crop", "xenium_cell_mix_no_manifest"])
def test_parquet_and_csv_of_a_slide_give_the_same_maps(shared_data, tmp_path, folder):
    shutil.copy(shared_data(folder) / "transcripts.csv.gz", tmp_path)
    whole, csv = open_xenium(shared_data(folder)), open_xenium(tmp_path)
    assert csv.transcripts.path.name == "transcripts.csv.gz"
    assert csv.genes == whole.genes
    assert csv.num_transcripts == whole.num_transcripts
    for ours, theirs in zip(csv.gene_maps(csv.genes, 15.0), whole.gene_maps(csv.genes, 15.0), strict=True):
        np.testing.assert_array_equal(ours.values, theirs.values)
        np.testing.assert_array_equal(ours.tissue, theirs.tissue)


def test_the_lowest_quality_counts_more(shared_data):
    bundle = open_xenium(shared_data("xenium_v1_breast_crop"))
    counts = [bundle.gene_map("LUM", min_qv=min_qv).values.sum() for min_qv in (0, 20, 30)]
    assert counts == [1953, 1627, 1418]


def test_the_sample_slide_opens(sample_slide):
    bundle = open_xenium(sample_slide)
    assert bundle.pixel_size_um
    assert len(bundle.images) == 4
    gene = next(iter(bundle.genes))
    assert bundle.gene_map(gene).values.sum() == bundle.genes[gene]
    y0, x0, y1, x1 = bundle.extent_um
    rows, columns = bundle.images[0].levels[0].shape
    assert 0 <= y0 < y1 <= rows * bundle.images[0].pixel_size_um
    assert 0 <= x0 < x1 <= columns * bundle.images[0].pixel_size_um


def test_totals_and_tissue_are_remembered_for_the_next_gene(tmp_path):
    bundle = open_xenium(write_bundle(tmp_path / "slide"))
    first, second = bundle.gene_map("LTF"), bundle.gene_map("CD4")
    assert np.shares_memory(first.totals, second.totals)
    assert np.shares_memory(first.tissue, second.tissue)
    for bin_um in range(5, 5 + 2 * KEPT_GRIDS):
        bundle.gene_map("LTF", bin_um)
    assert len(bundle._grids) == KEPT_GRIDS
    np.testing.assert_array_equal(bundle.gene_map("LTF").totals, first.totals)


def test_genes_come_in_the_order_asked_for_even_twice(tmp_path):
    bundle = open_xenium(write_bundle(tmp_path / "slide"))
    assert [gene_map.gene for gene_map in bundle.gene_maps(["CD4", "LTF", "CD4"])] == ["CD4", "LTF", "CD4"]
    assert bundle.gene_maps([]) == []


def test_the_manifest_opens_the_folder_it_lies_in(tmp_path):
    folder = write_bundle(tmp_path / "slide", manifest={"region_name": "Left", "num_cells": 7})
    bundle = open_xenium(folder / "experiment.xenium")
    assert (bundle.path, bundle.name, bundle.num_cells) == (folder, "Left", 7)


def test_the_panel_tells_genes_where_the_table_does_not(tmp_path):
    def target(name, descriptor):
        return {"type": {"data": {"name": name}, "descriptor": descriptor}}

    panel = {"payload": {"targets": [target("LTF", "gene"), target("CD4", "probe_control"), {"type": None}, 3]}}
    folder = write_bundle(tmp_path / "slide", ("LTF", "CD4", "BLANK_0001", "KRT8"), panel=panel)
    assert open_xenium(folder).genes == {"KRT8": 1, "LTF": 1}


@pytest.mark.parametrize("panel", [{}, {"payload": None}, {"payload": {"targets": None}}, {"payload": [1]}])
def test_a_panel_that_tells_nothing_is_no_harm(tmp_path, panel):
    assert open_xenium(write_bundle(tmp_path / "slide", panel=panel)).genes == {"LTF": 2, "CD4": 1}


@pytest.mark.parametrize("said", [None, "0.2", -1, 0, float("nan"), True])
def test_a_pixel_size_that_is_none_is_not_assumed(tmp_path, said):
    bundle = open_xenium(write_bundle(tmp_path / "slide", manifest={"pixel_size": said}))
    assert bundle.pixel_size_um is None


def write_stain(path, pixel_size_um=None, compression=None, name="DAPI"):
    path.parent.mkdir(exist_ok=True)
    metadata = {"axes": "YX", "Channel": {"Name": name}}
    if pixel_size_um is not None:
        metadata |= {"PhysicalSizeX": pixel_size_um, "PhysicalSizeXUnit": "µm"}
    pixels = np.arange(128 * 192, dtype=np.uint16).reshape(128, 192) % 4000
    tifffile.imwrite(path, pixels, tile=(64, 64), compression=compression, metadata=metadata, ome=True)
    return pixels


def test_the_pixel_size_of_a_folder_without_manifest_is_the_images(tmp_path):
    folder = write_bundle(tmp_path / "slide")
    (folder / "experiment.xenium").unlink()
    write_stain(folder / "morphology_focus.ome.tif", 0.85)
    bundle = open_xenium(folder)
    assert bundle.pixel_size_um == bundle.images[0].pixel_size_um == 0.85
    assert open_xenium(folder, pixel_size_um=0.2).pixel_size_um == 0.85


def test_a_pixel_size_that_nobody_states_is_the_one_given_or_none_at_all(tmp_path):
    folder = write_bundle(tmp_path / "slide")
    write_stain(folder / "morphology_focus.ome.tif")
    silent, given = open_xenium(folder), open_xenium(folder, pixel_size_um=0.85)
    assert silent.pixel_size_um is None
    assert silent.images[0].pixel_size_um is None
    assert given.pixel_size_um == given.images[0].pixel_size_um == 0.85
    assert open_xenium(write_bundle(tmp_path / "b", manifest={"pixel_size": 0.3}), 0.85).pixel_size_um == 0.3
    with pytest.raises(BundleError, match="give one above 0"):
        open_xenium(folder, pixel_size_um=-1)


def test_a_bundle_of_xenium_4_opens_with_its_named_stains(tmp_path):
    names = ["GENE_A", "NegControlProbe_00042", "GenomicControlProbe_7", "antisense_GENE_A", "UnassignedCodeword_1",
             "DeprecatedCodeword_2", "GENE_A"]  # fmt: skip
    folder = write_bundle(tmp_path / "slide", names, {"analysis_sw_version": "xenium-4.0.1.0", "pixel_size": 0.85})
    stains = {"ch0000_dapi.ome.tif": "", "ch0001_atp1a1_cd45_e-cadherin.ome.tif": ""}
    for stain in stains:
        stains[stain] = write_stain(folder / "morphology_focus" / stain, compression="jpeg2000", name="")
    bundle = open_xenium(folder)
    assert bundle.version == "xenium-4.0.1.0"
    assert bundle.genes == {"GENE_A": 2}
    assert [image.name for image in bundle.images] == ["dapi", "atp1a1_cd45_e-cadherin"]
    for image, pixels in zip(bundle.images, stains.values(), strict=True):
        assert image.levels[0].shape == pixels.shape
        assert image.pixel_size_um == 0.85


def test_protein_rows_of_the_matrix_are_no_genes(tmp_path):
    folder = write_bundle(tmp_path / "slide")
    with h5py.File(folder / "cell_feature_matrix.h5", "w") as file:
        file["matrix/features/name"] = [b"LTF", b"CD4", b"PD-1", b"Vimentin"]
        file["matrix/features/feature_type"] = [b"Gene Expression"] * 2 + [b"Protein Expression"] * 2
    (folder / "protein_panel.json").write_text(json.dumps({"payload": {"targets": [{"name": "PD-1"}]}}))
    assert open_xenium(folder).genes == {"LTF": 2, "CD4": 1}


@pytest.mark.parametrize("kind", [pa.int32(), pa.string(), pa.large_string(), pa.binary()], ids=str)
def test_cells_of_every_kind_of_name_are_no_harm(tmp_path, kind):
    folder = write_bundle(tmp_path / "slide")
    table = pq.read_table(folder / "transcripts.parquet")
    cells = pa.array([1, 2, -1]).cast(pa.string()).cast(kind)
    pq.write_table(table.append_column("cell_id", cells), folder / "transcripts.parquet")
    pq.write_table(pa.table({"cell_id": cells}), folder / "cells.parquet")
    bundle = open_xenium(folder)
    assert (bundle.genes, bundle.num_cells) == ({"LTF": 2, "CD4": 1}, 3)


@pytest.mark.parametrize(
    ("place", "hint"),
    [("s3://bucket/output-XETG00", "aws s3 sync"), ("https://host/outs.zip", "curl"), ("gs://bucket/x", "gcloud")],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_places_elsewhere_are_refused_with_a_hint(place, hint, kind):
    with pytest.raises(BundleError, match=rf"is not on this computer.*Download it first \(with {hint}"):
        open_xenium(kind(place))
    assert is_xenium(place) is False


@pytest.mark.parametrize("name", ["outs.zip", "OUTS.ZIP", "bundle.tar.gz", "bundle.7z"])
def test_packed_bundles_are_refused_with_a_hint(tmp_path, name):
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(BundleError, match=r"is packed.*Unpack it first"):
        open_xenium(tmp_path / name)


def test_an_unknown_gene_gets_the_nearest_names(shared_data):
    with pytest.raises(BundleError, match=r"There is no gene 'ltf2' in Xenium_V1.*nearest names are LTF, "):
        open_xenium(shared_data("xenium_bone_marrow")).gene_map("ltf2")


def test_absurdly_small_bins_are_refused(shared_data):
    with pytest.raises(BundleError, match=r"10\.2 x 3\.6 mm.*Choose larger bins"):
        open_xenium(shared_data("xenium_bone_marrow")).gene_map("LTF", bin_um=0.1)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"has neither experiment\.xenium nor transcripts\.parquet"):
        open_xenium(tmp_path)
    with pytest.raises(BundleError, match="There is no folder"):
        open_xenium(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BundleError, match="is a file"):
        open_xenium(tmp_path / "notes.txt")


def test_a_bundle_without_transcripts_is_refused(tmp_path):
    (write_bundle(tmp_path / "slide") / "transcripts.parquet").unlink()
    with pytest.raises(BundleError, match=r"has no transcripts: neither transcripts\.parquet nor transcripts\.csv\.gz"):
        open_xenium(tmp_path / "slide")


@pytest.mark.parametrize("text", ["", "{broken", "[1, 2]", "\xff\xfe"])
def test_a_broken_manifest_is_one_clear_error(tmp_path, text):
    (write_bundle(tmp_path / "slide") / "experiment.xenium").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"experiment\.xenium"):
        open_xenium(tmp_path / "slide")


@pytest.mark.parametrize("folder", FOLDERS)
def test_real_slides_are_recognised(shared_data, folder):
    assert is_xenium(shared_data(folder))
    assert is_xenium(str(shared_data(folder)))


def test_other_folders_are_not_recognised_and_nothing_is_raised(tmp_path):
    (tmp_path / "table").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "table" / "transcripts.parquet")
    (tmp_path / "notes.txt").write_text("hello")
    for path in (
        tmp_path,
        tmp_path / "table",
        tmp_path / "none",
        tmp_path / "notes.txt",
        "",
        "\0",
        "x" * 5000,
        None,
        3,
    ):
        assert is_xenium(path) is False


def test_a_broken_bundle_is_still_recognised_so_that_its_error_is_shown(tmp_path):
    (tmp_path / "experiment.xenium").write_text("{broken")
    assert is_xenium(tmp_path)
    assert is_xenium(tmp_path / "experiment.xenium")
