"""From an opened slide to a job."""

from dataclasses import dataclass

from napari_s2sst import RunConfig
from napari_s2sst.engine.runs.run import check_sampling


@dataclass
class Extent:
    """All that is asked of a slide before it is read."""

    extent_um: tuple[float, float, float, float]


def test_a_lattice_that_fits_the_grid_is_not_refused_early():
    """Bins begin at multiples of their size, so points over 52 um may lie in seven bins of 10 um."""
    check_sampling(Extent((9.0, 0.0, 61.0, 500.0)), RunConfig.preset("fast", bin_um=10.0))
