import numpy as np
import pytest

from napari_s2sst.engine.training.natural_images import expressing_cells, uneven_cells


@pytest.mark.parametrize("level", [0.1, 50.0])
def test_cells_share_out_the_rate_they_are_given(level):
    rng = np.random.default_rng(0)
    rate = np.full((60, 60), level)
    totals = [expressing_cells(rate, rng).mean() / level for _ in range(100)]
    assert np.mean(totals) == pytest.approx(1, abs=0.1)
    assert np.mean([uneven_cells(rate.shape, rng).mean() for _ in range(100)]) == pytest.approx(1, abs=0.1)


def test_where_a_gene_is_frequent_its_cells_are_more_even():
    """Of points, the mean and the variance are alike; of factors, all means have the same relative variance."""
    columns = np.r_[np.full(40, 1.0), np.full(40, 9.0)]
    rate = np.broadcast_to(columns, (80, 80))
    ratios = []
    for seed in range(40):
        simulated = expressing_cells(rate, np.random.default_rng(seed))
        few, many = simulated[:, 3:37], simulated[:, 43:77]
        if few.mean() > 0:
            ratios.append((few.var() / few.mean() ** 2) / max(many.var() / many.mean() ** 2, 1e-9))
    assert np.median(ratios) == pytest.approx(9, rel=0.4)


def test_nothing_comes_from_no_rate():
    for seed in range(20):
        assert not expressing_cells(np.zeros((20, 30)), np.random.default_rng(seed)).any()


def test_maps_are_of_the_rates_shape_and_never_negative():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        rate = rng.random((17, 23))
        assert expressing_cells(rate, rng).shape == uneven_cells(rate.shape, rng).shape == (17, 23)
        assert expressing_cells(rate, rng).min() >= 0
        assert uneven_cells(rate.shape, rng).min() >= 0
