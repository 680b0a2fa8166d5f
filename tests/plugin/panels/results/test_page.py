"""The results page draws what it is given and asks for what is clicked."""

from types import SimpleNamespace

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QComboBox, QSlider

from napari_s2sst.engine.scores.diagnostics import Diagnostics, ErrorHistogram, Reliability
from napari_s2sst.engine.scores.metrics import Scores
from napari_s2sst.plugin.panels.results.compare import CompareBar
from napari_s2sst.plugin.panels.results.diagnostics import DiagnosticsPlot, error_sentence, reliability_sentence
from napari_s2sst.plugin.panels.results.page import ResultPanel
from napari_s2sst.plugin.viewer.comparison import CompareChoice, CompareMode

NAN = float("nan")


def scores(mae, pcc, ssim) -> Scores:
    return Scores(
        mae=mae, pcc=pcc, ssim=ssim, mae_unmeasured=mae, pcc_unmeasured=pcc, ssim_unmeasured=ssim, ssim_full=ssim,
        coverage=0.9, bins=1234,
    )  # fmt: skip


def histogram(bias: float = 0.0, classical: bool = True) -> ErrorHistogram:
    counts = np.array([5, 20, 50, 20, 5])
    also = {"classical": counts[::-1], "classical_name": "kriging", "classical_mae": 0.5} if classical else {}
    return ErrorHistogram(edges=np.linspace(-2, 2, 6), counts=counts, mae=0.4, bias=bias, **also)


def reliability(overall: float = 0.9, *, rising: bool = True) -> Reliability:
    steps = np.arange(1.0, 6)
    return Reliability(
        predicted=steps, observed=steps if rising else steps[::-1], coverage=np.full(5, overall), bins=np.full(5, 10),
        overall=overall,
    )  # fmt: skip


@pytest.fixture
def panel(qtbot):
    panel = ResultPanel()
    qtbot.addWidget(panel)
    panel.show()
    return panel


def cells(table) -> list[list[str]]:
    return [
        [table.item(row, column).text() for column in range(table.columnCount())] for row in range(table.rowCount())
    ]


def test_the_list_of_results_is_drawn_without_a_signal_and_asks_when_one_is_chosen(panel, qtbot):
    chosen = []
    panel.resultChosen.connect(chosen.append)
    panel.setResults(["LTF · fast · 0:34", "LTF · instant · 0:02"], 1)
    assert (panel.result_box.currentIndex(), chosen) == (1, [])
    panel.result_box.setFocus()
    qtbot.keyClick(panel.result_box, Qt.Key.Key_Up)
    assert chosen == [0]


def test_without_results_the_list_is_hidden_and_it_is_said_what_to_do(panel):
    assert not panel.result_box.isVisible()
    assert "Train" in panel._none.text()
    panel.setResults(["LTF"], 0)
    assert panel.result_box.isVisible()
    assert not panel._none.isVisible()


def test_the_best_of_each_column_is_bold_and_what_is_unknown_is_a_dash(panel):
    panel.setScores("LTF", {"CDCIN": scores(0.2, 0.5, NAN), "kriging": scores(0.3, 0.6, 0.4)})
    assert cells(panel.table) == [["CDCIN", "0.200", "0.500", "-"], ["kriging", "0.300", "0.600", "0.400"]]
    bold = [[panel.table.item(row, column).font().bold() for column in (1, 2, 3)] for row in (0, 1)]
    assert bold == [[True, False, False], [False, True, True]]


def test_without_scores_the_reason_is_given_and_nothing_of_the_last_result_stays(panel):
    panel.setScores("LTF", {"CDCIN": scores(0.2, 0.5, 0.1)})
    panel.setDiagnostics(Diagnostics("LTF", histogram(), reliability()))
    panel.setScores("LTF", {})
    assert "Fill in" in panel._title.text()
    assert not panel.table.isVisible()
    assert not panel.diagnostics.isVisible()
    panel.setScores("LTF", {}, waits=True)
    assert "comparing" in panel._title.text()


def test_regions_have_a_row_each_and_no_table_where_there_are_none(panel):
    assert not panel.region_table.isVisible()
    row = dict(area_mm2=1.234, measured_mean=2.0, imputed_mean=2.1)
    panel.setRegions([SimpleNamespace(name="tumour", mae=0.3, **row), SimpleNamespace(name="fat", mae=NAN, **row)])
    assert panel.region_table.isVisible()
    assert cells(panel.region_table) == [
        ["tumour", "1.23", "2.00", "2.10", "0.30"],
        ["fat", "1.23", "2.00", "2.10", "-"],
    ]
    panel.setRegions(())
    assert not panel.region_table.isVisible()


def test_export_asks_once_and_only_when_it_may(panel, qtbot):
    panel.setExportEnabled(False)
    with qtbot.assertNotEmitted(panel.exportRequested):
        panel.export_button.click()
    panel.setExportEnabled(True)
    with qtbot.waitSignal(panel.exportRequested):
        panel.export_button.click()


def test_every_control_of_the_page_has_a_tooltip_and_takes_the_keyboard(panel):
    panel.setDiagnostics(Diagnostics("LTF", histogram(), reliability()))
    found = [each for kind in (QAbstractButton, QComboBox, QSlider) for each in panel.findChildren(kind)
             if not isinstance(each.parent(), type(panel.table)) and not each.objectName().startswith("qt_")]  # fmt: skip
    assert len(found) >= 9
    for each in found:
        if each.parent().metaObject().className() in ("ScoreTable", "PlotWidget"):
            continue
        assert each.toolTip(), each
        assert each.focusPolicy() != Qt.FocusPolicy.NoFocus, each


# ---- errors and uncertainty


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (reliability(0.91), ("91%", "as it should be", "indeed larger")),
        (reliability(0.99), ("99%", "wider")),
        (reliability(0.6), ("60%", "too narrow")),
        (reliability(0.9, rising=False), ("not clearly",)),
    ],
)
def test_the_sentence_says_whether_the_uncertainty_is_honest(found, words):
    assert all(word in reliability_sentence(found) for word in words)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (histogram(), ("50%", "neither", "20% smaller", "kriging")),
        (histogram(0.3), ("too high by 0.300",)),
        (histogram(-0.3, classical=False), ("too low by 0.300",)),
    ],
)
def test_the_sentence_says_how_large_the_errors_are_and_to_which_side(found, words):
    assert all(word in error_sentence(found) for word in words)
    assert ("kriging" in error_sentence(found)) == (found.classical is not None)


def test_the_toggle_changes_plot_and_sentence_and_stays_with_the_next_result(qtbot):
    plot = DiagnosticsPlot()
    qtbot.addWidget(plot)
    found = Diagnostics("LTF", histogram(), reliability())
    plot.setDiagnostics(found)
    first = plot.sentence.text()
    plot.buttons["Uncertainty"].click()
    assert plot.sentence.text() == reliability_sentence(found.reliability) != first
    plot.setDiagnostics(Diagnostics("EPCAM", histogram(), reliability(0.5)))
    assert "50%" in plot.sentence.text()
    plot.setDiagnostics(Diagnostics("EPCAM", histogram(), None))
    assert plot.sentence.text() == first
    assert not plot.buttons["Uncertainty"].isEnabled()


def test_the_plot_s_letters_take_the_theme_s_colour(qtbot):
    plot = DiagnosticsPlot()
    qtbot.addWidget(plot)
    plot.setDiagnostics(Diagnostics("LTF", histogram(), reliability()))
    for colour in ("#222222", "#eeeeee"):
        plot.setTheme(colour)
        axis = plot._plot.getPlotItem().getAxis("left")
        assert axis.textPen().color().name() == colour
        assert axis.label.defaultTextColor().name() == colour or colour in axis.labelString()


# ---- comparing


@pytest.fixture
def bar(qtbot):
    bar = CompareBar()
    qtbot.addWidget(bar)
    bar.setChoices(["counts", "imputed", "error"], "counts", "imputed")
    bar.show()
    return bar


def test_a_mode_is_asked_for_with_both_names(bar, qtbot):
    with qtbot.waitSignal(bar.valueChanged) as told:
        bar.buttons[CompareMode.SIDE_BY_SIDE].click()
    assert told.args == [CompareChoice(mode=CompareMode.SIDE_BY_SIDE, first="counts", second="imputed")]


def test_the_slider_is_the_line_of_a_swipe_and_the_speed_of_a_blink(bar):
    told = []
    bar.valueChanged.connect(told.append)
    assert not bar.slider.isVisible()
    bar.buttons[CompareMode.SWIPE].click()
    assert bar.slider.isVisible()
    bar.slider.setValue(25)
    assert told[-1].position == 0.25
    bar.buttons[CompareMode.BLINK].click()
    slow = told[-1].interval_ms
    bar.slider.setValue(bar.slider.maximum())
    assert told[-1].interval_ms < slow
    assert told[-1].position == 0.25


def test_what_is_set_from_code_is_the_value_and_tells_nothing(bar, qtbot):
    choice = CompareChoice(mode=CompareMode.SWIPE, first="imputed", second="error", position=0.4, interval_ms=400)
    with qtbot.assertNotEmitted(bar.valueChanged):
        bar.setValue(choice)
        assert bar.value() == choice
        bar.setPosition(0.6)
        assert bar.value().position == 0.6
        bar.setOff()
        assert bar.value().mode is CompareMode.OFF


def test_a_choice_survives_new_layers_and_falls_back_when_its_layer_is_gone(bar):
    bar.setChoices(["more", "counts", "imputed"])
    assert (bar.value().first, bar.value().second) == ("counts", "imputed")
    bar.setChoices(["more", "counts"])
    assert (bar.value().first, bar.value().second) == ("counts", "counts")
    bar.setChoices(["one"])
    assert not bar.buttons[CompareMode.SWIPE].isEnabled()
    assert bar.buttons[CompareMode.OFF].isEnabled()
