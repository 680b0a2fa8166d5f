"""The session knows what can be done next; no Qt."""

import sys

import numpy as np
import pytest

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.events import Finished, Started, Stepped, Validated
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.plugin.session import MAX_CURVE_POINTS, Mode, Sampling, Session, State

STARTED = Started(genes=("LTF",), device="CPU", parameters=10, held_out_bins=5, classical={"bilinear": 0.5})


def stepped(step: int) -> Stepped:
    return Stepped(step=step, steps=100, loss=1.0 / (1 + step), terms={}, steps_per_second=10.0, seconds_left=1.0)


@pytest.fixture
def ready() -> Session:
    session = Session()
    session.open(object())
    session.gene_map = GeneMap(np.ones((8, 8)), gene="LTF")
    return session


def test_an_empty_session_can_only_open():
    session = Session()
    assert session.can_open
    others = (session.can_train, session.can_stop, session.can_pause, session.can_export, session.can_change)
    assert not any(others)


def test_training_waits_for_the_counts(ready):
    assert ready.can_train
    ready.gene_map = None
    assert not ready.can_train


def test_stop_is_possible_only_after_the_first_event(ready):
    ready.begin()
    assert not ready.can_stop
    ready.apply(STARTED)
    assert ready.can_stop
    assert not ready.can_train


def test_stopping_cannot_be_asked_for_twice_and_events_do_not_undo_it(ready):
    ready.begin()
    ready.apply(STARTED)
    ready.state = State.STOPPING
    ready.apply(stepped(1))
    assert ready.state is State.STOPPING
    assert not ready.can_stop


def test_after_the_last_event_nothing_can_be_stopped(ready):
    ready.begin()
    ready.apply(STARTED)
    ready.apply(Finished(10, 1.0, stopped=False))
    assert ready.state is State.SCORING
    assert not ready.can_stop


def test_a_run_without_a_result_leaves_the_earlier_result(ready):
    earlier = object()
    ready.result = earlier
    ready.begin()
    ready.message = "no"
    ready.end()
    assert ready.result is earlier
    assert ready.message == "no"
    assert ready.can_train


def test_every_change_tells_who_listens(ready):
    heard = []
    ready.events.state.connect(heard.append)
    ready.begin()
    ready.apply(STARTED)
    assert heard == [State.STARTING, State.TRAINING]


def test_the_curve_is_thinned_not_cut(ready):
    ready.begin()
    for step in range(3 * MAX_CURVE_POINTS):
        ready.apply(stepped(step))
    steps = [step for step, _ in ready.loss_curve]
    assert len(steps) <= MAX_CURVE_POINTS + 1
    assert steps[0] == 0
    assert steps[-1] > 2.9 * MAX_CURVE_POINTS


def test_validations_become_the_two_curves(ready):
    ready.begin()
    ready.apply(Validated(4, held_out_mae=0.6, training_mae=0.5))
    assert [(point.step, point.training_mae, point.held_out_mae) for point in ready.losses] == [(4, 0.5, 0.6)]


def test_bins_and_stride_reach_the_config(ready):
    ready.settings = RunConfig.preset("fast", seed=7)
    ready.sampling = Sampling(40.0, 3, Mode.CHECK)
    assert (ready.config.grid.bin_um, ready.config.sampling.stride, ready.config.seed) == (40.0, 3, 7)


def test_another_slide_forgets_the_result(ready):
    ready.result = object()
    ready.open(object())
    assert ready.result is None
    assert ready.gene_map is None


def test_the_session_needs_no_qt(tmp_path):
    import subprocess

    code = "import sys, napari_s2sst.plugin.session; print([m for m in sys.modules if 'Qt' in m or 'qtpy' in m])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
