"""The gene table, driven with mouse and keyboard: searched, sorted, and genes chosen."""

import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QLineEdit, QVBoxLayout, QWidget

from napari_s2sst.engine.slides.structure import GeneStructure
from napari_s2sst.plugin.panels.slide.gene_model import Column
from napari_s2sst.plugin.panels.slide.gene_table import GeneTable
from napari_s2sst.plugin.panels.slide.gene_view import ARROWING_MS, ROW_PX, ROWS_SEEN

COUNTS = {"LTF": 900, "CD24": 800, "MMP8": 700, "CD163": 600, "CD4": 500, "KLF1": 400}
GENES = COUNTS | {f"GENE{n}": 300 - n for n in range(200)}
CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
DEFAULT = Qt.KeyboardModifier.NoModifier


@pytest.fixture
def table(qtbot):
    """A shown table of 206 genes with the first chosen, as after opening a slide."""
    made = GeneTable()
    qtbot.addWidget(made)
    made.resize(364, 400)
    made.setGenes(GENES)
    made.setValue(["LTF"])
    with qtbot.waitExposed(made):
        made.show()
    made.activateWindow()
    made.search.setFocus()
    qtbot.waitUntil(made.search.hasFocus, timeout=300_000)
    return made


@pytest.fixture
def told(table):
    """What the table has told since."""
    heard = []
    table.valueChanged.connect(heard.append)
    return heard


@pytest.fixture
def click(table, qtbot):
    """A function: click the row of a gene."""

    def on(gene: str, modifier=DEFAULT) -> None:
        place = table.view.visualRect(table.model.index(table.model.row_of(gene), 0)).center()
        qtbot.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, modifier, place)

    return on


@pytest.fixture
def settled(qtbot):
    """A function: wait longer than the table waits for the user to be done."""
    return lambda: qtbot.wait(3 * ARROWING_MS)


def shown(table) -> list[str]:
    return [table.model.gene_at(row) for row in range(table.model.rowCount())]


def selected(table) -> set[str]:
    return {table.model.gene_at(index.row()) for index in table.view.choice.selectedRows()}


def scores(genes) -> dict[str, GeneStructure]:
    return {gene: GeneStructure(GENES[gene], 0.01 * n % 1, (37 * n % 101) / 101) for n, gene in enumerate(genes)}


# ---- choosing


def test_no_gene_is_chosen_by_a_new_list(table, told, settled):
    table.setGenes(COUNTS)
    settled()
    assert table.value() == ()
    assert told == []


def test_a_click_chooses_one_gene_and_tells_it_once(table, told, click, settled):
    click("MMP8")
    settled()
    assert told == [("MMP8",)]
    assert table.value() == ("MMP8",)


def test_clicking_what_is_chosen_already_tells_nothing(table, told, click, settled):
    click("LTF")
    settled()
    assert told == []


def test_ctrl_and_a_click_adds_a_gene_which_becomes_the_current_one(table, told, click, settled):
    click("CD24")
    click("CD4", CTRL)
    settled()
    assert told[-1] == table.value() == ("CD4", "CD24")
    assert table.line.text() == f"2 of {len(GENES)} genes chosen"


def test_ctrl_and_a_click_takes_a_gene_away_but_never_the_last_one(table, told, click, settled):
    click("CD24", CTRL)
    click("CD24", CTRL)
    click("LTF", CTRL)
    settled()
    assert table.value() == ("LTF",)
    assert selected(table) == {"LTF"}
    assert all(told)


def test_shift_and_a_click_chooses_a_stretch(table, click, settled, told):
    click("CD24")
    click("CD4", SHIFT)
    settled()
    assert told[-1] == ("CD4", "CD24", "MMP8", "CD163")


def test_a_click_below_the_last_row_changes_nothing(table, told, qtbot, settled):
    qtbot.keyClicks(table.search, "LTF")
    qtbot.mouseClick(table.view.viewport(), Qt.MouseButton.LeftButton, DEFAULT, table.view.viewport().rect().center())
    settled()
    assert (table.value(), told) == (("LTF",), [])
    assert selected(table) == {"LTF"}


def test_a_walk_with_the_arrow_keys_tells_only_where_it_ends(table, told, click, qtbot, settled):
    click("LTF")
    for _ in range(3):
        qtbot.keyClick(table.view, Qt.Key.Key_Down)
    assert table.value() == ("CD163",)
    settled()
    assert told == [("CD163",)]


def test_shift_and_the_arrow_keys_choose_a_stretch(table, told, click, qtbot, settled):
    click("CD24")
    qtbot.keyClick(table.view, Qt.Key.Key_Down, SHIFT)
    qtbot.keyClick(table.view, Qt.Key.Key_Down, SHIFT)
    settled()
    assert told[-1] == ("CD163", "CD24", "MMP8")


def test_the_button_goes_back_to_the_current_gene_alone(table, told, click, qtbot, settled):
    assert not table.one_button.isVisible()
    click("CD24", CTRL)
    settled()
    assert table.one_button.text() == "Only CD24"
    qtbot.mouseClick(table.one_button, Qt.MouseButton.LeftButton)
    assert told[-1] == table.value() == ("CD24",)
    assert selected(table) == {"CD24"}
    assert not table.one_button.isVisible()


def test_setting_a_value_selects_it_shows_it_and_tells_nothing(table, told, settled):
    table.setValue(["GENE150", "LTF", "NOPE", "LTF"])
    settled()
    assert table.value() == ("GENE150", "LTF")
    assert selected(table) == {"GENE150", "LTF"}
    place = table.view.visualRect(table.model.index(table.model.row_of("GENE150"), 0))
    assert table.view.viewport().rect().contains(place)
    assert told == []


def test_nothing_can_be_chosen_while_choosing_is_off(table, told, click, settled):
    table.setEnabledParts(can_choose=False)
    click("MMP8")
    settled()
    assert (table.value(), told) == (("LTF",), [])
    table.setEnabledParts(can_choose=True)
    click("MMP8")
    settled()
    assert told == [("MMP8",)]


def test_a_choice_that_was_not_told_yet_is_taken_back_when_choosing_ends(table, told, qtbot, settled):
    qtbot.keyClick(table.search, Qt.Key.Key_Down)
    assert table.value() == ("CD24",)
    table.setEnabledParts(can_choose=False)
    settled()
    assert (table.value(), selected(table), told) == (("LTF",), {"LTF"}, [])


# ---- searching


def test_typing_shows_the_genes_that_match_and_clearing_all_again(table, qtbot):
    qtbot.keyClicks(table.search, "cd")
    assert shown(table) == ["CD24", "CD163", "CD4"]
    qtbot.keyClick(table.search, Qt.Key.Key_Escape)
    assert shown(table) == list(GENES)


def test_typing_changes_no_choice_even_where_it_hides_what_is_chosen(table, told, click, qtbot, settled):
    click("MMP8")
    click("CD24", CTRL)
    settled()
    told.clear()
    qtbot.keyClicks(table.search, "klf")
    assert table.value() == ("CD24", "MMP8")
    assert selected(table) == set()
    assert table.line.text() == f"2 of {len(GENES)} genes chosen, 2 not shown"
    table.search.clear()
    settled()
    assert table.value() == ("CD24", "MMP8")
    assert selected(table) == {"CD24", "MMP8"}
    assert told == []


def test_a_click_on_a_match_leaves_no_hidden_gene_chosen(table, told, click, qtbot, settled):
    qtbot.keyClicks(table.search, "klf")
    click("KLF1")
    settled()
    assert told == [("KLF1",)]


def test_a_click_on_a_chosen_match_leaves_no_hidden_gene_chosen(table, told, click, qtbot, settled):
    click("KLF1", CTRL)
    qtbot.keyClicks(table.search, "klf")
    click("KLF1")
    settled()
    assert table.value() == told[-1] == ("KLF1",)


def test_ctrl_and_a_click_on_a_match_joins_it_to_the_hidden_ones(table, told, click, qtbot, settled):
    qtbot.keyClicks(table.search, "klf")
    click("KLF1", CTRL)
    settled()
    assert told == [("KLF1", "LTF")]
    assert table.line.text() == f"2 of {len(GENES)} genes chosen, 1 not shown"


def test_ctrl_a_chooses_all_that_match_and_nothing_else(table, told, qtbot, settled):
    qtbot.keyClicks(table.search, "cd")
    table.view.setFocus()
    qtbot.keyClick(table.view, Qt.Key.Key_A, CTRL)
    settled()
    assert told == [("CD24", "CD163", "CD4")]


def test_down_in_the_search_line_walks_through_the_matches(table, told, qtbot, settled):
    qtbot.keyClicks(table.search, "cd")
    qtbot.keyClick(table.search, Qt.Key.Key_Down)
    qtbot.keyClick(table.search, Qt.Key.Key_Down)
    settled()
    assert told == [("CD163",)]
    assert table.search.hasFocus()
    assert table.search.text() == "cd"
    qtbot.keyClick(table.search, Qt.Key.Key_Up)
    settled()
    assert told[1:] == [("CD24",)]


def test_enter_chooses_the_first_match_at_once(table, told, qtbot):
    qtbot.keyClicks(table.search, "cd")
    qtbot.keyClick(table.search, Qt.Key.Key_Return)
    assert told == [("CD24",)]


def test_enter_chooses_the_gene_of_that_very_name(table, told, qtbot):
    qtbot.keyClicks(table.search, "gene1")
    qtbot.keyClick(table.search, Qt.Key.Key_Return)
    assert told == [("GENE1",)]


def test_enter_after_a_walk_keeps_where_the_walk_ended(table, told, qtbot, settled):
    qtbot.keyClicks(table.search, "cd")
    qtbot.keyClick(table.search, Qt.Key.Key_Down)
    qtbot.keyClick(table.search, Qt.Key.Key_Down)
    qtbot.keyClick(table.search, Qt.Key.Key_Return)
    assert told == [("CD163",)]
    settled()
    assert told == [("CD163",)]


def test_typing_after_enter_begins_a_new_name(table, told, qtbot):
    qtbot.keyClicks(table.search, "klf")
    qtbot.keyClick(table.search, Qt.Key.Key_Return)
    qtbot.keyClicks(table.search, "mmp")
    assert table.search.text() == "mmp"
    qtbot.keyClick(table.search, Qt.Key.Key_Return)
    assert told == [("KLF1",), ("MMP8",)]


def test_enter_after_an_unknown_name_asks_for_it_and_chooses_nothing(table, told, qtbot):
    qtbot.keyClicks(table.search, "LTFX")
    assert table.line.text() == "No name has 'LTFX' in it; Enter finds similar ones."
    with qtbot.waitSignal(table.unknownTyped) as asked:
        qtbot.keyClick(table.search, Qt.Key.Key_Return)
    assert asked.args == ["LTFX"]
    assert (table.value(), told) == (("LTF",), [])


def test_letters_typed_into_the_table_begin_a_search(table, click, qtbot):
    click("MMP8")
    table.view.setFocus()
    qtbot.keyClicks(table.view, "k")
    assert table.search.text() == "k"
    assert shown(table) == ["KLF1"]
    qtbot.waitUntil(table.search.hasFocus, timeout=300_000)


@pytest.mark.parametrize(("key", "modifier"), [(Qt.Key.Key_F, CTRL), (Qt.Key.Key_Slash, DEFAULT)])
def test_ctrl_f_and_slash_lead_from_the_table_to_the_search_line(table, qtbot, key, modifier):
    table.view.setFocus()
    qtbot.waitUntil(table.view.hasFocus, timeout=300_000)
    qtbot.keyClick(table.view, key, modifier)
    assert table.search.hasFocus()
    assert table.search.text() == ""


def test_the_shortcuts_work_from_everywhere_in_their_home(qtbot):
    home, other, table = QWidget(), QLineEdit(), GeneTable()
    layout = QVBoxLayout(home)
    layout.addWidget(other)
    layout.addWidget(table)
    qtbot.addWidget(home)
    table.setGenes(GENES)
    table.setShortcutHome(home)
    with qtbot.waitExposed(home):
        home.show()
    home.activateWindow()
    other.setFocus()
    qtbot.waitUntil(other.hasFocus, timeout=300_000)
    qtbot.keyClick(other, Qt.Key.Key_F, CTRL)
    assert table.search.hasFocus()


# ---- sorting, and scores that come later


def test_a_click_on_a_head_sorts_and_another_one_turns_the_order(table, qtbot):
    table.setStructure(scores(GENES))
    header = table.view.horizontalHeader()

    def on_head(column) -> None:
        place = header.sectionViewportPosition(column) + header.sectionSize(column) // 2
        qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, DEFAULT, QPoint(place, 5))

    known = {gene: each.morans_i for gene, each in scores(GENES).items()}
    on_head(Column.MORAN)
    assert known[shown(table)[0]] == max(known.values())
    on_head(Column.MORAN)
    assert known[shown(table)[0]] == min(known.values())
    on_head(Column.GENE)
    assert shown(table)[:2] == ["CD4", "CD24"]
    assert table.value() == ("LTF",)


def test_the_columns_sort_from_the_keyboard_too(table, qtbot):
    table.setStructure(scores(GENES))
    qtbot.keyClick(table.search, Qt.Key.Key_1, CTRL)
    assert shown(table)[0] == "CD4"
    qtbot.keyClick(table.search, Qt.Key.Key_1, CTRL)
    assert shown(table)[0] == "MMP8"


def test_sorting_keeps_what_is_chosen(table, told, click, qtbot, settled):
    click("CD4")
    click("MMP8", CTRL)
    settled()
    told.clear()
    qtbot.keyClick(table.search, Qt.Key.Key_1, CTRL)
    settled()
    assert selected(table) == {"CD4", "MMP8"}
    assert (table.value(), told) == (("MMP8", "CD4"), [])


def test_scores_that_come_in_parts_keep_choice_order_and_place(table, told, qtbot, settled):
    table.view.sortByColumn(Column.MORAN, Qt.SortOrder.DescendingOrder)
    table.setValue(["CD4", "KLF1"])
    bar = table.view.verticalScrollBar()
    bar.setValue(40)
    names = list(GENES)
    for first in range(0, len(names), 50):
        table.setStructure({gene: each for gene, each in scores(GENES).items() if gene in names[first : first + 50]})
        qtbot.wait(1)
        assert bar.value() == 40
    settled()
    assert table.value() == ("CD4", "KLF1")
    assert selected(table) == {"CD4", "KLF1"}
    known = [scores(GENES)[gene].morans_i for gene in shown(table)]
    assert known == sorted(known, reverse=True)
    assert told == []


# ---- the widget


def test_eight_rows_show_at_the_least_and_more_where_there_is_room(table, qtbot):
    table.resize(364, table.minimumSizeHint().height())
    qtbot.wait(10)
    assert table.view.viewport().height() >= ROWS_SEEN * ROW_PX
    before = table.view.viewport().height()
    table.resize(364, table.height() + 300)
    qtbot.wait(10)
    assert table.view.viewport().height() == before + 300


def test_an_empty_table_offers_nothing(table):
    table.setGenes({})
    assert not table.search.isEnabled()
    assert not table.view.isEnabled()
    assert "open a slide" in table.line.text()


def test_five_thousand_genes_are_smooth(qtbot):
    """A generous limit, for a busy machine: alone, a key takes 5 to 8 ms, choosing all of them 45 ms."""
    rng = np.random.default_rng(0)
    letters = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    names = ["".join(rng.choice(letters, 5)) + str(n) for n in range(5000)]
    genes = dict(zip(names, sorted(rng.integers(0, 99_999, 5000).tolist(), reverse=True), strict=True))
    structure = {name: GeneStructure(genes[name], rng.random(), rng.random()) for name in names}
    table = GeneTable()
    qtbot.addWidget(table)
    table.resize(364, 500)
    with qtbot.waitExposed(table):
        table.show()
    took = {}

    def measure(what, do) -> None:
        began = time.perf_counter()
        do()
        table.view.viewport().repaint()
        took[what] = time.perf_counter() - began

    measure("genes", lambda: table.setGenes(genes))
    measure("structure", lambda: table.setStructure(structure))
    measure("sort", lambda: table.view.sortByColumn(Column.MORAN, Qt.SortOrder.DescendingOrder))
    for key in "ab":
        measure(f"key {key}", lambda key=key: qtbot.keyClick(table.search, key))
    measure("clear", table.search.clear)
    measure("all", table.view.selectAll)
    measure("key with all chosen", lambda: qtbot.keyClick(table.search, "q"))
    assert max(took.values()) < 30, (
        took
    )  # tenths of a second each; what grows with the square of the genes takes minutes
