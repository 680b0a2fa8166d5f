"""Mutilated bundles and files: each gives the right answer or one clear sentence, in time, and nothing is written.

A case is a function that spoils a small, whole bundle (or writes a file) in a folder and returns what to open, with what has
to come of it: a pattern that the error's sentence has, or a function that says whether the answer is right.
"""

import contextlib
import gzip
import json
import math
import os
import shutil
import signal
import struct
import zipfile
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import tifffile
from scipy import sparse
from shapely.geometry import box
from support.command import assert_one_clear_line, s2sst

from napari_s2sst.engine.errors import BundleError, S2SSTError
from napari_s2sst.engine.network.model import load_model, shipped_model
from napari_s2sst.engine.pictures.outlines import find_boundaries, read_boundaries
from napari_s2sst.engine.sampling.regions import Region, read_regions, restrict, write_regions
from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.slides.h5ad import open_anndata
from napari_s2sst.engine.slides.histology import find_histology, open_histology
from napari_s2sst.engine.slides.xenium import open_xenium

LIMIT_S = 120
GENES = ("LTF", "CD4", "KRT8")
SIDE_PX = 400
"""Of the image, 0.5 um a pixel: a slide of 200 um."""
PIXELS = (np.add.outer(np.arange(SIDE_PX), 3 * np.arange(SIDE_PX)) % 250 + 1).astype(np.uint16)

CASES = []


def case(expected, *, cli=False):
    """Add a case; ``cli``: the command line is to answer with status 2 and one line too."""

    def add(spoil):
        CASES.append(pytest.param(spoil, expected, cli, id=spoil.__name__))
        return spoil

    return add


# what is spoilt


def columns(n=3000):
    rng = np.random.default_rng(0)
    names = rng.choice([*GENES, "NegControlProbe_00042"], n, p=[0.5, 0.3, 0.15, 0.05])
    x, y = rng.uniform(1, 199, (2, n)).astype(np.float32)
    return {
        "feature_name": pa.array(names.tolist()),
        "x_location": x,
        "y_location": y,
        "qv": np.full(n, 30, np.float32),
    }


def write_table(folder, changes=(), **settings):
    made = columns() | dict(changes)
    table = pa.table({name: column for name, column in made.items() if column is not None})
    pq.write_table(table, folder / "transcripts.parquet", **settings)


def write_image(path, pixels=PIXELS, **settings):
    path.parent.mkdir(exist_ok=True)
    metadata = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5,
                "Channel": {"Name": "DAPI"}}  # fmt: skip
    tifffile.imwrite(path, pixels, **({"tile": (128, 128), "metadata": metadata, "ome": True} | settings))
    return path


def image_of(folder):
    return folder / "morphology_focus" / "morphology_focus_0000.ome.tif"


def write_bundle(folder):
    folder.mkdir()
    write_table(folder)
    (folder / "experiment.xenium").write_text(json.dumps({"region_name": "made up", "pixel_size": 0.5}))
    write_image(image_of(folder))
    corners = np.array([[10, 10], [20, 10], [20, 20]], np.float32)
    ring = {
        "cell_id": ["a"] * 3 + ["b"] * 3,
        "vertex_x": np.tile(corners[:, 0], 2),
        "vertex_y": np.tile(corners[:, 1], 2),
    }
    pq.write_table(pa.table(ring), folder / "cell_boundaries.parquet")
    return folder


def cut(path, part=0.5):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])


def write_cube(path, **changes):
    counts = np.random.default_rng(0).poisson(3, (2, 30, 40)).astype(np.float32)
    arrays = {"counts": counts, "genes": np.array(["A", "B"]), "bin_um": 10.0} | changes
    np.savez_compressed(path, **arrays)
    return path


def spots(rows=12, columns=10):
    counts = np.random.default_rng(0).poisson([3, 9], (rows * columns, 2)).astype(np.float32)
    row, column = (each.ravel() for each in np.mgrid[:rows, :columns])
    obs = pd.DataFrame({"array_row": row, "array_col": column}, index=[f"spot{k}" for k in range(len(row))])
    table = anndata.AnnData(sparse.csr_matrix(counts), obs, pd.DataFrame(index=["A", "B"]))
    table.obsm["spatial"] = np.column_stack([column, row]) * 50.0
    return table


def write_spots(folder, table, name="spots.h5ad"):
    table.write_h5ad(folder / name)
    return folder / name


def write_geojson(folder, *rings, kind="Polygon", name="regions.geojson"):
    features = [{"type": "Feature", "properties": {"name": f"R{k}"},
                 "geometry": {"type": kind, "coordinates": [ring]}} for k, ring in enumerate(rings)]  # fmt: skip
    (folder / name).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return folder / name


# what opens it


def answer(path):
    """All that a user would look at of a file: {gene: its map's sum}, the slide; or how many regions there are."""
    suffix = path.suffix if isinstance(path, Path) else ""
    if suffix in (".geojson", ".csv"):
        regions = read_regions(path)
        return {"regions": len(regions), "map": restrict(whole_map(), regions)}
    if suffix == ".safetensors":
        return {"model": load_model(path)}
    opened = {".npz": open_count_cube, ".h5ad": open_anndata}.get(suffix, open_xenium)(path)
    maps = opened.gene_maps(list(opened.genes)[:3], 10.0)
    assert all(np.isfinite(each.values).all() for each in maps)
    pictures = []
    for image in opened.images:
        low, high = image.contrast_limits
        assert low < high
        pictures.append([np.asarray(level) for level in image.levels])
    if suffix == "":
        file = find_boundaries(opened.path, "cell")
        outlines = len(read_boundaries(file)) if file else 0
        histology = find_histology(opened.path)
        if histology:
            pictures.append([np.asarray(level) for level in open_histology(histology, opened).levels])
    else:
        outlines = 0
    return {"slide": opened, "sums": {each.gene: each.values.sum() for each in maps}, "maps": maps, "pictures": pictures,
            "outlines": outlines}  # fmt: skip


def whole_map():
    from napari_s2sst.engine.maps import GeneMap

    return GeneMap(np.ones((20, 20), np.float32), gene="LTF", bin_um=10.0)


@contextlib.contextmanager
def in_time(seconds=LIMIT_S):
    """Ends what takes longer, where the system has alarms; hangs are what the table is for."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(*_):
        raise TimeoutError(f"took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def everything_in(folder):
    """{name: (size, time)} of all files in a folder, links as links."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            state = os.lstat(Path(place) / name)
            found[str(Path(place) / name)] = (state.st_size, state.st_mtime_ns)
    return found


GOOD = {"LTF": 1500, "CD4": 900, "KRT8": 450}


def as_if_whole(found):
    """The maps of the whole bundle."""
    names = np.array(columns()["feature_name"].to_pylist())
    return found["sums"] == {gene: np.count_nonzero(names == gene) for gene in GENES}


# ---- transcript tables


@case(as_if_whole)
def nothing_spoilt(folder):
    return folder


@case(r"transcripts\.parquet can't be read as a transcript table .*Copy it from the instrument again", cli=True)
def transcripts_cut_off(folder):
    cut(folder / "transcripts.parquet")
    return folder


@case(r"transcripts\.parquet can't be read")
def transcripts_empty_file(folder):
    (folder / "transcripts.parquet").write_bytes(b"")
    return folder


@case(r"transcripts\.parquet can't be read")
def transcripts_are_another_kind_of_file(folder):
    (folder / "transcripts.parquet").write_bytes(b"PK\x03\x04" + bytes(500))
    return folder


@case(r"transcripts\.parquet can't be read")
def transcripts_with_a_destroyed_middle(folder):
    write_table(folder, compression="snappy", use_dictionary=False)
    path = folder / "transcripts.parquet"
    whole = bytearray(path.read_bytes())
    whole[200 : len(whole) - 4000] = b"\xab" * (len(whole) - 4200)
    path.write_bytes(whole)
    return folder


@case(r"no column feature_name nor x_location; it has .*gene", cli=True)
def columns_of_another_maker(folder):
    made = columns()
    table = pa.table({"gene": made["feature_name"], "global_x": made["x_location"], "y_location": made["y_location"]})
    pq.write_table(table, folder / "transcripts.parquet")
    return folder


@case(r"no column feature_name")
def columns_thousands_of_wrong_ones(folder):
    pq.write_table(pa.table({f"column {k}": [1] for k in range(5000)}), folder / "transcripts.parquet")
    return folder


@case(r"column x_location of .*transcripts\.parquet holds string; numbers are needed", cli=True)
def coordinates_are_text(folder):
    write_table(folder, {"x_location": pa.array(["one"] * 3000)})
    return folder


@case(r"column y_location of .* holds null; numbers are needed")
def coordinates_are_nothing(folder):
    write_table(folder, {"y_location": pa.nulls(3000)})
    return folder


@case(r"column x_location of .* holds list.*numbers are needed")
def coordinates_are_lists(folder):
    write_table(folder, {"x_location": pa.array([[1.0]] * 3000)})
    return folder


@case(r"column feature_name of .* holds int64; text is needed")
def names_are_numbers(folder):
    write_table(folder, {"feature_name": pa.array([1] * 3000)})
    return folder


@case(r"column qv of .* holds string; numbers are needed")
def quality_is_text(folder):
    write_table(folder, {"qv": pa.array(["good"] * 3000)})
    return folder


@case(r"column is_gene of .* holds double; true and false are needed")
def is_gene_is_a_share(folder):
    write_table(folder, {"is_gene": pa.array([0.5] * 3000)})
    return folder


@case(r"has 2 columns x_location; one is needed")
def a_column_twice(folder):
    made = columns()
    table = pa.table([*made.values(), made["x_location"]], names=[*made, "x_location"])
    pq.write_table(table, folder / "transcripts.parquet")
    return folder


@case(lambda found: sum(found["sums"].values()) == sum(1 for k in range(3000) if k % 3))
def every_third_coordinate_is_no_number(folder):
    x = columns()["x_location"].copy()
    x[::3] = np.nan
    write_table(folder, {"x_location": x, "feature_name": pa.array(["LTF", "CD4", "KRT8"] * 1000)})
    return folder


@case(r"holds no transcripts with coordinates", cli=True)
def no_coordinate_is_a_number(folder):
    write_table(folder, {"x_location": np.full(3000, np.nan)})
    return folder


@case(r"holds no transcripts with coordinates")
def coordinates_are_infinite(folder):
    write_table(folder, {"x_location": np.full(3000, np.inf)})
    return folder


@case(lambda found: as_if_whole(found) and found["slide"].extent_um[1] < -900)
def coordinates_below_0(folder):
    write_table(folder, {"x_location": columns()["x_location"] - 1000})
    return folder


@case(r"transcripts\.parquet the transcripts reach .* 400 x 400 pixels: the table is in pixels.*by 0\.5", cli=True)
def coordinates_in_pixels(folder):
    write_table(folder, {name: columns()[name] * 2 for name in ("x_location", "y_location")})
    return folder


@case(r"transcripts\.parquet the transcripts lie .* farther apart than any slide", cli=True)
def one_coordinate_a_thousand_kilometres_off(folder):
    x = columns()["x_location"].astype(np.float64)
    x[7] = 1e12
    write_table(folder, {"x_location": x})
    return folder


@case(r"farther apart than any slide")
def one_coordinate_beyond_all_numbers(folder):
    x = columns()["x_location"].astype(np.float64)
    x[7] = 1e308
    write_table(folder, {"x_location": x})
    return folder


@case(r"holds no transcripts", cli=True)
def no_transcripts(folder):
    table = pq.read_table(folder / "transcripts.parquet").slice(0, 0)
    pq.write_table(table, folder / "transcripts.parquet")
    return folder


@case(lambda found: found["sums"] == {"LTF": 1} and found["maps"][0].shape == (1, 1))
def one_transcript(folder):
    one = {"feature_name": ["LTF"], "x_location": [5.0], "y_location": [5.0], "qv": [30.0]}
    pq.write_table(pa.table(one), folder / "transcripts.parquet")
    return folder


@case(lambda found: found["maps"][0].shape == (1, 1) and as_if_whole(found))
def all_transcripts_in_a_single_bin(folder):
    write_table(folder, dict.fromkeys(("x_location", "y_location"), np.full(3000, 7.0)))
    return folder


@case(
    lambda found: sum(found["sums"].values()) == 2 * sum(1 for n in columns()["feature_name"].to_pylist() if n in GENES)
)
def every_row_twice(folder):
    table = pq.read_table(folder / "transcripts.parquet")
    pq.write_table(pa.concat_tables([table, table]), folder / "transcripts.parquet")
    return folder


@case(lambda found: not any(found["sums"].values()) and set(found["sums"]) == set(GENES))
def no_transcript_is_good_enough(folder):
    write_table(folder, {"qv": np.zeros(3000, np.float32)})
    return folder


@case(lambda found: found["slide"].genes == {} and found["maps"] == [])
def controls_alone(folder):
    write_table(folder, {"feature_name": pa.array(["NegControlProbe_00042", "BLANK_0001", "antisense_A"] * 1000)})
    return folder


@case(lambda found: set(found["sums"]) == {"a/../b", "ß 'ü' \"µ\"", "\U0001f9ec"})
def names_with_separators_quotes_and_umlauts(folder):
    write_table(folder, {"feature_name": pa.array(["a/../b", "ß 'ü' \"µ\"", "\U0001f9ec"] * 1000)})
    return folder


@case(lambda found: len(found["sums"]) == 2)
def names_that_are_no_utf_8(folder):
    write_table(folder, {"feature_name": pa.array([b"LTF", b"\xff\xfe", b"LTF"] * 1000, pa.binary())})
    return folder


@case(lambda found: found["slide"].genes == {"": 1500, "x" * 5000: 1500})
def names_empty_and_endless(folder):
    write_table(folder, {"feature_name": pa.array(["", "x" * 5000] * 1500)})
    return folder


@case(r"transcripts\.parquet is a link that leads nowhere")
def transcripts_are_a_dead_link(folder):
    (folder / "transcripts.parquet").unlink()
    (folder / "transcripts.parquet").symlink_to(folder / "elsewhere.parquet")
    return folder


@case(r"transcripts\.parquet is a link that leads nowhere")
def transcripts_are_a_link_to_themselves(folder):
    (folder / "transcripts.parquet").unlink()
    (folder / "transcripts.parquet").symlink_to(folder / "transcripts.parquet")
    return folder


@case(r"has no transcripts", cli=True)
def transcripts_are_a_folder(folder):
    (folder / "transcripts.parquet").unlink()
    (folder / "transcripts.parquet").mkdir()
    return folder


@case(r"has no transcripts")
def transcripts_are_a_pipe_that_never_ends(folder):
    (folder / "transcripts.parquet").unlink()
    os.mkfifo(folder / "transcripts.parquet")
    return folder


@case(r"transcripts\.parquet can't be read.*[Pp]ermission denied")
def transcripts_may_not_be_read(folder):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (folder / "transcripts.parquet").chmod(0)
    return folder


def as_csv(folder, text=None, packed=True):
    table = pq.read_table(folder / "transcripts.parquet")
    (folder / "transcripts.parquet").unlink()
    path = folder / ("transcripts.csv.gz" if packed else "transcripts.csv")
    if text is None:
        lines = pa.BufferOutputStream()
        pa.csv.write_csv(table, lines)
        text = lines.getvalue().to_pybytes()
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


@case(r"transcripts\.csv\.gz can't be read")
def csv_cut_off(folder):
    cut(as_csv(folder))
    return folder


@case(r"transcripts\.csv\.gz can't be read", cli=True)
def csv_that_is_not_packed(folder):
    as_csv(folder).write_bytes(b"feature_name,x_location,y_location\nLTF,1,2\n")
    return folder


@case(r"transcripts\.csv\.gz has no column .*; it has nothing")
def csv_without_a_line(folder):
    as_csv(folder, b"")
    return folder


@case(r"holds no transcripts")
def csv_with_a_header_only(folder):
    as_csv(folder, b"feature_name,x_location,y_location\n")
    return folder


@case(r"no column feature_name.*it has feature_name;x_location")
def csv_of_semicolons(folder):
    as_csv(folder, b"feature_name;x_location;y_location\nLTF;1;2\n")
    return folder


@case(r"transcripts\.csv\.gz can't be read.*one")
def csv_with_text_for_a_number(folder):
    as_csv(folder, b"feature_name,x_location,y_location\nLTF,1,2\nLTF,one,2\n")
    return folder


@case(r"transcripts\.csv\.gz can't be read")
def csv_with_a_row_too_short(folder):
    as_csv(folder, b"feature_name,x_location,y_location\nLTF,1,2\nLTF\n")
    return folder


@case(r"transcripts\.csv\.gz can't be read|has no column")
def csv_whose_first_line_never_ends(folder):
    as_csv(folder, b"x" * 30_000_000)
    return folder


@case(lambda found: found["sums"] == {"LTF": 2})
def csv_with_a_byte_order_mark(folder):
    as_csv(folder, b"\xef\xbb\xbffeature_name,x_location,y_location\r\nLTF,1,2\r\nLTF,9,9\r\n", packed=False)
    return folder


# ---- manifests, panels, places


@case(r"experiment\.xenium can't be read as JSON", cli=True)
def manifest_cut_off(folder):
    cut(folder / "experiment.xenium")
    return folder


@case(r"experiment\.xenium can't be read as JSON")
def manifest_nested_beyond_reason(folder):
    (folder / "experiment.xenium").write_text("[" * 200_000)
    return folder


def on_a_disk_that_fails(path: Path) -> None:
    """Linux has a file that even root can't read from its start."""
    if not Path("/proc/self/mem").exists():
        pytest.skip("needs /proc/self/mem, a file that even root can't read from its start")
    path.unlink()
    path.symlink_to("/proc/self/mem")


@case(r"experiment\.xenium can't be read as JSON")
def manifest_on_a_disk_that_fails(folder):
    on_a_disk_that_fails(folder / "experiment.xenium")
    return folder


@case(r"morphology_focus_0000\.ome\.tif can't be read as an OME-TIFF")
def image_on_a_disk_that_fails(folder):
    on_a_disk_that_fails(image_of(folder))
    return folder


@case(lambda found: as_if_whole(found) and found["slide"].pixel_size_um == 0.5 and found["slide"].name == "bundle")
def manifest_of_absurd_values(folder):
    absurd = {"region_name": ["x"], "pixel_size": 10**400, "num_cells": True, "panel_name": None}
    (folder / "experiment.xenium").write_text(json.dumps(absurd))
    return folder


@case(lambda found: as_if_whole(found) and found["slide"].pixel_size_um == 0.5)
def manifest_missing_so_the_image_tells_the_pixel_size(folder):
    (folder / "experiment.xenium").unlink()
    return folder


@case(lambda found: as_if_whole(found) and found["slide"].pixel_size_um is None)
def manifest_missing_and_no_image(folder):
    (folder / "experiment.xenium").unlink()
    shutil.rmtree(folder / "morphology_focus")
    (folder / "cells.parquet").write_bytes(b"")
    return folder


@case(as_if_whole)
def panel_of_another_shape(folder):
    (folder / "gene_panel.json").write_text(json.dumps({"payload": {"targets": 5}}))
    return folder


@case(r"gene_panel\.json can't be read as JSON")
def panel_cut_off(folder):
    (folder / "gene_panel.json").write_text('{"payload": {"targ')
    return folder


@case(as_if_whole)
def folder_with_spaces_quotes_and_umlauts(folder):
    return folder.rename(folder.with_name("Präparat 'Nr. 3' \"b\" %20 #1"))


@case(r"neither experiment\.xenium nor transcripts\.parquet.* The folder bundle in it is one", cli=True)
def folder_above_the_bundle(folder):
    return folder.parent


@case(r"output-XETG\.\.\. Unpack outs\.zip in it first")
def folder_with_the_packed_bundle(folder):
    inside = folder.parent / "download"
    inside.mkdir()
    with zipfile.ZipFile(inside / "outs.zip", "w") as packed:
        packed.writestr("experiment.xenium", "{}")
    return inside


@case(r"outs\.zip is packed.*Unpack it first", cli=True)
def bundle_that_is_packed(folder):
    with zipfile.ZipFile(folder.parent / "outs.zip", "w") as packed:
        packed.write(folder / "transcripts.parquet", "transcripts.parquet")
    return folder.parent / "outs.zip"


@case(r"s3://bucket/slide is not on this computer.*Download it first \(with aws s3 sync\)", cli=True)
def bundle_in_a_cloud(folder):
    return "s3://bucket/slide"


@case(r"https://host/slide\.zip is not on this computer.*Download it first")
def bundle_in_the_web_as_a_path_shortens_it(folder):
    return Path("https://host/slide.zip")


@case(as_if_whole)
def bundle_as_an_address_of_this_computer(folder):
    return folder.as_uri()


@case(r"loop is a link that leads nowhere or back to itself")
def folder_that_is_a_link_to_itself(folder):
    loop = folder.parent / "loop"
    loop.symlink_to(loop)
    return loop


@case(as_if_whole)
def folder_with_a_link_back_to_itself(folder):
    (folder / "again").symlink_to(folder)
    (folder / "morphology_focus" / "up").symlink_to(folder)
    return folder


@case(r"can't be opened|There is no folder")
def path_longer_than_any_name(folder):
    return "x" * 5000


@case(r"can't be opened|There is no folder")
def path_with_a_null(folder):
    return "a\0b"


# ---- images


@case(r"morphology_focus_0000\.ome\.tif can't be read as an OME-TIFF", cli=True)
def image_cut_within_its_header(folder):
    image_of(folder).write_bytes(image_of(folder).read_bytes()[:6])
    return folder


@case(r"morphology_focus_0000\.ome\.tif (is cut short|can't be read)")
def image_cut_within_its_pixels(folder):
    cut(image_of(folder), 0.6)
    return folder


@case(r"morphology_focus_0000\.ome\.tif (is cut short|can't be read)")
def image_of_jpeg_2000_cut_off(folder):
    write_image(image_of(folder), compression="jpeg2000")
    cut(image_of(folder), 0.8)
    return folder


@case(r"morphology_focus_0000\.ome\.tif can't be read")
def image_with_a_destroyed_tile(folder):
    path = write_image(image_of(folder), compression="jpeg2000")
    with tifffile.TiffFile(path) as tiff:
        start, length = tiff.pages[0].dataoffsets[3], tiff.pages[0].databytecounts[3]
    whole = bytearray(path.read_bytes())
    whole[start : start + length] = b"\x5a" * length
    path.write_bytes(whole)
    return folder


@case(lambda found: np.array_equal(found["pictures"][0][0], PIXELS))
def image_of_jpeg_2000_that_is_whole(folder):
    write_image(image_of(folder), compression="jpeg2000", compressionargs={"reversible": True})
    return folder


@case(lambda found: found["pictures"][0][0].max() == 0 and as_if_whole(found))
def image_that_is_all_black(folder):
    write_image(image_of(folder), np.zeros_like(PIXELS))
    return folder


@case(lambda found: as_if_whole(found))
def image_of_floats_that_are_no_numbers(folder):
    write_image(image_of(folder), np.full((64, 64), np.nan, np.float32))
    return folder


def patched(path, tag, value):
    """Write another value into a tag of the first page."""
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[0].tags[tag]
        offset, kind = found.valueoffset, found.dtype
    code = "<H" if int(kind) == 3 else "<I"
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(struct.pack(code, value))


@case(r"holds no picture: 0 x 400 pixels|can't be read|is cut short")
def image_without_rows(folder):
    patched(image_of(folder), "ImageLength", 0)
    return folder


@case(r"(more than any slide|is cut short|can't be read)")
def image_of_a_huge_declared_size(folder):
    path = write_image(image_of(folder), tile=None, rowsperstrip=400)
    with tifffile.TiffFile(path) as tiff:
        long = int(tiff.pages[0].tags["ImageWidth"].dtype) != 3
    patched(path, "ImageWidth", 4_000_000_000 if long else 65_000)
    patched(path, "ImageLength", 4_000_000_000 if long else 65_000)
    return folder


@case(lambda found: [level.shape for level in found["pictures"][0]] == [(400, 400), (200, 200)])
def image_with_a_level_of_another_picture(folder):
    with tifffile.TiffWriter(image_of(folder)) as tiff:
        tiff.write(PIXELS, subifds=3, tile=(128, 128))
        tiff.write(PIXELS[::2, ::2], subfiletype=1, tile=(128, 128))
        tiff.write(np.ones((37, 380), np.uint16), subfiletype=1, tile=(128, 128))
        tiff.write(np.ones((900, 900), np.uint16), subfiletype=1, tile=(128, 128))
    return folder


def described(folder, pixels_attributes, inside="<TiffData/>"):
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" {pixels_attributes}>{inside}</Pixels></Image></OME>'
    )
    write_image(image_of(folder), metadata=None, ome=False, description=xml.encode())
    return folder


SIZES = 'SizeX="400" SizeY="400" SizeZ="1" SizeT="1" '


@case(r"can't be read as an OME-TIFF image \(it states 1,000,000,000 planes\)")
def image_that_states_a_thousand_million_channels(folder):
    return described(folder, SIZES + 'SizeC="1000000000"')


@case(r"can't be read as an OME-TIFF")
def image_that_states_no_channel(folder):
    return described(folder, SIZES + 'SizeC="0"')


@case(r"can't be read as an OME-TIFF image \(it does not say where any plane lies\)")
def image_that_places_no_plane(folder):
    return described(folder, SIZES + 'SizeC="1"', '<TiffData IFD="0" PlaneCount="0"/>')


@case(r"ends before its plane 8")
def image_with_fewer_planes_than_it_states(folder):
    return described(folder, SIZES + 'SizeC="1"', '<TiffData IFD="7" PlaneCount="1"/>')


@case(r"(?=.*incomplete: elsewhere\.ome\.tif is missing).*Copy all files")
def image_that_refers_to_a_file_outside_of_its_folder(folder):
    (folder.parent / "elsewhere.ome.tif").write_bytes(image_of(folder).read_bytes())
    uuid = '<TiffData><UUID FileName="../../elsewhere.ome.tif">urn:uuid:1</UUID></TiffData>'
    return described(folder, SIZES + 'SizeC="1"', uuid)


@case(r"can't be read as an OME-TIFF|states|ends before")
def image_whose_description_expands_without_end(folder):
    bomb = "".join(f'<!ENTITY b{k} "{f"&b{k - 1};" * 10}">' for k in range(1, 12))
    xml = f'<!DOCTYPE OME [<!ENTITY b0 "bombbombbomb">{bomb}]><OME><Image><Pixels>&b11;</Pixels></Image></OME>'
    write_image(image_of(folder), metadata=None, ome=False, description=xml.encode())
    return folder


@case(r"is a colour picture")
def image_in_colour(folder):
    write_image(image_of(folder), np.zeros((64, 64, 3), np.uint8), photometric="rgb", metadata=None, ome=False)
    return folder


@case(lambda found: len(found["pictures"]) == 1)
def image_that_is_its_own_next_page(folder):
    path = write_image(image_of(folder))
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.pages[0].offset
        after = offset + 2 + 12 * len(tiff.pages[0].tags)
    with path.open("r+b") as file:
        file.seek(after)
        file.write(struct.pack("<I", offset))
    return folder


# ---- cells, histology


@case(r"cell_boundaries\.parquet can't be read as a table of boundaries")
def boundaries_cut_off(folder):
    cut(folder / "cell_boundaries.parquet")
    return folder


@case(r"cell_boundaries\.parquet has no column vertex_x")
def boundaries_without_a_column(folder):
    pq.write_table(pa.table({"cell_id": ["a"], "vertex_y": [1.0]}), folder / "cell_boundaries.parquet")
    return folder


@case(lambda found: found["outlines"] == 0)
def boundaries_of_two_points(folder):
    two = pa.table({"cell_id": ["a", "a"], "vertex_x": [1.0, 2.0], "vertex_y": [1.0, 2.0]})
    pq.write_table(two, folder / "cell_boundaries.parquet")
    return folder


def with_histology(folder, alignment):
    tifffile.imwrite(folder / "he_image.ome.tif", np.full((100, 100, 3), 200, np.uint8), photometric="rgb")
    (folder / "he_imagealignment.csv").write_text(alignment)
    return folder


@case(lambda found: as_if_whole(found))
def histology_that_fits(folder):
    return with_histology(folder, "1,0,10\n0,1,10\n0,0,1\n")


@case(r"he_image\.ome\.tif can't be read")
def histology_cut_within_its_pixels(folder):
    cut(with_histology(folder, "1,0,10\n0,1,10\n0,0,1\n") / "he_image.ome.tif", 0.6)
    return folder


@case(r"he_imagealignment\.csv can't be read as an alignment")
def histology_aligned_by_a_matrix_of_zeros(folder):
    return with_histology(folder, "0,0,0\n0,0,0\n0,0,1\n")


@case(r"he_imagealignment\.csv.*lies outside of the slide")
def histology_of_another_slide(folder):
    return with_histology(folder, "1,0,900000\n0,1,900000\n0,0,1\n")


# ---- count cubes


@case(r"cube\.npz can't be read as a count cube", cli=True)
def cube_cut_off(folder):
    cut(write_cube(folder / "cube.npz"))
    return folder / "cube.npz"


@case(r"cube\.npz can't be read as a count cube")
def cube_of_a_huge_declared_size(folder):
    path = write_cube(folder / "cube.npz")
    with zipfile.ZipFile(path) as packed:
        rest = {name: packed.read(name) for name in packed.namelist()}
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 1000), }"
    header += b" " * (117 - len(header)) + b"\n"
    rest["counts.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with zipfile.ZipFile(path, "w") as packed:
        for name, content in rest.items():
            packed.writestr(name, content)
    return path


@case(r"cube\.npz can't be read as a count cube")
def cube_with_a_password(folder):
    path = write_cube(folder / "cube.npz")
    whole = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = whole.find(mark)
        while place >= 0:
            whole[place + at] |= 1
            place = whole.find(mark, place + 4)
    path.write_bytes(whole)
    return path


@case(r"hold values below 0 or not numbers")
def cube_with_numbers_below_0(folder):
    return write_cube(folder / "cube.npz", counts=np.full((2, 3, 4), -1.0))


@case(r"bin_um .* must be one number above 0")
def cube_with_bins_of_nothing(folder):
    return write_cube(folder / "cube.npz", bin_um=0.0)


@case(lambda found: found["maps"][0].shape == (1, 1))
def cube_of_a_single_bin(folder):
    return write_cube(folder / "cube.npz", counts=np.ones((2, 1, 1)))


# ---- tables of spots


@case(r"neither obs array_row and array_col nor obsm spatial", cli=True)
def spots_without_places(folder):
    table = spots()
    del table.obsm["spatial"]
    table.obs = table.obs[[]]
    return write_spots(folder, table)


@case(r"do not lie on a grid of square bins", cli=True)
def spots_anywhere(folder):
    table = spots()
    table.obs = table.obs[[]]
    table.obsm["spatial"] = np.random.default_rng(0).uniform(0, 900, (len(table), 2))
    return write_spots(folder, table)


@case(r"are not all numbers")
def spots_with_places_of_one_axis(folder):
    table = spots()
    table.obsm["spatial"] = table.obsm["spatial"][:, :1]
    return write_spots(folder, table)


@case(r"spots\.h5ad can't be read as a table of anndata", cli=True)
def spots_cut_off(folder):
    cut(write_spots(folder, spots()))
    return folder / "spots.h5ad"


@case(r"can't be read as a table of anndata")
def spots_whose_counts_point_beside_the_table(folder):
    path = write_spots(folder, spots())
    with h5py.File(path, "r+") as file:
        file["X/indices"][...] = 1_000_000_000
    return path


@case(r"can't be read as a table of anndata .*was never written")
def spots_of_a_huge_declared_size(folder):
    table = spots()
    table.X = table.X.toarray()
    path = write_spots(folder, table)
    with h5py.File(path, "r+") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        made = file.create_dataset("X", (120, 1 << 28), np.float32, chunks=(1, 1 << 20))
        made.attrs.update(attributes)
    return path


def never_written(path, place, shape, kind):
    """What a table says of a place in it becomes that it is this large; nothing is stored there."""
    with h5py.File(path, "r+") as file:
        attributes = dict(file[place].attrs)
        del file[place]
        made = file.create_dataset(place, shape, kind, chunks=(1 << 20,) + (1,) * (len(shape) - 1))
        made.attrs.update(attributes)
    return path


@case(r"spots\.h5ad can't be read .*X/data of 34,359,738,368 was never written")
def spots_with_counts_of_a_huge_declared_number(folder):
    return never_written(write_spots(folder, spots()), "X/data", (1 << 35,), np.float32)


@case(r"spots\.h5ad can't be read .*obs/array_row of 34,359,738,368 was never written", cli=True)
def spots_with_rows_of_a_huge_declared_number(folder):
    return never_written(write_spots(folder, spots()), "obs/array_row", (1 << 35,), np.int64)


@case(r"spots\.h5ad can't be read .*obsm/spatial of 34,359,738,368 x 2 was never written")
def spots_with_places_of_a_huge_declared_number(folder):
    return never_written(write_spots(folder, spots()), "obsm/spatial", (1 << 35, 2), np.float64)


@case(r"go up to .*no array has so many rows")
def spots_in_rows_beyond_all_numbers(folder):
    table = spots()
    table.obs["array_row"] = table.obs["array_row"] * 1e17
    return write_spots(folder, table)


@case(r"more than 200 million")
def spots_a_world_apart(folder):
    table = spots()
    del table.obsm["spatial"]
    table.obs["array_row"] = table.obs["array_row"] * 10_000_000
    return write_spots(folder, table)


@case(r"has a single spot")
def spots_of_one(folder):
    return write_spots(folder, spots()[:1].copy())


@case(r"holds .* for 0 spots")
def spots_of_none(folder):
    return write_spots(folder, spots()[:0].copy())


@case(
    lambda found: (
        found["sums"]["A"] == spots().X[:, 0].sum() and len(found["slide"].bins) == math.prod(found["slide"].shape)
    )
)
def spots_with_coordinates_below_0(folder):
    table = spots()
    table.obsm["spatial"] = table.obsm["spatial"] - 100_000
    return write_spots(folder, table)


# ---- regions, models


@case(lambda found: found["regions"] == 1 and found["map"].tissue.sum() == 25)
def region_that_is_right(folder):
    return write_geojson(folder, [[0, 0], [50, 0], [50, 50], [0, 50], [0, 0]])


@case(r"regions\.geojson: Region 'R0' is no proper outline \(Self-intersection")
def region_that_crosses_itself(folder):
    return write_geojson(folder, [[0, 0], [50, 50], [50, 0], [0, 50], [0, 0]])


@case(r"No tissue lies inside 'R0'.*Coordinates must be in um, not in pixels")
def region_in_pixels(folder):
    return write_geojson(folder, [[800, 800], [1200, 800], [1200, 1200], [800, 1200], [800, 800]])


@case(r"No tissue lies inside 'R0'")
def region_in_degrees(folder):
    return write_geojson(folder, [[-71.06, 42.35], [-71.05, 42.35], [-71.05, 42.36], [-71.06, 42.36], [-71.06, 42.35]])


@case(r"regions\.geojson holds no regions")
def region_file_of_none(folder):
    return write_geojson(folder)


@case(r"regions\.geojson: .*(empty|broken coordinates)")
def region_without_a_point(folder):
    return write_geojson(folder, [])


@case(r"regions\.geojson: 'R0' is a LineString, not a polygon")
def region_that_is_a_line(folder):
    return write_geojson(folder, [0, 0], kind="LineString")


@case(r"regions\.geojson: .*not valid JSON")
def region_file_cut_off(folder):
    cut(write_geojson(folder, [[0, 0], [50, 0], [50, 50], [0, 0]]))
    return folder / "regions.geojson"


@case(r"regions\.geojson: .*not valid JSON")
def region_file_nested_beyond_reason(folder):
    (folder / "regions.geojson").write_text("[" * 200_000)
    return folder / "regions.geojson"


@case(r"regions\.geojson can't be read")
def region_file_that_is_a_folder(folder):
    (folder / "regions.geojson").mkdir()
    return folder / "regions.geojson"


@case(r"selection\.csv: .*line 2 holds no x and y in um")
def selection_with_text_for_numbers(folder):
    (folder / "selection.csv").write_text("X,Y\none,two\n")
    return folder / "selection.csv"


@case(r"model\.safetensors can't be read as a model file")
def model_cut_off(folder):
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    return folder / "model.safetensors"


@case(r"weights are not those of its settings.*Choose a whole file")
def model_of_a_huge_declared_network(folder):
    return model_with(folder, channels=1 << 20, growth=1 << 20)


@case(r"damaged record .*less than or equal to 128|damaged record .*window")
def model_of_a_huge_declared_window(folder):
    return model_with(folder, window=1 << 20)


@case(lambda found: found["model"].stride == 2)
def model_that_is_whole(folder):
    return model_with(folder)


def model_with(folder, **changes):
    """The shipped one, with other settings of its network in its record."""
    whole = shipped_model(2).read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + length])
    run = json.loads(header["__metadata__"]["run"])
    run["config"]["network"] |= changes
    header["__metadata__"]["run"] = json.dumps(run)
    told = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(told)) + told + whole[8 + length :])
    return folder / "model.safetensors"


# ---- the table


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore:unclosed file.*/mem:ResourceWarning")
@pytest.mark.parametrize(("spoil", "expected", "cli"), CASES)
def test_a_spoilt_input_gives_the_right_answer_or_one_clear_sentence(tmp_path, spoil, expected, cli):
    if os.name == "nt" and ("link" in spoil.__name__ or "pipe" in spoil.__name__):
        pytest.skip("links and pipes need other rights on Windows")
    path = spoil(write_bundle(tmp_path / "bundle"))
    before = everything_in(tmp_path)
    with in_time():
        if callable(expected):
            found = answer(path)
            assert expected(found), {name: found[name] for name in found if name not in ("pictures", "maps")}
        else:
            with pytest.raises(S2SSTError, match=expected) as refused:
                answer(path)
            said = str(refused.value)
            assert "\n" not in said
            assert said.endswith((".", "...", "CSV file."))
            assert len(said) < 900
            assert said.count(". ") >= 1, "what is wrong, and what to do"
    assert everything_in(tmp_path) == before, "nothing is written where one only looks"


def test_the_table_is_as_long_as_was_asked_for():
    assert len(CASES) >= 60
    assert len({parameters.id for parameters in CASES}) == len(CASES)


THROUGH_THE_COMMAND_LINE = [pytest.param(*each.values[:2], id=each.id) for each in CASES if each.values[2]]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("spoil", "expected"), THROUGH_THE_COMMAND_LINE)
def test_the_command_line_answers_with_status_2_and_one_line(tmp_path, spoil, expected):
    path = spoil(write_bundle(tmp_path / "bundle"))
    work = tmp_path / "work"
    work.mkdir()
    before = everything_in(tmp_path)
    option = {".npz": ["--map"], ".h5ad": ["--hest"]}.get(Path(path).suffix, [])
    command = ["impute", *option, path, "--gene", "LTF", "--preset", "instant", "--out", tmp_path / "out"]
    if spoil is image_cut_within_its_header:
        command = ["info", path]  # a map needs no image
    with in_time():
        done = s2sst(*command, cwd=work)
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("s2sst: ")
    with pytest.raises(BundleError, match=expected):
        raise BundleError(done.stderr.removeprefix("s2sst: "))
    assert everything_in(tmp_path) == before


def test_a_dozen_cases_go_through_the_command_line():
    assert len(THROUGH_THE_COMMAND_LINE) >= 12


def test_genes_named_like_paths_are_written_inside_the_output_folder_only(tmp_path):
    names = ["../../evil", "a/b\\c", "..", "CON", 'ß "µ" <x>|?*', "=cmd()", "n" * 300, " "]
    y, x = np.mgrid[:40, :36]
    counts = np.random.default_rng(0).poisson(4 + 3 * np.sin(y / 6) * np.cos(x / 5), (len(names), 40, 36))
    path = write_cube(tmp_path / "cube.npz", counts=counts.astype(np.float32), genes=np.array(names))
    out = tmp_path / "deep" / "below" / "out"
    out.parent.mkdir(parents=True)
    command = ["impute", "--map", path, "--all-genes", "--preset", "instant", "--out", out]
    done = s2sst(*command, cwd=out.parent)
    assert done.returncode == 0, done.stderr
    everything = {Path(name) for name in everything_in(tmp_path)} - {tmp_path / "deep", out.parent, out, path}
    assert all(each.parent == out for each in everything), everything
    assert sum(each.name.endswith(".ome.tif") for each in everything) == len(names)
    assert sorted(anndata.read_h5ad(out / "imputed.h5ad").var_names) == sorted(names)


def test_regions_jobs_and_genes_named_like_paths_are_written_inside_the_output_folder_only(tmp_path):
    names = ["../../evil", "NUL"]
    y, x = np.mgrid[:40, :36]
    counts = np.random.default_rng(0).poisson(4 + 3 * np.sin(y / 6) * np.cos(x / 5), (len(names), 40, 36))
    write_cube(tmp_path / "cube.npz", counts=counts.astype(np.float32), genes=np.array(names))
    regions = [
        Region(name, box(0, 0, 300, 300)) for name in ("../../region", str(tmp_path / "region"), "nul\0l", "CON")
    ]
    write_regions(tmp_path / "drawn.geojson", regions)
    out = tmp_path / "deep" / "below" / "out"
    out.parent.mkdir(parents=True)
    jobs = tmp_path / "jobs.toml"
    jobs.write_text(
        "[defaults]\nslide = 'cube.npz'\nall_genes = true\npreset = 'instant'\nregions = 'drawn.geojson'\n"
        f"[[job]]\nname = '../../job'\ngenes_per_task = 1\nout = {json.dumps(str(out))}\n"
        f"[[job]]\nname = {json.dumps(str(tmp_path / 'job'))}\nout = {json.dumps(str(out / 'all'))}\n"
    )
    before = everything_in(tmp_path)
    done = s2sst("batch", jobs, cwd=out.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    new = {Path(name) for name in set(everything_in(tmp_path)) - set(before)} - {out}
    assert sum(each.name.endswith(".ome.tif") for each in new) == 2 * len(names)
    assert all(out in each.parents for each in new), new


def test_a_tissue_of_a_huge_declared_size_is_one_clear_error(tmp_path):
    cube, tissue = write_cube(tmp_path / "cube.npz"), tmp_path / "tissue.npy"
    header = b"{'descr': '|b1', 'fortran_order': False, 'shape': (1000000, 1000000), }"
    header += b" " * (117 - len(header)) + b"\n"
    tissue.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(1000))
    command = [
        "impute",
        "--map",
        cube,
        "--gene",
        "A",
        "--preset",
        "instant",
        "--tissue",
        tissue,
        "--out",
        tmp_path / "out",
    ]
    assert_one_clear_line(s2sst(*command), "tissue.npy can't be read")
