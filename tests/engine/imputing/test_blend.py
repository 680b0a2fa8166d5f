"""More of a map is kriging's where neither an image nor other genes are known beside the gene's own bins."""

from dataclasses import replace

import numpy as np
import pytest

from napari_s2sst import GeneMap, RunConfig, fit, impute, sample
from napari_s2sst.engine.imputing.blend import classical_share

PRESET = RunConfig.preset("instant").imputation


def some_map(shape=(40, 44)):
    y, x = np.mgrid[: shape[0], : shape[1]] / 9
    rng = np.random.default_rng(0)
    return sample(GeneMap(rng.poisson(2 + 1.5 * np.sin(x) * np.cos(y)).astype(np.float32), gene="G"))


ALONE = some_map()
LATTICE = np.ones(ALONE.measured.shape, np.float32)
KNOWN = {
    "totals": replace(ALONE, totals=LATTICE),
    "coexpressed": replace(ALONE, coexpressed=LATTICE),
    "image": replace(ALONE, image=np.ones((*ALONE.shape, 1), np.float32)),
}
SETTING = {"totals": "panel", "coexpressed": "panel", "image": "image"}


def test_a_map_of_which_nothing_else_is_known_takes_the_larger_share():
    assert classical_share(ALONE, PRESET) == PRESET.classical_alone > PRESET.classical_share


@pytest.mark.parametrize("what", KNOWN)
def test_what_is_known_beside_the_gene_leaves_the_smaller_share(what):
    assert classical_share(KNOWN[what], PRESET) == PRESET.classical_share


@pytest.mark.parametrize("what", KNOWN)
def test_what_is_known_but_not_looked_at_counts_as_nothing(what):
    config = PRESET.model_copy(update={SETTING[what]: False})
    assert classical_share(KNOWN[what], config) == PRESET.classical_alone


def test_who_asks_for_more_gets_it_also_where_the_gene_is_alone():
    assert classical_share(ALONE, PRESET.model_copy(update={"classical_share": 1.0})) == 1.0


def test_without_a_classical_method_there_is_no_share():
    assert classical_share(ALONE, PRESET.model_copy(update={"classical": ()})) == 0.0


def test_who_wants_none_gets_none_also_where_the_gene_is_alone():
    assert classical_share(ALONE, PRESET.model_copy(update={"classical_share": 0.0})) == 0.0


def test_the_papers_maps_take_no_share():
    assert classical_share(ALONE, RunConfig.preset("paper").imputation) == 0.0


def test_the_map_is_mixed_by_that_share():
    none, some, whole = (
        impute(fit([ALONE], RunConfig.preset("instant", classical_share=share, classical_alone=alone)), ALONE).values
        for share, alone in ((0.0, 0.35), (0.12, 0.35), (1.0, 0.35))
    )
    assert not np.allclose(none, whole, atol=0.05)
    np.testing.assert_allclose(some, 0.65 * none + 0.35 * whole, atol=1e-5)
