"""Draw the simulated tissue: a seed -> of which compartment (gland, tumour, stroma, fat ...) every point is.

A breast-like section of about 2 x 1.5 mm. Everything is invented: no measurement of anybody went into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter, map_coordinates
from scipy.spatial import cKDTree

WIDTH_UM, HEIGHT_UM = 2000.0, 1500.0
"""Of the imaged area; the tissue is a little smaller."""

FIELD_UM = 2.0
"""Pitch of the raster that compartments are drawn on."""


class Compartment(IntEnum):
    """Kind of tissue at a point of the section. Later ones are drawn over earlier ones."""

    GLASS = 0
    STROMA = 1
    SEPTUM = 2
    FAT = 3
    LYMPHOID = 4
    TUMOUR = 5
    NECROSIS = 6
    MYOEPITHELIUM = 7
    LUMINAL = 8
    LUMEN = 9
    WALL = 10
    ENDOTHELIUM = 11
    BLOOD = 12


CELLULAR = tuple(
    part for part in Compartment if part.name not in ("GLASS", "FAT", "LUMEN", "BLOOD")
)  # the others hold no cells


def apart(points: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Choose points (n, 2), as indices, first come first kept, no two nearer than the sum of their radii (n,)."""
    near: dict[int, list[int]] = {}
    pairs = cKDTree(points).query_pairs(2 * float(radii.max()), output_type="ndarray")
    distance = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    for first, second in pairs[distance < radii[pairs].sum(axis=1)].tolist():
        near.setdefault(max(first, second), []).append(min(first, second))
    kept = np.ones(len(points), bool)
    for index in sorted(near):
        kept[index] = not any(kept[earlier] for earlier in near[index])
    return np.flatnonzero(kept)


@dataclass(frozen=True, eq=False)
class Tissue:
    """The section as rasters of (rows, columns) pixels of ``FIELD_UM``; pixel (0, 0) has its corner at (0, 0) um."""

    compartment: np.ndarray
    """:class:`Compartment` of every pixel, uint8."""
    fibre_angle: np.ndarray
    """Direction of the fibres, in radians from the x axis towards y."""
    tumour_depth_um: np.ndarray
    """Distance to the tumour's edge, positive inside."""
    variation: np.ndarray
    """A smooth random field of mean 0 and standard deviation 1: patients' tumours are not alike throughout."""

    def at(self, field: np.ndarray, xy_um: np.ndarray) -> np.ndarray:
        """A field's values at points (n, 2) of (x, y) um, from the nearest pixel."""
        column, row = np.floor(xy_um / FIELD_UM).astype(int).T
        return field[np.clip(row, 0, field.shape[0] - 1), np.clip(column, 0, field.shape[1] - 1)]


def draw_tissue(rng: np.random.Generator) -> Tissue:
    """Draw one section. The plan is fixed; outlines, sizes and places vary with the generator."""
    canvas = _Canvas(rng)
    section = canvas.section()
    compartment = np.where(section, Compartment.STROMA, Compartment.GLASS).astype(np.uint8)
    _fat(canvas, compartment, section)
    for y, x, radius in ((700, 905, 78), (1130, 470, 100), (1010, 1260, 62), (330, 560, 45)):
        compartment[canvas.blob(y, x, radius, radius * 0.8, rough=0.3) < 1] = Compartment.LYMPHOID
    _tumour(canvas, compartment)
    _glands(canvas, compartment)
    _vessels(canvas, compartment)
    compartment[~section] = Compartment.GLASS
    tumour = np.isin(compartment, (Compartment.TUMOUR, Compartment.NECROSIS))
    depth = (distance_transform_edt(tumour) - distance_transform_edt(~tumour)) * FIELD_UM
    return Tissue(
        compartment=compartment,
        fibre_angle=_fibre_angle(canvas, compartment),
        tumour_depth_um=depth.astype(np.float32),
        variation=canvas.noise(130),
    )


class _Canvas:
    """Coordinates, noise and blobs on the raster."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.shape = (round(HEIGHT_UM / FIELD_UM), round(WIDTH_UM / FIELD_UM))
        rows, columns = np.indices(self.shape, dtype=np.float32)
        self.y, self.x = (rows + 0.5) * FIELD_UM, (columns + 0.5) * FIELD_UM
        self.wobble = {scale: self.noise(scale) for scale in (8, 15, 28, 50)}

    def noise(self, scale_um: float) -> np.ndarray:
        """(rows, columns) smooth random field of mean 0 and standard deviation 1, with structures of about `scale_um`."""
        step = max(1, int(scale_um / FIELD_UM / 4))  # drawn coarse and interpolated: the same field, much sooner
        coarse = [length // step + 3 for length in self.shape]
        sigma = scale_um / FIELD_UM / step
        field = gaussian_filter(self.rng.standard_normal(coarse, np.float32), sigma, mode="wrap")
        rows, columns = (np.arange(length, dtype=np.float32) / step for length in self.shape)
        field = map_coordinates(field, np.meshgrid(rows, columns, indexing="ij"), order=1)
        return (field - field.mean()) / field.std()

    def section(self) -> np.ndarray:
        """(rows, columns) True inside the tissue: a rounded block with an uneven rim and a tear."""
        across = np.abs((self.x - WIDTH_UM / 2) / (0.452 * WIDTH_UM)) ** 2.8
        down = np.abs((self.y - HEIGHT_UM / 2) / (0.45 * HEIGHT_UM)) ** 2.8
        rim = across + down + 0.16 * self.noise(120) + 0.03 * self.noise(18)
        bite = self.blob(60, 1380, 210, 130, rough=0.35)
        tear = self.blob(1330, 820, 26, 200, rough=0.5, turn=0.25)
        return (rim < 1) & (bite > 1) & (tear > 1)

    def blob(self, y, x, radius_x, radius_y, *, rough=0.15, turn=0.0) -> np.ndarray:
        """(rows, columns) distance from a wobbly ellipse's centre, 1 on its outline. Sizes in um, `turn` in radians."""
        y, x = np.array((y, x)) + self.rng.normal(0, 6, 2)
        dx, dy = self.x - x, self.y - y
        along, across = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
        fitting = min(self.wobble, key=lambda scale: abs(scale - radius_y / 2))
        wobble = 1 + rough * np.roll(self.wobble[fitting], tuple(self.rng.integers(0, self.shape)), (0, 1))
        return np.hypot(along / radius_x, across / radius_y) / np.clip(wobble, 0.5, 1.6)


def _fat(canvas: _Canvas, compartment: np.ndarray, section: np.ndarray) -> None:
    """Adipose lobules: large round holes that touch, with thin septa between them."""
    rng = canvas.rng
    reach = np.minimum(canvas.blob(1180, 1560, 360, 230, rough=0.4), canvas.blob(1230, 1180, 130, 110, rough=0.4))
    reach = np.minimum(reach, canvas.blob(250, 260, 120, 90, rough=0.4))
    region = (reach < 1) & section
    compartment[region] = Compartment.SEPTUM
    points = np.stack([canvas.x[region], canvas.y[region]], axis=1)
    candidates = points[rng.permutation(len(points))[:4000]]
    centres = candidates[apart(candidates, rng.uniform(18, 28, len(candidates)))]
    nearest = cKDTree(centres).query(points, k=2)[0]
    hole = (nearest[:, 1] - nearest[:, 0] > 7) & (nearest[:, 0] < 48)
    compartment[region] = np.where(hole, Compartment.FAT, Compartment.SEPTUM)


def _tumour(canvas: _Canvas, compartment: np.ndarray) -> None:
    """Invasive carcinoma in ragged nests that break up outwards."""
    for y, x, radius_x, radius_y, turn in ((770, 560, 350, 250, 0.35), (470, 800, 130, 95, -0.5)):
        reach = canvas.blob(y, x, radius_x, radius_y, rough=0.25, turn=turn)
        ragged = 0.7 * canvas.noise(13) + 0.5 * canvas.noise(32)
        compartment[reach + 0.42 * ragged < 0.8] = Compartment.TUMOUR


def _duct(canvas, compartment, blob, size_um, *, epithelium_um, lining) -> None:
    """A gland cut across: a rim of myoepithelium, epithelium within, a lumen (or what fills it) in the middle."""
    compartment[blob < 1 + 7 / size_um] = Compartment.MYOEPITHELIUM
    compartment[blob < 1] = lining
    compartment[blob < 1 - epithelium_um / size_um] = (
        Compartment.NECROSIS if lining == Compartment.TUMOUR else Compartment.LUMEN
    )


def _glands(canvas: _Canvas, compartment: np.ndarray) -> None:
    """Ducts, two carcinomas still within their ducts, and two lobules of many small acini."""
    rng = canvas.rng
    for y, x, radius_x, radius_y, turn in (
        (745, 1345, 125, 52, 0.5), (700, 1690, 66, 50, 1.0), (400, 330, 62, 42, 0.2), (1100, 800, 80, 44, -0.6),
        (430, 1225, 44, 32, 0.9), (960, 1690, 56, 30, 2.2),
    ):  # fmt: skip
        blob = canvas.blob(y, x, radius_x, radius_y, rough=0.2, turn=turn)
        _duct(canvas, compartment, blob, radius_y, epithelium_um=16, lining=Compartment.LUMINAL)
    for y, x, radius in ((330, 1010, 122), (560, 1080, 74)):
        blob = canvas.blob(y, x, radius, radius * 0.86, rough=0.14)
        _duct(canvas, compartment, blob, radius * 0.86, epithelium_um=radius * 0.6, lining=Compartment.TUMOUR)
    for y, x, reach, acini in ((440, 1540, 165, 24), (1010, 1010, 105, 12)):
        kept: list[tuple[float, float, float]] = []
        for _ in range(4000):
            radius, angle, away = rng.uniform(19, 31), rng.uniform(0, 2 * np.pi), reach * np.sqrt(rng.random())
            row, column = y + 0.8 * away * np.sin(angle), x + away * np.cos(angle)
            if len(kept) < acini and all(np.hypot(row - a, column - b) > radius + c + 16 for a, b, c in kept):
                kept.append((row, column, radius))
        for row, column, radius in kept:
            blob = canvas.blob(row, column, radius * rng.uniform(1, 1.25), radius, rough=0.1, turn=rng.uniform(0, 3))
            _duct(canvas, compartment, blob, radius, epithelium_um=radius * 0.62, lining=Compartment.LUMINAL)


def _vessels(canvas: _Canvas, compartment: np.ndarray) -> None:
    """Arteries with a thick muscular wall, veins with a thin one."""
    for y, x, radius_x, radius_y, wall_um in (
        (905, 1120, 24, 20, 20), (590, 1790, 22, 15, 16), (900, 240, 20, 17, 14), (560, 190, 16, 13, 10),
        (250, 760, 18, 15, 12), (300, 1760, 34, 15, 6), (1250, 620, 48, 18, 6), (880, 1480, 26, 13, 7),
        (620, 1230, 14, 11, 8), (1330, 1120, 20, 14, 9),
    ):  # fmt: skip
        blob = canvas.blob(y, x, radius_x, radius_y, rough=0.12, turn=canvas.rng.uniform(0, 3))
        compartment[blob < 1 + (wall_um + 5) / radius_y] = Compartment.WALL
        compartment[blob < 1 + 5 / radius_y] = Compartment.ENDOTHELIUM
        compartment[blob < 1] = Compartment.BLOOD


def _fibre_angle(canvas: _Canvas, compartment: np.ndarray) -> np.ndarray:
    """Fibres run around whatever they surround, and along a swirling direction elsewhere."""
    solid = ~np.isin(compartment, (Compartment.STROMA, Compartment.GLASS, Compartment.SEPTUM))
    height = 5 * gaussian_filter(solid.astype(np.float32), 12) + 0.35 * canvas.noise(90) + 0.05 * canvas.noise(25)
    down, across = np.gradient(height)
    return np.arctan2(across, -down).astype(np.float32)
