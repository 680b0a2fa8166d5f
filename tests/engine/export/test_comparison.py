"""The comparison shows every map on the same colours, marks the same square in each, and is drawn for print."""

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from napari_s2sst import GeneMap, interpolate, open_xenium, sample
from napari_s2sst.engine.errors import ExportError, S2SSTError
from napari_s2sst.engine.export.comparison import draw_comparison, interesting_square, tissue_box, write_comparison
from napari_s2sst.engine.export.figure import write_figure
from napari_s2sst.engine.export.figure_page import round_length


@pytest.fixture(scope="module")
def maps(sample_slide):
    """(sparse, imputed, truth) of the sample slide, which is upright enough for columns."""
    return maps_of(open_xenium(sample_slide).gene_map("ERBB2", bin_um=25.0))


@pytest.fixture(scope="module")
def wide_maps():
    """The same of a map that is four times as wide as tall."""
    y, x = np.mgrid[:30, :120]
    counts = np.random.default_rng(0).poisson(3 + 2 * np.sin(x / 9) * np.cos(y / 7))
    return maps_of(GeneMap(counts, gene="WIDE", bin_um=10.0, origin_um=(-50.0, 300.0)))


def maps_of(truth: GeneMap):
    sparse = sample(truth)
    estimate = interpolate(sparse, method="kriging")
    return sparse, replace(estimate, uncertainty=estimate.values / 3), truth


def pictures(figure):
    return [axes.images[0] for axes in figure.axes if axes.images]


@pytest.mark.parametrize("shape", ["maps", "wide_maps"])
def test_all_maps_share_their_colours_and_all_errors_theirs(request, shape):
    figure = draw_comparison(*request.getfixturevalue(shape))
    found = pictures(figure)
    values = [each for each in found if each.get_cmap().name == "viridis"]
    errors = [each for each in found if each.get_cmap().name == "RdBu_r"]
    assert (len(values), len(errors)) == (12, 8)  # input, four methods, truth; each whole and enlarged
    assert len({each.get_clim() for each in values}) == 1
    assert len({each.get_clim() for each in errors}) == 1
    low, high = errors[0].get_clim()
    assert low == -high


@pytest.mark.parametrize("shape", ["maps", "wide_maps"])
def test_the_same_square_is_enlarged_in_every_panel(request, shape):
    sparse, imputed, truth = request.getfixturevalue(shape)
    y_um, x_um = imputed.origin_um
    inset = (y_um + 50, x_um + 60, y_um + 150, x_um + 160)
    figure = draw_comparison(sparse, imputed, truth, inset=inset)
    boxes = [(*axes.get_ylim()[::-1], *axes.get_xlim()) for axes in figure.axes if axes.images]
    square = (inset[0], inset[2], inset[1], inset[3])
    extent = tissue_box(imputed)
    whole = (extent[0], extent[2], extent[1], extent[3])
    assert {boxes.count(square), boxes.count(whole)} == {10}
    marked = [axes.patches[-1].get_bbox().bounds for axes in figure.axes if axes.images and axes.patches]
    assert len(marked) == 10
    assert set(marked) == {(inset[1], inset[0], 100.0, 100.0)}


def test_scores_of_every_method_are_written_and_the_best_are_bold(maps):
    figure = draw_comparison(*maps, methods=("nearest", "bilinear"))
    words = [text.get_text() for text in figure.texts]
    assert {"CDCIN", "nearest", "bilinear", "truth"} <= set(words)
    assert words.count("MAE") == words.count("PCC") == words.count("SSIM") == 3
    bold = [text for text in figure.texts if text.get_weight() == "bold" and re.fullmatch(r"0\.\d{3}", text.get_text())]
    assert len(bold) == 3


@pytest.mark.parametrize("shape", ["maps", "wide_maps"])
def test_nothing_sticks_out_of_the_page_and_no_letter_is_below_six_points(request, shape):
    for truth in (True, False):
        sparse, imputed, known = request.getfixturevalue(shape)
        figure = draw_comparison(sparse, imputed, known if truth else None)
        assert figure.get_figwidth() * 25.4 == pytest.approx(180)
        box = figure.get_tightbbox()
        assert min(box.x0, box.y0) > 0
        assert box.x1 <= figure.get_figwidth() + 0.01
        assert box.y1 <= figure.get_figheight()
        assert min(text.get_fontsize() for text in figure.texts) >= 6


def test_without_a_truth_there_are_input_imputed_and_uncertainty(maps):
    found = pictures(draw_comparison(*maps[:2]))
    assert [each.get_cmap().name for each in found] == ["viridis"] * 4 + ["magma"] * 2


@pytest.mark.parametrize("write", ["comparison", "figure"])
def test_the_ending_chooses_the_format_and_text_stays_text(tmp_path, maps, write):
    sparse, imputed, truth = maps
    for end in ("png", "pdf", "SVG"):
        path = tmp_path / f"f.{end}"
        if write == "comparison":
            write_comparison(path, sparse, imputed, truth)
        else:
            write_figure(path, sparse=sparse, imputed=imputed, truth=truth)
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.width > 1500
    assert (tmp_path / "f.pdf").read_bytes().startswith(b"%PDF")
    assert "ERBB2" in re.sub("<[^>]*>", "", (tmp_path / "f.SVG").read_text())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.SVG", "f.pdf", "f.png"]


def test_an_unknown_ending_is_one_clear_sentence(tmp_path, maps):
    with pytest.raises(ExportError, match=r"\.png, \.pdf, \.svg"):
        write_comparison(tmp_path / "f.jpg", *maps)
    assert not list(tmp_path.iterdir())


def test_an_inset_outside_of_the_map_is_one_clear_sentence(maps):
    with pytest.raises(S2SSTError, match="does not lie inside"):
        draw_comparison(*maps, inset=(0, 0, 1e6, 1e6))


def test_the_square_is_chosen_where_the_map_varies_most():
    values = np.full((80, 100), 3.0)
    values[50:66, 20:36] = np.random.default_rng(0).poisson(20, (16, 16))
    y0, x0, y1, x1 = interesting_square(values, GeneMap(values, bin_um=10.0, origin_um=(100.0, 0.0)))
    assert y1 - y0 == x1 - x0 == 240
    assert (y0, x0) <= (100 + 500, 200)
    assert y1 >= 100 + 660
    assert x1 >= 360


def test_the_square_lies_in_the_tissue():
    tissue = np.zeros((60, 60), bool)
    tissue[5:35, 10:50] = True
    values = np.random.default_rng(0).random((60, 60)) * 100
    y0, x0, y1, x1 = interesting_square(values, GeneMap(np.where(tissue, values, 0), tissue=tissue, bin_um=1.0))
    assert tissue[int(y0) : int(y1), int(x0) : int(x1)].mean() >= 0.9


def test_a_small_region_fills_the_page():
    tissue = np.zeros((60, 90), bool)
    tissue[20:40, 30:60] = True
    assert tissue_box(GeneMap(np.zeros((60, 90)), tissue=tissue, bin_um=2.0)) == (36, 56, 84, 124)


def test_a_map_without_any_count_still_has_a_comparison(tmp_path):
    truth = GeneMap(np.zeros((12, 12)), gene="NONE")
    sparse = sample(truth)
    assert write_comparison(tmp_path / "f.png", sparse, interpolate(sparse, method="nearest"), truth).is_file()


@pytest.mark.parametrize(("at_most", "length"), [(1, 1), (1.9, 1), (2, 2), (499, 200), (500, 500), (0.07, 0.05)])
def test_bars_have_round_lengths(at_most, length):
    assert round_length(at_most) == pytest.approx(length)
