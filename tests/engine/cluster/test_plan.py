"""What is done is not done again; what has changed, failed or gone is."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from napari_s2sst import Command, RunConfig, SlideJob, load_model, run_jobs
from napari_s2sst.engine.cluster.events import PartDone, PartTold
from napari_s2sst.engine.cluster.plan import RECORD_NAME, plan
from napari_s2sst.engine.errors import BundleError, ConfigError
from napari_s2sst.engine.events import Started, Stepped
from napari_s2sst.engine.training.checkpoint import CHECKPOINT_NAME, unfinished

TINY = RunConfig.preset(
    "fast", steps=6, device="cpu", blocks=1, channels=8, growth=4, cascades=1, start_from="random", batch=3, image_batch=2,
    symmetries=1, bin_um=10.0,
)  # fmt: skip


def drain(batch, stop_at=None):
    """(events, result); told to STOP after the first event of a training that is of the kind ``stop_at``."""
    events = []
    try:
        events.append(next(batch))
        while True:
            seen = stop_at is not None and isinstance(getattr(events[-1], "event", None), stop_at)
            events.append(batch.send(Command.STOP if seen else None))
    except StopIteration as end:
        return events, end.value


@pytest.fixture(scope="module")
def finished(cube, tmp_path_factory):
    """A job whose two genes are done, each alone; in this process, as Dask is not needed for one."""
    job = SlideJob(
        slide=cube, out=tmp_path_factory.mktemp("batch") / "out", genes=("WAVE", "RIDGE"), config=TINY, genes_per_task=1
    )
    events, result = drain(run_jobs([job], workers=None))
    assert len(result.done) == 2
    return job, events


@pytest.fixture
def again(finished, tmp_path):
    """The same in a folder of its own."""
    import shutil

    job = replace(finished[0], out=tmp_path / "out")
    shutil.copytree(finished[0].out, job.out)
    return job


def test_each_part_is_written_as_soon_as_it_is_ready(finished):
    job, events = finished
    kinds = [(type(event).__name__, getattr(getattr(event, "event", None), "step", None)) for event in events]
    done = [place for place, event in enumerate(events) if isinstance(event, PartDone)]
    assert kinds[0][0] == "Planned"
    assert any(isinstance(event, PartTold) and isinstance(event.event, Started) for event in events[done[0] :])
    names = {path.name for path in (job.out / "WAVE").iterdir()}
    assert names == {"imputed.h5ad", "WAVE.ome.tif", "WAVE.png", "scores.csv", "losses.csv", "model.safetensors", "run.json",
                     RECORD_NAME}  # fmt: skip


def test_a_second_run_does_nothing(finished):
    job, _ = finished
    before = {path: path.stat().st_mtime_ns for path in job.out.rglob("*")}
    events, result = drain(run_jobs([job]))
    assert [type(event).__name__ for event in events] == ["Planned"]
    assert (result.done, result.genes_done_before) == ((), 2)
    assert {path: path.stat().st_mtime_ns for path in job.out.rglob("*")} == before


def test_a_gene_more_is_one_part_more(finished):
    found = plan([replace(finished[0], genes=("SILENT", "WAVE", "RIDGE"))])
    assert [part.genes for part in found.parts] == [("SILENT",)]
    assert (found.genes_done, found.again) == (2, ())


def test_genes_that_differ_only_in_case_have_folders_that_do_not(tmp_path):
    cube = tmp_path / "two_species.npz"
    counts = np.random.default_rng(0).poisson(3.0, (2, 20, 20)).astype(np.float32)
    np.savez(cube, counts=counts, genes=np.array(["GAD1", "Gad1"]), bin_um=10.0)
    found = plan([SlideJob(slide=cube, out=tmp_path / "out", config=TINY, genes_per_task=1)])
    assert len({part.folder.name.casefold() for part in found.parts}) == 2


def test_other_settings_are_done_again_and_said(finished):
    found = plan([replace(finished[0], config=TINY.changed(learning_rate=0.01))])
    assert len(found.parts) == 2
    assert "learning_rate 0.01 instead of 0.0005" in found.again[0]
    assert plan([replace(finished[0], config=TINY.changed(device="auto"))]).parts == ()


def test_a_result_that_is_gone_is_done_again_and_said(again):
    (again.out / "RIDGE" / "RIDGE.png").unlink()
    found = plan([again])
    assert [part.why for part in found.parts] == ["RIDGE.png is gone"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"genes": 3, "files": 4, "settings": 5}', "\x00"])
def test_a_record_that_makes_no_sense_is_of_no_use(again, text):
    (again.out / "RIDGE" / RECORD_NAME).write_text(text)
    assert [part.genes for part in plan([again]).parts] == [("RIDGE",)]


def test_a_record_can_not_point_out_of_its_folder(again):
    path = again.out / "RIDGE" / RECORD_NAME
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "files": ["../../../etc/passwd"]}))
    assert [part.why for part in plan([again]).parts] == ["../../../etc/passwd is gone"]


def test_a_slide_that_has_changed_is_done_again_and_said(finished, tmp_path):
    copy = tmp_path / "cube.npz"
    copy.write_bytes(finished[0].slide.read_bytes())
    events = run_jobs([replace(finished[0], slide=copy, out=tmp_path / "out", genes=("WAVE",))])
    drain(events)
    os.utime(copy, ns=(1, 1))
    found = plan([replace(finished[0], slide=copy, out=tmp_path / "out", genes=("WAVE",))])
    assert [part.why for part in found.parts] == ["the slide has changed"]


def test_a_stopped_batch_goes_on_where_it_was(finished, tmp_path):
    job = replace(finished[0], out=tmp_path / "out", genes=("WAVE",), config=TINY.changed(steps=60))
    _, stopped = drain(run_jobs([job]), stop_at=Stepped)
    assert [part.genes for part in stopped.left] == [("WAVE",)]
    kept = unfinished(job.out / "WAVE" / CHECKPOINT_NAME).step
    assert 0 < kept < 60
    events, result = drain(run_jobs([job]))
    assert next(event.event.step for event in events if isinstance(event, PartTold)) == kept
    assert len(result.done) == 1
    assert load_model(job.out / "WAVE" / "model.safetensors").steps == 60
    assert not (job.out / "WAVE" / CHECKPOINT_NAME).exists()


def test_a_gene_or_bin_that_the_slide_has_not_is_said_before_anything_is_written(finished, tmp_path):
    job = replace(finished[0], out=tmp_path / "out", name="s1")
    with pytest.raises(BundleError, match=r"s1: .* has no gene NOPE"):
        next(run_jobs([replace(job, genes=("WAVE", "NOPE"))]))
    with pytest.raises(ConfigError, match=r"s1: .* has bins of 10 um, not 20"):
        next(run_jobs([replace(job, bin_um=20.0)]))
    np.testing.assert_equal(job.out.exists(), False)
