"""A jobs file says what is wrong with it before anything is opened."""

from pathlib import Path

import pytest

from napari_s2sst import read_jobs
from napari_s2sst.engine.errors import ConfigError

GOOD = 'slide = "cube.npz"\nout = "out"\ngenes = ["A"]\n'


@pytest.fixture
def written(tmp_path):
    (tmp_path / "cube.npz").write_bytes(b"")
    (tmp_path / "genes.txt").write_text("B\n\nA\nB\n")

    def write(text: str) -> Path:
        (tmp_path / "jobs.toml").write_text(text)
        return tmp_path / "jobs.toml"

    return write


def test_paths_begin_at_the_folder_of_the_file_and_defaults_hold_for_every_job(written, tmp_path):
    first, second = read_jobs(
        written(
            '[defaults]\nstride = 3\nsteps = 9\nall_genes = true\n[defaults.settings]\nbatch = 3\n[[job]]\nslide = "cube.npz"\n'
            'out = "a"\n[[job]]\nname = "other"\nslide = "cube.npz"\nout = "b"\ngenes_file = "genes.txt"\nseconds = 4\n'
            'genes_per_task = "all"\n[job.settings]\nlearning_rate = 0.01\n'
        )
    )
    assert (first.slide, first.out, first.genes) == (tmp_path / "cube.npz", tmp_path / "a", None)
    assert (first.config.sampling.stride, first.config.training.steps, first.config.training.batch) == (3, 9, 3)
    assert (second.genes, second.genes_per_task, second.title) == (("B", "A"), None, "other")
    assert (second.config.training.seconds, second.config.training.steps) == (4, None)
    assert (second.config.training.batch, second.config.training.learning_rate) == (3, 0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no job"),
        ("[[job]", "not valid TOML"),
        ('slide = "x"\n', "'slide' outside of a job"),
        (f"[[job]]\n{GOOD}strid = 3\n", "job 1: there is no key 'strid'. Did you mean 'stride'"),
        (f"[defaults]\ngenez = 1\n[[job]]\n{GOOD}", r"\[defaults\]: there is no key 'genez'"),
        (f"[[job]]\n{GOOD}stride = 9\n", "job 1: sampling.stride can't be 9"),
        (f"[[job]]\n{GOOD}stride = true\n", "job 1: stride = True must be a whole number"),
        (f"[[job]]\n{GOOD}all_genes = true\n", "job 1: choose genes with one of .*it has genes and all_genes"),
        ('[[job]]\nname = "s7"\nslide = "cube.npz"\nout = "o"\n', r"job 1 \(s7\): choose genes"),
        (f"[[job]]\n{GOOD}\n[[job]]\n{GOOD}", "jobs 1 and 2 .* both have the folder"),
        ('[[job]]\nslide = "gone"\nout = "o"\ngenes = ["A"]\n', "job 1: there is no slide = 'gone'; looked for"),
        (f'[[job]]\n{GOOD}regions = "gone.json"\n', "job 1: there is no regions = 'gone.json'"),
        ('[[job]]\nout = "o"\ngenes = ["A"]\n', "job 1: the key 'slide' is missing"),
        (f"[[job]]\n{GOOD}steps = 'y'\nstride = 'x'\n", "job 1: steps = 'y' must be a whole number"),
        (f"[[job]]\n{GOOD}bogus = 1\nstride = 'x'\n", "job 1: there is no key 'bogus'"),
        (f"[[job]]\n{GOOD}genes_per_task = 0\n", "job 1: genes_per_task = 0 must be"),
        (f"[[job]]\n{GOOD}seconds = 1\nsteps = 1\n", "job 1: seconds and steps exclude each other"),
        (f'[[job]]\n{GOOD}preset = "fats"\n', "job 1: There is no preset 'fats'"),
        (f"[[job]]\n{GOOD}[job.settings]\nlearning_rat = 1\n", "job 1: There is no setting 'learning_rat'"),
        (f"[[job]]\n{GOOD}[job.settings]\nstride = 3\n", "job 1: settings.stride can't be"),
        ('[[job]]\nslide = "cube.npz"\nout = "o"\ngenes = []\n', "job 1: genes = .* must be names"),
    ],
)
def test_a_mistake_is_named_with_its_job_and_key(written, text, said):
    with pytest.raises(ConfigError, match=said):
        read_jobs(written(text))


def test_a_file_that_is_not_there_is_said(tmp_path):
    with pytest.raises(ConfigError, match="can't be read"):
        read_jobs(tmp_path / "gone.toml")
