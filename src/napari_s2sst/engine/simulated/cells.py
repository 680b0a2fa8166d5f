"""Fill the simulated tissue: compartments -> cells with outlines, and the transcripts in and around them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from scipy.spatial import cKDTree

from .tissue import CELLULAR, FIELD_UM, Compartment, Tissue, apart

RAYS = 24
"""Corners of a cell's outline, at equal angles around its centre."""


class Kind(IntEnum):
    """Type of a cell."""

    LUMINAL = 0
    MYOEPITHELIAL = 1
    TUMOUR = 2
    FIBROBLAST = 3
    ENDOTHELIAL = 4
    MUSCLE = 5
    T_CELL = 6
    B_CELL = 7
    MACROPHAGE = 8
    ADIPOCYTE = 9


SHAPE_UM = {
    Kind.LUMINAL: (6.6, 5.4, 3.9, 3.0),
    Kind.MYOEPITHELIAL: (8.5, 3.6, 4.8, 1.9),
    Kind.TUMOUR: (8.6, 7.4, 5.2, 4.2),
    Kind.FIBROBLAST: (11.5, 4.4, 5.8, 2.0),
    Kind.ENDOTHELIAL: (9.5, 3.4, 5.4, 1.7),
    Kind.MUSCLE: (11.0, 3.8, 6.4, 1.8),
    Kind.T_CELL: (4.4, 4.2, 3.2, 3.0),
    Kind.B_CELL: (4.6, 4.4, 3.3, 3.1),
    Kind.MACROPHAGE: (7.4, 5.8, 3.7, 2.9),
    Kind.ADIPOCYTE: (8.5, 3.2, 4.4, 1.6),
}
"""Half axes: cell along and across, nucleus along and across."""

_SPACING_UM = {
    Compartment.STROMA: 7.4,
    Compartment.SEPTUM: 9.0,
    Compartment.LYMPHOID: 3.9,
    Compartment.TUMOUR: 5.6,
    Compartment.NECROSIS: 11.0,
    Compartment.MYOEPITHELIUM: 4.6,
    Compartment.LUMINAL: 4.2,
    Compartment.WALL: 5.0,
    Compartment.ENDOTHELIUM: 4.6,
}
"""Half the smallest distance between two cells."""

GENES: dict[str, tuple[str, str, int, dict[Kind, float]]] = {
    "ERBB2": ("ENSG00000141736", "tumour", 60_000, {Kind.TUMOUR: 1, Kind.LUMINAL: 0.08}),
    "KRT8": ("ENSG00000170421", "luminal epithelium and tumour", 50_000, {Kind.TUMOUR: 0.8, Kind.LUMINAL: 1}),
    "ACTB": ("ENSG00000075624", "every cell", 45_000, dict.fromkeys(Kind, 1.0) | {Kind.T_CELL: 0.6, Kind.B_CELL: 0.6}),
    "LUM": ("ENSG00000139329", "fibroblasts", 35_000, {Kind.FIBROBLAST: 1}),
    "EPCAM": ("ENSG00000119888", "epithelium", 30_000, {Kind.TUMOUR: 1, Kind.LUMINAL: 0.9, Kind.MYOEPITHELIAL: 0.1}),
    "FASN": ("ENSG00000169710", "tumour and fat", 26_000, {Kind.TUMOUR: 1, Kind.ADIPOCYTE: 1.5, Kind.LUMINAL: 0.15}),
    "ACTA2": ("ENSG00000107796", "smooth muscle and myoepithelium", 20_000,
              {Kind.MUSCLE: 1, Kind.MYOEPITHELIAL: 0.7, Kind.FIBROBLAST: 0.05}),
    "POSTN": ("ENSG00000133110", "fibroblasts near tumour", 15_000, {Kind.FIBROBLAST: 1}),
    "CXCL12": ("ENSG00000107562", "fibroblasts and vessels", 12_000, {Kind.FIBROBLAST: 1, Kind.ENDOTHELIAL: 0.8}),
    "KRT14": ("ENSG00000186847", "myoepithelium", 9_000, {Kind.MYOEPITHELIAL: 1, Kind.LUMINAL: 0.03}),
    "PIGR": ("ENSG00000162896", "healthy luminal epithelium", 9_000, {Kind.LUMINAL: 1}),
    "PTPRC": ("ENSG00000081237", "white blood cells", 9_000, {Kind.T_CELL: 1, Kind.B_CELL: 0.9, Kind.MACROPHAGE: 0.5}),
    "KRT5": ("ENSG00000186081", "myoepithelium", 7_000, {Kind.MYOEPITHELIAL: 1, Kind.LUMINAL: 0.05}),
    "LYZ": ("ENSG00000090382", "macrophages", 7_000, {Kind.MACROPHAGE: 1}),
    "CD68": ("ENSG00000129226", "macrophages", 6_000, {Kind.MACROPHAGE: 1, Kind.TUMOUR: 0.02}),
    "IL7R": ("ENSG00000168685", "T cells", 6_000, {Kind.T_CELL: 1}),
    "PECAM1": ("ENSG00000261371", "vessels", 5_000, {Kind.ENDOTHELIAL: 1, Kind.MACROPHAGE: 0.05}),
    "MYH11": ("ENSG00000133392", "smooth muscle", 5_000, {Kind.MUSCLE: 1, Kind.MYOEPITHELIAL: 0.12}),
    "CD3E": ("ENSG00000198851", "T cells", 4_000, {Kind.T_CELL: 1}),
    "VWF": ("ENSG00000110799", "vessels", 4_000, {Kind.ENDOTHELIAL: 1}),
    "MS4A1": ("ENSG00000156738", "B cells", 3_000, {Kind.B_CELL: 1}),
    "MKI67": ("ENSG00000148773", "dividing cells", 2_600, {Kind.TUMOUR: 1, Kind.B_CELL: 0.15, Kind.LUMINAL: 0.02}),
    "TOP2A": ("ENSG00000131747", "dividing cells", 1_600, {Kind.TUMOUR: 1, Kind.B_CELL: 0.1}),
    "ADIPOQ": ("ENSG00000181092", "fat", 1_100, {Kind.ADIPOCYTE: 1}),
}  # fmt: skip
"""Gene -> Ensembl identifier, what it marks here, expected transcripts of qv >= 20, relative expression by kind."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Cells:
    """All cells of a section. Positions are (x, y) in um; n cells, ``RAYS`` corners."""

    xy_um: np.ndarray
    """(n, 2) centres."""
    kind: np.ndarray
    """(n,) :class:`Kind`."""
    cell_um: np.ndarray
    """(n, rays) radius of the cell outline at each angle."""
    nucleus_um: np.ndarray
    """(n, rays) radius of the nucleus outline."""
    dividing: np.ndarray
    """(n,) True for cells in the cycle."""

    def outline(self, radii_um: np.ndarray) -> np.ndarray:
        """(n, rays, 2) corners as (x, y) um of `cell_um` or `nucleus_um`."""
        return self.xy_um[:, None] + radii_um[..., None] * _directions()

    def area_um2(self, radii_um: np.ndarray) -> np.ndarray:
        """(n,) area of the star-shaped outlines."""
        return 0.5 * np.sin(2 * np.pi / RAYS) * (radii_um * np.roll(radii_um, -1, axis=1)).sum(axis=1)


@dataclass(frozen=True, eq=False)
class Transcripts:
    """Decoded points: (n,) arrays; ``gene`` indexes ``GENES``, -1 for a control; ``cell`` is -1 outside every cell."""

    xy_um: np.ndarray
    gene: np.ndarray
    cell: np.ndarray
    nucleus_distance_um: np.ndarray


def _angles() -> np.ndarray:
    return np.arange(RAYS) * (2 * np.pi / RAYS)


def _directions() -> np.ndarray:
    return np.stack([np.cos(_angles()), np.sin(_angles())], axis=1)


def place_cells(tissue: Tissue, rng: np.random.Generator) -> Cells:
    """Place cells as densely as each compartment allows, none overlapping."""
    points, radii = [], []
    for part in reversed(CELLULAR):  # the thin layers first, so that they stay closed
        row, column = np.nonzero(tissue.compartment == part)
        order = rng.permutation(len(row))[: int(4 * len(row) * FIELD_UM**2 / (np.pi * _SPACING_UM[part] ** 2)) + 1]
        inside = np.stack([column[order], row[order]], axis=1) + rng.random((len(order), 2))
        points.append(inside * FIELD_UM)
        radii.append(_SPACING_UM[part] * rng.uniform(0.85, 1.15, len(order)))
    points, radii = np.concatenate(points), np.concatenate(radii)
    xy = points[apart(points, radii)]
    xy = xy[np.lexsort((xy[:, 0], xy[:, 1] // 50))]
    kind = _kinds(tissue, xy, rng)
    depth = tissue.at(tissue.tumour_depth_um, xy)
    dividing = (kind == Kind.TUMOUR) & (rng.random(len(xy)) < 0.04 + 0.42 * np.exp(-np.abs(depth) / 35))
    dividing |= (kind == Kind.B_CELL) & (rng.random(len(xy)) < 0.15)
    dividing |= (kind == Kind.LUMINAL) & (rng.random(len(xy)) < 0.02)
    cell, nucleus = _outlines(tissue, xy, kind, rng)
    return Cells(xy_um=xy, kind=kind, cell_um=cell, nucleus_um=nucleus, dividing=dividing)


def _kinds(tissue: Tissue, xy: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    part, depth = tissue.at(tissue.compartment, xy), tissue.at(tissue.tumour_depth_um, xy)
    inflamed = np.clip(tissue.at(tissue.variation, xy), -1, 2)
    draw = rng.random(len(xy))
    kind = np.full(len(xy), Kind.FIBROBLAST)
    macrophage = 0.07 + 0.12 * np.exp(-np.abs(depth) / 40)
    t_cell = 0.06 + 0.05 * (inflamed + 1) + 0.08 * np.exp(-np.abs(depth) / 60)
    kind[draw < macrophage + t_cell + 0.11] = Kind.ENDOTHELIAL
    kind[draw < macrophage + t_cell] = Kind.T_CELL
    kind[draw < macrophage] = Kind.MACROPHAGE
    for where, default in (
        (Compartment.TUMOUR, Kind.TUMOUR), (Compartment.LUMINAL, Kind.LUMINAL), (Compartment.WALL, Kind.MUSCLE),
        (Compartment.MYOEPITHELIUM, Kind.MYOEPITHELIAL), (Compartment.ENDOTHELIUM, Kind.ENDOTHELIAL),
        (Compartment.NECROSIS, Kind.TUMOUR),
    ):  # fmt: skip
        kind[part == where] = default
    fat = part == Compartment.SEPTUM
    kind[fat & (draw < 0.62)] = Kind.ADIPOCYTE
    tumour = part == Compartment.TUMOUR
    kind[tumour & (draw < 0.035)] = Kind.MACROPHAGE
    kind[tumour & (draw > 0.97 - 0.02 * inflamed)] = Kind.T_CELL
    follicle = part == Compartment.LYMPHOID
    kind[follicle] = np.where(draw < 0.36 - 0.2 * inflamed, Kind.B_CELL, Kind.T_CELL)[follicle]
    core = follicle & (_crowding(xy, follicle, 28.0) > 0.9)
    kind[core & (draw < 0.82)] = Kind.B_CELL
    return kind


def _crowding(xy: np.ndarray, chosen: np.ndarray, reach_um: float) -> np.ndarray:
    """Share of the cells within reach that are chosen: about 1 in the middle of an aggregate, less at its rim."""
    near = cKDTree(xy).query_ball_point(xy[chosen], reach_um)
    share = np.zeros(len(xy))
    share[chosen] = [chosen[others].mean() for others in near]
    return share


def _outlines(tissue, xy, kind, rng) -> tuple[np.ndarray, np.ndarray]:
    """Ellipses along the fibres, cut half way to each neighbour, so that no two cells overlap; nuclei within them."""
    axes = np.array([SHAPE_UM[k] for k in Kind])[kind] * rng.normal(1, 0.09, (len(xy), 1)).clip(0.75, 1.3)
    turn = tissue.at(tissue.fibre_angle, xy) + rng.normal(0, 0.18, len(xy))
    loose = np.isin(kind, (Kind.TUMOUR, Kind.T_CELL, Kind.B_CELL, Kind.MACROPHAGE))
    turn = np.where(loose, rng.uniform(0, np.pi, len(xy)), turn)
    turn = np.where(kind == Kind.LUMINAL, turn + np.pi / 2, turn)  # columnar: from the rim to the lumen
    angle = _angles()[None] - turn[:, None]

    def ellipse(along: np.ndarray, across: np.ndarray, rough: float) -> np.ndarray:
        wave = sum(
            np.cos(order * angle + rng.uniform(0, 2 * np.pi, (len(xy), 1))) * rng.normal(0, rough / order, (len(xy), 1))
            for order in (2, 3, 4)
        )
        radius = along * across / np.hypot(across * np.cos(angle.T), along * np.sin(angle.T))
        return radius.T * (1 + wave).clip(0.7, 1.4)

    cell = ellipse(axes[:, 0], axes[:, 1], 0.10)
    distance, other = cKDTree(xy).query(xy, k=9)
    towards = xy[other[:, 1:]] - xy[:, None]
    facing = np.einsum("nkd,rd->nkr", towards, _directions()) / distance[:, 1:, None]
    with np.errstate(divide="ignore"):
        half_way = np.where(facing > 0.05, 0.485 * distance[:, 1:, None] / facing, np.inf).min(axis=1)
    cell = np.minimum(cell, half_way)
    nucleus = np.minimum(ellipse(axes[:, 2], axes[:, 3], 0.06), 0.86 * cell)
    return cell, nucleus


def expression(cells: Cells, tissue: Tissue, rng: np.random.Generator) -> np.ndarray:
    """Expected transcripts, (cells, genes), scaled to each gene's total; cells of one kind differ a little."""
    table = np.array([[weights.get(kind, 0.0) for _, _, _, weights in GENES.values()] for kind in Kind])
    mean = table[cells.kind]
    depth = tissue.at(tissue.tumour_depth_um, cells.xy_um)
    variation = tissue.at(tissue.variation, cells.xy_um)
    column = {gene: index for index, gene in enumerate(GENES)}
    tumour = cells.kind == Kind.TUMOUR
    mean[:, column["ERBB2"]] *= np.where(tumour, np.exp(0.55 * variation), 1)
    mean[:, column["FASN"]] *= np.where(tumour, np.exp(-0.7 * variation), 1)
    mean[:, column["POSTN"]] *= 0.04 + np.exp(-np.abs(depth) / 70)
    mean[:, column["CXCL12"]] *= 0.15 + 1 - np.exp(-np.abs(depth) / 140)
    for gene in ("MKI67", "TOP2A"):
        mean[:, column[gene]] *= np.where(cells.dividing, 1, 0.04)
    dying = tissue.at(tissue.compartment, cells.xy_um) == Compartment.NECROSIS
    mean *= np.where(dying, 0.15, 1)[:, None]
    mean *= cells.area_um2(cells.cell_um)[:, None] ** 0.6
    mean *= rng.gamma(6.0, 1 / 6.0, (len(mean), 1)) * rng.gamma(3.0, 1 / 3.0, mean.shape)
    totals = np.array([total for _, _, total, _ in GENES.values()], float)
    return mean * (totals / mean.sum(axis=0))


def scatter_transcripts(cells: Cells, tissue: Tissue, rng: np.random.Generator, *, surplus: float) -> Transcripts:
    """Draw Poisson counts of every gene in every cell, at random places in and a little around it, and a thin background.

    ``surplus``: how many times the expected totals to draw, to leave them right after the low-quality ones are cut.
    """
    counts = rng.poisson(expression(cells, tissue, rng) * surplus * 0.97)
    cell, gene = np.nonzero(counts)
    times = counts[cell, gene]
    owner, gene = np.repeat(cell, times), np.repeat(gene, times)
    angle = rng.random(len(owner)) * RAYS
    ray, part = angle.astype(int), angle % 1
    edge, nucleus = (
        radii[owner, ray] * (1 - part) + radii[owner, (ray + 1) % RAYS] * part
        for radii in (cells.cell_um, cells.nucleus_um)
    )
    away = edge * np.sqrt(rng.random(len(owner))) + np.abs(rng.normal(0, 0.5, len(owner)))
    turn = angle * (2 * np.pi / RAYS)
    xy = cells.xy_um[owner] + away[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    owner = np.where(away <= edge, owner, -1)

    totals = np.array([total for _, _, total, _ in GENES.values()]) * surplus
    stray = np.repeat(np.arange(len(GENES)), rng.poisson(0.03 * totals))
    stray_xy, everywhere = _anywhere(tissue, len(stray), rng), np.full(len(stray), -1)
    distance = np.concatenate([np.maximum(away - nucleus, 0), cKDTree(cells.xy_um).query(stray_xy)[0]])
    return Transcripts(
        np.concatenate([xy, stray_xy]), np.concatenate([gene, stray]), np.concatenate([owner, everywhere]), distance
    )


def _anywhere(tissue: Tissue, number: int, rng: np.random.Generator) -> np.ndarray:
    """(number, 2) points (x, y) um anywhere on the tissue."""
    row, column = np.nonzero(np.isin(tissue.compartment, CELLULAR))
    pick = rng.integers(0, len(row), number)
    return (np.stack([column[pick], row[pick]], axis=1) + rng.random((number, 2))) * FIELD_UM
