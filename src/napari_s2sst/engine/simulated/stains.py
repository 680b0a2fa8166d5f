"""Photograph the simulated cells: outlines -> four stains, one OME-TIFF pyramid in four files as the instrument writes.

The pictures show the same cells that the transcripts lie in: um coordinates divided by the pixel size are pixels.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter

from .cells import Cells, Kind
from .tissue import FIELD_UM, HEIGHT_UM, WIDTH_UM, Compartment, Tissue

PIXEL_UM = 0.6375
"""Three times the instrument's 0.2125 um: a ninth of the pixels, so that the slide is small and written in seconds."""

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

_SOFTWARE = "napari-s2sst simulated sample slide"

SHAPE_PX = (round(HEIGHT_UM / PIXEL_UM), round(WIDTH_UM / PIXEL_UM))
"""(rows, columns) of a stain."""


def render_stain(number: int, tissue: Tissue, cells: Cells, rng: np.random.Generator) -> np.ndarray:
    """Photograph one of `STAINS`: (rows, columns) uint16."""
    cell, nucleus = (cells.outline(radii) / PIXEL_UM - 0.5 for radii in (cells.cell_um, cells.nucleus_um))
    table, spread, glow = (
        (_CHROMATIN, 0.16, 5), (_MEMBRANE, 0.16, 7), (_CYTOPLASM, 0.14, 10), (_FILAMENT, 0.15, 6)
    )[number]  # fmt: skip
    level = np.array([table.get(kind, 120) for kind in Kind])[cells.kind] * rng.normal(1, spread, len(cells.kind))
    grain = rng.standard_normal(SHAPE_PX, np.float32)
    texture = np.roll(grain, 700, axis=1)
    match STAINS[number]:
        case "DAPI":
            dense = np.clip(6 / np.sqrt(cells.area_um2(cells.nucleus_um)), 0.8, 1.2)
            image = _filled(nucleus, level * dense * np.where(cells.dividing, 1.25, 1))
            haze = 0.35 * _haze(image)
            image = _blurred(image * (1 + 0.6 * _blurred(texture, 0.55)), 0.42)
        case "18S":
            image = _filled(cell, level) - 0.62 * _filled(nucleus, level)
            haze = 0.3 * _haze(image)
            image = _blurred(image * (1 + 0.7 * _blurred(texture, 0.68)), 0.45)
        case "AlphaSMA/Vimentin":
            image = np.maximum(_fibres(tissue, rng), 0.95 * _filled(cell, level) - 0.5 * _filled(nucleus, level))
            haze = 0.2 * _haze(image)
            image = _blurred(image * (1 + 0.5 * _blurred(texture, 0.55)), 0.38)
        case _:  # membranes
            image = _blurred(_outlined(cell, level, width=2), 0.4) + 0.18 * _blurred(_filled(cell, level), 0.6)
            haze = 0.12 * _haze(image)
            image *= 1 + 0.5 * _blurred(texture, 0.85)
    return _exposed(image + haze, grain, tissue, glow=glow)


def _blurred(image: np.ndarray, sigma_um: float) -> np.ndarray:
    return gaussian_filter(image, sigma_um / PIXEL_UM, truncate=3)


def _greys(level: np.ndarray) -> list[int]:
    return level.clip(2, 255).astype(int).tolist()


def _filled(corners_px: np.ndarray, level: np.ndarray) -> np.ndarray:
    canvas = Image.new("L", SHAPE_PX[::-1])
    draw = ImageDraw.Draw(canvas)
    for corners, value in zip(corners_px.reshape(len(level), -1).tolist(), _greys(level), strict=True):
        draw.polygon(corners, fill=value)
    return np.asarray(canvas, np.float32)


def _outlined(corners_px: np.ndarray, level: np.ndarray, width: int) -> np.ndarray:
    canvas = Image.new("L", SHAPE_PX[::-1])
    draw = ImageDraw.Draw(canvas)
    closed = np.concatenate([corners_px, corners_px[:, :1]], axis=1).reshape(len(level), -1)
    for corners, value in zip(closed.tolist(), _greys(level), strict=True):
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
        draw.line(line, fill=value)
    return np.asarray(canvas, np.float32)


def _haze(image: np.ndarray) -> np.ndarray:
    """Light from above and below the focal plane: the same picture far out of focus."""
    coarse = image[: SHAPE_PX[0] // 8 * 8, : SHAPE_PX[1] // 8 * 8]
    coarse = coarse.reshape(SHAPE_PX[0] // 8, 8, SHAPE_PX[1] // 8, 8).mean((1, 3))
    return _enlarged(gaussian_filter(coarse, 2.5))


def _enlarged(coarse: np.ndarray) -> np.ndarray:
    """Linear interpolation to `SHAPE_PX`, one axis after the other."""
    for axis, (length, wanted) in enumerate(zip(coarse.shape, SHAPE_PX, strict=True)):
        place = ((np.arange(wanted, dtype=np.float32) + 0.5) * (length / wanted) - 0.5).clip(0, length - 1.001)
        part = np.expand_dims(place % 1, 1 - axis)
        before = place.astype(int)
        coarse = coarse.take(before, axis) * (1 - part) + coarse.take(before + 1, axis) * part
    return coarse


def _exposed(image: np.ndarray, grain: np.ndarray, tissue: Tissue, *, glow: float) -> np.ndarray:
    """Autofluorescence of tissue, shot noise and the camera's offset; counts in steps of 8, which compress better."""
    solid = ~np.isin(tissue.compartment, (Compartment.GLASS, Compartment.FAT, Compartment.LUMEN, Compartment.BLOOD))
    image = image + glow * _enlarged(gaussian_filter(solid.astype(np.float32), 1.5))
    image = np.maximum(image + grain * (0.35 + 0.1 * np.sqrt(np.maximum(image, 0))), 0)
    return (np.rint(image) * 8 + 16).astype(np.uint16)


def write_stains(folder: Path, tissue: Tissue, cells: Cells, seed: int) -> None:
    """Write morphology_focus_0000.ome.tif and on into `folder`: one file a stain, each naming all of them."""
    names = [f"morphology_focus_{number:04d}.ome.tif" for number in range(len(STAINS))]
    marks = [f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'napari-s2sst/sample/{seed}/{name}')}" for name in names]

    def write(number: int) -> None:
        levels = [render_stain(number, tissue, cells, np.random.default_rng((seed, number)))]
        while max(levels[-1].shape) > 512:
            levels.append(_halved(levels[-1]))
        with tifffile.TiffWriter(folder / names[number]) as file:
            for depth, level in enumerate(levels):
                first = dict(subifds=len(levels) - 1, description=_ome_xml(names, marks, number), software=_SOFTWARE)
                file.write(
                    level,
                    tile=(512, 512),
                    compression="zlib",
                    compressionargs={"level": 4},
                    predictor=True,
                    photometric="minisblack",
                    resolution=(1e4 / (PIXEL_UM * 2**depth),) * 2,
                    resolutionunit="CENTIMETER",
                    metadata=None,
                    maxworkers=1,
                    **(dict(subfiletype=1) if depth else first),
                )

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(len(STAINS))))


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
