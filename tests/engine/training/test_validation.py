import numpy as np

from napari_s2sst.engine.training.validation import Loss

RNG = np.random.default_rng(0)


def test_a_gain_that_chance_explains_is_no_gain():
    first = Loss(np.abs(RNG.standard_normal(400)))
    other = Loss(np.abs(RNG.standard_normal(400)) * 0.999)
    assert not other.is_below(first, first)


def test_a_small_gain_at_every_bin_is_one():
    first = Loss(np.abs(RNG.standard_normal(400)) + 0.1)
    assert Loss(first.errors * 0.98).is_below(first, first)


def test_many_small_errors_are_not_bought_with_few_large_ones():
    first = Loss(np.full(100, 1.0))
    errors = np.full(100, 0.9)
    errors[:5] = 5.0  # a lower sum of absolute errors would be 95 * 0.9 + 5 < 100 without these five
    assert not Loss(errors).is_below(first, first)


def test_the_first_weights_have_a_loss_of_two_in_their_own_units():
    first = Loss(np.abs(RNG.standard_normal(50)))
    assert np.isclose(first.over(first).mean(), 2)
