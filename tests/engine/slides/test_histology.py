"""H&E pictures: which one is a slide's, how it is read, and that tissue lies on tissue."""

import json

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.slides.histology import find_histology, open_histology
from napari_s2sst.engine.slides.xenium import open_xenium

QUARTER_TURN = [[0.0, 0.5, 10.0], [-0.5, 0.0, 300.0], [0.0, 0.0, 1.0]]
"""As Xenium Explorer exports it: x' = y / 2 + 10, y' = 300 - x / 2, in pixels of the morphology image."""


def picture(rows=60, columns=80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (rows, columns, 3), np.uint8)


def save_matrix(path, matrix):
    path.write_text("\n".join(",".join(map(repr, row)) for row in matrix) + "\n")


@pytest.fixture
def folder(sample_slide, tmp_path):
    """The sample slide again, in a folder that can be written to and is named as 10x names it."""
    made = tmp_path / "downloads" / "Xenium_V1_hColon_outs"
    made.mkdir(parents=True)
    for path in sample_slide.iterdir():
        (made / path.name).symlink_to(path)
    return made


def give(folder, name="Xenium_V1_hColon", matrix=QUARTER_TURN):
    tifffile.imwrite(folder / f"{name}_he_image.ome.tif", picture(), photometric="rgb")
    save_matrix(folder / f"{name}_he_imagealignment.csv", matrix)


def opened(folder):
    return open_histology(find_histology(folder), open_xenium(folder))


def nuclei(pixels: np.ndarray) -> np.ndarray:
    """What is as large as a nucleus, bright."""
    return ndimage.gaussian_filter(pixels, 4) - ndimage.gaussian_filter(pixels, 40)


def likeness(bundle, histology, affine) -> float:
    """Correlation of the picture's darkness with DAPI, both in pixels of the morphology image."""
    dapi = np.log1p(np.asarray(bundle.images[0].levels[0], float))
    rows, columns = np.indices(dapi.shape) + 0.5
    yx_um = np.stack([rows * bundle.pixel_size_um, columns * bundle.pixel_size_um, np.ones_like(rows)]).reshape(3, -1)
    at = (np.linalg.inv(affine) @ yx_um)[:2]
    darkness = 255 - np.asarray(histology.levels[0], float)[..., 0]
    drawn = ndimage.map_coordinates(darkness, at, order=1, cval=np.nan).reshape(dapi.shape)
    inside = np.isfinite(drawn)
    assert inside.mean() > 0.99
    drawn[~inside] = drawn[inside].mean()
    return np.corrcoef(nuclei(drawn)[inside], nuclei(dapi)[inside])[0, 1]


def test_hematoxylin_lies_on_dapi_in_the_breast_crop(shared_data):
    bundle = open_xenium(shared_data("xenium_v1_breast_crop"))
    histology = open_histology(find_histology(bundle.path), bundle)
    assert "middle of this crop" in histology.note
    assert likeness(bundle, histology, histology.affine) > 0.8
    upside_down = np.array([[-1, 0, bundle.images[0].levels[0].shape[0] * bundle.pixel_size_um], [0, 1, 0], [0, 0, 1]])
    assert likeness(bundle, histology, upside_down @ histology.affine) < 0.2
    # The scanner's pixel, in um, by which the matrix was found in the whole slide.
    assert abs(np.linalg.det(histology.affine)) ** 0.5 == pytest.approx(1.7125 * bundle.pixel_size_um, rel=1e-3)
    best = max(
        (likeness(bundle, histology, np.array([[1, 0, dy], [0, 1, dx], [0, 0, 1]]) @ histology.affine), dy, dx)
        for dy in (-1, 0, 1) for dx in (-1, 0, 1)
    )  # fmt: skip
    assert best[1:] == (0, 0)


def test_the_same_matrix_as_csv_and_as_json_of_named_axes_is_the_same_place(shared_data, folder):
    give(folder)
    as_csv = opened(folder).affine
    axes = {name: [{"name": each, "type": "space"} for each in name] for name in ("cyx", "cxy")}
    affine = [[1, 0, 0, 0], [0, 0.5, 0, 10.0], [0, 0, -0.5, 300.0]]  # rows c, x, y of columns c, y, x
    step = {"type": "affine", "affine": affine, "input": {"axes": axes["cyx"]}, "output": {"axes": axes["cxy"]}}
    content = {"multiscales": [{"coordinateTransformations": [{"type": "sequence", "transformations": [step]}]}]}
    (folder / "Xenium_V1_hColon_he_imagealignment.csv").unlink()
    (folder / "Xenium_V1_hColon_he_image_transform.zattrs.json").write_text(json.dumps(content))
    np.testing.assert_allclose(opened(folder).affine, as_csv)


def test_a_pixels_centre_goes_where_10x_says(folder):
    give(folder)
    histology = opened(folder)
    pixel_um = open_xenium(folder).pixel_size_um
    # The centre of the pixel in row 20, column 40 is x = 40.5, y = 20.5 from the picture's corner.
    x, y = 0.5 * 20.5 + 10, 300 - 0.5 * 40.5
    np.testing.assert_allclose(histology.affine @ (20, 40, 1), (y * pixel_um, x * pixel_um, 1))
    assert histology.note == ""


@pytest.mark.parametrize("axes", ["YXS", "CYX", "YXS4", "YXS16"])
def test_a_picture_of_any_order_of_axes_is_read_as_it_was_written(folder, axes):
    give(folder)
    path, pixels = folder / "Xenium_V1_hColon_he_image.ome.tif", picture()
    if axes == "CYX":
        tifffile.imwrite(path, np.moveaxis(pixels, -1, 0), metadata={"axes": "CYX"}, photometric="minisblack")
    elif axes == "YXS4":
        tifffile.imwrite(path, np.dstack([pixels, pixels[..., :1]]), photometric="rgb", extrasamples=["unassalpha"])
    elif axes == "YXS16":
        tifffile.imwrite(path, pixels.astype(np.uint16) * 256, photometric="rgb")
    (level,) = opened(folder).levels
    assert not isinstance(level, np.ndarray)
    assert level.dtype == np.uint8
    np.testing.assert_array_equal(level, pixels)


def test_the_levels_of_a_pyramid_are_all_there(folder):
    give(folder)
    with tifffile.TiffWriter(folder / "Xenium_V1_hColon_he_image.ome.tif", ome=True) as tiff:
        pixels = picture(512, 768)
        tiff.write(pixels, subifds=2, tile=(128, 128), photometric="rgb", metadata={"axes": "YXS"})
        tiff.write(pixels[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1)
        tiff.write(pixels[::4, ::4], tile=(128, 128), photometric="rgb", subfiletype=1)
    levels = opened(folder).levels
    assert [level.shape for level in levels] == [(512, 768, 3), (256, 384, 3), (128, 192, 3)]
    np.testing.assert_array_equal(levels[2], pixels[::4, ::4])


def test_a_picture_beside_the_folder_is_the_slides_when_it_is_named_like_it(folder):
    give(folder.parent)
    give(folder.parent, "Xenium_V1_hBrain")
    found = find_histology(folder)
    assert found.picture.name == "Xenium_V1_hColon_he_image.ome.tif"
    assert found.alignment.name == "Xenium_V1_hColon_he_imagealignment.csv"


def test_a_picture_with_another_name_is_taken_only_where_there_is_no_other_slide(folder, sample_slide):
    give(folder.parent, "Xenium_V1_hBrain")
    assert find_histology(folder) is not None
    (folder.parent / "other").symlink_to(sample_slide)
    assert find_histology(folder) is None


def test_an_alignment_of_another_stain_or_sample_is_not_taken(folder):
    give(folder)
    (folder / "Xenium_V1_hColon_he_imagealignment.csv").unlink()
    save_matrix(folder / "Xenium_V1_hColon_if_imagealignment.csv", QUARTER_TURN)
    save_matrix(folder / "Xenium_V1_hBrain_he_imagealignment.csv", QUARTER_TURN)
    assert find_histology(folder).alignment is None
    with pytest.raises(BundleError, match="Nothing says where"):
        opened(folder)


@pytest.mark.parametrize("name", ["xenium_v3_mouse_tiny", "xenium_cell_mix_no_manifest", "xenium_bone_marrow"])
def test_a_slide_without_a_picture_has_none(shared_data, name):
    assert find_histology(shared_data(name)) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1,0\n0,1\n", "3 x 3 matrix"),
        ("1,0,0\n0,one,0\n0,0,1\n", "can't be read as an alignment of 3 x 3 numbers"),
        ("1,0,0\n0,0\n0,0,1\n", "can't be read as an alignment of 3 x 3 numbers"),
        ("0,0,5\n0,0,5\n0,0,1\n", "can be inverted"),
        ("", "3 x 3 matrix"),
    ],
)  # fmt: skip
def test_a_broken_alignment_is_named_in_one_sentence(folder, text, says):
    give(folder)
    (folder / "Xenium_V1_hColon_he_imagealignment.csv").write_text(text)
    with pytest.raises(BundleError, match=says):
        opened(folder)


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"multiscales": []}', '{"multiscales": [{"coordinateTransformations": [{}]}]}']
)
def test_a_broken_json_is_named_in_one_sentence(folder, content):
    give(folder)
    (folder / "Xenium_V1_hColon_he_imagealignment.csv").unlink()
    (folder / "Xenium_V1_hColon_he_transform.json").write_text(content)
    with pytest.raises(BundleError, match="as SpatialData writes it"):
        opened(folder)


def test_a_picture_that_its_alignment_puts_off_the_slide_is_refused(folder):
    give(folder, matrix=[[1, 0, 90_000.0], [0, 1, 0], [0, 0, 1]])
    with pytest.raises(BundleError, match="lies outside of the slide"):
        opened(folder)


@pytest.mark.parametrize("broken", [b"no picture", None])
def test_a_picture_that_is_none_is_refused(folder, broken):
    give(folder)
    path = folder / "Xenium_V1_hColon_he_image.ome.tif"
    path.write_bytes(broken) if broken else tifffile.imwrite(path, picture()[..., 0])
    with pytest.raises(BundleError, match=r"can't be read as an (RGB|OME-TIFF)"):
        opened(folder)
