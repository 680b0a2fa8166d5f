"""What is kept of a large slide: read back exactly, never trusted blindly, never in the way."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from napari_s2sst.engine.slides.structure import structure_parts
from napari_s2sst.engine.slides.xenium import Bundle, open_xenium
from napari_s2sst.engine.transcripts.cache import VARIABLE, WORTH_BYTES, CountCache, cache_for, file_key
from napari_s2sst.engine.transcripts.grid import Grid
from napari_s2sst.engine.transcripts.table import TranscriptTable

KEY = {"kind": "trial", "path": "/slides/Größe 'a\"b", "bin_um": 20.0, "first": (0, -1)}


def scores_of(slide, genes):
    return {gene: score for part in structure_parts(slide, genes) for gene, score in part.items()}


@pytest.fixture
def cache(tmp_path) -> CountCache:
    return CountCache(tmp_path / "cache" / "counts")


def files(cache: CountCache) -> list[Path]:
    return sorted(cache.folder.glob("*"))


def slide(folder: Path, cache: CountCache | None, rows: int = 4000, seed: int = 0) -> Bundle:
    """A folder with a table of 30 genes and a control, opened with this cache."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(seed)
    names = [*(f"G{code}" for code in range(30)), "NegControlProbe_1"]
    codes = np.minimum(rng.exponential(6, rows).astype(np.int32), 30)
    table = {
        "feature_name": pa.DictionaryArray.from_arrays(codes, names).cast(pa.string()),
        "x_location": rng.uniform(0, 900, rows).astype(np.float32),
        "y_location": rng.uniform(0, 700, rows).astype(np.float32),
        "qv": rng.uniform(10, 40, rows).astype(np.float32),
    }
    pq.write_table(pa.table(table), folder / "transcripts.parquet")
    (folder / "experiment.xenium").write_text("{}")
    return opened(folder, cache)


def opened(folder: Path, cache: CountCache | None) -> Bundle:
    bundle = open_xenium(folder)
    return replace(bundle, transcripts=replace(bundle.transcripts, cache=cache))


def same(maps, others) -> bool:
    return all(
        one.gene == other.gene
        and np.array_equal(one.values, other.values)
        and np.array_equal(one.totals, other.totals)
        and np.array_equal(one.tissue, other.tissue)
        for one, other in zip(maps, others, strict=True)
    )


def used(bundle: Bundle, kind: str = "counts") -> bool:
    """Whether something of this kind is kept of the slide."""
    how = {"bin_um": 20.0, "first": Grid.over(bundle.extent_um, 20.0).first, "min_qv": 20.0} if kind == "counts" else {}
    return bundle.transcripts.cache.get(bundle.transcripts.cache_key(kind, **how)) is not None


# ---- tables


def test_columns_come_back_as_they_were_with_their_notes(cache):
    columns = {
        "gene": ["LTF", "HLA-DRÄ", ""],
        "bin": np.array([3, 4, 900], np.int32),
        "share": [0.5, float("nan"), 1.0],
    }
    assert cache.get(KEY) is None
    assert cache.keep(KEY, columns, {"rows": 7, "extent": None})
    kept = cache.get(KEY)
    assert kept.notes == {"rows": 7, "extent": None}
    read = kept.columns()
    assert read["gene"].tolist() == columns["gene"]
    np.testing.assert_array_equal(read["bin"], columns["bin"])
    np.testing.assert_array_equal(read["share"], columns["share"])


@pytest.mark.parametrize(
    ("first", "last"), [(0, 200_000), (0, 0), (200_000, 200_000), (65_535, 65_537), (131_072, 200_000)]
)
def test_a_part_of_the_rows_is_those_rows(cache, first, last):
    values = np.cumsum(np.random.default_rng(0).integers(1, 9, 200_000)).astype(np.int32)
    cache.keep(KEY, {"bin": values}, {})
    np.testing.assert_array_equal(cache.get(KEY).columns(first, last)["bin"], values[first:last])


@pytest.mark.parametrize("changed", [{"bin_um": 20.5}, {"first": (0, 0)}, {"path": "/slides/b"}, {"kind": "other"}])
def test_another_key_is_another_file(cache, changed):
    cache.keep(KEY, {"bin": np.arange(3)}, {})
    assert cache.get({**KEY, **changed}) is None


def test_a_file_that_was_kept_under_another_key_is_not_taken(cache):
    cache.keep(KEY, {"bin": np.arange(3)}, {})
    (file,) = files(cache)
    other = {**KEY, "bin_um": 5.0}
    cache.keep(other, {"bin": np.arange(9)}, {})
    (wanted,) = set(files(cache)) - {file}
    wanted.write_bytes(file.read_bytes())
    assert cache.get(other) is None


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\0" * len(data),
                                    lambda data: b"PAR1" + os.urandom(len(data) - 8) + b"PAR1",
                                    lambda data: data[:60] + bytes(byte ^ 0xFF for byte in data[60:90]) + data[90:]],
                         ids=["empty", "half", "zeros", "noise", "some bytes"])  # fmt: skip
def test_a_damaged_file_is_left_out_and_deleted(cache, damage):
    cache.keep(KEY, {"bin": np.random.default_rng(0).integers(0, 1 << 30, 5000)}, {})
    (file,) = files(cache)
    file.write_bytes(damage(file.read_bytes()))
    kept = cache.get(KEY)
    assert kept is None or kept.columns() is None
    assert files(cache) == []


def test_only_whole_files_are_there_while_several_processes_write_and_read_the_same_one(cache):
    script = (
        "import sys, pathlib, numpy as np\n"
        "from napari_s2sst.engine.transcripts.cache import CountCache\n"
        "cache = CountCache(pathlib.Path(sys.argv[1]))\n"
        "for turn in range(40):\n"
        "    cache.keep({'kind': 'race'}, {'bin': np.full(50_000, int(sys.argv[2]))}, {'by': int(sys.argv[2])})\n"
        "    kept = cache.get({'kind': 'race'})\n"
        "    values = kept.columns()['bin']\n"
        "    assert len(values) == 50_000 and values.min() == values.max(), 'a mixture'\n"
    )
    arguments = [sys.executable, "-c", script, str(cache.folder)]
    running = [subprocess.Popen([*arguments, str(number)], stderr=subprocess.PIPE) for number in range(3)]
    errors = [process.communicate(timeout=120)[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0, 0], errors
    assert len(files(cache)) == 1


def test_files_that_were_not_used_for_longest_go_first(tmp_path):
    def keep(cache, number):
        cache.keep({"number": number}, {"bin": np.random.default_rng(number).integers(0, 1 << 30, 4000)}, {})

    unlimited = CountCache(tmp_path)
    for number in range(4):
        keep(unlimited, number)
    for age, number in enumerate((2, 0, 3, 1)):  # 2 is the oldest
        os.utime(unlimited._place({"number": number}), (1000 + age, 1000 + age))
    assert unlimited.get({"number": 2})  # and is used
    one = files(CountCache(tmp_path))[0].stat().st_size
    keep(CountCache(tmp_path, limit_bytes=int(3.5 * one)), 9)
    assert [number for number in (0, 1, 2, 3, 9) if unlimited.get({"number": number})] == [1, 2, 9]


def test_what_ended_processes_left_behind_goes_and_what_others_write_stays(cache):
    cache.keep(KEY, {"bin": np.arange(3)}, {})
    old, young, foreign = (
        cache.folder / name for name in (".s2sst-a.parquet.1.part", ".s2sst-b.parquet.2.part", "letter.txt")
    )
    for path in (old, young, foreign):
        path.write_bytes(b"half")
    for path in (old, foreign):
        os.utime(path, (1000, 1000))
    cache.keep({**KEY, "bin_um": 1.0}, {"bin": np.arange(3)}, {})
    assert [path.exists() for path in (old, young, foreign)] == [False, True, True]


def test_a_folder_that_can_not_be_written_does_no_harm(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    cache = CountCache(tmp_path / "file" / "counts")
    assert not cache.keep(KEY, {"bin": np.arange(3)}, {})
    assert cache.get(KEY) is None
    bundle = slide(tmp_path / "slide", cache)
    assert same(bundle.gene_maps(bundle.genes), slide(tmp_path / "slide", None).gene_maps(bundle.genes))


# ---- a slide


def test_a_second_opening_reads_the_same_names_counts_and_maps(tmp_path, cache):
    first = slide(tmp_path / "slide", cache)
    counted = first.gene_maps(first.genes, 20.0)
    assert used(first)
    assert used(first, "survey")
    second = opened(first.path, cache)
    plain = opened(first.path, None)
    survey, expected = second.transcripts.survey, plain.transcripts.survey
    assert survey.names == expected.names
    assert (survey.rows, survey.extent_um) == (expected.rows, expected.extent_um)
    np.testing.assert_array_equal(survey.counts, expected.counts)
    np.testing.assert_array_equal(survey.is_gene, expected.is_gene)
    assert survey.is_gene.dtype == bool
    assert second.genes == first.genes == plain.genes
    assert same(second.gene_maps(first.genes, 20.0), counted)
    some = [*list(first.genes)[5:2:-1], "G2"]
    assert same(opened(first.path, cache).gene_maps(some, 20.0), plain.gene_maps(some, 20.0))
    assert same([second.gene_map("NegControlProbe_1")], [plain.gene_map("NegControlProbe_1")])


def test_maps_come_from_the_kept_file_and_not_from_the_table(tmp_path, cache):
    bundle = slide(tmp_path / "slide", cache)
    counted = bundle.gene_maps(bundle.genes)
    key = bundle.transcripts.cache_key(
        "counts", bin_um=20.0, first=Grid.over(bundle.extent_um, 20.0).first, min_qv=20.0
    )
    kept = cache.get(key)
    columns = kept.columns()
    cache.keep(key, {**columns, "count": columns["count"] * 2}, kept.notes)
    doubled = opened(bundle.path, cache).gene_maps(bundle.genes)
    np.testing.assert_array_equal(doubled[3].values, 2 * counted[3].values)
    np.testing.assert_array_equal(opened(bundle.path, cache).gene_map("G4").totals, 2 * counted[3].totals)


@pytest.mark.parametrize("how", [{"bin_um": 15.0}, {"min_qv": 30.0}])
def test_other_bins_and_other_quality_are_counted_anew(tmp_path, cache, how):
    bundle = slide(tmp_path / "slide", cache)
    bundle.gene_maps(bundle.genes)
    assert same(bundle.gene_maps(bundle.genes, **how), opened(bundle.path, None).gene_maps(bundle.genes, **how))


def test_a_slide_that_was_replaced_is_counted_anew_even_where_size_and_time_stayed(tmp_path, cache):
    old = slide(tmp_path / "slide", cache)
    old.gene_maps(old.genes)
    table = old.transcripts.path
    facts = table.stat()
    new = slide(tmp_path / "slide", cache, seed=1)
    with table.open("r+b") as file:
        file.truncate(table.stat().st_size)
    os.utime(table, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert new.transcripts.survey.counts.tolist() != old.transcripts.survey.counts.tolist()
    assert same(new.gene_maps(new.genes), opened(table.parent, None).gene_maps(new.genes))


def test_what_the_panel_file_says_of_genes_is_part_of_the_key(tmp_path, cache):
    bundle = slide(tmp_path / "slide", cache)
    assert "G1" in bundle.genes
    other = replace(bundle, transcripts=replace(bundle.transcripts, panel={"G1": False}))
    assert "G1" not in other.genes


ALL = [f"G{code}" for code in range(30)]


@pytest.mark.parametrize("notes", [{}, {"genes": ["G1"], "starts": [0, 5], "shape": [35, 45]},
                                   {"genes": ALL, "starts": [9] * 32, "shape": [35, 45]}])  # fmt: skip
def test_notes_that_do_not_fit_are_counted_over(tmp_path, cache, notes):
    bundle = slide(tmp_path / "slide", cache)
    key = bundle.transcripts.cache_key(
        "counts", bin_um=20.0, first=Grid.over(bundle.extent_um, 20.0).first, min_qv=20.0
    )
    cache.keep(key, {"bin": np.arange(5, dtype=np.int32), "count": np.ones(5, np.int32)}, notes)
    assert same(bundle.gene_maps(bundle.genes), opened(bundle.path, None).gene_maps(bundle.genes))


@pytest.mark.parametrize("bins", [[-1, 2], [0, 10**8]])
def test_bins_that_are_not_on_the_slide_are_counted_over(tmp_path, cache, bins):
    bundle = slide(tmp_path / "slide", cache)
    grid = Grid.over(bundle.extent_um, 20.0)
    key = bundle.transcripts.cache_key("counts", bin_um=20.0, first=grid.first, min_qv=20.0)
    notes = {"genes": ["G1"], "starts": [0, 0, 2], "shape": list(grid.shape)}
    cache.keep(key, {"bin": np.array(bins, np.int32), "count": np.ones(2, np.int32)}, notes)
    assert same([bundle.gene_map("G1")], [opened(bundle.path, None).gene_map("G1")])


def test_scores_of_a_second_opening_are_those_of_the_first(tmp_path, cache):
    bundle = slide(tmp_path / "slide", cache)
    scores = scores_of(bundle, bundle.genes)
    assert used(bundle, "survey")
    kept = len(files(cache))
    again = scores_of(opened(bundle.path, cache), bundle.genes)
    assert list(again) == list(scores)
    assert repr(again) == repr(scores) == repr(scores_of(opened(bundle.path, None), bundle.genes))
    assert len(files(cache)) == kept == 3
    key = bundle.transcripts.cache_key("structure", bin_um=20.0, min_qv=20.0)
    columns = cache.get(key).columns()
    cache.keep(key, {**columns, "transcripts": columns["transcripts"] + 1}, {})
    assert scores_of(bundle, ["G3"])["G3"].transcripts == scores["G3"].transcripts + 1


# ---- where, and whether


def large(folder: Path, ending: str = ".parquet") -> Path:
    """As large as it takes, without filling the disk."""
    folder.mkdir(exist_ok=True)
    path = folder / f"transcripts{ending}"
    with path.open("wb") as file:
        file.truncate(WORTH_BYTES[path.suffix])
    return path


@pytest.mark.parametrize("said", ["off", "OFF", "none", "0"])
def test_the_variable_switches_it_off(tmp_path, monkeypatch, said):
    monkeypatch.setenv(VARIABLE, said)
    assert cache_for(large(tmp_path)) is None


def test_the_variable_names_another_folder(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    assert cache_for(large(tmp_path / "slide")).folder == tmp_path / "elsewhere"


def test_without_the_variable_it_is_the_users_own_cache_folder(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = cache_for(large(tmp_path)).folder
    assert folder.name == "counts"
    assert "napari-s2sst" in folder.parts


@pytest.mark.parametrize("inside", [".", "cache", "a/b"])
def test_a_slides_own_folder_is_never_taken(tmp_path, monkeypatch, inside):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "slide" / inside))
    assert cache_for(large(tmp_path / "slide")) is None


def test_small_tables_are_not_kept(tmp_path, sample_slide):
    path = large(tmp_path)
    os.truncate(path, WORTH_BYTES[".parquet"] - 1)
    assert cache_for(path) is None
    assert open_xenium(sample_slide).transcripts.cache is None


def test_a_large_slide_is_kept_without_being_asked_for_and_nothing_is_written_beside_it(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    slide(tmp_path / "slide", None, rows=2_000_000)
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "slide").iterdir()}
    bundle = open_xenium(tmp_path / "slide")
    counted = bundle.gene_maps(bundle.genes, 20.0)
    kept = files(CountCache(tmp_path / "cache"))
    assert len(kept) == 2
    assert all(file.name.startswith("s2sst-") and file.suffix == ".parquet" for file in kept)
    assert same(open_xenium(tmp_path / "slide").gene_maps(bundle.genes, 20.0), counted)
    for file in kept:
        file.unlink()
    assert same(open_xenium(tmp_path / "slide").gene_maps(bundle.genes, 20.0), counted)
    assert {path.name: path.stat().st_mtime_ns for path in (tmp_path / "slide").iterdir()} == before


def test_the_key_of_a_file_is_plain_json_and_there_is_none_of_a_missing_one(tmp_path, sample_slide):
    key = file_key(sample_slide / "transcripts.parquet")
    assert json.loads(json.dumps(key)) == key
    assert file_key(tmp_path / "missing.parquet") is None
    assert TranscriptTable(tmp_path / "missing.parquet").cache_key("survey") is None
