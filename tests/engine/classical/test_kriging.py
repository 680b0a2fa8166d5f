import numpy as np
import pytest
from scipy.interpolate import RBFInterpolator

from napari_s2sst import GeneMap, sample
from napari_s2sst.engine.classical.kriging import (
    covariance_of,
    expected_error,
    experimental_variogram,
    fit_variogram,
    kriging,
)
from napari_s2sst.engine.classical.methods import NEIGHBOURS, SMOOTHINGS, spline
from napari_s2sst.engine.classical.neighbourhoods import Neighbourhoods, distances, problem_of, solve


def exponential_field(side=200, range_bins=8.0, noise=0.5, seed=0) -> np.ndarray:
    """A random field whose covariance is exp(-h / range), and noise of that variance on top."""
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*[np.fft.fftfreq(2 * side) * 2 * side] * 2, indexing="ij")
    spectrum = np.fft.fft2(np.exp(-np.hypot(y, x) / range_bins)).real.clip(0)
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((2 * side, 2 * side))) * np.sqrt(spectrum)).real[:side, :side]
    return field + np.sqrt(noise) * rng.standard_normal((side, side))


def of(values, tissue=None, stride=2):
    return problem_of(sample(GeneMap(values, tissue), stride), "none")


def test_the_variogram_of_a_field_made_with_one_is_found_again():
    fits = [fit_variogram(of(exponential_field(seed=seed))) for seed in range(3)]
    assert np.mean([fit.nugget for fit in fits]) == pytest.approx(0.5, abs=0.15)
    assert np.mean([fit.sill for fit in fits]) == pytest.approx(1.0, abs=0.3)
    assert np.mean([fit.range for fit in fits]) == pytest.approx(4.0, rel=0.5)


def test_noise_alone_is_all_nugget_and_kriging_gives_the_mean_of_the_neighbours():
    values = np.random.default_rng(3).standard_normal((120, 120))
    problem = of(values)
    variogram = fit_variogram(problem)
    assert variogram.sill < 0.1 * variogram.nugget
    assert kriging(problem).std() < 0.35


def test_kriging_weights_solve_the_kriging_system():
    """Against a plain solution over all measured bins of a small map."""
    values = exponential_field(12)
    problem = of(values)
    covariance = covariance_of(problem)
    at = problem.known_at / 2
    between = np.hypot(*(at[:, None] - at[None]).transpose(2, 0, 1))
    n = len(at)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = covariance(between) + covariance.noise * np.eye(n)
    system[n, n] = 0
    here = covariance(np.hypot(*(at - problem.wanted_at[40] / 2).T))
    plain = np.linalg.solve(system, [*here, 1])[:n] @ problem.known

    def weights_of(offsets, used):
        apart, away = distances(offsets)
        kernel = covariance(apart) + covariance.noise * np.eye(offsets.shape[1])
        return solve(kernel, covariance(away), np.ones((*used.shape, 1)), np.ones(1), used)

    assert Neighbourhoods(problem, problem.wanted_at, n).predict(weights_of)[40] == pytest.approx(plain, abs=1e-6)


def test_the_noise_of_counting_is_told_from_the_counts():
    counts = np.random.default_rng(4).poisson(20.0, (200, 200))
    problem = problem_of(sample(GeneMap(counts)), "log1p")
    assert problem.counting_noise == pytest.approx(np.log1p(counts).var(), rel=0.1)


def test_the_expected_error_is_that_of_maps_with_that_covariance():
    noise, found, expected = 0.5, [], []
    for seed in range(3):
        clean = exponential_field(seed=seed, noise=0)
        rng = np.random.default_rng(seed + 10)
        problem = of(clean + np.sqrt(noise) * rng.standard_normal(clean.shape))
        guess = Neighbourhoods(problem, problem.wanted_at, NEIGHBOURS).predict(spline(3.0)).reshape(clean.shape)
        away = np.ones(clean.shape, bool)
        away[::2, ::2] = False
        found.append(((guess - clean)[away] ** 2).mean())
        total = fit_variogram(problem).nugget + fit_variogram(problem).sill
        expected.append(expected_error(covariance_of(problem), spline(3.0), 2, NEIGHBOURS) * total)
    assert np.mean(expected) == pytest.approx(np.mean(found), rel=0.25)


@pytest.mark.parametrize("smoothing", SMOOTHINGS[3:7])
@pytest.mark.parametrize("stride", [2, 3])
def test_a_thin_plate_is_what_scipy_makes_of_the_same_neighbours(smoothing, stride):
    problem = of(exponential_field(40), stride=stride)
    wanted = np.array([[17, 18], [21, 16], [16, 23], [19, 19]])
    ours = Neighbourhoods(problem, wanted, NEIGHBOURS).predict(spline(smoothing))
    for value, at in zip(ours, wanted, strict=True):
        away = ((problem.known_at - at) ** 2).sum(1)
        ring = np.sort(away)[NEIGHBOURS]
        near = away < ring
        scipys = RBFInterpolator(problem.known_at[near] / stride, problem.known[near], smoothing=smoothing)
        assert value == pytest.approx(scipys(at[None] / stride)[0], abs=1e-8)


def test_a_pattern_worked_out_for_a_ragged_border_is_that_of_the_inside():
    """The same bins are asked for one by one and by their phase."""
    values = exponential_field(40)
    problem = of(values)
    inside = np.array([[21, 20], [21, 21], [20, 23]])
    regular = Neighbourhoods(problem, inside, NEIGHBOURS)
    single = regular._irregular(np.arange(3), inside, NEIGHBOURS)
    assert all(len(group.offsets) == 1 for group in regular._groups)
    for row in range(3):
        group = next(group for group in regular._groups if row in group.rows)
        mine = set(group.neighbours[list(group.rows).index(row)])
        assert mine == set(single.neighbours[row][single.used[single.pattern[row]]])


def test_the_measured_variogram_takes_every_pair_of_measured_bins_once():
    rng = np.random.default_rng(4)
    tissue = rng.random((34, 26)) > 0.2
    problem = of(rng.poisson(2, tissue.shape), tissue)
    lag, half, pairs = experimental_variogram(problem)
    at, known = problem.known_at / 2, problem.known
    one, other = np.triu_indices(len(known), 1)
    apart = at[one] - at[other]
    for (down, right), distance in {(0, 1): 1.0, (3, -2): np.hypot(3, 2), (10, 0): 10.0}.items():
        these = (apart == (down, right)).all(1) | (apart == (-down, -right)).all(1)
        found = np.isclose(lag, distance) & (pairs == these.sum())
        assert np.isclose(half[found], ((known[one] - known[other])[these] ** 2).mean() / 2).any()
    assert pairs.sum() == (np.hypot(*apart.T) <= 10).sum()


def test_a_map_without_differences_has_nothing_but_the_same_value():
    problem = of(np.full((40, 40), 0.7))
    assert not experimental_variogram(problem)[1].any()
    assert kriging(problem) == pytest.approx(0.7)
