"""Layers are compared in a real window, and everything is as before when that ends."""

import numpy as np
import pytest

from napari_s2sst.engine.errors import ConfigError
from napari_s2sst.plugin.viewer.comparison import CompareChoice, CompareMode, Comparison, best_shape

KIND = "s2sst_kind"


@pytest.fixture
def maps(viewer):
    """A stain of several scales, three maps in the normalised space, and an error map."""
    rng = np.random.default_rng(0)
    place = {"units": ("um", "um"), "axis_labels": ("y", "x"), "scale": (10, 10), "translate": (5, 5)}
    stain = rng.random((400, 800)).astype(np.float32)
    layers = {
        "stain": viewer.add_image([stain, stain[::2, ::2]], name="stain", units=("um", "um"), axis_labels=("y", "x"),
                                  multiscale=True, metadata={"s2sst_bundle": "/a/slide"}),
    }  # fmt: skip
    for name, kind, limits in (("measured", "measured", (0, 2)), ("imputed", "imputed", (0, 4)),
                               ("second", "imputed", (0, 3)), ("error", "error", (-1, 1))):  # fmt: skip
        values = rng.random((40, 80)).astype(np.float32)
        layers[name] = viewer.add_image(values, name=name, contrast_limits=limits, metadata={KIND: kind}, **place)
    layers["second"].visible = False
    return layers


@pytest.fixture
def comparison(viewer, maps):
    found = Comparison(viewer)
    yield found
    found.end()


def state(viewer) -> dict:
    """All that has to be the same afterwards."""
    grid = viewer.canvas.grid
    return {
        "layers": [(layer.name, layer.visible, layer.name_overlay.visible) for layer in viewer.layers],
        "contrast": [(layer.contrast_limits, layer.contrast_limits_range) for layer in viewer.layers],
        "grid": (grid.enabled, grid.stride, tuple(grid.shape), grid.spacing),
        "zoom": pytest.approx(viewer.scene.camera.zoom),
        "pan": viewer.scene.camera.mouse_pan,
        "selected": viewer.layers.selection.active.name,
        "listens": (len(viewer.mouse_drag_callbacks), len(viewer.mouse_move_callbacks)),
        "keys": dict(viewer.keymap),
        "units": [tuple(map(str, layer.units)) for layer in viewer.layers],
    }


def start(comparison, maps, mode: str) -> None:
    first, second = maps["measured"], maps["imputed"]
    {
        "side by side": lambda: comparison.side_by_side([first, second]),
        "swipe": lambda: comparison.swipe(first, second),
        "blink": lambda: comparison.blink(first, second, interval_ms=20),
    }[mode]()


MODES = ("side by side", "swipe", "blink")


@pytest.mark.parametrize("mode", MODES)
def test_the_end_puts_everything_back(viewer, comparison, maps, mode, qtbot):
    viewer.layers.selection.active = maps["error"]
    data = {name: layer.data for name, layer in maps.items()}
    kept = {name: np.array(each) for name, each in data.items() if name != "stain"}
    before = state(viewer)
    start(comparison, maps, mode)
    comparison.set_position(0.2)
    qtbot.wait(70)
    with qtbot.waitSignal(comparison.ended):
        comparison.end()
    assert state(viewer) == before
    assert comparison.mode is CompareMode.OFF
    for name, each in kept.items():
        assert maps[name].data is data[name]
        np.testing.assert_array_equal(maps[name].data, each)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("other", MODES)
def test_another_mode_begins_from_what_was_before_the_first(viewer, comparison, maps, mode, other):
    before = state(viewer)
    start(comparison, maps, mode)
    start(comparison, maps, other)
    comparison.end()
    assert state(viewer) == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("deleted", ["measured", "imputed"])
def test_deleting_a_compared_layer_ends_the_comparison(viewer, comparison, maps, mode, deleted, qtbot):
    before = state(viewer)
    start(comparison, maps, mode)
    with qtbot.waitSignal(comparison.ended):
        viewer.layers.remove(maps[deleted])
    after = state(viewer)
    assert after["layers"] == [each for each in before["layers"] if each[0] != deleted]
    assert [after[name] for name in ("grid", "keys", "listens", "pan")] == [
        before[name] for name in ("grid", "keys", "listens", "pan")
    ]


def test_deleting_the_divider_ends_the_swipe(viewer, comparison, maps, qtbot):
    before = state(viewer)
    start(comparison, maps, "swipe")
    with qtbot.waitSignal(comparison.ended):
        viewer.layers.remove(viewer.layers["divider"])
    assert state(viewer)["layers"] == before["layers"]


def test_deleting_another_layer_changes_nothing(viewer, comparison, maps, qtbot):
    start(comparison, maps, "swipe")
    viewer.layers.remove(maps["error"])
    qtbot.wait(30)
    assert comparison.mode is CompareMode.SWIPE


def test_side_by_side_shows_each_map_alone_in_a_cell_with_its_name(viewer, comparison, maps):
    comparison.side_by_side([maps["measured"], maps["imputed"]])
    grid = viewer.canvas.grid
    assert [layer.name for layer in viewer.layers if layer.visible] == ["measured", "imputed"]
    cells = {
        layer.name: grid.position(viewer.layers.index(layer), viewer.layers) for layer in viewer.layers if layer.visible
    }
    assert sorted(cells.values()) in ([(0, 0), (0, 1)], [(0, 0), (1, 0)])
    assert cells["measured"] < cells["imputed"]
    assert all(maps[name].name_overlay.visible for name in cells)


def test_the_first_map_of_two_is_in_the_first_cell_whatever_the_order_of_the_list(viewer, comparison, maps):
    comparison.side_by_side([maps["imputed"], maps["measured"]])
    grid, layers = viewer.canvas.grid, viewer.layers
    assert grid.position(layers.index(maps["imputed"]), layers) == (0, 0)


def test_maps_of_one_space_share_their_contrast_and_others_do_not(comparison, maps):
    comparison.side_by_side([maps["measured"], maps["imputed"], maps["error"]])
    assert maps["measured"].contrast_limits == maps["imputed"].contrast_limits == [0, 4]
    assert maps["error"].contrast_limits == [-1, 1]
    maps["imputed"].contrast_limits = (0, 1)
    assert maps["measured"].contrast_limits == [0, 1]


def test_after_the_end_the_contrast_of_one_is_its_own_again(comparison, maps):
    comparison.side_by_side([maps["measured"], maps["imputed"]])
    comparison.end()
    maps["imputed"].contrast_limits = (0, 1)
    assert maps["measured"].contrast_limits == [0, 2]


@pytest.mark.parametrize("position", [0.0, 0.25, 1.0])
def test_left_of_the_divider_is_the_first_map_and_right_of_it_the_second(viewer, comparison, maps, position):
    comparison.swipe(maps["measured"], maps["imputed"], position)
    left, right = (viewer.layers[name].data for name in ("left: measured", "right: imputed"))
    cut = round(position * 80)
    np.testing.assert_array_equal(left[:, :cut], maps["measured"].data[:, :cut])
    np.testing.assert_array_equal(right[:, cut:], maps["imputed"].data[:, cut:])
    assert np.isnan(left[:, cut:]).all()
    assert np.isnan(right[:, :cut]).all()
    assert not maps["measured"].visible
    assert not maps["imputed"].visible


def test_the_divider_follows_drag_arrow_keys_and_slider(viewer, comparison, maps, qtbot):
    comparison.swipe(maps["measured"], maps["imputed"], 0.5)
    seen = []
    comparison.moved.connect(seen.append)
    comparison.set_position(0.3)
    viewer.keymap[next(key for key in viewer.keymap if str(key) == "Left")](viewer)
    assert seen == [0.3, pytest.approx(0.28)]
    event = MouseEvent((200, 0.28 * 800), "mouse_press")
    drag = viewer.mouse_drag_callbacks[-1](viewer, event)
    next(drag)
    for x in (300, 1e6):
        event.position, event.type = (200, x), "mouse_move"
        next(drag)
    event.type = "mouse_release"
    with pytest.raises(StopIteration):
        next(drag)
    assert seen[2:] == [pytest.approx(300 / 800), 1.0]
    qtbot.waitUntil(lambda: viewer.layers["divider"].data[0, 0, 1] == 800, timeout=300_000)


def test_a_drag_far_from_the_divider_is_left_to_the_camera(viewer, comparison, maps):
    comparison.swipe(maps["measured"], maps["imputed"], 0.5)
    hover, drag = viewer.mouse_move_callbacks[-1], viewer.mouse_drag_callbacks[-1]
    assert list(drag(viewer, MouseEvent((200, 5), "mouse_press"))) == []
    hover(viewer, MouseEvent((200, 400), "mouse_move"))
    assert not viewer.scene.camera.mouse_pan
    hover(viewer, MouseEvent((200, 5), "mouse_move"))
    assert viewer.scene.camera.mouse_pan


def test_a_stain_of_several_scales_can_be_swiped_against_a_map(viewer, comparison, maps):
    comparison.swipe(maps["stain"], maps["imputed"], 0.5)
    assert maps["stain"].visible
    assert "left: stain" not in viewer.layers
    assert np.isnan(viewer.layers["right: imputed"].data[:, :40]).all()


def test_the_stain_stays_below_a_swipe_and_other_maps_go(comparison, maps):
    comparison.swipe(maps["measured"], maps["imputed"])
    assert maps["stain"].visible
    assert not maps["error"].visible


def test_a_new_look_or_new_values_of_a_map_are_seen_in_the_swipe(viewer, comparison, maps, qtbot):
    comparison.swipe(maps["measured"], maps["imputed"], 0.5)
    maps["imputed"].contrast_limits = (0, 1)
    maps["imputed"].data = np.full((40, 80), 7, np.float32)
    copy = viewer.layers["right: imputed"]
    assert copy.contrast_limits == [0, 1]
    qtbot.waitUntil(lambda: bool((copy.data[:, 40:] == 7).all()), timeout=300_000)


def test_blinking_shows_one_and_the_other_in_turn(comparison, maps, qtbot):
    comparison.blink(maps["measured"], maps["imputed"], interval_ms=15)
    seen = set()

    def both() -> bool:
        now = (maps["measured"].visible, maps["imputed"].visible)
        seen.add(now)
        return len(seen) == 2

    qtbot.waitUntil(both, timeout=300_000)
    assert seen == {(True, False), (False, True)}


def test_the_bar_s_choice_starts_moves_and_ends_it(viewer, comparison, maps):
    comparison.show(CompareChoice(mode=CompareMode.SWIPE, first="measured", second="imputed", position=0.5))
    line = viewer.layers["divider"]
    comparison.show(CompareChoice(mode=CompareMode.SWIPE, first="measured", second="imputed", position=0.7))
    assert viewer.layers["divider"] is line, "moving does not begin anew"
    comparison.show(CompareChoice(mode=CompareMode.BLINK, first="measured", second="second", interval_ms=300))
    assert "divider" not in viewer.layers
    comparison.show(CompareChoice())
    assert comparison.mode is CompareMode.OFF


@pytest.mark.parametrize(
    ("choice", "word"),
    [
        (CompareChoice(mode=CompareMode.BLINK, first="measured", second="gone"), "gone"),
        (CompareChoice(mode=CompareMode.SIDE_BY_SIDE, first="measured", second="measured"), "two different"),
        (CompareChoice(mode=CompareMode.SWIPE, first="stain", second="other stain"), "at least one side"),
    ],
)
def test_what_cannot_be_compared_is_one_clear_sentence_and_changes_nothing(viewer, comparison, maps, choice, word):
    viewer.add_image([np.zeros((40, 80)), np.zeros((20, 40))], multiscale=True, name="other stain",
                     units=("um", "um"), axis_labels=("y", "x"))  # fmt: skip
    before = state(viewer)
    with pytest.raises(ConfigError, match=word):
        comparison.show(choice)
    assert state(viewer) == before


@pytest.mark.parametrize(
    ("count", "sides", "canvas", "shape"),
    [
        (2, (1, 3), (600, 800), (2, 1)),
        (2, (1, 1), (600, 800), (1, 2)),
        (4, (1, 1), (600, 600), (2, 2)),
        (3, (5, 1), (600, 800), (1, 3)),
    ],
)
def test_cells_are_laid_out_so_that_maps_appear_largest(count, sides, canvas, shape):
    assert best_shape(count, sides, canvas) == shape


class MouseEvent:
    """What napari tells its mouse callbacks."""

    def __init__(self, position, kind) -> None:
        self.position, self.type = position, kind
