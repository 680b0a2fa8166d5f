"""What the window keeps of a training: written whole, read back the same, held by one process, gone when it is done with."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from shapely.geometry import MultiPolygon, Polygon, box

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import CheckpointError, ExportError
from napari_s2sst.engine.maps import GeneMap
from napari_s2sst.engine.runs.saved_run import (
    RECORD,
    TISSUE,
    Painted,
    Record,
    SavedRun,
    day_and_time,
    interrupted_trainings,
    left_behind,
    named,
    new_saved_run,
    trainings_folder,
)
from napari_s2sst.engine.sampling.lattice import sample
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.engine.training.train import fit, train

SMALL = dict(blocks=1, channels=8, growth=4, start_from="random", batch=3, image_batch=2, symmetries=1, device="cpu")

HOLD = """
import sys, time
from pathlib import Path
from napari_s2sst.engine.runs.saved_run import SavedRun
kept = SavedRun(Path(sys.argv[1]))
print(kept.hold(), flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def state_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("S2SST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def record(slide: Path, **changes) -> Record:
    given = dict(slide=slide, slide_name="bone marrow", mode="check", genes=("LTF",), config=RunConfig.preset("fast"))
    return Record(**{**given, **changes})


def sparse():
    rng = np.random.default_rng(0)
    return sample(GeneMap(rng.poisson(3.0, (48, 48)), gene="LTF"), stride=2)


def left(slide: Path, steps: int = 6, until: int = 3, **changes) -> SavedRun:
    """A training that took some steps and was then left behind."""
    config = RunConfig.preset("fast", **SMALL, steps=steps)
    kept = new_saved_run()
    kept.write(record(slide, config=config, **changes))
    events = train([sparse()], config, checkpoint=kept.checkpoint, checkpoint_every_s=0)
    while getattr(next(events), "step", 0) < until:
        continue
    events.close()
    kept.release()
    return kept


def test_what_was_asked_for_is_read_back_as_it_was(tmp_path):
    square = Region("a duct", Polygon([(0.1, 0.2), (9.7, 0.3), (9, 9)], [[(6, 2), (7, 2), (7, 3)]]))
    parts = Region("two parts", MultiPolygon([box(20, 0, 30, 1 / 3), box(40, 0, 50, 10)]))
    edits = np.zeros((5, 7), np.uint8)
    edits[1, 2], edits[3, 4] = 1, 2
    config = RunConfig.preset("balanced", steps=99, stride=3, bin_um=12.5, images=tmp_path, seed=4)
    kept = new_saved_run()
    given = record(
        tmp_path, genes=("A", "B"), config=config, regions=(square, parts), painted=Painted(edits, 2.5, (80.0, 0.5)),
        edited_tissue=True, waiting=("C",), mode="fill in",
    )  # fmt: skip
    kept.write(given)
    found = SavedRun(kept.folder).read()
    assert found.config == config
    assert [region.name for region in found.regions] == ["a duct", "two parts"]
    assert [region.polygon for region in found.regions] == [square.polygon, parts.polygon]
    assert np.array_equal(found.painted.values, edits)
    assert (found.painted.bin_um, found.painted.origin_um) == (2.5, (80.0, 0.5))
    for name in ("slide", "slide_name", "mode", "genes", "waiting", "edited_tissue", "began_at", "program"):
        assert getattr(found, name) == getattr(given, name)
    assert kept.start() is None


def test_first_weights_that_were_in_no_file_are_kept_to_the_last_bit(tmp_path):
    start = fit([sparse()], RunConfig.preset("fast", **SMALL, steps=1))
    kept = new_saved_run()
    kept.write(record(tmp_path, start=start))
    found = SavedRun(kept.folder).start()
    assert found.weights.keys() == start.weights.keys()
    assert all(each.equal(found.weights[name]) for name, each in start.weights.items())


def test_a_training_that_is_held_is_offered_to_nobody_until_its_process_is_killed(tmp_path):
    kept = left(tmp_path)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(kept.folder)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline().strip() == "True"
            assert not kept.hold()
            assert left_behind() == []
            kept.remove()
            assert (kept.folder / RECORD).exists()
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=60)
    assert [each.folder for each in left_behind()] == [kept.folder]


def test_two_windows_of_one_process_are_in_each_others_way_too(tmp_path):
    kept = left(tmp_path)
    other = SavedRun(kept.folder)
    assert kept.hold()
    assert kept.hold()
    assert not other.hold()
    kept.release()
    assert other.hold()


def test_removing_leaves_nothing_and_may_be_done_twice(tmp_path, state_folder):
    kept = left(tmp_path, regions=(Region("one", box(0, 0, 100, 100)),))
    kept.remove()
    kept.remove()
    kept.release()
    assert list((state_folder / "trainings").iterdir()) == []


def test_what_was_never_saved_is_not_offered_and_goes(tmp_path, state_folder):
    kept = new_saved_run()
    kept.write(record(tmp_path))
    kept._let_go()  # as when its process dies
    assert left_behind() == []
    assert not kept.folder.exists()


def test_a_folder_that_can_t_be_written_is_one_sentence_and_leaves_nothing(tmp_path, state_folder):
    state_folder.write_text("a file in the way")
    with pytest.raises(ExportError, match=r"^Nothing can be written to .*trainings\.$"):
        new_saved_run().write(record(tmp_path))
    assert left_behind() == []


@pytest.mark.skipif(os.name == "nt", reason="file sizes are limited in another way there")
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, state_folder):
    code = f"""
import resource
from pathlib import Path
from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import ExportError
from napari_s2sst.engine.runs.saved_run import Record, new_saved_run
config = RunConfig.preset("fast")
record = Record(slide=Path({str(tmp_path)!r}), slide_name="slide", mode="check", genes=("LTF",), config=config)
new_saved_run().remove()
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    new_saved_run().write(record)
except ExportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "can't be written" in done.stdout
    assert list((state_folder / "trainings").iterdir()) == []


def test_a_damaged_record_is_one_sentence(tmp_path):
    kept = left(tmp_path)
    (kept.folder / RECORD).write_text('{"format": "something else"}')
    with pytest.raises(CheckpointError, match="damaged record"):
        kept.read()
    (offered,) = interrupted_trainings()
    assert offered.sentence() == "A training was interrupted, and what was kept of it can't be read."


def test_a_tissue_file_that_would_run_code_is_not_read(tmp_path):
    kept = left(tmp_path)
    np.savez(kept.folder / TISSUE, values=np.array([object()]), bin_um=1.0, origin_um=(0.0, 0.0))
    with pytest.raises(CheckpointError, match="damaged record"):
        kept.read()


def test_a_damaged_checkpoint_is_one_sentence(tmp_path):
    kept = left(tmp_path)
    kept.checkpoint.write_bytes(b"no checkpoint")
    (offered,) = interrupted_trainings()
    assert offered.problem == "The training of LTF was interrupted, and what was kept of it can't be read."


def test_an_offer_says_what_where_how_far_and_when(tmp_path):
    left(tmp_path, steps=6, until=3, waiting=("KRT8", "ERBB2"))
    (offered,) = interrupted_trainings()
    saved_at = datetime.fromisoformat(offered.unfinished.saved_at)
    tomorrow = saved_at + timedelta(days=1)
    assert offered.problem == ""
    assert offered.sentence(tomorrow) == (
        f"A training of LTF (bone marrow, 20 µm, stride 2) was interrupted at step {offered.unfinished.step} of 6, "
        f"yesterday {saved_at.astimezone():%H:%M}. 2 more were waiting."
    )


def test_the_newest_is_offered_first(tmp_path):
    first = left(tmp_path)
    second = SavedRun(first.folder.with_name("99999999-000000-00000000"))
    first.folder.rename(second.folder)
    third = left(tmp_path)
    assert [offer.saved_run.folder for offer in interrupted_trainings()] == [second.folder, third.folder]


def test_a_slide_that_is_gone_and_another_version_are_said_in_one_sentence(tmp_path):
    left(tmp_path / "nowhere")
    (offered,) = interrupted_trainings()
    assert offered.sentence() == (
        f"The training of LTF was interrupted, and can't go on: its slide is no longer at {tmp_path / 'nowhere'}."
    )
    offered.saved_run.remove()
    left(tmp_path, program="0.0.1")
    (offered,) = interrupted_trainings()
    assert "version 0.0.1 of the program began it, and this is version" in offered.sentence()


def test_looking_where_nothing_was_kept_makes_no_folder():
    assert interrupted_trainings() == []
    assert not trainings_folder().exists()


def test_genes_and_days_are_told_as_people_do():
    assert named(("LTF",)) == "LTF"
    assert named(("LTF", "KRT8")) == "LTF and KRT8"
    assert named(("A", "B", "C")) == "A, B and C"
    assert named(("A", "B", "C", "D")) == "A, B, C and 1 more gene"
    assert named(tuple("ABC") + ("D",) * 397) == "A, B, C and 397 more genes"
    now = datetime(2026, 11, 21, 12, tzinfo=UTC)
    assert day_and_time(now, now).startswith("today ")
    assert day_and_time(now - timedelta(days=3), now).startswith("on 2026-11-18 at ")
