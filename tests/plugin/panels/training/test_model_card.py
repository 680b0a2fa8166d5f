import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

from napari_s2sst.engine.network.model import load_model, shipped_model
from napari_s2sst.engine.runs.model_card import differences, fits, model_facts
from napari_s2sst.plugin.panels.training.model_card import ModelCard


@pytest.fixture
def card(qtbot):
    """A function: the card of the shipped weights of stride 2, on a slide of this stride."""

    def show(stride: int) -> ModelCard:
        model = load_model(shipped_model(2))
        told = differences(model, genes=["LTF"], bin_um=20.0, stride=stride, normalisation="log1p")
        card = ModelCard("stride2.safetensors", model_facts(model), told, fits=fits(model, stride=stride))
        qtbot.addWidget(card)
        card.answers = []
        card.chosen.connect(card.answers.append)
        card.open()
        return card

    return show


def texts(card) -> str:
    return "\n".join(label.text() for label in card.findChildren(QLabel))


def test_a_card_shows_every_fact(card):
    shown = texts(card(2))
    for name, text in model_facts(load_model(shipped_model(2))):
        assert name in shown
        assert text in shown


def test_a_card_says_when_nothing_differs(card):
    assert "Nothing differs" in texts(card(2))


@pytest.mark.parametrize(
    ("button", "intent"), [("impute_button", "impute"), ("train_button", "train"), ("cancel_button", "cancel")]
)
def test_each_button_gives_its_answer_once_and_closes(qtbot, card, button, intent):
    shown = card(2)
    qtbot.mouseClick(getattr(shown, button), Qt.MouseButton.LeftButton)
    assert shown.answers == [intent]
    assert shown.intent == intent
    assert not shown.isVisible()


def test_escape_is_cancel(qtbot, card):
    shown = card(2)
    qtbot.keyClick(shown, Qt.Key.Key_Escape)
    assert shown.answers == ["cancel"]


def test_a_model_of_another_stride_can_only_be_left(card):
    shown = card(3)
    assert "stride of 2" in texts(shown)
    assert not shown.impute_button.isEnabled()
    assert not shown.train_button.isEnabled()
    assert shown.cancel_button.isEnabled()


def test_a_gene_name_is_shown_as_it_is_written(qtbot):
    shown = ModelCard("a <b>", [("Genes", "<i>A</i>")], ["The model has learnt <i>A</i>."])
    qtbot.addWidget(shown)
    assert "&lt;i&gt;A" in texts(shown)
    assert all(
        label.textFormat() != Qt.TextFormat.AutoText for label in shown.findChildren(QLabel) if "<" in label.text()
    )
