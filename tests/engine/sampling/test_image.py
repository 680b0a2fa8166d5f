"""What the stains show in each bin lies in the right bin, is read where needed, and knows nothing of blocks and strips."""

import dask.array as da
import numpy as np
import pytest

from napari_s2sst import GeneMap, open_xenium, sample
from napari_s2sst.engine.pictures.stains import StainImage
from napari_s2sst.engine.sampling.image import FEATURES, image_features, with_image


def stain(pixels, pixel_um=0.5, coarser=()) -> StainImage:
    return StainImage("DAPI", [da.from_array(level) for level in (pixels, *coarser)], pixel_um, 1 + len(coarser))


def cells(shape=(200, 240), seed=0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2, 20, shape).astype(np.uint16)


def test_brightness_is_the_mean_of_the_pixels_whose_centres_lie_in_the_bin():
    pixels = cells()
    found = image_features([stain(pixels)], np.ones((10, 12), bool), 10.0, (0.0, 0.0))
    mean = np.log1p(pixels.reshape(10, 20, 12, 20).mean((1, 3)))
    np.testing.assert_allclose(found[..., 0], (mean - mean.mean()) / mean.std(), atol=1e-4)


def test_a_grid_that_begins_elsewhere_sees_the_same_pixels_at_the_same_place():
    pixels = cells()
    found = image_features([stain(pixels)], np.ones((5, 6), bool), 10.0, (20.0, 30.0))
    mean = np.log1p(pixels[40:140, 60:180].reshape(5, 20, 6, 20).mean((1, 3)))
    np.testing.assert_allclose(found[..., 0], (mean - mean.mean()) / mean.std(), atol=1e-4)


def test_blocks_leave_no_trace():
    pixels = cells((60, 2600))
    whole = np.ones((3, 130), bool)
    shifted = np.zeros((3, 150), bool)
    shifted[:, 20:] = True  # the same bins, and blocks that begin 20 bins earlier
    found = image_features([stain(pixels)], whole, 10.0, (0.0, 0.0))
    np.testing.assert_allclose(image_features([stain(pixels)], shifted, 10.0, (0.0, -200.0))[:, 20:], found, atol=1e-4)


def test_nuclei_are_told_from_an_even_glow_of_the_same_brightness():
    pixels = np.full((200, 200), 40.0, np.float32)
    pixels[:, :100] = 0
    pixels[4::10, 4:100:10] = 4000
    found = image_features([stain(pixels)], np.ones((10, 10), bool), 10.0, (0.0, 0.0))
    left, right = found[:, 1:4], found[:, 6:9]
    assert abs(left[..., 0].mean() - right[..., 0].mean()) < 0.2
    assert (left[..., FEATURES.index("fine texture")] > right[..., FEATURES.index("fine texture")] + 1).all()


def test_every_stain_has_its_features():
    images = [stain(cells()), stain(cells(seed=1))]
    assert image_features(images, np.ones((10, 12), bool), 10.0, (0.0, 0.0)).shape == (10, 12, 2 * len(FEATURES))


def test_bins_beyond_the_image_have_its_mean():
    found = image_features([stain(cells())], np.ones((14, 12), bool), 10.0, (0.0, 0.0))
    assert np.isfinite(found).all()
    assert not found[10:].any()
    assert found[:10].any()


def test_bins_that_nobody_wants_are_left_out():
    wanted = np.zeros((10, 12), bool)
    wanted[2:5, 3:9] = True
    found = image_features([stain(cells())], wanted, 10.0, (0.0, 0.0))
    assert not found[~wanted].any()
    np.testing.assert_allclose(found[wanted].mean(0), 0, atol=1e-4)


def test_an_image_of_unknown_pixel_size_shows_nothing():
    assert image_features([stain(cells(), None)], np.ones((10, 12), bool), 10.0, (0.0, 0.0)) is None


def test_a_level_finer_than_needed_is_not_read():
    def fail(block):
        raise AssertionError("the finest level was read")

    finest = da.zeros((800, 960), chunks=200, dtype=np.uint16).map_blocks(fail, dtype=np.uint16)
    image = StainImage("DAPI", [finest, da.from_array(cells((200, 240)))], 0.2, 2)
    assert image_features([image], np.ones((16, 19), bool), 10.0, (0.0, 0.0)).any()


@pytest.mark.parametrize("stride", [2, 3])
def test_maps_of_a_slide_carry_what_its_stains_show_in_tissue(sample_slide, stride):
    bundle = open_xenium(sample_slide)
    gene_map = bundle.gene_maps(["ERBB2"], bin_um=20.0)[0]
    (sparse,) = with_image([sample(gene_map, stride)], bundle.images)
    assert sparse.image.shape == (*gene_map.shape, len(bundle.images) * len(FEATURES))
    assert not sparse.image[~gene_map.tissue].any()


def test_a_slide_without_an_image_stays_as_it_is():
    sparse = sample(GeneMap(np.ones((20, 20))))
    assert with_image([sparse], ()) == [sparse]


def test_reading_keeps_off_the_cache_that_the_window_reads_through():
    """Which fails when two threads read at the same time."""
    from dask.cache import Cache

    with Cache(1e8) as cache:
        image_features([stain(cells())], np.ones((10, 12), bool), 10.0, (0.0, 0.0))
        assert cache.cache.total_bytes == 0
