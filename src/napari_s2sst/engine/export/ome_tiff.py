"""Named maps of one grid <-> channels of an OME-TIFF that Bio-Formats, QuPath, Fiji and bioio open, with notes in it.

One series, float32, one IFD a channel, in tiles; coarser levels are SubIFDs of their channel. PhysicalSize is the bin
in um, Position the outer corner of bin (0, 0) in um, from the same origin as the slide's morphology image, whose own
corner is (0, 0). The notes are a map annotation of the namespace s2sst, and by it this program knows its own files.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import BundleError
from ..files import written_whole

NAMESPACE = "s2sst"
SUFFIXES = (".ome.tif", ".ome.tiff")
PYRAMID_ABOVE = 2048
"""Bins along a side; larger maps are written with coarser levels, for viewers that would else load all of it."""
TILE = 256
"""Pixels; TIFF wants a multiple of 16."""
CLASSIC_BYTES = 2**31
"""Before compression; a larger file is a BigTIFF, as a classic one ends at 4 GiB and Bio-Formats reads both."""
MOST_PACKED, HARMLESS_BYTES = 2000, 1 << 28
"""A file that states more than so many times its size, deflate's 1030 and some more, lacks its pixels; 256 MB do no harm."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Channels:
    """Named maps of one grid, and notes."""

    name: str
    maps: dict[str, np.ndarray]
    """Channel name -> (rows, columns) float32."""
    bin_um: tuple[float, float]
    """(height, width)."""
    origin_um: tuple[float, float]
    """(y, x) of the outer corner of bin (0, 0)."""
    notes: dict[str, str]


def write_channels(path: str | Path, channels: Channels) -> Path:
    """Write the file, with a pyramid above 2048 bins. Raises :class:`ExportError`."""
    import tifffile

    levels = [np.stack(list(channels.maps.values())).astype(np.float32)]
    if max(levels[0].shape[1:]) > PYRAMID_ABOVE:
        while max(levels[-1].shape[1:]) > PYRAMID_ABOVE // 4:
            levels.append(_halved(levels[-1]))
    height_um, width_um = channels.bin_um
    y_um, x_um = channels.origin_um
    count = len(channels.maps)
    metadata = {
        "axes": "CYX",
        "Name": channels.name,
        "Channel": {"Name": list(channels.maps)},
        "PhysicalSizeX": width_um,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": height_um,
        "PhysicalSizeYUnit": "µm",
        "Plane": {
            "PositionX": [x_um] * count,
            "PositionXUnit": ["µm"] * count,
            "PositionY": [y_um] * count,
            "PositionYUnit": ["µm"] * count,
        },
        "MapAnnotation": {"Namespace": NAMESPACE, **channels.notes},
    }
    options = dict(photometric="minisblack", tile=(TILE, TILE), compression="zlib", resolutionunit="CENTIMETER")
    large = sum(level.nbytes for level in levels) > CLASSIC_BYTES
    with written_whole(path) as beside, tifffile.TiffWriter(beside, ome=True, bigtiff=large) as file:
        for depth, level in enumerate(levels):
            file.write(
                level,
                resolution=(1e4 / (width_um * 2**depth), 1e4 / (height_um * 2**depth)),
                **options,
                **(dict(subfiletype=1) if depth else dict(subifds=len(levels) - 1, metadata=metadata)),
            )
    return Path(path)


def is_channels(path: str | Path) -> bool:
    """Whether this program wrote the file; only its header is read, and what can't be read is not ours."""
    path = Path(path)
    if not path.name.lower().endswith(SUFFIXES) or not path.is_file():
        return False
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            return f'Namespace="{NAMESPACE}"' in (file.pages.first.description or "")
    except Exception:  # tifffile raises nearly every kind on a file that is none
        return False


def read_channels(path: str | Path) -> Channels:
    """Read what :func:`write_channels` wrote, at full resolution.

    Raises :class:`BundleError` when it can't be read or another program wrote it.
    """
    from xml.etree import ElementTree

    import tifffile

    path = Path(path)
    if not path.is_file():
        raise BundleError(f"There is no file {path}. Choose an .ome.tif that this program wrote.")
    if not is_channels(path):
        raise BundleError(
            f"{path} is no OME-TIFF that this program wrote: its header has no note of s2sst. Choose a map that s2sst "
            "exported, or open it with napari's own reader."
        )
    try:
        with tifffile.TiffFile(path) as file:
            image = ElementTree.fromstring(file.ome_metadata)
            stated = file.series[0].size * file.series[0].dtype.itemsize
            if stated > max(HARMLESS_BYTES, MOST_PACKED * path.stat().st_size):
                raise ValueError(
                    f"it states {' x '.join(map(str, file.series[0].shape))} values and does not have them"
                )
            stack = file.series[0].asarray()
        pixels, plane = (image.find(f".//{{*}}{name}").attrib for name in ("Pixels", "Plane"))
        names = [channel.attrib["Name"] for channel in image.iterfind(".//{*}Channel")]
        return Channels(
            name=image.find("{*}Image").attrib["Name"],
            maps=dict(zip(names, stack.reshape(-1, *stack.shape[-2:]), strict=True)),
            bin_um=(float(pixels["PhysicalSizeY"]), float(pixels["PhysicalSizeX"])),
            origin_um=(float(plane["PositionY"]), float(plane["PositionX"])),
            notes={entry.attrib["K"]: entry.text or "" for entry in image.iterfind(".//{*}MapAnnotation//{*}M")},
        )
    except Exception as error:  # the same, and a damaged header can lack anything
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BundleError(
            f"{path} is damaged ({type(error).__name__}: {reason}); maps with names, bin size and position are needed. "
            "Export it again."
        ) from None


def _halved(stack: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 bins, leaving NaN out; (channels, rows, columns), an odd last row or column is kept."""
    even = [(0, 0), *((0, length % 2) for length in stack.shape[1:])]
    blocks = np.pad(stack, even, constant_values=np.nan)
    blocks = blocks.reshape(len(stack), blocks.shape[1] // 2, 2, blocks.shape[2] // 2, 2)
    number = np.isfinite(blocks).sum(axis=(2, 4))
    with np.errstate(invalid="ignore"):
        return (np.nansum(blocks, axis=(2, 4)) / np.where(number, number, np.nan)).astype(np.float32)
