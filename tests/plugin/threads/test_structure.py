"""Scores of a slide's genes, told from a real thread, and no more of a slide that was left."""

import threading

import pytest

from napari_s2sst.engine.slides.count_cube import open_count_cube
from napari_s2sst.engine.slides.structure import structure_parts
from napari_s2sst.engine.slides.xenium import open_xenium
from napari_s2sst.plugin.panels.slide.gene_table import GeneTable
from napari_s2sst.plugin.threads.structure import StructureTask


@pytest.fixture
def task(qapp):
    made = StructureTask()
    yield made
    made.abandon()


@pytest.fixture
def heard(task):
    """Every part, with the thread that it was told in."""
    parts = []
    task.scored.connect(lambda part: parts.append((part, threading.current_thread())))
    return parts


@pytest.fixture(scope="module")
def bundle(sample_slide):
    return open_xenium(sample_slide)


def test_all_genes_are_told_in_the_windows_thread(qtbot, task, heard, bundle):
    with qtbot.waitSignal(task.finished, timeout=300_000):
        task.start(bundle, list(bundle.genes), 10.0, 20.0)
    parts = list(structure_parts(bundle, bundle.genes, 10.0))
    assert {gene: score for part, _ in heard for gene, score in part.items()} == {
        gene: score for part in parts for gene, score in part.items()
    }
    assert {thread for _, thread in heard} == {threading.main_thread()}
    assert not task.busy


def test_another_slide_ends_the_first_ones_scores(qtbot, task, heard, bundle, cube):
    task.start(bundle, list(bundle.genes), 2.0, 20.0)
    with qtbot.waitSignal(task.finished, timeout=300_000):
        task.start(open_count_cube(cube), ["WAVE", "RIDGE"], 20.0, 20.0)
    qtbot.wait(500)
    assert [gene for part, _ in heard for gene in part] == ["WAVE", "RIDGE"]


def test_nothing_is_told_after_it_was_abandoned(qtbot, task, heard, bundle):
    task.scored.connect(task.abandon)
    ended = []
    task.finished.connect(lambda: ended.append(True))
    task.start(bundle, list(bundle.genes), 2.0, 20.0)
    assert task.busy
    qtbot.waitUntil(lambda: bool(heard), timeout=300_000)
    qtbot.wait(1000)
    assert len(heard) == 1
    assert len(heard[0][0]) < len(bundle.genes)
    assert (ended, task.busy) == ([], False)


def test_a_gene_that_is_not_there_is_one_sentence(qtbot, task, bundle):
    with qtbot.waitSignal(task.failed, timeout=300_000) as failed:
        task.start(bundle, ["NOPE"], 20.0, 20.0)
    assert failed.args[0].startswith("There is no gene 'NOPE'")
    assert not task.busy


def test_any_failure_is_one_sentence_a_runtime_error_too(qtbot, task):
    class Broken:
        @property
        def transcripts(self):
            raise RuntimeError("the disk is gone\nand more")

    with qtbot.waitSignal(task.failed, timeout=300_000) as failed:
        task.start(Broken(), ["LTF"], 20.0, 20.0)
    assert "the disk is gone" in failed.args[0]
    assert "\n" not in failed.args[0]


def test_the_table_fills_from_a_real_slide(qtbot, task, bundle):
    table = GeneTable()
    qtbot.addWidget(table)
    table.setGenes(bundle.genes)
    table.setValue(list(bundle.genes)[:1])
    task.scored.connect(table.setStructure)
    with qtbot.waitSignal(task.finished, timeout=300_000):
        task.start(bundle, table.model.genes, 20.0, 20.0)
    cells = [table.model.index(row, column).data() for row in range(table.model.rowCount()) for column in range(4)]
    assert all(cells)
    assert table.value() == tuple(bundle.genes)[:1]
