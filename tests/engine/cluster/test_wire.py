"""What travels between processes arrives as it was sent, and nothing in it is executed."""

import io
import pickle

import numpy as np
import pytest
from shapely.geometry import Polygon

from napari_s2sst import GeneMap, RunConfig, sample
from napari_s2sst.engine.cluster.wire import WireError, pack, unpack
from napari_s2sst.engine.events import Previewed, Recovered, Started, Stepped, Unsaved, Validated
from napari_s2sst.engine.maps import Normalisation
from napari_s2sst.engine.sampling.regions import Region


@pytest.fixture
def gene_map():
    counts = np.random.default_rng(1).poisson(2, (20, 18)).astype(np.float32)
    return GeneMap(
        counts, counts > 0, gene="A", bin_um=12.5, origin_um=(3.0, 4.5), totals=counts + 2,
        normalisation=Normalisation("median-log1p", 7.0),
    )  # fmt: skip


def test_maps_arrive_value_for_value(gene_map):
    sent = {"dense": gene_map, "sparse": (sample(GeneMap(gene_map.values, totals=gene_map.totals), 2, (1, 0)), None)}
    came = unpack(pack(sent))
    for one, other in ((sent["dense"], came["dense"]), (sent["sparse"][0], came["sparse"][0])):
        for name, value in vars(one).items():
            if isinstance(value, np.ndarray):
                np.testing.assert_array_equal(getattr(other, name), value)
                assert getattr(other, name).dtype == value.dtype
            else:
                assert getattr(other, name) == value
    assert came["sparse"][1] is None


def test_events_regions_and_settings_arrive_as_they_were(gene_map):
    hole = Polygon([(0, 0), (90.25, 0), (90, 80)], [[(60, 20), (70, 20), (70, 30)]])
    sent = [
        Started(genes=("A", "B"), device="CPU", parameters=7, held_out_bins=3, classical={"kriging": 0.1}, step=5),
        Stepped(step=1, steps=None, loss=float("inf"), terms={"a": 0.5}, steps_per_second=2.0, seconds_left=None),
        Validated(2, 0.5, 0.25), Recovered(3, "what"), Unsaved(4, "why"),
        Region("core", hole), RunConfig.preset("fast", steps=7, quantiles=[0.1, 0.5]), b"\x00bytes",
    ]  # fmt: skip
    assert list(unpack(pack(sent))) == sent
    assert unpack(pack(Previewed(3, gene_map))).imputed.gene == "A"


def test_maps_of_one_slide_share_what_they_share_on_the_way():
    totals = np.random.default_rng(0).random((200, 200)).astype(np.float32)
    maps = [GeneMap(np.ones((200, 200)), None, f"G{n}", totals=totals) for n in range(8)]
    assert len(pack(maps)) < 2 * len(pack(maps[:1]))
    came = unpack(pack(maps))
    assert np.shares_memory(came[0].totals, came[7].totals)


def test_objects_of_other_kinds_do_not_travel():
    with pytest.raises(TypeError, match="does not travel"):
        pack({"x": object()})
    with pytest.raises(TypeError, match="does not travel"):
        pack(np.array([object()]))


def test_a_pickle_is_refused_and_not_run(tmp_path):
    mark = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (open, (str(mark), "w"))

    content = io.BytesIO()
    np.savez(content, told=np.array([Trap()], dtype=object))
    for bad in (pickle.dumps(Trap()), content.getvalue(), b"", b"PK\x03\x04", pack([1])[:40]):
        with pytest.raises(WireError, match="same version"):
            unpack(bad)
    assert not mark.exists()
