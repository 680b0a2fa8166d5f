import dask.array as da
import numpy as np
import pytest

from napari_s2sst import GeneMap, interpolate, open_xenium, sample
from napari_s2sst.engine.benchmark.colour import colour_map
from napari_s2sst.engine.pictures.stains import StainImage


def stain(pixels, pixel_size_um=2.0, levels=1) -> StainImage:
    pyramid = [da.from_array(pixels[:: 2**n, :: 2**n]) for n in range(levels)]
    return StainImage("DAPI", pyramid, pixel_size_um)


def test_a_bin_gets_the_mean_of_the_pixels_whose_centres_lie_in_it():
    pixels = np.arange(40 * 60, dtype=np.float64).reshape(40, 60)
    grid = GeneMap(np.ones((8, 12)), bin_um=10.0)
    found = colour_map([stain(pixels)], grid)
    assert found.shape == (8, 12, 1)
    np.testing.assert_allclose(found[..., 0], pixels.reshape(8, 5, 12, 5).mean((1, 3)), rtol=1e-6)


def test_the_maps_own_origin_counts():
    pixels = np.zeros((40, 60))
    pixels[10:15, 20:25] = 7.0
    grid = GeneMap(np.ones((4, 4)), bin_um=10.0, origin_um=(10.0, 30.0))
    assert np.argwhere(colour_map([stain(pixels)], grid)[..., 0] == 7).tolist() == [[1, 1]]


def test_bins_beyond_the_image_get_its_mean():
    found = colour_map([stain(np.full((40, 60), 3.0))], GeneMap(np.ones((9, 20)), bin_um=10.0))
    assert (found == 3).all()


def test_a_coarser_level_of_the_pyramid_gives_nearly_the_same():
    y, x = np.mgrid[:400, :600]
    pixels = np.sin(x / 50) + np.cos(y / 70)
    grid = GeneMap(np.ones((20, 30)), bin_um=40.0)
    fine, coarse = (colour_map([stain(pixels, levels=n)], grid) for n in (1, 3))
    assert np.abs(fine - coarse).max() < 0.1


def test_an_image_without_a_pixel_size_tells_no_colour():
    assert colour_map([stain(np.ones((40, 60)), None)], GeneMap(np.ones((8, 12)))) is None
    assert colour_map([], GeneMap(np.ones((8, 12)))) is None


def test_the_sample_slides_nuclei_lie_where_its_transcripts_do(sample_slide):
    bundle = open_xenium(sample_slide)
    grid = bundle.gene_map(next(iter(bundle.genes)), bin_um=20.0)
    colour = colour_map(bundle.images, grid)
    assert colour.shape == (*grid.shape, len(bundle.images))
    shares = [np.corrcoef(colour[..., n].ravel(), grid.totals.ravel())[0, 1] for n in range(colour.shape[-1])]
    assert max(shares) > 0.3
    found = interpolate(sample(grid), "TESLA with image", colour=colour)
    assert found.values[grid.tissue].std() == pytest.approx(np.log1p(grid.values)[grid.tissue].std(), rel=0.5)
