"""A batch of slide patches and one of picture patches -> the terms of the loss (Fang et al. 2025, eqs 1-10)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .config import RunConfig
from .losses import cascade_loss
from .maps import Normalisation
from .natural_images import NaturalImages
from .patches import VALUE_SCALE, Patches

Terms = dict[str, tuple[float, Tensor]]
"""Name -> weight, loss."""


class Objective:
    """The loss terms of one step. Slide and picture patches go through the network together."""

    def __init__(self, config: RunConfig, side: int, rng: np.random.Generator, device: torch.device) -> None:
        """``side``: measured bins along a patch."""
        self._training, self._quantiles = config.training, config.network.quantiles
        self._normalisation = Normalisation("log1p" if config.grid.normalisation == "median-log1p" else config.grid.normalisation)
        self._stride, self._side, self._device = config.sampling.stride, side, device
        self._pictures = NaturalImages(config.training.images, rng) if config.training.image_batch else None

    def __call__(self, network: nn.Module, slide: Patches) -> Terms:
        """Each term with its weight: the slide's ones lambda, the pictures' 1."""
        weight, stride = self._training.slide_weight, self._stride
        batch = len(slide.values)
        dense = self._picture_patches() if self._pictures else slide.values[:0]  # X_h of the pictures, if asked for
        medium = dense[:, :, ::stride, ::stride] if self._pictures and self._training.sparse_to_dense else dense
        terms: Terms = {}

        # Eqs 1, 3, 6, 8: from the sparser lattice to the sparse one.
        values = torch.cat([slide.values, medium])
        measured = torch.cat([slide.measured, torch.ones_like(medium)])
        estimates = network(values[:, :, ::stride, ::stride], measured[:, :, ::stride, ::stride])
        of_slide, of_pictures = [e[:batch] for e in estimates], [e[batch:] for e in estimates]
        terms["sparser_to_sparse"] = weight, cascade_loss(of_slide, slide.values, slide.target, self._quantiles)
        if len(medium):
            terms["pictures_sparse"] = 1.0, cascade_loss(of_pictures, medium, None, self._quantiles)

        # Eqs 2, 4, 7, 9: from the sparse lattice to the dense grid; the slide is known on the lattice alone.
        if self._training.sparse_to_dense:
            estimates = network(values, measured)
            of_slide = [e[:batch, :, ::stride, ::stride] for e in estimates]
            of_pictures = [e[batch:] for e in estimates]
            terms["sparse_to_dense"] = weight, cascade_loss(of_slide, slide.values, slide.target, self._quantiles)
            if len(dense):
                terms["pictures_dense"] = 1.0, cascade_loss(of_pictures, dense, None, self._quantiles)
        return terms

    def _picture_patches(self) -> Tensor:
        """(image batch, 1, side, side) in the network's units; S times larger when the dense grid is trained on too."""
        side = self._side * (self._stride if self._training.sparse_to_dense else 1)
        draw = self._pictures.plain if self._training.image_style == "plain" else self._pictures.counts
        patches = np.stack([draw(side) for _ in range(self._training.image_batch)])
        if self._training.image_style == "counts":
            patches = self._normalisation(patches) / VALUE_SCALE
        return torch.from_numpy(patches.astype(np.float32))[:, None].to(self._device)
