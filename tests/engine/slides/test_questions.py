"""What is asked of a slide that does not say how large it is."""

import shutil

import numpy as np
import pytest

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.slides.opening import open_slide
from napari_s2sst.engine.slides.questions import question_of, question_to
from napari_s2sst.engine.slides.xenium import open_xenium


def test_a_real_folder_without_manifest_is_asked_for_its_pixels_and_opened_with_the_answer(shared_data):
    folder = shared_data("xenium_cell_mix_no_manifest")
    question = question_of(open_xenium(folder))
    assert (question.kind, question.usual_um) == ("pixel", 0.2125)
    slide = open_slide(folder, 0.5)
    assert slide.pixel_size_um == slide.images[0].pixel_size_um == 0.5
    assert question_of(slide) is None


@pytest.mark.parametrize("name", ["xenium_bone_marrow", "xenium_v1_breast_crop", "xenium_v3_tables_only"])
def test_a_slide_that_tells_its_pixels_or_has_no_picture_is_asked_nothing(shared_data, name):
    assert question_of(open_xenium(shared_data(name))) is None


def test_a_cube_that_lacks_its_bin_size_alone_is_asked_for_it(cube, cube_without_bin, tmp_path):
    assert question_to(cube) is None
    assert question_to(cube_without_bin).kind == "bin"
    assert open_slide(cube_without_bin, 12.5).bin_um == 12.5
    np.savez(tmp_path / "more.npz", counts=np.zeros((1, 4, 4)))
    assert question_to(tmp_path / "more.npz") is None
    (tmp_path / "no.npz").write_text("no archive")
    assert question_to(tmp_path / "no.npz") is None
    assert question_to(tmp_path / "absent.npz") is None


def test_a_cubes_own_bin_size_wins_and_other_faults_stay_errors(cube, tmp_path):
    assert open_count_cube(cube, 99.0).bin_um == 10.0
    np.savez(tmp_path / "more.npz", counts=np.zeros((1, 4, 4)))
    with pytest.raises(BundleError, match="has no genes and no bin_um"):
        open_count_cube(tmp_path / "more.npz", 12.5)


@pytest.mark.parametrize("size_um", [0, -1, float("nan"), float("inf")])
def test_a_size_that_is_none_is_refused(cube_without_bin, sample_slide, size_um):
    for path in (cube_without_bin, sample_slide):
        with pytest.raises(BundleError, match="above 0"):
            open_slide(path, size_um)


def test_an_incomplete_picture_raises_no_question(sample_slide, tmp_path):
    folder = tmp_path / "cut"
    shutil.copytree(sample_slide, folder)
    first, *_ = sorted((folder / "morphology_focus").iterdir())
    first.unlink()
    assert question_of(open_xenium(folder)) is None
