"""The card: facts as they were given, and a menu that asks and does not decide."""

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from napari_s2sst.engine.slides.facts import slide_facts
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.panels.slide.card import Choice, SlideCard

CHOICES = (
    Choice(key="cells", label="Cell outlines", tooltip="Of the cells in view.", available=True, shown=False),
    Choice(key="histology", label="H&E picture", tooltip="There is no H&E picture.", available=False, shown=False),
)


@pytest.fixture
def card(qtbot):
    made = SlideCard()
    qtbot.addWidget(made)
    made.show()
    return made


def test_the_card_shows_every_fact_of_a_slide(card, sample_slide):
    facts = slide_facts(open_xenium(sample_slide))
    card.setFacts(facts)
    assert card.facts() == facts
    assert len(facts) <= 8


def test_another_slide_leaves_nothing_of_the_one_before(card):
    card.setFacts([("Tissue", "Breast"), ("Genes", "298")])
    card.setFacts([("Size", "1.0 x 2.0 mm")])
    assert card.facts() == [("Size", "1.0 x 2.0 mm")]
    card.setFacts([])
    assert card.facts() == []


def test_a_long_fact_widens_nothing_and_is_whole_in_its_tooltip(card):
    card.setFacts([("Panel", "short")])
    width = card.minimumSizeHint().width()
    long = "Xenium Human 5K with Cell Typing + HPV-16/18 and SNV Add-on " * 3
    card.setFacts([("Panel", long)])
    assert card.minimumSizeHint().width() == width
    texts = [child.toolTip() for child in card.children() if hasattr(child, "toolTip")]
    assert f"Panel: {long}" in texts


def test_a_choice_is_asked_for_with_its_key(card, qtbot):
    card.setChoices(CHOICES)
    with qtbot.waitSignal(card.layerToggled) as asked:
        card.action("cells").trigger()
    assert asked.args == ["cells", True]


def test_ticks_come_from_the_choices_and_ask_nothing(card, qtbot):
    card.setChoices(CHOICES)
    with qtbot.assertNotEmitted(card.layerToggled):
        card.setChoices(
            (Choice(key="cells", label="Cell outlines", tooltip="", available=True, shown=True), CHOICES[1])
        )
    assert card.action("cells").isChecked()


def test_the_same_entries_are_kept_so_that_an_open_menu_stays(card):
    card.setChoices(CHOICES)
    before = card.action("cells")
    card.setChoices(CHOICES[::1])
    assert card.action("cells") is before


def test_what_there_is_not_is_grey_and_says_why(card):
    card.setChoices(CHOICES)
    action = card.action("histology")
    assert not action.isEnabled()
    assert action.toolTip() == "There is no H&E picture."
    assert card.findChild(QMenu).toolTipsVisible()


def test_the_menu_opens_by_keyboard(card, qtbot):
    assert not card.layer_button.isEnabled()
    card.setChoices(CHOICES)
    assert card.layer_button.isEnabled()
    assert card.layer_button.focusPolicy() & Qt.FocusPolicy.TabFocus
    assert "&" in card.layer_button.text()
    assert card.layer_button.toolTip()


def test_an_ampersand_is_shown_and_is_no_mnemonic(card):
    card.setChoices(CHOICES)
    assert card.action("histology").text() == "H&&E picture"
