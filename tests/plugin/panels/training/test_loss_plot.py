import csv
import time

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QImage, QWheelEvent
from qtpy.QtWidgets import QApplication

from napari_s2sst.plugin.panels.training.loss_plot import LossPlot
from napari_s2sst.plugin.session import LossPoint


def points(count: int) -> list[LossPoint]:
    """Errors that fall from 0.5 towards 0.3."""
    fall = 0.3 + 0.2 * np.exp(-5 * np.arange(count) / count)
    return [LossPoint(20 * i, float(error), float(error) + 0.01) for i, error in enumerate(fall)]


@pytest.fixture
def plot(qtbot):
    """Shown, with 50 points and kriging as the best classical method."""
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.resize(364, 230)
    plot.setClassical({"inverse distance": 0.36, "kriging": 0.345})
    plot.setLosses(points(50))
    qtbot.waitExposed(plot)
    QApplication.processEvents()
    return plot


def wheel(plot, *, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    view = plot._plot.viewport()
    place = QPointF(view.rect().center())
    event = QWheelEvent(
        place, QPointF(view.mapToGlobal(place.toPoint())), QPoint(0, 0), QPoint(0, 240), Qt.MouseButton.NoButton, modifier,
        Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(view, event)
    QApplication.processEvents()


def span(plot) -> float:
    """Width of what is seen, in steps."""
    steps, _ = plot._plot.viewRange()
    return steps[1] - steps[0]


def test_it_is_hidden_until_there_is_something_to_show(qtbot):
    plot = LossPlot()
    qtbot.addWidget(plot)
    plot.setClassical({"kriging": 0.3})
    assert plot.isHidden()
    plot.setLosses(points(1))
    assert not plot.isHidden()
    plot.clear()
    assert plot.isHidden()
    assert plot.curves.classical is None


def test_the_best_classical_method_is_a_line_with_its_name(plot):
    assert plot._classical.isVisible()
    assert plot._classical.value() == pytest.approx(0.345)
    assert "kriging" in plot._legend.text()


def test_a_run_without_held_out_bins_shows_its_loss_alone(plot):
    plot.setLossCurve([(0, 2.0), (10, 1.0)])
    assert plot._training.getData()[1].tolist() == [2.0, 1.0]
    assert "training&nbsp;loss" in plot._legend.text()
    assert not plot._classical.isVisible()


def test_a_logarithmic_axis_moves_curves_and_line_alike(plot):
    plot.log_box.click()
    assert plot._classical.value() == pytest.approx(np.log10(0.345))
    assert plot._training.getData()[1][0] == pytest.approx(np.log10(0.5))
    plot.log_box.click()
    assert plot._classical.value() == pytest.approx(0.345)


def test_the_wheel_scrolls_the_page_until_the_plot_is_clicked(qtbot, plot):
    before = span(plot)
    plot.log_box.setFocus()
    wheel(plot)
    assert span(plot) == before
    assert plot.reset_button.isHidden()
    wheel(plot, modifier=Qt.KeyboardModifier.ControlModifier)
    assert span(plot) < before


def test_a_zoomed_view_can_be_reset(qtbot, plot):
    before = span(plot)
    wheel(plot, modifier=Qt.KeyboardModifier.ControlModifier)
    assert plot.reset_button.isVisible()
    qtbot.mouseClick(plot.reset_button, Qt.MouseButton.LeftButton)
    QApplication.processEvents()
    assert span(plot) == pytest.approx(before)
    assert plot.reset_button.isHidden()


def test_keys_zoom_and_reset_too(qtbot, plot):
    before = span(plot)
    qtbot.keyClicks(plot._plot, "+")
    assert span(plot) == pytest.approx(0.8 * before)
    assert plot.reset_button.isVisible()
    qtbot.keyClicks(plot._plot, "-")
    qtbot.keyClick(plot._plot, Qt.Key.Key_Home)
    QApplication.processEvents()
    assert span(plot) == pytest.approx(before)


def test_dragging_moves_the_view(qtbot, plot):
    view = plot._plot.viewport()
    before = plot._plot.viewRange()[0]
    middle = view.rect().center()
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=middle)
    for shift in (10, 25, 40):
        qtbot.mouseMove(view, middle + QPoint(shift, 0))
        QApplication.processEvents()
        qtbot.wait(20)
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=middle + QPoint(40, 0))
    QApplication.processEvents()
    assert plot._plot.viewRange()[0][0] < before[0]
    assert plot.reset_button.isVisible()


def test_a_view_that_was_not_zoomed_follows_the_curves(plot, qtbot):
    qtbot.waitUntil(lambda: span(plot) > 1)  # the view fits itself to the curves when it is painted
    before = span(plot)
    plot.setLosses(points(200))
    qtbot.waitUntil(lambda: span(plot) > 3 * before, timeout=300_000)


def test_a_zoomed_view_stays_where_it_is_while_training_goes_on(plot):
    wheel(plot, modifier=Qt.KeyboardModifier.ControlModifier)
    before = plot._plot.viewRange()
    plot.setLosses(points(200))
    QApplication.processEvents()
    assert plot._plot.viewRange() == before


def test_the_mouse_tells_the_values_of_the_nearest_step(qtbot, plot):
    place = plot._plot.getViewBox().mapViewToScene(QPointF(401, 0.4))
    plot._plot.scene().sigMouseMoved.emit(place)
    point = points(50)[20]
    assert plot._here.text() == "step 400"
    assert f"held&nbsp;out&nbsp;{point.held_out_mae:.3g}" in plot._legend.text()
    plot._plot.scene().sigMouseMoved.emit(QPointF(-5, -5))
    assert plot._here.text() == ""


def test_the_curves_are_written_as_numbers(plot, tmp_path):
    plot.write_curves(tmp_path / "losses.csv")
    with (tmp_path / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 50
    assert rows[3].keys() == {"step", "training_mae", "held_out_mae", "kriging_mae"}
    assert int(rows[3]["step"]) == 60
    assert float(rows[3]["held_out_mae"]) == pytest.approx(points(50)[3].held_out_mae, rel=1e-6)


def test_a_loss_is_written_under_its_own_name(plot, tmp_path):
    plot.clear()
    plot.setLossCurve([(0, 2.0), (10, 1.0)])
    plot.write_curves(tmp_path / "losses.csv")
    assert (tmp_path / "losses.csv").read_text().split() == ["step,training_loss", "0,2", "10,1"]


@pytest.mark.parametrize("theme", ["#ffffff", "#000000"])
def test_the_picture_is_white_with_all_three_colours_in_any_theme(plot, tmp_path, theme):
    plot.setTheme(theme)
    plot.write_picture(tmp_path / "losses.png")
    image = QImage(str(tmp_path / "losses.png"))
    assert image.width() > 1500
    assert image.pixelColor(2, 2).name() == "#ffffff"
    seen = {image.pixelColor(x, y).name() for x in range(0, image.width(), 2) for y in range(0, image.height(), 2)}
    assert {"#56b4e9", "#e69f00", "#009e73"} <= seen


def test_the_picture_shows_what_is_seen(plot, tmp_path):
    plot.write_picture(tmp_path / "whole.png")
    wheel(plot, modifier=Qt.KeyboardModifier.ControlModifier)
    plot.write_picture(tmp_path / "part.png")
    assert (tmp_path / "whole.png").read_bytes() != (tmp_path / "part.png").read_bytes()


def test_the_plot_is_copied_to_the_clipboard(qtbot, plot):
    plot.copy()
    qtbot.waitUntil(lambda: not QApplication.clipboard().image().isNull(), timeout=300_000)
    assert QApplication.clipboard().image().width() > 1500


@pytest.mark.parametrize("write", ["write_curves", "write_picture"])
def test_a_place_that_cannot_be_written_is_told_in_a_sentence(qtbot, plot, tmp_path, write):
    with qtbot.waitSignal(plot.failed, timeout=300_000) as told:
        getattr(plot, write)(tmp_path / "no such folder" / "losses")
    assert "can't be written" in told.args[0]


def test_two_thousand_points_are_drawn_without_a_stall(plot):
    many = points(2000)
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        plot.setLosses(many)
        plot._plot.viewport().repaint()
        taken.append(time.perf_counter() - began)
    assert np.median(taken) < 2  # 3 ms on an idle machine; what is drawn anew for every point takes longer


def test_it_grows_with_the_window_and_never_below_its_least_height(plot):
    plot.resize(364, 500)
    QApplication.processEvents()
    assert plot._plot.height() > 400
    plot.resize(364, 50)
    QApplication.processEvents()
    assert plot._plot.height() >= 150
    assert plot.minimumSizeHint().width() <= 364
