"""Pictures -> patches to co-train on: as they are (Fang et al. 2025, section 2.4), or made to look like counts of a gene.

A picture is known at every pixel, so it teaches what the slide can't: what lies between the measured bins. Pictures
with the noise of counts teach it for gene maps: a picture or a random field is the rate of a gene, of which cells make something
more uneven, of which a random depth makes counts. Counts of real tissue vary more than chance alone would make them, because
transcripts come from cells, and those differ; which way they differ decides how far a high bin tells of the next ones, so several
ways are simulated.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import color, io

from ..errors import ConfigError

BUNDLED = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
    "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "microaneurysms.png", "moon.png", "motorcycle_left.png",
    "motorcycle_right.png", "page.png", "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip
"""The photographs and micrographs that scikit-image packages; no download is needed."""

SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"}
MIN_SIDE_PX = 96
PICTURES = 0.4
"""Share of simulated maps whose rate is a picture; that of the others is a random field."""

EXPRESSING, UNEVEN = 0.6, 0.3
"""Shares of simulated maps in which some cells have the gene, and in which all have it, some more; the rest is without noise but
that of counting."""

MAX_COUNT = 30_000.0
"""Far above any bin of a real slide; keeps a simulated one from overflowing."""

FINER = 3
"""Cells lie anywhere, not in the middle of bins: so many places along a bin's side."""

MOST_CELLS = 20.0
"""To a bin that have the gene, where its rate is average."""

WIDEST = 8
"""Bins, half the side of the window in which a factor's smoothing is worked out."""


def read_gray(path: Path) -> np.ndarray:
    """A picture file -> (rows, columns) float32 in [0, 1]."""
    picture = io.imread(path)
    if picture.ndim == 3 and picture.shape[-1] == 4:
        picture = color.rgba2rgb(picture)
    picture = color.rgb2gray(picture) if picture.ndim == 3 else picture
    picture = np.asarray(picture, np.float32)
    low, high = float(picture.min()), float(picture.max())
    return (picture - low) / max(high - low, 1e-6)


def read_pictures(folder: Path | None) -> list[np.ndarray]:
    """Grey (rows, columns) pictures of a folder, or those bundled with scikit-image. Raises :class:`ConfigError` on none."""
    if folder is None:
        home = Path(skimage.data.__file__).parent
        return [read_gray(home / name) for name in BUNDLED if (home / name).exists()]
    files = sorted(path for path in Path(folder).glob("*") if path.suffix.lower() in SUFFIXES)
    pictures = []
    for path in files:
        try:
            picture = read_gray(path)
        except Exception as error:
            raise ConfigError(f"{path} can't be read as a picture ({error}). Take it out of the folder.") from error
        if picture.ndim == 2 and min(picture.shape) >= MIN_SIDE_PX:
            pictures.append(picture)
    if not pictures:
        raise ConfigError(
            f"{folder} holds no picture of at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels ({', '.join(sorted(SUFFIXES))}). "
            "Choose a folder of photographs, or leave the setting empty for those that come with scikit-image."
        )
    return pictures


class NaturalImages:
    """Draws patches from pictures with a given random generator; each is (side, side) float32."""

    def __init__(self, folder: Path | None, rng: np.random.Generator) -> None:
        self._rng = rng
        self._pyramids = [_halvings(picture) for picture in read_pictures(folder)]

    def plain(self, side: int) -> np.ndarray:
        """A patch in [0, 1]: a crop at full size, turned by any angle, flipped at random (section 2.4)."""
        pyramid = self._pyramids[self._rng.integers(len(self._pyramids))]
        return self._crop(pyramid[0], side)

    def counts(self, side: int) -> np.ndarray:
        """(side, side) simulated counts: a picture or random field as the rate of an overdispersed Poisson process."""
        rng = self._rng
        rate = self._scaled(side) if rng.random() < PICTURES else self._random_field(side)
        if rng.random() < 0.5:
            rate = 1 - rate
        rate = rate ** np.exp(rng.uniform(np.log(0.7), np.log(4.0)))
        if rng.random() < 0.15:  # a sharp border, as between two tissues
            rate = 1 / (1 + np.exp(-(rate - rng.uniform(0.2, 0.8)) * rng.uniform(10, 40)))
        if rng.random() < 0.4:  # niches: a second structure, often of another size, within the first
            rate = rate * self._random_field(side) ** rng.uniform(0.5, 3)
        depth = np.exp(rng.uniform(np.log(0.05), np.log(500.0)))
        rate = depth * (rate + rng.choice([0.0, rng.uniform(0, 0.1)]))
        kind = rng.random()
        if kind < EXPRESSING:
            rate = expressing_cells(rate, rng)
        elif kind < EXPRESSING + UNEVEN:
            rate = rate * uneven_cells(rate.shape, rng)
        return rng.poisson(np.clip(rate, 0, MAX_COUNT)).astype(np.float32)

    def _scaled(self, side: int) -> np.ndarray:
        """A crop at four times its size to an eighth of it, stretched to [0, 1]."""
        rng = self._rng
        pyramid = self._pyramids[rng.integers(len(self._pyramids))]
        if rng.random() < 0.35:  # tissue is often smooth over many bins
            crop = self._crop(pyramid[0], side, zoom=np.exp(rng.uniform(0, np.log(4))))
        else:
            fitting = [level for level in pyramid if min(level.shape) >= side * 0.75] or pyramid[:1]
            crop = self._crop(fitting[rng.integers(len(fitting))], side)
        low, high = crop.min(), crop.max()
        return (crop - low) / max(high - low, 1e-3)

    def _random_field(self, side: int) -> np.ndarray:
        """Smooth, or as rough as an exponential covariance and rougher; its logarithm or itself Gaussian."""
        rng = self._rng
        if rng.random() < 0.4:
            field = ndimage.gaussian_filter(rng.standard_normal((side, side)), np.exp(rng.uniform(0, 2.5)))
        else:  # Matern covariance, from its spectral density (Whittle 1954)
            reach, smoothness = np.exp(rng.uniform(np.log(1.0), np.log(32.0))), rng.uniform(0.1, 1.5)
            across, down = (np.fft.fftfreq(2 * side) * 2 * np.pi, np.fft.rfftfreq(2 * side) * 2 * np.pi)
            density = (reach**-2 + across[:, None] ** 2 + down[None] ** 2) ** (-(smoothness + 1))
            noise = np.fft.rfft2(rng.standard_normal((2 * side, 2 * side)))
            field = np.fft.irfft2(noise * np.sqrt(density))[:side, :side]  # half of it: the other edge is its neighbour
        if rng.random() < 0.5:
            field = np.exp(rng.uniform(0.5, 2.5) * (field - field.mean()) / max(field.std(), 1e-6))
        low, high = field.min(), field.max()
        return ((field - low) / max(high - low, 1e-6)).astype(np.float32)

    def _crop(self, picture: np.ndarray, side: int, zoom: float = 1.0) -> np.ndarray:
        """A turned and flipped square, ``zoom`` bins to a pixel; outside the picture it is reflected."""
        rng = self._rng
        angle = rng.uniform(0, 2 * np.pi)
        flip = rng.choice([-1.0, 1.0])
        at = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / zoom
        y, x = at[:, None], flip * at[None, :]
        reach = side / zoom / 2 * (abs(np.cos(angle)) + abs(np.sin(angle)))
        middle = [rng.uniform(reach, length - reach) if length > 2 * reach else length / 2 for length in picture.shape]
        rows = middle[0] + np.cos(angle) * y - np.sin(angle) * x
        columns = middle[1] + np.sin(angle) * y + np.cos(angle) * x
        return ndimage.map_coordinates(picture, [rows, columns], order=1, mode="reflect").astype(np.float32)


def expressing_cells(rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) of the rate's mean: the gene is in some cells and in no others, each with its own number of transcripts.

    Cells are points of a Poisson process whose density follows the rate (shot noise), so where the gene is frequent it is also
    more even. A high bin then holds a cell or two, of which the next bins know little.
    """
    mean = max(float(rate.mean()), 1e-9)
    cells = np.exp(rng.uniform(np.log(0.01), np.log(MOST_CELLS)))  # to a bin
    evenness = np.exp(rng.uniform(np.log(0.4), np.log(8.0)))  # of cells that have the gene, 1 / variance
    extent = np.exp(rng.uniform(np.log(0.1), np.log(1.2)))  # of a cell, standard deviation in bins
    everywhere = rng.uniform(0, 0.3) if rng.random() < 0.5 else 0.0  # what all cells have a little of
    fine = np.repeat(np.repeat(rate * (cells / mean / FINER**2), FINER, 0), FINER, 1)
    number = rng.poisson(fine)
    own = np.zeros(number.shape)
    some = number > 0
    own[some] = rng.gamma(evenness * number[some], mean / (evenness * cells))
    own = ndimage.gaussian_filter(own, extent * FINER, mode="reflect")
    rows, columns = rate.shape
    own = own.reshape(rows, FINER, columns, FINER).sum((1, 3))
    return (1 - everywhere) * own + everywhere * rate


def uneven_cells(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(rows, columns) factors about 1: all cells have the gene, some more of it; a cell may lie in several bins."""
    evenness = np.exp(rng.uniform(np.log(0.06), np.log(15.0)))  # 1 / variance
    kind = rng.random()
    if kind < 0.15:
        return _mosaic(shape, evenness, rng)
    # A cell straddles bins even where it is smaller than one: of what differs from cell to cell, next bins share a fifth
    # to a half, and those after next hardly any. No lattice can tell, for it has no next bins; it must be learnt here.
    width = rng.uniform(0.45, 0.68) if kind < 0.75 else np.exp(rng.uniform(np.log(0.6), np.log(2.2)))  # in bins
    width = width if kind < 0.95 else 0.0
    if not width:
        return rng.gamma(evenness, 1 / evenness, shape)
    spike = np.zeros((2 * WIDEST + 1, 2 * WIDEST + 1))
    spike[WIDEST, WIDEST] = 1
    kept = (ndimage.gaussian_filter(spike, width) ** 2).sum()  # of the variance, after smoothing
    evenness = max(evenness * kept, 0.02)
    return ndimage.gaussian_filter(rng.gamma(evenness, 1 / evenness, shape), width, mode="reflect")


def _mosaic(shape: tuple[int, int], evenness: float, rng: np.random.Generator) -> np.ndarray:
    """Cells side by side, several bins each, every one with its own factor: bins far smaller than a cell."""
    across = np.exp(rng.uniform(np.log(1.5), np.log(8.0)))  # bins to a cell
    cells = max(2, round(shape[0] * shape[1] / across**2))
    bins = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    nearest = cKDTree(rng.uniform(-0.5, np.array(shape) - 0.5, (cells, 2))).query(bins)[1]
    return ndimage.gaussian_filter(rng.gamma(evenness, 1 / evenness, cells)[nearest], rng.uniform(0.2, 0.7))


def _halvings(picture: np.ndarray) -> list[np.ndarray]:
    """The picture at full size, 1/2, 1/4 and 1/8, each bin the mean of those above it."""
    levels = [picture]
    for _ in range(3):
        above = levels[-1]
        rows, columns = (length // 2 * 2 for length in above.shape)
        if min(rows, columns) < 2:
            break
        levels.append(above[:rows, :columns].reshape(rows // 2, 2, columns // 2, 2).mean((1, 3)))
    return levels
