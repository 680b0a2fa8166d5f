"""A slide of 40 million transcripts with an image of 20,000 x 40,000 pixels: opening it, its maps, its image, a second time.

python benchmarks/loading.py [--transcripts 40000000] [--repeats 2] [--genes 5000] [--keep FOLDER] [--json FILE]

Three tables, each with its own bare pyarrow scan as the measure of time, every piece of work in a process of its own (see
binning.py, which makes the slide and does the measuring):

- the slide: opening with image, the first map, the whole panel, and the same from the cache;
- the same transcripts under 5,000 names;
- one screenful (1,920 x 1,080 pixels) of the image, with and without the coarser levels that Xenium stores.

Everything is made in a temporary folder and removed, or kept and found again in ``--keep``.
Aims: opening under 3 s; maps at most 1.5 times the scan, under 1 GB of memory above the result; a screenful holds a small part
of the image's 0.8 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import tifffile
from binning import (
    PIXEL_SIZE_UM,
    SHARED,
    compare,
    make_slide,
    measured,
    one_gene,
    opened,
    panel,
    panel_maps,
    scan,
    show,
)

IMAGE_PX = (20_000, 40_000)
SCREEN_PX = (1080, 1920)
CACHE = "s2sst-cache"
"""Beside the slide, so that the user's own cache stays as it is."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transcripts", type=int, default=40_000_000)
    parser.add_argument("--repeats", type=int, default=2, help="of every piece of work, in turn")
    parser.add_argument("--genes", type=int, default=5000, help="names of the large panel")
    parser.add_argument("--bin-um", type=float, default=20.0)
    parser.add_argument("--keep", type=Path, help="folder for the slides; those that are there are taken as they are")
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--work", choices=WORK, help=argparse.SUPPRESS)
    parser.add_argument("--slide", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        print(json.dumps(measured(WORK[arguments.work], arguments.slide, arguments.bin_um)))
        return
    with tempfile.TemporaryDirectory(prefix="s2sst-loading-") as folder:
        place = arguments.keep or Path(folder)
        slides = {
            "slide": once(place / "slide", lambda to: make_slide(to, arguments.transcripts)),
            "many": once(place / "many", lambda to: make_slide(to, arguments.transcripts, arguments.genes)),
        }
        once(place / "images", write_images)
        image = slides["slide"] / "morphology_mip.ome.tif"
        image.unlink(missing_ok=True)
        image.hardlink_to(place / "images" / "pyramid.ome.tif")
        slides["image"] = place / "images"
        rows = {}
        for name, works in TABLES.items():
            chosen = {work.__name__: work for work in works}
            rows[name] = compare(
                Path(__file__), chosen, slides[name], arguments.bin_um, arguments.repeats, works[0].__name__
            )
            show(rows[name])
    if arguments.json:
        machine = {
            "machine": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "pyarrow": pa.__version__,
        }
        arguments.json.write_text(json.dumps({"name": "loading", **machine, "tables": rows}, indent=2))


def once(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, filled unless it was."""
    if not (folder / "made").exists():
        folder.mkdir(parents=True, exist_ok=True)
        make(folder)
        (folder / "made").touch()
    return folder


def write_images(folder: Path) -> None:
    """The same picture with and without coarser levels, from the tiles of the real bone marrow image as they are."""
    sources = sorted((SHARED / "xenium_bone_marrow" / "morphology_focus").glob("*.tif"))
    if not sources:
        sys.exit(f"There is no image in {SHARED}. S2SST_SHARED_DATA names the folder of the shared data.")
    metadata = {"axes": "YX", "PhysicalSizeX": PIXEL_SIZE_UM, "PhysicalSizeY": PIXEL_SIZE_UM, "PhysicalSizeXUnit": "µm"}
    with tifffile.TiffFile(sources[0]) as real:
        levels = [level.pages[0] for level in real.series[0].levels]
        for name, kept in (("pyramid", levels), ("flat", levels[:1])):
            with tifffile.TiffWriter(folder / f"{name}.ome.tif", bigtiff=True, ome=True) as file:
                shape = IMAGE_PX
                for number, page in enumerate(kept):
                    more = (
                        {"subifds": len(kept) - 1, "metadata": metadata}
                        if number == 0
                        else {"subfiletype": 1, "metadata": None}
                    )
                    file.write(
                        tiles(page, shape), shape=shape, dtype=page.dtype, tile=page.tile, compression=page.compression,
                        predictor=page.predictor, photometric="minisblack", **more,
                    )  # fmt: skip
                    shape = tuple(-(-length // 2) for length in shape)


def tiles(page: tifffile.TiffPage, shape: tuple[int, int]) -> Iterator[bytes]:
    """A page's tiles side by side, without those at its edges, over and over until the shape is full; compressed as they are."""
    down, across = (-(-length // side) for length, side in zip(page.shape, page.tile, strict=True))
    wanted = [-(-length // side) for length, side in zip(shape, page.tile, strict=True)]
    for row in range(wanted[0]):
        for column in range(wanted[1]):
            tile = row % max(1, down - 1) * across + column % max(1, across - 1)
            page.parent.filehandle.seek(page.dataoffsets[tile])
            yield page.parent.filehandle.read(page.databytecounts[tile])


# ---- the slide


def with_cache(slide: Path) -> None:
    os.environ["S2SST_CACHE"] = str(slide.parent / CACHE)


def open_with_image(slide: Path, bin_um: float):
    """open: genes, size, image, contrast"""
    import dask.array  # noqa: F401
    import imagecodecs  # noqa: F401
    import zarr  # noqa: F401

    def work() -> None:
        from napari_s2sst import open_xenium

        bundle = open_xenium(slide)
        assert bundle.genes
        assert bundle.size_mm
        for image in bundle.images:
            assert image.contrast_limits
            np.asarray(image.levels[-1])

    return work


def panel_kept(slide: Path, bin_um: float):
    """the panel, and written to the cache"""
    with_cache(slide)
    for file in (slide.parent / CACHE).glob("s2sst-*.parquet"):
        file.unlink()
    return panel(slide, bin_um)


def open_again(slide: Path, bin_um: float):
    """open again, with the cache"""
    with_cache(slide)
    return open_with_image(slide, bin_um)


def one_gene_again(slide: Path, bin_um: float):
    """one gene, with the cache"""
    with_cache(slide)
    return one_gene(slide, bin_um)


def panel_again(slide: Path, bin_um: float):
    """the whole panel, with the cache"""
    with_cache(slide)
    return panel(slide, bin_um)


def scores(slide: Path, bin_um: float):
    """every gene's spatial score"""
    from napari_s2sst.engine.slides.structure import structure_parts

    bundle = opened(slide)
    genes = list(bundle.genes)
    return lambda: list(structure_parts(bundle, genes, bin_um))


def scores_kept(slide: Path, bin_um: float):
    """scores from the kept panel, and kept"""
    with_cache(slide)
    return scores(slide, bin_um)


def scores_again(slide: Path, bin_um: float):
    """scores, with the cache"""
    with_cache(slide)
    return scores(slide, bin_um)


# ---- the image


def stains(file: Path):
    from napari_s2sst.engine.pictures.stains import open_stains

    return open_stains([file])[0]


def read_plain(slide: Path, bin_um: float):
    """tifffile: all of the picture at once"""
    return lambda: [tifffile.imread(slide / "pyramid.ome.tif", level=0)][:0]


def screen(slide: Path, bin_um: float):
    """a screenful of the finest level"""
    return screenful(slide / "pyramid.ome.tif", level=0)


def screen_middle(slide: Path, bin_um: float):
    """a screenful, 4 x coarser"""
    return screenful(slide / "pyramid.ome.tif", level=2)


def overview(slide: Path, bin_um: float):
    """the coarsest level, all of it"""
    levels = stains(slide / "pyramid.ome.tif").levels
    return lambda: np.asarray(levels[-1])


def flat_screen(slide: Path, bin_um: float):
    """without levels: a screenful, finest"""
    return screenful(slide / "flat.ome.tif", level=0)


def flat_screen_coarse(slide: Path, bin_um: float):
    """without levels: a screenful, 4 x"""
    return screenful(slide / "flat.ome.tif", level=1)


def flat_overview(slide: Path, bin_um: float):
    """without levels: all, coarsest"""
    levels = stains(slide / "flat.ome.tif").levels
    return lambda: np.asarray(levels[-1])


def screenful(file: Path, level: int):
    levels = stains(file).levels
    rows, columns = (slice((whole - part) // 3, (whole - part) // 3 + part)
                     for whole, part in zip(levels[level].shape, SCREEN_PX, strict=True))  # fmt: skip
    return lambda: np.asarray(levels[level][rows, columns])


TABLES = {
    "slide": (scan, open_with_image, one_gene, panel, panel_maps, scores, panel_kept, open_again, one_gene_again, panel_again,
              scores_kept, scores_again),
    "many": (scan, panel, panel_maps),
    "image": (read_plain, screen, screen_middle, overview, flat_screen, flat_screen_coarse, flat_overview),
}  # fmt: skip
WORK = {work.__name__: work for works in TABLES.values() for work in works}


if __name__ == "__main__":
    main()
