"""A panel too large for the memory gives what a small one gives, a few genes at a time."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

import anndata
import numpy as np
import pytest
from shapely.geometry import box

from napari_s2sst import GeneMap, RunConfig, interpolate, open_xenium, sample
from napari_s2sst.engine.cluster.wire import pack, unpack
from napari_s2sst.engine.errors import ExportError
from napari_s2sst.engine.export.h5ad import GENES_AT_ONCE, to_anndata, write_h5ad
from napari_s2sst.engine.provenance import sparse_hash
from napari_s2sst.engine.runs import maps_on_disk
from napari_s2sst.engine.runs.maps_on_disk import ARRAYS, MapsInFile, held_maps
from napari_s2sst.engine.runs.run import prepare
from napari_s2sst.engine.sampling.lattice import SparseOnDemand
from napari_s2sst.engine.sampling.regions import Region
from napari_s2sst.engine.slides.slide import Slide
from napari_s2sst.engine.transcripts.grid import Grid
from napari_s2sst.engine.transcripts.panel import MapsOnDemand

BIN_UM = 25.0


@dataclass(frozen=True, eq=False)
class LargePanel(Slide):
    """The sample slide, as though its maps were too many for the memory."""

    slide: Slide

    @property
    def name(self):
        return self.slide.name

    @property
    def path(self):
        return self.slide.path

    @property
    def genes(self):
        return self.slide.genes

    @property
    def extent_um(self):
        return self.slide.extent_um

    def summary(self):
        return self.slide.summary()

    def gene_maps(self, genes, bin_um=BIN_UM, min_qv=20.0):
        panel, _ = self.slide.transcripts.count(genes, Grid.over(self.slide.extent_um, bin_um))
        one = self.slide.gene_map(genes[0], bin_um)
        slots = tuple(range(len(genes)))
        return MapsOnDemand(
            panel=panel, genes=tuple(genes), slots=slots, tissue=one.tissue, totals=one.totals, bin_um=bin_um,
            origin_um=one.origin_um,
        )  # fmt: skip


@pytest.fixture(scope="module")
def slide(sample_slide):
    return open_xenium(sample_slide)


@pytest.fixture(scope="module")
def genes(slide):
    return list(slide.genes)[: GENES_AT_ONCE + 3]


CONFIG = RunConfig.preset("instant", bin_um=BIN_UM, stride=2, image=False)
REGIONS = [Region("corner", box(100, 100, 700, 600))]


@pytest.mark.parametrize("how", [{}, {"regions": REGIONS}, {"fill_in": True}, {"regions": REGIONS, "fill_in": True}])
def test_a_large_panel_s_job_is_that_of_a_small_one(slide, genes, how):
    held, made = prepare(slide, genes, CONFIG, **how), prepare(LargePanel(slide), genes, CONFIG, **how)
    assert isinstance(made.sparse, SparseOnDemand)
    assert sparse_hash(made.sparse) == sparse_hash(held.sparse)
    for one, other in zip(made.sparse, held.sparse, strict=True):
        np.testing.assert_array_equal(one.coexpressed, other.coexpressed)
    for one, other in zip(made.truth, held.truth, strict=True):
        assert (one is None) == (other is None)
        for name in () if one is None else ("values", "tissue", "totals", "context"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_large_panel_s_tissue_can_be_edited(slide, genes):
    tissue = slide.gene_map(genes[0], BIN_UM).tissue.copy()
    tissue[:10] = False
    held, made = (prepare(each, genes, CONFIG, tissue=tissue) for each in (slide, LargePanel(slide)))
    assert sparse_hash(made.sparse) == sparse_hash(held.sparse)


def test_measured_bins_of_a_large_panel_travel_to_another_process(slide, genes):
    made = prepare(LargePanel(slide), genes[:3], CONFIG)
    arrived = unpack(pack({"maps": made.sparse}))["maps"]
    assert sparse_hash(arrived) == sparse_hash(made.sparse)


@pytest.fixture(scope="module")
def maps(slide, genes):
    """(sparse, imputed, truth) of each gene; every other one without an interval."""
    truth = slide.gene_maps(genes, BIN_UM)
    sparse = [sample(each) for each in truth]
    imputed = []
    for number, each in enumerate(sparse):
        found = interpolate(each, "nearest")
        half = np.where(each.tissue, 0.25 * found.values, 0)
        known = {"uncertainty": half, "lower": found.values - half, "upper": found.values + half}
        imputed.append(GeneMap(**{**vars(found), **(known if number % 2 else {})}))
    return sparse, imputed, truth


def test_maps_kept_in_a_file_come_back_as_they_were(maps, tmp_path):
    kept = MapsInFile(tmp_path)
    for each in maps[1]:
        kept.append(each)
    assert len(kept) == len(maps[1])
    for one, other in zip(kept, maps[1], strict=True):
        for field in fields(GeneMap):
            if field.name in (*ARRAYS, "tissue"):
                np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))
            else:
                assert getattr(one, field.name) == getattr(other, field.name)


def test_maps_kept_in_a_file_are_read_by_several_threads_at_once(maps, tmp_path):
    kept = MapsInFile(tmp_path)
    for imputed in maps[1]:
        kept.append(imputed)
    wanted = list(range(len(kept))) * 20
    with ThreadPoolExecutor(4) as pool:
        for index, gene_map in zip(wanted, pool.map(kept.__getitem__, wanted), strict=True):
            np.testing.assert_array_equal(gene_map.values, maps[1][index].values)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows shows the name until the file is closed")
def test_the_file_that_keeps_maps_has_no_name_to_be_left_behind(maps, tmp_path):
    kept = MapsInFile(tmp_path)
    kept.append(maps[1][0])
    assert list(tmp_path.iterdir()) == []


def test_a_table_written_a_few_genes_at_a_time_is_the_one_made_in_memory(maps, tmp_path):
    sparse, imputed, truth = maps
    given = {"sparse": sparse, "imputed": imputed, "truth": truth, "regions": REGIONS, "run": {"seed": 0}}
    held, stored = to_anndata(**given), anndata.read_h5ad(write_h5ad(tmp_path / "imputed.h5ad", **given))
    assert list(stored.var_names) == list(held.var_names)
    assert stored.obs.equals(held.obs)
    np.testing.assert_array_equal(stored.X, held.X)
    for layer in ("measured", "uncertainty"):
        np.testing.assert_array_equal(stored.layers[layer], held.layers[layer])
    assert (stored.layers["counts"] != held.layers["counts"]).nnz == 0


def test_counts_of_a_table_stay_sparse(maps, tmp_path):
    sparse, imputed, truth = maps
    stored = anndata.read_h5ad(
        write_h5ad(tmp_path / "i.h5ad", sparse=sparse, imputed=imputed, truth=truth, run={}), backed="r"
    )
    counts = stored.layers["counts"]
    assert counts.format == "csr"
    assert counts.nnz == sum(int((each.values[each.tissue] > 0).sum()) for each in truth)


OF_MANY_GENES = """
import sys
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from napari_s2sst import RunConfig
from napari_s2sst.engine.network.model import load_model, shipped_model
from napari_s2sst.engine.export.choice import ExportChoice
from napari_s2sst.engine.benchmark.benchmark import PeakMemory
from napari_s2sst.engine.runs.run import complete, prepare
from napari_s2sst.engine.runs.write import write_result
from napari_s2sst.engine.slides.slide import Slide
from napari_s2sst.engine.transcripts.panel import MapsOnDemand, counted

GENES, SIDE = 40, 500
folder = Path(sys.argv[1])
tissue = np.zeros((SIDE, SIDE), bool)
tissue[10:26, 10:26] = True
at = np.random.default_rng(0).choice(np.flatnonzero(tissue), (GENES, 2000)) + np.arange(GENES)[:, None] * SIDE * SIDE
panel = counted(at.ravel().astype(np.uint32), GENES, (SIDE, SIDE))
names = tuple(f"G{number}" for number in range(GENES))

class Many(Slide):
    name, path, genes, extent_um = "many", folder, dict.fromkeys(names, 2000), (0.0, 0.0, 20.0 * SIDE, 20.0 * SIDE)
    def summary(self):
        return "many"
    def gene_maps(self, genes, bin_um=20.0, min_qv=20.0):
        totals = panel.totals().astype(np.float32)
        return MapsOnDemand(panel=panel, genes=names, slots=tuple(range(GENES)), tissue=tissue, totals=totals,
                            bin_um=bin_um, origin_um=(0.0, 0.0))

def run(names_wanted):
    job = prepare(Many(), names_wanted, RunConfig.preset("instant", device="cpu"), fill_in=True)
    result = complete(job, load_model(shipped_model(2)), keep_in=folder)
    write_result(folder, result, choice=ExportChoice(ome_tiff=False, figure=False))
    return result

import anndata, torch, napari_s2sst.engine.imputing.impute
with PeakMemory() as peak:
    run(names)
print(peak.extra_mb)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell the peak of a part of a program")
def test_the_maps_of_many_genes_are_never_all_in_memory(tmp_path):
    """40 maps of 1,000 x 1,000 bins are 160 MB for each of four imputed arrays and three that are written: 1.1 GB."""
    done = subprocess.run(
        [sys.executable, "-c", OF_MANY_GENES, str(tmp_path)], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 400, f"{done.stdout} MB"
    assert anndata.read_h5ad(Path(tmp_path) / "imputed.h5ad", backed="r").shape == (4 * 16 * 16, 40)


def test_maps_without_a_folder_of_their_own_are_held_in_memory_where_temporary_files_have_no_room(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(maps_on_disk, "HELD_BYTES", 0)
    assert isinstance(held_maps(100, 3), MapsInFile)
    assert held_maps(10**12, 10**6) == []  # no disk has that
    monkeypatch.setattr(maps_on_disk.tempfile, "tempdir", str(tmp_path / "gone"))
    assert held_maps(100, 3) == []
    with pytest.raises(ExportError):
        held_maps(100, 3, tmp_path / "gone")
