"""Turn a slide's morphology files into stains: lazily read image pyramids with a name and a pixel size.

Xenium has written these files as one image of one stain (1.x), as a folder of one file a stain that refer to each other
(``morphology_focus_0000.ome.tif`` and on, since 2.0) and with the stains in the file names (4.x). Which plane of which
file holds which stain is read from the OME-XML here, because tifffile answers a missing sibling file with zeros.
"""

from __future__ import annotations

import math
import re
import struct
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import tifffile

from ..errors import BundleError
from .pyramid import CHUNK_PX, Pyramid, broken, check_page, levels_of

if TYPE_CHECKING:
    import dask.array as da

SAMPLE_PX = 1 << 22
"""At most so many pixels are looked at for the contrast."""
CONTRAST_PERCENTILES = (1.0, 99.8)
"""Percentiles of a coarse level. What lies above is dust and a few saturated nuclei."""
MAX_PLANES = 100_000
"""Channels x focal planes x times; no instrument takes so many, and a damaged header may ask for any number."""
UM_PER_UNIT = {"µm": 1.0, "μm": 1.0, "um": 1.0, "micron": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4, "m": 1e6}
"""OME's PhysicalSizeXUnit, both Greek letters included; anything else (``pixel``) is no length."""


@dataclass(frozen=True, eq=False)
class StainImage:
    """One stain of the morphology image. Nothing but headers has been read."""

    name: str
    levels: Sequence[da.Array]
    """(rows, columns) each, finest first, read where they are looked at."""
    pixel_size_um: float | None
    """Of the finest level; None where neither the image nor the slide's folder says."""
    stored_levels: int = 1
    """So many of the levels are in the file; the others are worked out from the finest when looked at, and slower."""

    @property
    def shape_px(self) -> tuple[int, int]:
        """(rows, columns) of the finest level, without making an array of it."""
        return self.levels.shape_px if isinstance(self.levels, Pyramid) else self.levels[0].shape

    @cached_property
    def contrast_limits(self) -> tuple[float, float]:
        """(low, high) that show the tissue, from the percentiles of a coarse level; high is above low.

        Raises :class:`BundleError` when the pixels can't be read.
        """
        stored = self.levels[: self.stored_levels]
        small = next((level for level in stored if level.size <= SAMPLE_PX), None)
        pixels = np.asarray(small) if small is not None else _sampled(stored[-1])
        pixels = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
        if not pixels.size:
            return (0.0, 1.0)
        low, high = np.percentile(pixels, CONTRAST_PERCENTILES)
        if high <= low:
            low, high = float(pixels.min()), float(pixels.max())
        return (float(low), float(high) if high > low else float(low) + 1.0)


def _sampled(level: da.Array) -> np.ndarray:
    """Pixels of 16 blocks evenly over an image too large to look at whole."""
    side = min(CHUNK_PX // 2, *level.shape)
    rows, columns = (np.linspace(0, length - side, 4).astype(int) for length in level.shape)
    return np.concatenate([np.asarray(level[r : r + side, c : c + side]).ravel() for r in rows for c in columns])


def find_morphology(folder: Path) -> list[Path]:
    """The files of the best morphology image in a Xenium folder: in focus, else a projection, else the stack; may be none."""
    inside = folder / "morphology_focus"
    files = sorted(inside.glob("*.tif*")) if inside.is_dir() else []
    if files:
        return files
    names = ("morphology_focus.ome.tif", "morphology_mip.ome.tif", "morphology.ome.tif")
    return next(([folder / name] for name in names if (folder / name).is_file()), [])


def open_stains(files: Sequence[Path], pixel_size_um: float | None = None) -> tuple[StainImage, ...]:
    """Open every stain of the files, without reading pixels.

    ``pixel_size_um`` serves where the image has none of its own. Raises :class:`BundleError` when a file can't be read,
    or refers to a file that is missing.
    """
    stains: list[StainImage] = []
    open_files: dict[Path, tifffile.TiffFile] = {}
    done: set[Path] = set()
    for file in files:
        if file in done:
            continue
        image = _read_ome(file)
        own_size = image.pixel_size_um or pixel_size_um
        for number, (name, plane) in enumerate(zip(image.stains, image.planes, strict=True), start=1):
            done.add(plane.path)
            if plane.path not in open_files:
                open_files[plane.path] = open_tiff(plane.path)
            name = name or _name_from(plane.path) or ("morphology" if len(image.stains) == 1 else f"stain {number}")
            try:
                stains.append(_stain(open_files[plane.path], plane, name, own_size))
            except (OSError, ValueError, IndexError, struct.error, tifffile.TiffFileError) as error:
                raise broken(plane.path, error) from None
        done.add(file)
    return tuple(stains)


def read_pixel_size_um(files: Sequence[Path]) -> float | None:
    """The pixel size that the first file states, in um."""
    return _read_ome(files[0]).pixel_size_um if files else None


@dataclass(frozen=True)
class _Plane:
    path: Path
    ifd: int


@dataclass(frozen=True)
class _OmeImage:
    stains: tuple[str, ...]
    """Names, empty where the file has none."""
    planes: tuple[_Plane, ...]
    """One for each stain: the middle one of a stack."""
    pixel_size_um: float | None


def open_tiff(path: Path) -> tifffile.TiffFile:
    """Open a TIFF for as long as anything that was read of it lives. Raises :class:`BundleError`."""
    try:
        tiff = tifffile.TiffFile(path)
    except (OSError, ValueError, tifffile.TiffFileError) as error:
        raise broken(path, error) from None
    # The lazy arrays keep the file open for as long as they live, wherever they went; nobody else could close it.
    weakref.finalize(tiff, tiff.filehandle.close)
    return tiff


def _read_ome(path: Path) -> _OmeImage:
    """Facts of a file's OME-XML about its first image; a TIFF without any is one stain without a name."""
    try:
        with open_tiff(path) as tiff:
            xml = tiff.pages[0].description
    except (OSError, ValueError, IndexError, struct.error, tifffile.TiffFileError) as error:
        raise broken(path, error) from None
    if re.search(r"<(\w+:)?OME\b", xml) is None:
        return _OmeImage(("",), (_Plane(path, 0),), None)
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError as error:
        raise broken(path, error) from None
    elsewhere = root.find("{*}BinaryOnly")
    if elsewhere is not None:
        described_in = path.parent / Path(elsewhere.get("MetadataFile", "")).name
        if described_in == path or not described_in.is_file():
            raise BundleError(
                f"{path} is described by {described_in.name}, which is missing from {path.parent}. "
                "Copy all files of the morphology image from the instrument."
            )
        return _read_ome(described_in)
    pixels = root.find("{*}Image/{*}Pixels")
    if pixels is None:
        return _OmeImage(("",), (_Plane(path, 0),), None)
    try:
        return _parse(pixels, path, root.get("UUID"))
    except ValueError as error:
        raise broken(path, error) from None


def _parse(pixels: ElementTree.Element, path: Path, own_uuid: str | None) -> _OmeImage:
    """OME 2016-06: planes run in DimensionOrder, and each TiffData says where a run of them lies."""
    order = pixels.get("DimensionOrder", "XYCZT")[2:]
    sizes = {axis: int(pixels.get(f"Size{axis}", "1")) for axis in order}
    lengths = [sizes[axis] for axis in order]
    if not 0 < math.prod(lengths) <= MAX_PLANES:
        raise ValueError(f"it states {math.prod(lengths):,} planes")
    at: dict[tuple[int, ...], _Plane] = {}
    for data in pixels.findall("{*}TiffData") or [ElementTree.Element("TiffData")]:
        uuid = data.find("{*}UUID")
        name = "" if uuid is None else Path(uuid.get("FileName", "")).name
        own = not name or name == path.name or (own_uuid is not None and uuid.text == own_uuid)
        first = np.ravel_multi_index([int(data.get(f"First{axis}", "0")) for axis in order], lengths, order="F")
        every = int(np.prod(lengths)) - int(first)
        count = int(data.get("PlaneCount", "1" if "IFD" in data.attrib else str(every)))
        for k in range(min(count, every)):
            index = np.unravel_index(int(first) + k, lengths, order="F")
            at[tuple(map(int, index))] = _Plane(path if own else path.parent / name, int(data.get("IFD", "0")) + k)

    missing = sorted({plane.path.name for plane in at.values() if not plane.path.is_file()})
    if missing:
        raise BundleError(
            f"The morphology image {path} is incomplete: {', '.join(missing)} is missing from {path.parent}. "
            "Copy all files of the image from the instrument."
        )
    channels = pixels.findall("{*}Channel")
    stains, planes = [], []
    for c in range(sizes.get("C", 1)):
        middle = {"C": c, "Z": sizes.get("Z", 1) // 2, "T": 0}
        plane = at.get(tuple(middle[axis] for axis in order))
        # An image of three samples a pixel counts three channels and has one plane.
        if plane is not None:
            stains.append((channels[c].get("Name") or "").strip() if c < len(channels) else "")
            planes.append(plane)
    if not planes:
        raise ValueError("it does not say where any plane lies")
    scale = UM_PER_UNIT.get(pixels.get("PhysicalSizeXUnit", "µm"))
    size = float(pixels.get("PhysicalSizeX", "0"))
    return _OmeImage(tuple(stains), tuple(planes), size * scale if scale and np.isfinite(size) and size > 0 else None)


def _stain(tiff: tifffile.TiffFile, plane: _Plane, name: str, pixel_size_um: float | None) -> StainImage:
    if not 0 <= plane.ifd < len(tiff.pages):
        raise BundleError(f"{plane.path} ends before its plane {plane.ifd + 1}. Copy it from the instrument again.")
    page = tiff.pages[plane.ifd]
    if len(page.shape) != 2:
        raise BundleError(
            f"{plane.path} is a colour picture, and a stain has one value a pixel. Take it out of the folder."
        )
    stored = levels_of(page)
    for level in stored:
        check_page(plane.path, level, tiff.filehandle.size)
    return StainImage(name, Pyramid(plane.path, stored), pixel_size_um, len(stored))


def _name_from(path: Path) -> str:
    """The stain in a file name of Xenium 4 (``ch0001_atp1a1_cd45_e-cadherin.ome.tif``), else nothing."""
    named = re.fullmatch(r"ch\d+_(.+?)(\.ome)?\.tiff?", path.name, re.IGNORECASE)
    return named[1] if named else ""
