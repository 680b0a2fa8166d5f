"""Stains out of OME-TIFFs: the shapes Xenium has given them, and what is missing or broken."""

import gc
import warnings

import numpy as np
import pytest
import tifffile

from napari_s2sst.engine.errors import BundleError
from napari_s2sst.engine.pictures.stains import StainImage, find_morphology, open_stains, read_pixel_size_um

STAINS = ("DAPI", "ATP1A1/CD45/E-Cadherin", "18S", "AlphaSMA/Vimentin")
BASE = np.arange(200 * 300, dtype=np.uint16).reshape(200, 300) % 4096


def write_set(folder, names, stains=STAINS, unit="µm", size="0.2125"):
    """Files that refer to each other, one stain each, two levels, as Xenium 2 and later write them."""
    folder.mkdir(exist_ok=True)
    channels = "".join(f'<Channel ID="Channel:0:{c}" Name="{stain}"/>' for c, stain in enumerate(stains))
    data = "".join(
        f'<TiffData FirstC="{c}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{c}</UUID></TiffData>'
        for c, name in enumerate(names)
    )
    for c, name in enumerate(names):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{c}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
            f'SizeX="300" SizeY="200" SizeC="{len(names)}" SizeZ="1" SizeT="1" PhysicalSizeX="{size}" '
            f'PhysicalSizeXUnit="{unit}">{channels}{data}</Pixels></Image></OME>'
        )
        with tifffile.TiffWriter(folder / name) as tiff:
            options = {"tile": (64, 64), "metadata": None}
            tiff.write(BASE + c, subifds=1, description=xml.encode(), **options)
            tiff.write(BASE[::2, ::2] + c, subfiletype=1, **options)
    return [folder / name for name in names]


FOCUS = [f"morphology_focus_000{c}.ome.tif" for c in range(4)]


def test_four_files_that_refer_to_each_other_are_four_stains(tmp_path):
    images = open_stains(write_set(tmp_path / "morphology_focus", FOCUS))
    assert tuple(image.name for image in images) == STAINS
    for c, image in enumerate(images):
        assert [level.shape for level in image.levels] == [(200, 300), (100, 150)]
        assert image.pixel_size_um == 0.2125
        np.testing.assert_array_equal(image.levels[0], BASE + c)
        np.testing.assert_array_equal(image.levels[1], BASE[::2, ::2] + c)


def test_a_missing_sibling_is_named_and_not_read_as_zeros(tmp_path):
    files = write_set(tmp_path / "morphology_focus", FOCUS)
    files[2].unlink()
    with pytest.raises(BundleError, match=r"incomplete: morphology_focus_0002\.ome\.tif is missing"):
        open_stains(find_morphology(tmp_path))


def test_the_first_file_missing_is_noticed_too(tmp_path):
    files = write_set(tmp_path / "morphology_focus", FOCUS)
    files[0].unlink()
    with pytest.raises(BundleError, match=r"morphology_focus_0000\.ome\.tif is missing"):
        open_stains(find_morphology(tmp_path))


def test_file_names_of_xenium_4_name_stains_that_the_image_does_not(tmp_path):
    names = ["ch0000_dapi.ome.tif", "ch0001_atp1a1_cd45_e-cadherin.ome.tif"]
    write_set(tmp_path / "morphology_focus", names, stains=("", ""))
    images = open_stains(find_morphology(tmp_path))
    assert [image.name for image in images] == ["dapi", "atp1a1_cd45_e-cadherin"]


def test_files_that_know_nothing_of_each_other_are_a_stain_each(tmp_path):
    folder = tmp_path / "morphology_focus"
    folder.mkdir()
    for c, name in enumerate(FOCUS[:2]):
        metadata = {"axes": "YX", "Channel": {"Name": STAINS[c]}, "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
        tifffile.imwrite(folder / name, BASE + c, metadata=metadata)
    images = open_stains(find_morphology(tmp_path))
    assert [image.name for image in images] == list(STAINS[:2])
    np.testing.assert_array_equal(images[1].levels[0], BASE + 1)
    assert images[1].pixel_size_um == 0.5


def test_one_file_with_several_channels_is_several_stains(tmp_path):
    path = tmp_path / "morphology_focus.ome.tif"
    stack = np.stack([BASE, BASE + 1, BASE + 2])
    tifffile.imwrite(
        path, stack, metadata={"axes": "CYX", "Channel": {"Name": list(STAINS[:3])}}, photometric="minisblack"
    )
    images = open_stains(find_morphology(tmp_path), 0.3)
    assert [image.name for image in images] == list(STAINS[:3])
    np.testing.assert_array_equal(images[2].levels[0], stack[2])
    assert images[0].pixel_size_um == 0.3


def test_of_a_focal_stack_the_middle_plane_is_shown(tmp_path):
    stack = np.stack([BASE + z for z in range(5)])
    tifffile.imwrite(tmp_path / "morphology.ome.tif", stack, metadata={"axes": "ZYX"}, photometric="minisblack")
    (image,) = open_stains(find_morphology(tmp_path))
    np.testing.assert_array_equal(image.levels[0], stack[2])


def test_in_focus_is_chosen_before_the_projection_and_the_stack(tmp_path):
    for name in ("morphology.ome.tif", "morphology_mip.ome.tif", "morphology_focus.ome.tif"):
        tifffile.imwrite(tmp_path / name, BASE)
        assert find_morphology(tmp_path) == [tmp_path / name]
    (tmp_path / "morphology_focus").mkdir()
    assert find_morphology(tmp_path) == [tmp_path / "morphology_focus.ome.tif"]
    files = write_set(tmp_path / "morphology_focus", FOCUS)
    assert find_morphology(tmp_path) == files


@pytest.mark.parametrize(
    ("unit", "size", "um"),
    [("µm", "0.2125", 0.2125), ("nm", "212.5", 0.2125), ("mm", "0.0002125", 0.2125), ("pixel", "1", 7.0),
     ("µm", "0", 7.0), ("µm", "nan", 7.0)],
)  # fmt: skip
def test_the_pixel_size_is_in_um_whatever_the_unit_or_the_bundles(tmp_path, unit, size, um):
    (image,) = open_stains(write_set(tmp_path / "set", FOCUS[:1], unit=unit, size=size), 7.0)
    assert image.pixel_size_um == pytest.approx(um)


def test_a_plain_tiff_has_no_pixel_size_of_its_own(tmp_path):
    tifffile.imwrite(tmp_path / "morphology_focus.ome.tif", BASE, metadata=None)
    (image,) = open_stains(find_morphology(tmp_path))
    assert (image.name, image.pixel_size_um) == ("morphology", None)


def test_jpeg_2000_as_the_instrument_compresses_is_read(tmp_path):
    path = tmp_path / "morphology_focus.ome.tif"
    tifffile.imwrite(path, BASE, tile=(64, 64), compression="jpeg2000")
    np.testing.assert_array_equal(open_stains([path])[0].levels[0], BASE)


def test_nothing_but_headers_is_read_to_open_an_image(tmp_path):
    path = write_set(tmp_path / "set", FOCUS[:1])[0]
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].dataoffsets[5]
    path.write_bytes(whole[:offset] + b"\xff" * 64 + whole[offset + 64 :])
    (image,) = open_stains([path])
    assert np.asarray(image.levels[0][:64, :64]).tolist() == BASE[:64, :64].tolist()
    assert not np.array_equal(np.asarray(image.levels[0]), BASE)


def test_a_file_is_open_as_long_as_its_pixels_are_wanted_and_no_longer(tmp_path):
    path = write_set(tmp_path / "set", FOCUS[:1])[0]
    level = open_stains([path])[0].levels[0]
    gc.collect()
    np.testing.assert_array_equal(level, BASE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        del level
        gc.collect()
    assert [str(warning.message) for warning in caught if path.name in str(warning.message)] == []


def test_a_huge_image_of_one_level_gets_coarser_ones_that_are_not_stored(tmp_path):
    path = tmp_path / "morphology_focus.ome.tif"
    pixels = np.zeros((300, 9000), np.uint8)
    pixels[:, 4500:] = 40
    tifffile.imwrite(path, pixels, tile=(256, 256))
    (image,) = open_stains([path])
    assert [level.shape for level in image.levels] == [(300, 9000), (75, 2250)]
    assert image.stored_levels == 1
    assert image.levels[1].dtype == np.uint8
    np.testing.assert_array_equal(image.levels[1][:, 1200], 40)


@pytest.mark.parametrize("value", [0, 31, 65535])
def test_contrast_limits_of_an_even_image_are_still_a_range(tmp_path, value):
    tifffile.imwrite(tmp_path / "a.tif", np.full((50, 50), value, np.uint16))
    (image,) = open_stains([tmp_path / "a.tif"])
    assert image.contrast_limits[0] < image.contrast_limits[1]


def test_contrast_limits_of_a_nearly_empty_image_reach_what_is_in_it(tmp_path):
    pixels = np.zeros((100, 100), np.uint16)
    pixels[3, 3] = 900
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    assert open_stains([tmp_path / "a.tif"])[0].contrast_limits == (0.0, 900.0)


def test_contrast_limits_show_a_very_dark_image(shared_data):
    (dapi,) = open_stains(find_morphology(shared_data("xenium_bone_marrow")))
    low, high = dapi.contrast_limits
    assert 0 <= low < high <= 31


def test_contrast_of_a_huge_level_comes_from_samples_of_it():
    import dask.array as da

    huge = da.zeros((1 << 17, 1 << 17), chunks=4096, dtype=np.uint8)
    assert StainImage("DAPI", [huge], None).contrast_limits == (0.0, 1.0)


@pytest.mark.parametrize(
    ("folder", "stain", "shapes", "pixel_size_um"),
    [
        ("xenium_bone_marrow", "DAPI", [(8571, 24134), (4286, 12067), (2143, 6034), (1072, 3017), (536, 1509)], 0.425),
        ("xenium_v1_breast_crop", "DAPI", [(763, 899), (381, 450), (191, 225), (95, 112), (47, 56)], 0.2125),
        ("xenium_v3_mouse_tiny", "DAPI", [(3522, 5789), (1761, 2894), (880, 1447), (440, 723), (220, 361)], 0.2125),
        ("xenium_cell_mix_no_manifest", "morphology", [(237, 237)], None),
    ],
)
def test_the_images_of_real_slides(shared_data, folder, stain, shapes, pixel_size_um):
    files = find_morphology(shared_data(folder))
    (image,) = open_stains(files)
    assert image.name == stain
    assert [level.shape for level in image.levels] == shapes
    assert image.pixel_size_um == read_pixel_size_um(files) == pixel_size_um
    corner = np.asarray(image.levels[0][-64:, -64:])
    np.testing.assert_array_equal(corner, tifffile.imread(files[0], level=0)[-64:, -64:])


@pytest.mark.parametrize("content", [b"", b"no picture", b"II*\x00\xff\xff\xff\xff"])
def test_a_file_that_is_no_image_is_one_clear_error(tmp_path, content):
    path = tmp_path / "morphology_focus.ome.tif"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="can't be read as an OME-TIFF"):
        open_stains([path])


@pytest.mark.parametrize("compression", [None, "zlib", "jpeg2000"])
def test_an_image_cut_within_its_pixels_is_refused_when_it_is_opened(tmp_path, compression):
    path = tmp_path / "morphology_focus.ome.tif"
    tifffile.imwrite(path, BASE, tile=(64, 64), compression=compression)
    with tifffile.TiffFile(path) as tiff:
        end = tiff.pages[0].dataoffsets[7]
    with path.open("r+b") as file:
        file.truncate(end)
    with pytest.raises(
        BundleError, match=r"morphology_focus\.ome\.tif is cut short: .* \d+ of the 20 pieces .* missing"
    ):
        open_stains([path])


def test_a_tile_that_can_not_be_decoded_is_an_error_and_not_zeros(tmp_path):
    path = tmp_path / "morphology_focus.ome.tif"
    tifffile.imwrite(path, BASE, tile=(64, 64), compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        start, length = tiff.pages[0].dataoffsets[3], tiff.pages[0].databytecounts[3]
    whole = bytearray(path.read_bytes())
    whole[start : start + length] = b"\x5a" * length
    path.write_bytes(whole)
    (image,) = open_stains([path])
    np.testing.assert_array_equal(image.levels[0][:64, :64], BASE[:64, :64])
    with pytest.raises(BundleError, match=r"morphology_focus\.ome\.tif can't be read"):
        np.asarray(image.levels[0])
    with pytest.raises(BundleError, match=r"morphology_focus\.ome\.tif can't be read"):
        image.contrast_limits  # noqa: B018


def test_levels_that_are_another_picture_are_left_out(tmp_path):
    path = tmp_path / "morphology_focus.ome.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(BASE, subifds=3, tile=(64, 64))
        for level in (BASE[::2, ::2], np.ones((30, 140), np.uint16), BASE[::4, ::4].astype(np.uint8)):
            tiff.write(level, subfiletype=1, tile=(64, 64))
    (image,) = open_stains([path])
    assert [level.shape for level in image.levels] == [(200, 300), (100, 150)]
    assert image.stored_levels == 2
    assert image.shape_px == (200, 300)


def test_a_picture_in_colour_is_refused(tmp_path):
    path = tmp_path / "morphology_focus.ome.tif"
    tifffile.imwrite(path, np.zeros((20, 30, 3), np.uint8), photometric="rgb")
    with pytest.raises(BundleError, match="colour picture"):
        open_stains([path])


def test_broken_xml_is_one_clear_error(tmp_path):
    path = tmp_path / "morphology_focus.ome.tif"
    tifffile.imwrite(path, BASE, description=b"<OME xmlns='x'><Image>", metadata=None)
    with pytest.raises(BundleError, match="can't be read as an OME-TIFF"):
        open_stains([path])


def test_a_description_kept_in_another_file_is_followed_or_missed(tmp_path):
    files = write_set(tmp_path / "set", FOCUS[:2])
    tifffile.imwrite(files[1], BASE, metadata=None, description=(
        b'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">'
        b'<BinaryOnly MetadataFile="morphology_focus_0000.ome.tif" UUID="urn:uuid:0"/></OME>'))  # fmt: skip
    assert [image.name for image in open_stains([files[1]])] == list(STAINS[:2])
    files[0].unlink()
    with pytest.raises(BundleError, match=r"described by morphology_focus_0000\.ome\.tif, which is missing"):
        open_stains([files[1]])
