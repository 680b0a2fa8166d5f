import json

from napari_s2sst.engine.training.progress import RECENT_STEPS, Progress


def some_steps(count: int = 3) -> Progress:
    progress = Progress(steps=10, parts=2)
    for number in range(count):
        progress.step += 1
        progress.untold_losses.append({"loss": 1.0 + number, "hidden": 0.5})
        progress.add_step(0.25)
    return progress


def test_steps_are_told_once_with_their_mean_loss_and_leave_a_row():
    progress = some_steps()
    event = progress.stepped()
    assert (event.step, event.steps, event.loss, event.terms) == (3, 10, 2.0, {"hidden": 0.5})
    assert (event.steps_per_second, event.seconds_left) == (4.0, 1.75)
    assert progress.untold_losses == []
    assert progress.rows == [{"step": 3, "seconds": 0.75, "loss": 2.0, "hidden": 0.5}]


def test_progress_goes_through_json_and_comes_back():
    progress = some_steps()
    progress.stepped()
    progress.validated(0.3, 0.2)
    progress.ended = "the held-out error no longer fell"
    again = Progress(steps=None, parts=1)
    again.restore(json.loads(json.dumps(progress.record())), list(progress.rows))
    assert abs(again.seconds - progress.seconds) < 1
    again.began = progress.began
    assert again == progress
    assert again.validated_before() == progress.validated_before()


def test_a_machine_that_needs_more_parts_keeps_its_own_number():
    progress, small = some_steps(), Progress(steps=10, parts=8)
    small.restore(progress.record(), [])
    assert small.parts == 8


def test_only_recent_steps_say_how_fast_it_goes():
    progress = some_steps(2 * RECENT_STEPS)
    assert len(progress.durations_s) == RECENT_STEPS
    assert progress.spent_s == 0.25 * 2 * RECENT_STEPS
    assert progress.is_over
