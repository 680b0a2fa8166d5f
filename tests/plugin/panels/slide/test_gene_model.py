"""The rows of the gene table: which genes, in which order, and what the cells say."""

import math
from itertools import pairwise

import pytest
from qtpy.QtCore import Qt

from napari_s2sst.engine.slides.structure import GeneStructure
from napari_s2sst.plugin.panels.slide.gene_model import BAR_ROLE, TITLES, Column, GeneModel

GENES = {"LTF": 61804, "CD24": 19832, "CD3E": 2402, "CD163": 2402, "cd2": 7, "SILENT": 0}
STRUCTURE = {
    "LTF": GeneStructure(61804, 0.25, 0.5604),
    "CD3E": GeneStructure(2402, 0.04, -0.09),
    "CD163": GeneStructure(2402, 0.0004, 0.22),
    "SILENT": GeneStructure(0, 0.0, math.nan),
}
RISING, FALLING = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder


@pytest.fixture
def model(qapp):
    made = GeneModel()
    made.setGenes(GENES)
    return made


def shown(model) -> list[str]:
    return [model.gene_at(row) for row in range(model.rowCount())]


def cell(model, gene: str, column: Column, role=Qt.ItemDataRole.DisplayRole):
    return model.data(model.index(model.row_of(gene), column), role)


def test_the_most_frequent_gene_comes_first_until_something_else_is_sorted(model):
    assert shown(model) == ["LTF", "CD24", "CD3E", "CD163", "cd2", "SILENT"]


def test_names_sort_as_people_count(model):
    model.sort(Column.GENE, RISING)
    assert shown(model) == ["cd2", "CD3E", "CD24", "CD163", "LTF", "SILENT"]
    model.sort(Column.GENE, FALLING)
    assert shown(model) == ["SILENT", "LTF", "CD163", "CD24", "CD3E", "cd2"]


@pytest.mark.parametrize("column", [Column.BINS, Column.MORAN])
@pytest.mark.parametrize("order", [RISING, FALLING])
def test_what_is_not_known_comes_last_in_both_directions(model, column, order):
    model.setStructure(STRUCTURE)
    model.sort(column, order)
    known = [gene for gene in shown(model) if gene in STRUCTURE and not (gene == "SILENT" and column == Column.MORAN)]
    assert shown(model)[: len(known)] == known
    values = [STRUCTURE[gene].bins_share if column == Column.BINS else STRUCTURE[gene].morans_i for gene in known]
    assert all(first <= second if order == RISING else first >= second for first, second in pairwise(values))


def test_a_search_finds_any_part_of_a_name_in_upper_and_lower_case(model):
    model.setFilter(" cD2 ")
    assert shown(model) == ["CD24", "cd2"]
    assert model.row_of("LTF") == -1
    model.setFilter("")
    assert shown(model) == list(GENES)


def test_the_match_is_the_gene_of_that_very_name_before_the_first_that_is_shown(model):
    model.setFilter("cd2")
    assert model.meant_by("CD2") == "cd2"
    model.setFilter("cd")
    assert model.meant_by("cd") == "CD24"
    model.setFilter("nothing")
    assert model.meant_by("nothing") is None


def test_sorting_keeps_the_search_and_searching_keeps_the_order(model):
    model.setFilter("cd")
    model.sort(Column.TRANSCRIPTS, RISING)
    assert shown(model) == ["cd2", "CD3E", "CD163", "CD24"]
    model.setFilter("cd1")
    model.setFilter("cd")
    assert shown(model) == ["cd2", "CD3E", "CD163", "CD24"]


def test_cells_say_what_is_known_and_nothing_else(model):
    assert cell(model, "LTF", Column.TRANSCRIPTS) == "61,804"
    assert cell(model, "LTF", Column.MORAN) == cell(model, "LTF", Column.BINS) == ""
    model.setStructure(STRUCTURE)
    assert [cell(model, "LTF", column) for column in Column] == ["LTF", "61,804", "25.0", "0.56"]
    assert [cell(model, "SILENT", column) for column in Column] == ["SILENT", "0", "0.0", "-"]
    assert cell(model, "CD163", Column.BINS) == "<0.1"
    assert cell(model, "CD24", Column.MORAN) == ""


def test_the_bar_is_as_long_as_morans_i_and_there_is_none_below_zero(model):
    model.setStructure(STRUCTURE)
    assert cell(model, "LTF", Column.MORAN, BAR_ROLE) == pytest.approx(0.5604)
    assert cell(model, "LTF", Column.BINS, BAR_ROLE) is None
    for gene in ("CD3E", "CD24", "SILENT"):
        assert cell(model, gene, Column.MORAN, BAR_ROLE) is None


def test_the_sorted_column_has_an_arrow_and_every_column_explains_itself(model):
    def head(column, role=Qt.ItemDataRole.DisplayRole):
        return model.headerData(column, Qt.Orientation.Horizontal, role)

    model.sort(Column.MORAN, FALLING)
    assert [head(column) for column in Column] == [*list(TITLES.values())[:3], "\u25be Moran's I"]
    assert "neighbouring bins" in head(Column.MORAN, Qt.ItemDataRole.ToolTipRole)
    assert all(head(column, Qt.ItemDataRole.ToolTipRole) for column in Column)


def test_scores_of_other_genes_are_left_out(model):
    model.setStructure({"NOPE": GeneStructure(3, 0.1, 0.2)})
    assert shown(model) == list(GENES)


def test_the_scores_of_one_slide_are_forgotten_with_its_genes(model):
    model.setStructure(STRUCTURE)
    model.setFilter("cd")
    model.setGenes({"LTF": 5})
    assert shown(model) == ["LTF"]
    assert [cell(model, "LTF", column) for column in Column] == ["LTF", "5", "", ""]
