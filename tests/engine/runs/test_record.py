"""run.json tells everything that decided a run's numbers, and changes when one of these does."""

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_s2sst import RunConfig, fit, load_model
from napari_s2sst.engine.network.model import save_model, shipped_model
from napari_s2sst.engine.runs.record import array_hash, describe, weights_hash
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.write import write_result
from napari_s2sst.engine.slides.count_cube import open_count_cube

SETTINGS = dict(steps=0, symmetries=1, bin_um=10.0, device="cpu")


def run(cube, config=None, **options):
    config = config or RunConfig.preset("fast", **SETTINGS)
    job = prepare(open_count_cube(cube), ["WAVE"], config, **options)
    return complete(job, fit(list(job.sparse), job.config))


@pytest.fixture(scope="module")
def result(cube):
    return run(cube, RunConfig.preset("fast", **SETTINGS, phase=(0, 1)))


def test_everything_that_decides_the_numbers_is_told(result, cube):
    record = describe(result, "s2sst impute ...", cube)
    assert record["input"]["path"] == str(cube.resolve())
    assert record["command"] == "s2sst impute ..."
    assert record["mode"] == "check"
    assert record["maps"] == {"rows": 48, "columns": 44, "bin_um": 10.0, "origin_um": [0.0, 0.0], "stride": 2, "phase": [0, 1],
                              "min_qv": result.job.config.grid.min_qv, "normalisation": "log1p"}  # fmt: skip
    assert record["tissue"] == {"edited": False, "sha256": array_hash(result.job.sparse[0].tissue)}
    assert RunConfig.parsed(record["config"]) == result.trained.config
    assert {"python", "torch", "numpy", "napari-s2sst"} <= set(record["versions"])
    assert set(record["platform"]) == {"system", "machine"}


def test_the_record_is_in_run_json_and_in_every_exported_map(result, tmp_path, cube):
    from napari_s2sst.engine.export.reading import read_result

    write_result(tmp_path, result, slide_path=cube)
    written = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    written["seconds"].pop("writing")
    for name in ("imputed.h5ad", "WAVE.ome.tif"):
        assert read_result(tmp_path / name).run == written == json.loads(json.dumps(describe(result, "", cube)))


def test_an_edited_tissue_is_told_by_its_hash(result, cube):
    tissue = np.ones((48, 44), bool)
    tissue[:9] = False
    record = describe(run(cube, tissue=tissue))
    assert record["tissue"]["edited"]
    assert record["tissue"]["sha256"] != describe(result)["tissue"]["sha256"]


def test_fill_in_is_told(cube):
    record = describe(run(cube, fill_in=True))
    assert (record["mode"], record["maps"]["bin_um"]) == ("fill in", 5.0)


def test_first_weights_are_told_by_where_they_came_from_and_by_their_hash(result, cube, tmp_path):
    shipped = weights_hash(load_model(shipped_model(2)).weights)
    assert describe(result)["start"] == {"from": "shipped", "sha256": shipped}
    config = RunConfig.preset("fast", **SETTINGS)
    random = run(cube, config.changed(start_from="random"))
    assert describe(random)["start"] == {"from": "random", "sha256": None}
    own = weights_hash(random.trained.weights)
    assert describe(random)["model_sha256"] == own != shipped
    path = save_model(tmp_path / "start.safetensors", random.trained)
    on_from_file = run(cube, config.changed(start_from=path))
    assert describe(on_from_file)["start"] == {"from": str(path), "sha256": own}
    path.unlink()
    assert describe(on_from_file)["start"] == {"from": str(path), "sha256": None}
    job = replace(result.job, start=random.trained)
    in_memory = complete(job, fit(list(job.sparse), config, start=random.trained))
    assert describe(in_memory)["start"] == {"from": "a model in memory", "sha256": own}


def test_a_model_used_as_it_is_is_told_from_one_trained_here(result, cube):
    job = replace(result.job, start=result.trained)
    record = describe(complete(job, result.trained))
    assert not record["trained_here"]
    assert record["model_sha256"] == record["start"]["sha256"]
    assert describe(result)["trained_here"]


def test_the_hash_of_weights_is_of_their_values_whatever_file_they_are_in(result, tmp_path):
    again = load_model(save_model(tmp_path / "model.safetensors", result.trained))
    assert weights_hash(again.weights) == weights_hash(result.trained.weights)
    name, first = next(iter(again.weights.items()))
    assert weights_hash(dict(again.weights) | {name: first + 1e-3}) != weights_hash(again.weights)
