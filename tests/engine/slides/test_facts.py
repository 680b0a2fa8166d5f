"""The card of a slide: what it says of real slides, and that it is silent about what nobody knows."""

import numpy as np
import pytest
from scipy import sparse

from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.slides.facts import slide_facts
from napari_s2sst.engine.slides.h5ad import AnnDataSlide
from napari_s2sst.engine.slides.xenium import open_xenium


@pytest.mark.parametrize(
    ("folder", "facts"),
    [
        ("xenium_v1_breast_crop", {
            "Tissue": "Human Breast", "Panel": "REASSEMBLED", "Software": "Xenium 1.0.2", "Size": "0.19 x 0.16 mm",
            "Transcripts": "23,691", "Genes": "298", "Cells": "122", "Stains": "DAPI"}),
        ("xenium_v3_mouse_tiny", {
            "Tissue": "Mouse Multi", "Panel": "Xenium Mouse 5K Pan Tissue & Pathways Panel",
            "Software": "Xenium 3.0.0.15", "Size": "0.54 x 0.10 mm", "Transcripts": "1,985", "Genes": "582",
            "Cells": "23", "Stains": "DAPI"}),
        ("xenium_cell_mix_no_manifest", {
            "Size": "0.40 x 0.40 mm", "Transcripts": "5,260", "Genes": "27", "Cells": "526", "Stains": "morphology",
            "Pixel": "size unknown, so no picture is shown"}),
    ],
)  # fmt: skip
def test_the_card_of_a_xenium_slide_says_what_its_files_say(shared_data, folder, facts):
    assert dict(slide_facts(open_xenium(shared_data(folder)))) == facts


def test_a_slide_without_images_has_no_row_of_stains(shared_data):
    assert "Stains" not in dict(slide_facts(open_xenium(shared_data("xenium_v3_tables_only"))))


def test_the_sample_slide_names_its_four_stains(sample_slide):
    facts = dict(slide_facts(open_xenium(sample_slide)))
    assert len(facts["Stains"].split(", ")) == 4


def test_a_count_cube_says_its_bins_and_no_software(cube):
    slide = open_count_cube(cube)
    assert slide_facts(slide) == [
        ("Size", "0.44 x 0.48 mm"), ("Counts", f"{slide.num_transcripts:,}"), ("Genes", "3"), ("Bins", "10 um, 44 x 48"),
    ]  # fmt: skip


@pytest.mark.parametrize("assumed", [False, True])
def test_a_hest_slide_says_when_its_bins_are_assumed(tmp_path, assumed):
    counts = sparse.csc_matrix(np.array([[1, 2], [3, 4]], np.float32))
    slide = AnnDataSlide(
        path=tmp_path / "TENX94.h5ad", counts=counts, names=("A", "B"), bins=np.array([0, 5]), shape=(2, 3), bin_um=100.0,
        bin_is_assumed=assumed,
    )  # fmt: skip
    facts = dict(slide_facts(slide))
    assert facts["Counts"] == "10"
    assert facts["Bins"] == ("100 um (assumed), 3 x 2" if assumed else "100 um, 3 x 2")


def test_an_incomplete_image_leaves_its_row_out_and_all_others_in(sample_slide, tmp_path):
    for path in sample_slide.iterdir():
        if path.name != "morphology_focus":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "morphology_focus").mkdir()
    first = min((sample_slide / "morphology_focus").iterdir())
    (tmp_path / "morphology_focus" / first.name).symlink_to(first)
    whole = dict(slide_facts(open_xenium(sample_slide)))
    del whole["Stains"]
    assert dict(slide_facts(open_xenium(tmp_path))) == whole
