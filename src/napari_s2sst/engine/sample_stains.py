"""Photograph the simulated cells: outlines -> four stains, as one OME-TIFF pyramid in four files, as the instrument writes.

The pictures show the same cells that the transcripts lie in: um coordinates divided by the pixel size are pixels.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter, zoom

from .sample_cells import Cells, Kind
from .sample_tissue import FIELD_UM, HEIGHT_UM, WIDTH_UM, Compartment, Tissue

PIXEL_UM = 0.425
"""Twice the instrument's 0.2125 um: a quarter of the pixels, so that the slide is written in seconds."""

STAINS = ("DAPI", "ATP1A1/CD45/E-Cadherin", "18S", "AlphaSMA/Vimentin")

_MEMBRANE = {
    Kind.LUMINAL: 210, Kind.TUMOUR: 175, Kind.T_CELL: 150, Kind.B_CELL: 140, Kind.MACROPHAGE: 95,
    Kind.MYOEPITHELIAL: 90, Kind.ENDOTHELIAL: 50, Kind.MUSCLE: 40, Kind.ADIPOCYTE: 40, Kind.FIBROBLAST: 32,
}  # fmt: skip
_CYTOPLASM = {
    Kind.TUMOUR: 190, Kind.LUMINAL: 135, Kind.MACROPHAGE: 110, Kind.MYOEPITHELIAL: 85, Kind.FIBROBLAST: 75,
    Kind.B_CELL: 70, Kind.ENDOTHELIAL: 65, Kind.MUSCLE: 60, Kind.T_CELL: 50, Kind.ADIPOCYTE: 45,
}  # fmt: skip
_FILAMENT = {
    Kind.MUSCLE: 225, Kind.MYOEPITHELIAL: 205, Kind.ENDOTHELIAL: 125, Kind.FIBROBLAST: 110, Kind.MACROPHAGE: 70,
    Kind.ADIPOCYTE: 75, Kind.T_CELL: 40, Kind.B_CELL: 40, Kind.TUMOUR: 14, Kind.LUMINAL: 8,
}  # fmt: skip
_CHROMATIN = {Kind.T_CELL: 215, Kind.B_CELL: 205, Kind.TUMOUR: 130, Kind.LUMINAL: 165}
"""Brightness of a kind's cells in each stain, 0-255."""

SHAPE_PX = (round(HEIGHT_UM / PIXEL_UM), round(WIDTH_UM / PIXEL_UM))
"""(rows, columns) of a stain."""


def render_stains(tissue: Tissue, cells: Cells, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """The four images of `STAINS` in order, each (rows, columns) uint16."""
    grain = rng.standard_normal(SHAPE_PX, np.float32)
    cell, nucleus = (
        (cells.outline(radii) / PIXEL_UM - 0.5).astype(np.float32) for radii in (cells.cell_um, cells.nucleus_um)
    )
    size = np.sqrt(cells.area_um2(cells.nucleus_um))

    def bright(table: dict[Kind, int], spread: float, default: int = 120) -> np.ndarray:
        level = np.array([table.get(kind, default) for kind in Kind])[cells.kind]
        return (level * rng.normal(1, spread, len(level))).clip(2, 255)

    chromatin = bright(_CHROMATIN, 0.16) * np.where(cells.dividing, 1.25, 1) * np.clip(6 / size, 0.8, 1.2)
    texture = gaussian_filter(np.roll(grain, 700, axis=1), 1.3)
    image = _filled(nucleus, chromatin.clip(0, 255))
    image = gaussian_filter(image * (1 + 1.2 * texture), 1.0) + 0.35 * _haze(image)
    yield _exposed(image, grain, tissue, glow=5, gain=9)

    level = bright(_MEMBRANE, 0.16)
    image = gaussian_filter(_outlined(cell, level, width=3), 0.9)
    image += 0.18 * gaussian_filter(_filled(cell, level), 1.5)
    image *= 1 + 0.9 * gaussian_filter(np.roll(grain, 300, axis=0), 2.0)
    yield _exposed(image + 0.12 * _haze(image), np.roll(grain, 1100, axis=1), tissue, glow=7, gain=8)

    level = bright(_CYTOPLASM, 0.14)
    image = _filled(cell, level) - 0.62 * _filled(nucleus, level)
    image = gaussian_filter(image * (1 + 1.5 * gaussian_filter(np.roll(grain, 900, axis=0), 1.6)), 1.1)
    yield _exposed(image + 0.3 * _haze(image), np.roll(grain, 2100, axis=1), tissue, glow=10, gain=8)

    image = _fibres(tissue, rng)
    image = np.maximum(image, 0.95 * _filled(cell, bright(_FILAMENT, 0.15)) - 0.5 * _filled(nucleus, level))
    image = gaussian_filter(image * (1 + 0.9 * texture), 0.9)
    yield _exposed(image + 0.2 * _haze(image), np.roll(grain, 3100, axis=1), tissue, glow=6, gain=8)


def _filled(corners_px: np.ndarray, level: np.ndarray) -> np.ndarray:
    canvas = Image.new("L", SHAPE_PX[::-1])
    draw = ImageDraw.Draw(canvas)
    for corners, value in zip(corners_px.reshape(len(level), -1).tolist(), level.astype(int).tolist(), strict=True):
        draw.polygon(corners, fill=value)
    return np.asarray(canvas, np.float32)


def _outlined(corners_px: np.ndarray, level: np.ndarray, width: int) -> np.ndarray:
    canvas = Image.new("L", SHAPE_PX[::-1])
    draw = ImageDraw.Draw(canvas)
    closed = np.concatenate([corners_px, corners_px[:, :1]], axis=1).reshape(len(level), -1)
    for corners, value in zip(closed.tolist(), level.astype(int).tolist(), strict=True):
        draw.line(corners, fill=value, width=width)
    return np.asarray(canvas, np.float32)


def _fibres(tissue: Tissue, rng: np.random.Generator, number: int = 15_000, steps: int = 14) -> np.ndarray:
    """Wavy strands along the fibres' direction through all stroma: (rows, columns) 0-255."""
    home = (Compartment.STROMA, Compartment.SEPTUM)
    row, column = np.nonzero(np.isin(tissue.compartment, home))
    pick = rng.integers(0, len(row), number)
    xy = (np.stack([column[pick], row[pick]], axis=1) + rng.random((number, 2))) * FIELD_UM
    path = np.empty((number, steps, 2), np.float32)
    inside = np.ones(number, bool)
    heading = tissue.at(tissue.fibre_angle, xy)
    for step in range(steps):
        path[:, step] = xy
        turn = tissue.at(tissue.fibre_angle, xy)
        turn = turn + np.pi * np.rint((heading - turn) / np.pi)  # a fibre has a direction but no sense
        heading = turn + rng.normal(0, 0.12, number)
        ahead = xy + 4.5 * np.stack([np.cos(heading), np.sin(heading)], axis=1)
        inside &= np.isin(tissue.at(tissue.compartment, ahead), home)
        xy = np.where(inside[:, None], ahead, xy)
    canvas = Image.new("L", SHAPE_PX[::-1])
    draw = ImageDraw.Draw(canvas)
    level = rng.gamma(3.0, 22.0, number).clip(12, 150).astype(int)
    for line, value in zip((path / PIXEL_UM).reshape(number, -1).tolist(), np.sort(level).tolist(), strict=True):
        draw.line(line, fill=value, width=2)
    return np.asarray(canvas, np.float32)


def _haze(image: np.ndarray) -> np.ndarray:
    """Light from above and below the focal plane: the same picture far out of focus."""
    coarse = image[: SHAPE_PX[0] // 8 * 8, : SHAPE_PX[1] // 8 * 8]
    coarse = coarse.reshape(SHAPE_PX[0] // 8, 8, SHAPE_PX[1] // 8, 8).mean((1, 3))
    return _enlarged(gaussian_filter(coarse, 2.5))


def _enlarged(coarse: np.ndarray) -> np.ndarray:
    scale = [wanted / length for wanted, length in zip(SHAPE_PX, coarse.shape, strict=True)]
    return zoom(coarse, scale, order=1, mode="nearest", grid_mode=True)


def _exposed(image: np.ndarray, grain: np.ndarray, tissue: Tissue, *, glow: float, gain: float) -> np.ndarray:
    """Autofluorescence of tissue, shot noise and the camera's offset; counts in steps of 4, which compress better."""
    solid = ~np.isin(tissue.compartment, (Compartment.GLASS, Compartment.FAT, Compartment.LUMEN, Compartment.BLOOD))
    image = image + glow * _enlarged(gaussian_filter(solid.astype(np.float32), 1.5))
    image = np.maximum(image + grain * (0.35 + 0.1 * np.sqrt(np.maximum(image, 0))), 0)
    return (np.rint(image * (gain / 4)) * 4 + 12).astype(np.uint16)


def write_stains(folder: Path, stains: Iterator[np.ndarray], seed: int) -> None:
    """morphology_focus_0000.ome.tif and on in `folder`: one file a stain, each naming all of them."""
    names = [f"morphology_focus_{index:04d}.ome.tif" for index in range(len(STAINS))]
    marks = [f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'napari-s2sst/sample/{seed}/{name}')}" for name in names]
    for index, stain in enumerate(stains):
        levels = [stain]
        while max(levels[-1].shape) > 512:
            levels.append(_halved(levels[-1]))
        options = dict(
            tile=(512, 512), compression="zlib", compressionargs={"level": 6}, predictor=True, photometric="minisblack",
            resolutionunit="CENTIMETER", metadata=None, software="napari-s2sst simulated sample slide",
        )  # fmt: skip
        with tifffile.TiffWriter(folder / names[index]) as file:
            for depth, level in enumerate(levels):
                size_um = PIXEL_UM * 2**depth
                file.write(
                    level,
                    resolution=(1e4 / size_um, 1e4 / size_um),
                    **options,
                    **(
                        dict(subifds=len(levels) - 1, description=_ome_xml(names, marks, index))
                        if depth == 0
                        else dict(subfiletype=1)
                    ),
                )


def _halved(image: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels; an odd last row or column is left out, as the instrument does."""
    rows, columns = image.shape[0] // 2, image.shape[1] // 2
    blocks = image[: rows * 2, : columns * 2].astype(np.uint32)
    total = blocks[::2, ::2] + blocks[1::2, ::2] + blocks[::2, 1::2] + blocks[1::2, 1::2]
    return (total // 4).astype(np.uint16)


def _ome_xml(names: list[str], marks: list[str], index: int) -> bytes:
    """OME-XML of a series whose planes lie in several files, as file `index` carries it."""
    channels = "".join(
        f'<Channel ID="Channel:0:{channel}" Name={quoteattr(stain)} SamplesPerPixel="1"/>'
        for channel, stain in enumerate(STAINS)
    )
    planes = "".join(
        f'<TiffData FirstC="{channel}" FirstZ="0" FirstT="0" IFD="0" PlaneCount="1">'
        f"<UUID FileName={quoteattr(name)}>{mark}</UUID></TiffData>"
        for channel, (name, mark) in enumerate(zip(names, marks, strict=True))
    )
    schema = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<OME xmlns="{schema}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{schema} {schema}/ome.xsd" UUID="{marks[index]}" Creator="napari-s2sst">'
        '<Image ID="Image:0" Name="Simulated sample slide: morphology_focus">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{SHAPE_PX[1]}" SizeY="{SHAPE_PX[0]}" '
        f'SizeZ="1" SizeC="{len(names)}" SizeT="1" PhysicalSizeX="{PIXEL_UM}" PhysicalSizeXUnit="µm" '
        f'PhysicalSizeY="{PIXEL_UM}" PhysicalSizeYUnit="µm">{channels}{planes}</Pixels></Image></OME>'
    ).encode()
