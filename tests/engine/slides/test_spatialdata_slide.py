"""A SpatialData store is a slide as the Xenium folder is that it was made of, whatever its points and images lie in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_s2sst.engine.errors import BundleError, ExportError
from napari_s2sst.engine.slides.opening import is_slide_folder, open_slide
from napari_s2sst.engine.slides.spatialdata_store import is_spatialdata
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.engine.transcripts.positions import read_positions

sd = pytest.importorskip("spatialdata", reason='spatialdata is not installed: pip install "napari-s2sst[spatialdata]"')

from napari_s2sst import GeneMap, interpolate, sample  # noqa: E402
from napari_s2sst.engine.export.spatialdata_tables import check_store, write_into  # noqa: E402
from napari_s2sst.engine.slides.questions import question_to  # noqa: E402
from napari_s2sst.engine.slides.spatialdata_slide import UnitError, open_spatialdata  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
Affine, Identity, Scale = sd.transformations.Affine, sd.transformations.Identity, sd.transformations.Scale
XYZ = ("x", "y", "z")
PIXEL_UM = 0.6375
"""Of the sample slide."""


def table_of(folder):
    """The slide's transcripts as spatialdata-io's reader names the columns."""
    import pyarrow.parquet as pq

    names = {"x_location": "x", "y_location": "y", "z_location": "z"}
    flat = pq.read_table(folder / "transcripts.parquet").to_pandas().rename(columns=names)
    flat["feature_name"] = flat["feature_name"].astype(str).astype("category")
    return flat


def points_of(flat, to, key="feature_name"):
    return sd.models.PointsModel.parse(
        flat, coordinates={axis: axis for axis in XYZ if axis in flat}, feature_key=key, transformations=to
    )


def image_of(pixels, to, names=None):
    """(stains, rows, columns) with a coarser level."""
    return sd.models.Image2DModel.parse(pixels, dims="cyx", c_coords=names, transformations=to, scale_factors=[2])


def saved(path, reader="xenium", **elements):
    sd.SpatialData(**elements, attrs={"spatialdata_io_reader": reader} if reader else None).write(path)
    return path


@pytest.fixture(scope="module")
def ours(sample_slide):
    return open_xenium(sample_slide)


@pytest.fixture(scope="module")
def flat(sample_slide):
    return table_of(sample_slide)


@pytest.fixture(scope="module")
def pixels(ours):
    return np.stack([np.asarray(stain.levels[0]) for stain in ours.images])


@pytest.fixture(scope="module")
def store(ours, flat, pixels, tmp_path_factory):
    """As spatialdata-io writes a Xenium slide: points in um, the image and the coordinate system in its pixels."""
    to_px = {"global": Scale([1 / PIXEL_UM, 1 / PIXEL_UM], axes=("x", "y"))}
    image = image_of(pixels, {"global": Identity()}, [stain.name for stain in ours.images])
    place = tmp_path_factory.mktemp("store") / "breast slide.zarr"
    return saved(place, points={"transcripts": points_of(flat, to_px)}, images={"morphology_focus": image})


@pytest.fixture
def copied(store, tmp_path):
    return shutil.copytree(store, tmp_path / "slide.zarr")


def assert_same_maps(slide, ours, genes=("ERBB2", "LTF"), bin_um=20.0):
    wanted = [gene for gene in genes if gene in ours.genes] or list(ours.genes)[:2]
    for one, other in zip(slide.gene_maps(wanted, bin_um), ours.gene_maps(wanted, bin_um), strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.totals, other.totals)
        np.testing.assert_array_equal(one.tissue, other.tissue)
        assert one.origin_um == other.origin_um


def test_a_store_has_the_genes_maps_extent_and_stains_of_the_folder_it_was_made_of(store, ours):
    slide = open_slide(store)
    assert slide.genes == ours.genes
    assert slide.num_transcripts == ours.num_transcripts
    assert slide.extent_um == ours.extent_um
    assert slide.pixel_size_um == ours.pixel_size_um == PIXEL_UM
    assert_same_maps(slide, ours)
    assert [stain.name for stain in slide.images] == [stain.name for stain in ours.images]
    for one, other in zip(slide.images, ours.images, strict=True):
        assert one.shape_px == other.shape_px
        np.testing.assert_array_equal(
            np.asarray(one.levels[0][300:500, 200:400]), np.asarray(other.levels[0][300:500, 200:400])
        )
    assert slide.name == "breast slide"
    assert slide.um_said_by == "as spatialdata-io's reader of xenium writes them"


def test_transcripts_can_be_seen_one_by_one(store, ours):
    gene = list(ours.genes)[-1]
    one, other = (read_positions(slide.transcripts, [gene]) for slide in (open_slide(store), ours))
    np.testing.assert_array_equal(one.yx_um, other.yx_um)


@pytest.mark.parametrize("folder", ["xenium_v3_mouse_tiny", "xenium_v3_tables_only", "xenium_v1_breast_crop"])
def test_real_slides_that_went_through_a_store_are_what_they_were(shared_data, tmp_path, folder):
    real = open_xenium(shared_data(folder))
    to_px = {"global": Scale([1 / 0.2125, 1 / 0.2125], axes=("x", "y"))}
    images = {}
    if real.images:
        images["morphology_mip"] = image_of(
            np.asarray(real.images[0].levels[0])[None], {"global": Identity()}, ["DAPI"]
        )
    place = saved(
        tmp_path / "real.zarr", points={"transcripts": points_of(table_of(shared_data(folder)), to_px)}, images=images
    )
    slide = open_slide(place)
    # Without is_gene the store has no panel file to ask; 1.x tells controls by their names alone.
    assert {gene: slide.genes.get(gene) for gene in real.genes} == real.genes
    assert slide.extent_um == real.extent_um
    assert [stain.shape_px for stain in slide.images] == [stain.shape_px for stain in real.images[:1]]
    for gene in list(real.genes)[:3]:
        np.testing.assert_array_equal(slide.gene_map(gene, 10.0).values, real.gene_map(gene, 10.0).values)


def test_controls_are_counted_but_are_no_genes(flat, tmp_path):
    some = flat.drop(columns=[name for name in ("is_gene", "codeword_category") if name in flat]).head(1000).copy()
    some["feature_name"] = np.where(np.arange(1000) % 10, some["feature_name"].astype(str), "NegControlProbe_00042")
    slide = open_slide(saved(tmp_path / "s.zarr", points={"t": points_of(some, {"global": Identity()})}))
    assert "NegControlProbe_00042" not in slide.genes
    assert slide.gene_map("NegControlProbe_00042").values.sum() == (some.qv[::10] >= 20).sum()


# ---- um


def test_points_in_pixels_are_laid_out_in_um_by_a_coordinate_system_of_that_name(flat, ours, tmp_path):
    in_px = flat.assign(x=flat.x.astype(float) / PIXEL_UM, y=flat.y.astype(float) / PIXEL_UM)
    to = {"global": Identity(), "microns": Scale([PIXEL_UM, PIXEL_UM], axes=("x", "y"))}
    slide = open_slide(saved(tmp_path / "s.zarr", None, points={"t": points_of(in_px, to)}))
    assert slide.um_said_by == "by the coordinate system microns"
    assert slide.extent_um == pytest.approx(ours.extent_um, abs=1e-3)
    gene = next(iter(ours.genes))
    ours_map, theirs = ours.gene_map(gene), slide.gene_map(gene)
    assert theirs.values.sum() == ours_map.values.sum()
    # a few points on an edge change sides, by the rounding of float32
    assert np.abs(theirs.values - ours_map.values).sum() < 0.005 * ours_map.values.sum()


def test_a_unit_of_length_in_the_store_is_believed(flat, ours, tmp_path):
    place = saved(
        tmp_path / "s.zarr",
        None,
        points={"t": points_of(flat.drop(columns=["qv"]), {"stage": Scale([1e-3] * 2, ("x", "y"))})},
    )
    with pytest.raises(UnitError):
        open_slide(place)
    said = place / "points" / "t" / "zarr.json"
    said.write_text(
        said.read_text()
        .replace('"unit": "unit"', '"unit": "millimeter"')
        .replace('"unit":"unit"', '"unit":"millimeter"')
    )
    slide = open_slide(place)
    assert slide.um_said_by == "by the units of the coordinate system stage"
    assert slide.extent_um == pytest.approx(ours.extent_um, rel=1e-6)


def test_where_nobody_says_what_a_um_is_it_is_asked_for_and_taken(flat, ours, tmp_path):
    in_px = flat.drop(columns=["qv"]).assign(x=flat.x.astype(float) / PIXEL_UM, y=flat.y.astype(float) / PIXEL_UM)
    place = saved(tmp_path / "s.zarr", None, points={"t": points_of(in_px, {"global": Identity()})})
    with pytest.raises(UnitError, match=r"how many um 1 in x and y of the points t is.*--size-um"):
        open_slide(place)
    question = question_to(place)
    assert (question.kind, question.path) == ("unit", place)
    for slide in (open_spatialdata(place, unit_um=PIXEL_UM), open_slide(place, PIXEL_UM)):
        assert slide.extent_um == pytest.approx(ours.extent_um, abs=1e-3)
    with pytest.raises(BundleError, match="above 0"):
        open_spatialdata(place, unit_um=-1.0)


def test_two_coordinate_systems_of_um_that_disagree_are_refused(flat, tmp_path):
    to = {"aligned_um": Identity(), "microns": Scale([2.0, 2.0], axes=("x", "y"))}
    with pytest.raises(BundleError, match="aligned_um, microns"):
        open_slide(saved(tmp_path / "s.zarr", points={"t": points_of(flat, to)}))


TURNED = {
    "quarter turn": [[0, 1, 50], [-1, 0, 900], [0, 0, 1]],
    "mirrored": [[-1, 0, 3000], [0, 1, 20], [0, 0, 1]],
    "tilted and scaled": [[0.6, -0.8, 40], [0.8, 0.6, -70], [0, 0, 1]],
}


@pytest.mark.parametrize("turned", TURNED.values(), ids=TURNED)
def test_a_transcript_lies_on_the_pixel_of_the_image_that_the_transformations_say(flat, pixels, tmp_path, turned):
    """Whatever the image's place, positions are um along its axes from its corner: um / pixel = the pixel."""
    matrix = np.array(turned, float) @ np.diag([1.5, 1.5, 1])
    image = image_of(pixels[:1, :400, :700], {"global": Affine(matrix, ("x", "y"), ("x", "y"))})
    to = np.diag([2.0, 2.0, 1.0])
    points = points_of(flat.drop(columns=["z"], errors="ignore"), {"global": Scale([2.0, 2.0], axes=("x", "y"))})
    slide = open_slide(saved(tmp_path / "s.zarr", points={"t": points}, images={"dapi": image}))
    assert slide.pixel_size_um == pytest.approx(1.5 / 2.0)
    gene = list(slide.genes)[-1]
    rows = flat[(flat.feature_name == gene) & (flat.qv >= 20)]
    in_image = np.linalg.inv(matrix) @ to @ np.stack([rows.x, rows.y, np.ones(len(rows))]).astype(float)
    found = read_positions(slide.transcripts, [gene]).yx_um / slide.pixel_size_um
    np.testing.assert_allclose(found[:, ::-1], in_image[:2].T, rtol=1e-4, atol=1e-2)
    y, x = read_positions(slide.transcripts, [gene]).yx_um.T
    there = slide.to_systems["global"] @ np.stack([x, y, np.ones(len(x))])
    np.testing.assert_allclose(there[:2], np.stack([rows.x, rows.y]) * 2, rtol=1e-4, atol=1e-2)


def test_an_image_of_oblong_pixels_is_left_out_and_refused_when_it_is_asked_for(flat, pixels, tmp_path):
    image = image_of(pixels[:1, :100, :100], {"global": Scale([1.0, 2.0], axes=("x", "y"))})
    place = saved(tmp_path / "s.zarr", points={"t": points_of(flat, {"global": Identity()})}, images={"dapi": image})
    assert open_slide(place).images == ()
    with pytest.raises(BundleError, match=r"image dapi .* pixels are not square"):
        open_slide(place / "images" / "dapi")


def test_points_that_lie_far_beyond_the_image_are_refused_with_both_sizes(flat, pixels, tmp_path):
    to_px = {"global": Scale([1 / 0.2125, 1 / 0.2125], axes=("x", "y"))}
    images = {"dapi": image_of(pixels[:1], {"global": Identity()})}
    place = saved(tmp_path / "s.zarr", points={"t": points_of(flat, to_px)}, images=images)
    with pytest.raises(BundleError, match=r"reach y 1,473 .* the image dapi ends at 500 and 667 um"):
        _ = open_slide(place).extent_um


# ---- which elements


def test_of_several_images_the_morphology_image_is_shown_and_another_by_its_folder(flat, pixels, tmp_path):
    here = {"global": Identity()}
    images = {
        "a_he_image": sd.models.Image2DModel.parse(np.zeros((3, 60, 80), np.uint8), dims="cyx", transformations=here),
        "morphology_focus": image_of(pixels[:2, :200, :300], here, ["DAPI", "18S"]),
        "other": image_of(pixels[:1, :100, :90], here),
    }
    place = saved(tmp_path / "s.zarr", points={"t": points_of(flat, here)}, images=images)
    assert [stain.name for stain in open_slide(place).images] == ["DAPI", "18S"]
    chosen = open_slide(place / "images" / "other")
    assert ([stain.shape_px for stain in chosen.images], chosen.path.name) == ([(100, 90)], "other")


def test_several_points_are_listed_and_each_is_opened_by_its_folder(flat, tmp_path):
    here = {"global": Identity()}
    first, second = points_of(flat.head(500), here), points_of(flat.tail(700), here)
    bare = points_of(flat[["x", "y"]].head(5), here, key=None)
    place = saved(tmp_path / "s.zarr", points={"left": first, "right": second, "landmarks": bare})
    with pytest.raises(BundleError, match=r"2 points elements with genes: left, right.*points/left"):
        open_slide(place)
    assert [open_slide(place / "points" / name).num_transcripts for name in ("left", "right")] == [500, 700]
    with pytest.raises(BundleError, match="landmarks has the columns x, y"):
        open_slide(place / "points" / "landmarks")
    with pytest.raises(BundleError, match="no points element 'middle'; it has landmarks, left, right"):
        open_spatialdata(place, element="middle")


@pytest.mark.parametrize("column", ["gene", "target", "whatever"])
def test_names_of_other_instruments_are_found(flat, tmp_path, column):
    named = flat.rename(columns={"feature_name": column})
    place = saved(tmp_path / "s.zarr", "merscope", points={"t": points_of(named, {"global": Identity()}, key=column)})
    assert open_slide(place).num_transcripts == len(flat)


def test_a_store_without_points_says_what_it_has(pixels, tmp_path):
    place = saved(tmp_path / "s.zarr", images={"dapi": image_of(pixels[:1, :50, :50], {"global": Identity()})})
    with pytest.raises(BundleError, match=r"has no points, and transcripts are needed; it has images: dapi"):
        open_slide(place)


def test_a_table_that_breaks_off_is_one_clear_error(copied):
    (part,) = (copied / "points" / "transcripts" / "points.parquet").glob("*.parquet")
    part.write_bytes(part.read_bytes()[:-500])
    with pytest.raises(BundleError, match=r"transcripts of .* can't be read"):
        open_slide(copied)


def test_another_element_that_is_broken_does_no_harm(copied, ours):
    (copied / "images" / "morphology_focus" / "zarr.json").write_text("{")
    slide = open_slide(copied)
    assert (slide.images, slide.genes) == ((), ours.genes)


def test_a_store_whose_own_file_is_damaged_is_no_store(copied):
    (copied / "zarr.json").write_text("{")
    assert not is_spatialdata(copied)
    with pytest.raises(BundleError):
        open_slide(copied)


def test_other_folders_are_no_stores(store, sample_slide, tmp_path):
    import zarr

    (tmp_path / "points").mkdir()
    zarr.open_group(tmp_path / "picture.zarr", mode="w").attrs["multiscales"] = []
    parts = [store / "points", store / "images" / "morphology_focus" / "s0"]
    others = (sample_slide, tmp_path, tmp_path / "picture.zarr", tmp_path / "no", *parts)
    assert [each.name for each in others if is_spatialdata(each)] == []
    assert all(
        map(
            is_slide_folder,
            (store, sample_slide, store / "points" / "transcripts", store / "images" / "morphology_focus"),
        )
    )


def test_without_the_package_a_sentence_says_how_to_install_it(store):
    code = (
        "import sys; sys.modules['spatialdata'] = None\nfrom napari_s2sst.cli.app import main\n"
        f"sys.exit(main(['info', {str(store)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "s2sst: A SpatialData store needs the package spatialdata, which is not installed here."
    )
    assert 'pip install "napari-s2sst[spatialdata]"' in done.stderr


# ---- results


def everything_in(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def result_of(slide, genes=1, bin_um=25.0):
    truth = slide.gene_maps(list(slide.genes)[:genes], bin_um)
    sparse = [sample(each, stride=2) for each in truth]
    return {
        "sparse": sparse,
        "imputed": [interpolate(each, method="bilinear") for each in sparse],
        "truth": truth,
        "run": {"seed": 3},
    }


def test_a_result_becomes_a_table_on_a_grid_of_bins_in_every_coordinate_system(copied):
    slide = check_store(copied)
    result = result_of(slide)
    labels, name = write_into(slide, **result)
    gene = result["imputed"][0].gene
    assert (labels, name) == (f"s2sst_{gene}_bins", f"s2sst_{gene}")
    held = sd.read_zarr(copied)
    table, grid = held.tables[name], held.labels[labels]
    assert sd.get_element_annotators(held, labels) == {name}
    np.testing.assert_array_equal(np.unique(grid.data.compute())[1:], table.obs["bin"])
    centres = sd.get_centroids(grid, coordinate_system="global").compute().loc[table.obs["bin"], ["x", "y"]]
    np.testing.assert_allclose(centres * PIXEL_UM, table.obsm["spatial"], rtol=1e-6)
    values = np.asarray(table[:, gene].X).ravel()
    np.testing.assert_array_equal(values, result["imputed"][0].values[table.obs["row"], table.obs["column"]])
    assert json.loads(table.uns["s2sst"]["json"]) == {"seed": 3}
    assert sd.match_table_to_element(held, labels, name).n_obs == len(table)


def test_a_transcript_lies_in_the_bin_that_counted_it(copied, ours):
    slide = check_store(copied)
    result = result_of(slide)
    labels, name = write_into(slide, **result)
    held, gene = sd.read_zarr(copied), result["imputed"][0].gene
    to_bins = np.linalg.inv(
        sd.transformations.get_transformation(held.labels[labels]).to_affine_matrix(("x", "y"), ("x", "y"))
    )
    points = held.points["transcripts"].compute()
    points = points[(points.feature_name == gene) & (points.qv >= 20)]
    to_px = np.array([points.x / PIXEL_UM, points.y / PIXEL_UM, np.ones(len(points))])
    column, row, _ = np.floor(to_bins @ to_px + 1e-9).astype(int)
    numbers, counts = np.unique(held.labels[labels].data.compute()[row, column], return_counts=True)
    table = held.tables[name]
    counted = dict(zip(table.obs["bin"], np.asarray(table.layers["counts"].todense()).ravel(), strict=True))
    off = sum(abs(counted[number] - count) for number, count in zip(numbers, counts, strict=True) if number)
    assert off < 0.005 * sum(counted.values()) > 50  # a few points on an edge change sides, by rounding


def test_nothing_in_the_store_is_replaced_and_a_second_run_has_a_name_of_its_own(copied):
    before = everything_in(copied)
    slide = check_store(copied)
    gene = next(iter(slide.genes))
    assert write_into(slide, **result_of(slide))[1] == f"s2sst_{gene}"
    assert write_into(slide, **result_of(slide))[1] == f"s2sst_{gene}_2"
    assert write_into(slide, **result_of(slide, genes=3))[1] == "s2sst_3_genes"
    after = everything_in(copied)
    assert {path for path, content in before.items() if after[path] != content} == {"zarr.json"}
    again = open_slide(copied)
    assert again.genes == slide.genes
    assert len(sd.read_zarr(copied).tables) == 3


def test_what_cannot_be_written_whole_leaves_the_store_as_it_was(copied):
    (copied / "tables").write_text("in the way")
    before = everything_in(copied)
    slide = check_store(copied)
    with pytest.raises(ExportError, match="The store is as it was"):
        write_into(slide, **result_of(slide))
    assert everything_in(copied) == before


def test_gene_names_that_no_element_may_have_are_written_under_another(copied):
    slide = check_store(copied)
    result = result_of(slide)
    for kind in ("sparse", "imputed", "truth"):
        object.__setattr__(result[kind][0], "gene", "HLA-A/B (2)")
    _, name = write_into(slide, **result)
    assert name == "s2sst_HLA-A_B_2"
    assert list(sd.read_zarr(copied).tables[name].var_names) == ["HLA-A/B (2)"]


def test_maps_of_another_slide_are_refused(copied):
    slide = check_store(copied)
    far = GeneMap(np.ones((20, 20)), gene="A", bin_um=20.0, origin_um=(90_000.0, 0.0))
    sparse = sample(far, stride=2)
    with pytest.raises(ExportError, match="Choose the store of the same slide"):
        write_into(slide, sparse=[sparse], imputed=[interpolate(sparse, method="nearest")], run={})


def test_a_store_of_zarr_2_is_read_but_not_written(ours, flat, tmp_path):
    from spatialdata._io.format import SpatialDataContainerFormatV01

    held = sd.SpatialData(points={"t": points_of(flat, {"global": Identity()})})
    held.write(tmp_path / "old.zarr", sdata_formats=SpatialDataContainerFormatV01())
    assert open_slide(tmp_path / "old.zarr").genes == ours.genes
    with pytest.raises(ExportError, match="zarr 2"):
        check_store(tmp_path / "old.zarr")


# ---- the command line


def s2sst(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "napari_s2sst", *map(str, arguments)],
        capture_output=True, text=True, timeout=240, env=os.environ,
    )  # fmt: skip


def test_info_says_what_a_store_holds(store, ours):
    done = s2sst("info", store)
    assert done.returncode == 0, done.stderr
    for said in (
        "breast slide",
        "SpatialData",
        f"{ours.num_transcripts:,}",
        next(iter(ours.genes)),
        "DAPI",
        "reader of xenium",
    ):
        assert said in done.stdout
    assert json.loads(s2sst("info", store, "--json").stdout)["genes"] == ours.genes


def test_impute_reads_a_store_and_writes_into_it(copied, tmp_path):
    gene = next(iter(open_slide(copied).genes))
    command = ("impute", copied, "--gene", gene, "--preset", "instant", "--bin-um", 40, "--out", tmp_path / "out")
    done = s2sst(*command, "--into", copied)
    assert done.returncode == 0, done.stderr
    assert f"the table s2sst_{gene}, on the bins s2sst_{gene}_bins" in done.stdout
    (table,) = sd.read_zarr(copied).tables.values()
    assert (
        json.loads((tmp_path / "out" / "run.json").read_text())["input"]["sparse_sha256"] in table.uns["s2sst"]["json"]
    )
    refused = s2sst(*command[:-1], tmp_path / "other", "--into", tmp_path / "no.zarr")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "other").exists()


def test_a_folder_of_a_slide_can_be_written_into_the_store_that_was_made_of_it(copied, sample_slide, tmp_path):
    command = (
        "impute",
        sample_slide,
        "--gene",
        "ERBB2",
        "--preset",
        "instant",
        "--bin-um",
        40,
        "--out",
        tmp_path / "out",
    )
    done = s2sst(*command, "--into", copied)
    assert done.returncode == 0, done.stderr
    assert list(sd.read_zarr(copied).tables) == ["s2sst_ERBB2"]
    assert Path(copied / "labels" / "s2sst_ERBB2_bins").is_dir()
