"""A small gene map and settings that train for a moment."""

import numpy as np

from napari_s2sst import GeneMap, RunConfig


def gene_map(seed: int = 0, shape=(96, 104), **kwargs) -> GeneMap:
    """Counts around two smooth structures."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]] / 12
    rate = 6 * (1 + np.sin(x + np.cos(y))) * (1 + 0.5 * np.cos(y))
    return GeneMap(rng.poisson(rate).astype(np.float32), gene=f"G{seed}", **kwargs)


def quick(**settings) -> RunConfig:
    return RunConfig.preset(
        "fast", **(dict(steps=4, batch=4, image_batch=2, patch_bins=32, device="cpu", start_from="random") | settings)
    )
