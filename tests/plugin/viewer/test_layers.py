"""Gene maps and layer data say the same in um."""

import numpy as np
import pytest
from napari.layers import Layer

from napari_s2sst.engine.maps import GeneMap, Normalisation
from napari_s2sst.engine.sampling.lattice import sample
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.viewer import layers


@pytest.fixture
def gene_map() -> GeneMap:
    rng = np.random.default_rng(0)
    tissue = np.ones((30, 40), bool)
    tissue[:5] = False
    return GeneMap(rng.poisson(2.0, (30, 40)), tissue=tissue, gene="LTF", bin_um=10.0, origin_um=(100.0, 200.0))


def test_the_first_bin_covers_its_own_square_in_um(gene_map):
    layer = Layer.create(*layers.counts_layer(gene_map))
    corner = layer.data_to_world((-0.5, -0.5))
    assert np.allclose(layer.data_to_world((0, 0)), (105.0, 205.0))
    assert np.allclose(corner, (100.0, 200.0))
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
    assert tuple(layer.axis_labels) == ("y", "x")


def test_outside_the_tissue_a_map_is_clear(gene_map):
    data, _, _ = layers.counts_layer(gene_map)
    assert np.isnan(data[~gene_map.tissue]).all()
    assert np.isfinite(data[gene_map.tissue]).all()


def test_the_lattice_marks_exactly_the_measured_bins(gene_map):
    data, _, _ = layers.lattice_layer(gene_map, 3)
    assert np.array_equal(data == 1, sample(gene_map, 3).lattice_mask())


def test_errors_are_coloured_symmetrically_about_zero(gene_map):
    error = np.where(gene_map.tissue, gene_map.values - 1.5, np.nan)
    _, meta, _ = layers.error_layer(gene_map, error)
    low, high = meta["contrast_limits"]
    assert low == -high
    middle = layers.ERROR_COLORMAP.map(np.array([0.5]))[0]
    assert np.ptp(middle[:3]) < 0.02  # grey: neither too low nor too high


def test_sparse_input_and_imputed_map_share_their_colours(gene_map):
    from napari_s2sst.engine.config import RunConfig

    limits = layers.value_limits(sample(gene_map, 2), RunConfig.preset("fast"))
    _, sparse, _ = layers.sparse_layer_data(sample(gene_map, 2), "log1p", limits)
    _, imputed, _ = layers.imputed_layer(gene_map.normalised(Normalisation("log1p")), limits)
    assert sparse["contrast_limits"] == imputed["contrast_limits"]


def test_every_stain_is_one_named_lazy_layer_in_um(sample_slide):
    bundle = open_xenium(sample_slide)
    made = layers.slide_layers(bundle)
    assert [meta["name"] for _, meta, _ in made] == [image.name for image in bundle.images]
    assert len(made) == 4
    for data, meta, kind in made:
        assert kind == "image"
        assert meta["multiscale"]
        assert not isinstance(data[0], np.ndarray)
        assert meta["scale"][0] == pytest.approx(bundle.pixel_size_um)
        assert meta["metadata"][layers.SLIDE_KEY] == str(sample_slide)
    assert len({meta["colormap"].name for _, meta, _ in made}) == 4


def test_a_slide_without_images_shows_all_transcripts(shared_data):
    made = layers.slide_layers(open_xenium(shared_data("xenium_v3_tables_only")))
    assert [meta["name"] for _, meta, _ in made] == ["all transcripts"]
