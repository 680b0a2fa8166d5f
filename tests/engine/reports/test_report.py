"""A report holds what helps to find an error, and no name of a place or a person."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from napari_s2sst.engine.config import RunConfig
from napari_s2sst.engine.errors import ExportError
from napari_s2sst.engine.reports import log as private_names
from napari_s2sst.engine.reports.log import (
    MAX_BYTES,
    LogFile,
    begin_log,
    hide_name,
    hide_path,
    log_path,
    old_log_path,
    read_log,
    without_names,
)
from napari_s2sst.engine.reports.report import report_text, save_report

log = logging.getLogger("napari_s2sst.engine.test")


@pytest.fixture(autouse=True)
def no_names_of_other_tests(monkeypatch):
    """A slide that any test opened in this process would be looked for in these texts."""
    monkeypatch.setattr(private_names, "_names", {})


@pytest.fixture(autouse=True)
def state_folder(tmp_path, monkeypatch) -> Iterator[Path]:
    """The log of the window's tests, which may come after in this process, is begun by the window."""
    monkeypatch.setenv("S2SST_STATE_DIR", str(tmp_path / "state"))
    begin_log({"made for": "a test"})
    yield tmp_path / "state"
    logger = logging.getLogger("napari_s2sst")
    for handler in [each for each in logger.handlers if isinstance(each, LogFile)]:
        logger.removeHandler(handler)


def test_a_slides_path_its_folders_and_its_name_are_replaced():
    hide_path("/data/Jane Roe/output-XETG 3/outs", "the slide")
    assert without_names("/data/Jane Roe/output-XETG 3/outs is no slide") == "<the slide> is no slide"
    assert without_names("/data/Jane Roe/output-XETG 3/outs/cells.parquet") == "<the slide>/cells.parquet"
    assert "Roe" not in without_names("see /data/Jane Roe/notes.txt")
    assert without_names("outs has 3 genes, outside 4") == "<the slide> has 3 genes, outside 4"


def test_what_stands_for_a_name_is_not_searched_for_names():
    hide_path("/data/Jane Roe/slide", "the slide")
    hide_name("the", "region 1")
    assert without_names("/data/Jane Roe/slide is bad") == "<the slide> is bad"
    assert without_names("see the slide") == "see <region 1> <the slide>"


def test_a_windows_path_is_replaced_as_it_is_and_as_python_writes_it():
    hide_path(r"C:\slides\Jane Roe\marrow.h5ad", "the slide")
    told = without_names(r"C:\slides\Jane Roe\marrow.h5ad or 'C:\\slides\\Jane Roe\\marrow.h5ad'")
    assert "Roe" not in told


def test_the_home_folder_and_unknown_paths_are_replaced():
    home = Path.home()
    for text in (f"{home}/secret.npz", f"'{home}/two words/secret.npz'", "/mnt/secret/x.npz", r"D:\secret\x.npz"):
        told = without_names(f"can't read {text}: bad")
        assert "secret" not in told
        assert str(home) not in told
        assert told.endswith(": bad")


def test_a_region_somebody_named_is_replaced():
    hide_name("Jane's tumour", "region 1")
    assert without_names("No tissue lies inside 'Jane's tumour'.") == "No tissue lies inside '<region 1>'."


@pytest.mark.parametrize(
    "text", ["1/2 of 3 / 4", "https://pytorch.org/docs", "um/px and/or bins", "steps/s 3,4", "~ 5 s"]
)
def test_what_is_no_path_stays(text):
    assert without_names(text) == text


def test_a_traceback_keeps_the_names_of_the_programs_files():
    import torch

    import napari_s2sst

    told = without_names(f'File "{napari_s2sst.__file__}", line 3\nFile "{torch.__file__}", line 4')
    assert told.count("napari_s2sst/__init__.py") == 1
    assert told.count("torch/__init__.py") == 1
    assert str(Path.home()) not in told or len(Path.home().parts) <= 1


def test_an_error_comes_into_the_log_with_its_traceback_and_what_it_ran_with():
    hide_path("/data/Jane Roe/marrow.h5ad", "the slide")
    code = """
import logging
from napari_s2sst.engine.reports.log import begin_log
begin_log({"platform": "here"})
begin_log({"platform": "again"})
try:
    raise KeyError("/data/x/marrow.h5ad")
except KeyError:
    logging.getLogger("napari_s2sst.plugin.threads.run").exception("a run failed")
logging.getLogger("napari_s2sst.plugin.threads.run").info("not worth it")
logging.getLogger("napari_s2sst").warning("twice")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    text = log_path().read_text()
    assert "Traceback" in text
    assert "KeyError" in text
    assert "marrow" not in text
    assert text.count("platform: here") == 1
    assert "again" not in text
    assert "not worth it" not in text
    assert text.count("twice") == 1


def test_the_log_never_grows_beyond_two_files_of_half_a_megabyte():
    for number in range(25):
        log.warning("%d %s", number, "x" * 100_000)
    assert log_path().stat().st_size <= MAX_BYTES
    assert old_log_path().stat().st_size <= MAX_BYTES
    assert len(list(log_path().parent.iterdir())) == 2
    assert " 24 xxx" in read_log()


def test_a_log_that_can_t_be_written_ends_nothing(state_folder):
    state_folder.write_text("a file in the way")
    log.error("nobody reads this")
    assert read_log() == ""


def test_a_report_has_versions_devices_settings_and_the_log(tmp_path):
    hide_path(tmp_path / "Jane Roe" / "marrow.h5ad", "the slide")
    log.error("it failed at %s", tmp_path / "Jane Roe" / "marrow.h5ad")
    config = RunConfig.preset("fast", seed=17, images=tmp_path / "Jane Roe")
    text = save_report(tmp_path / "report.txt", config, {"Qt": "PyQt6, Qt 6.11"}).read_text()
    for wanted in ("napari-s2sst: ", "platform: ", "torch: 2", "devices: ", "cpu (", "PyQt6, Qt 6.11", '"seed": 17',
                   "it failed at <the slide>", "no counts"):  # fmt: skip
        assert wanted in text
    assert "Roe" not in text
    assert os.path.expanduser("~/") not in text or os.path.expanduser("~") == "/"


def test_a_slide_called_slide_leaves_what_the_window_is_doing_readable():
    hide_path("/data/Jane Roe/slide", "the slide")
    assert "window: no slide; check" in report_text(None, {"window": "no slide; check"})


def test_a_report_needs_no_window_and_no_log():
    text = report_text(None, {})
    assert "no window is open" in text
    assert text.endswith("empty\n")


def test_a_report_that_can_t_be_written_is_one_sentence(tmp_path):
    with pytest.raises(ExportError, match="can't be written"):
        save_report(tmp_path / "nowhere" / "report.txt", None, {})
