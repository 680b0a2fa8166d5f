"""A large image is read where it is looked at, with and without coarser levels in its file."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile

from napari_s2sst.engine.pictures.stains import open_stains

SHAPE = (1100, 4200)
PACKED_TILE = zlib.compress(np.full((512, 512), 7, np.uint16).tobytes())
"""Packed once and written over and over."""


def write(path, levels: int, pixels: np.ndarray):
    with tifffile.TiffWriter(path, ome=True) as file:
        for level in range(levels):
            more = (
                {"subifds": levels - 1, "metadata": {"axes": "YX"}}
                if level == 0
                else {"subfiletype": 1, "metadata": None}
            )
            step = 2**level
            file.write(pixels[::step, ::step], tile=(256, 256), compression="zlib", **more)
    return path


def noise(kind=np.uint16) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 250, SHAPE).astype(kind)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.uint32, np.float32])
def test_levels_that_the_file_lacks_are_means_of_four_by_four_pixels(tmp_path, kind):
    pixels = noise(kind)
    (image,) = open_stains([write(tmp_path / "flat.ome.tif", 1, pixels)])
    assert [level.shape for level in image.levels] == [SHAPE, (275, 1050)]
    expected = pixels.reshape(275, 4, 1050, 4).mean(axis=(1, 3)).astype(kind)
    assert image.levels[1].dtype == kind
    np.testing.assert_array_equal(image.levels[1], expected)
    for part in (np.s_[200:271, 255:258], np.s_[250:260, ::7], np.s_[200:100:-3, 5:5], np.s_[17, 1049]):
        np.testing.assert_array_equal(np.asarray(image.levels[1][part]), expected[part])


def test_rows_and_columns_that_fill_no_block_of_four_are_left_out(tmp_path):
    pixels = np.arange(1103 * 4099, dtype=np.uint32).reshape(1103, 4099)
    (image,) = open_stains([write(tmp_path / "flat.ome.tif", 1, pixels)])
    expected = pixels[:1100, :4096].reshape(275, 4, 1024, 4).mean(axis=(1, 3)).astype(np.uint32)
    np.testing.assert_array_equal(image.levels[1], expected)


def test_a_level_that_was_worked_out_is_not_read_again(tmp_path):
    path = write(tmp_path / "flat.ome.tif", 1, noise())
    (image,) = open_stains([path])
    first = np.asarray(image.levels[1])
    with path.open("r+b") as file:  # the tiles are gone, what was seen of them is not
        file.truncate(1000)
    np.testing.assert_array_equal(image.levels[1], first)


def test_levels_of_the_file_are_taken_before_any_is_worked_out(tmp_path):
    (image,) = open_stains([write(tmp_path / "levels.ome.tif", 3, noise())])
    assert [level.shape for level in image.levels] == [SHAPE, (550, 2100), (275, 1050)]
    np.testing.assert_array_equal(image.levels[2], noise()[::4, ::4])


LOOK_AND_PRINT_PEAK = """
import pathlib, sys
import numpy as np
import dask.array, zarr
from napari_s2sst.engine.pictures.stains import open_stains
from napari_s2sst.engine.benchmark.benchmark import PeakMemory
(image,) = open_stains([pathlib.Path(sys.argv[1])])
levels = list(image.levels)
np.asarray(levels[0][:10, :10])
with PeakMemory() as peak:
    look = levels[int(sys.argv[2])]
    rows, columns = (slice((side - part) // 2, (side - part) // 2 + part) if side > part else slice(None)
                     for side, part in zip(look.shape, (1080, 1920)))
    assert np.asarray(look[rows, columns]).any()
print(peak.extra_mb)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peak of a part of the work")
@pytest.mark.parametrize(("levels", "look"), [(1, 0), (1, 2), (6, 0)])
def test_an_image_of_20000_by_40000_pixels_is_panned_in_a_small_part_of_its_memory(tmp_path, levels, look):
    path = tmp_path / "large.ome.tif"
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as file:
        shape = (20_000, 40_000)
        for level in range(levels):
            more = (
                {"subifds": levels - 1, "metadata": {"axes": "YX"}}
                if level == 0
                else {"subfiletype": 1, "metadata": None}
            )
            count = -(-shape[0] // 512) * -(-shape[1] // 512)
            file.write(
                iter([PACKED_TILE] * count), shape=shape, dtype=np.uint16, tile=(512, 512), compression="zlib", **more
            )
            shape = tuple(-(-side // 2) for side in shape)
    run = subprocess.run(
        [sys.executable, "-c", LOOK_AND_PRINT_PEAK, path, str(look)], capture_output=True, check=True, text=True
    )
    assert float(run.stdout) < 200, "MB; the picture has 1,600"
