"""A batch of slide patches and one of picture patches -> the terms of the loss (Fang et al. 2025, eqs 1-10)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from ..config import RunConfig
from ..maps import Normalisation, SparseMap
from ..network.cdcin import place
from ..network.inputs import VALUE_SCALE, NoiseScale, noise_scale
from .losses import cascade_loss, map_loss
from .natural_images import NaturalImages
from .patches import Patches

Terms = dict[str, tuple[float, Tensor]]
"""Name -> weight, loss."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from, or a part of it."""

    slide: Patches
    pictures: Tensor
    """(image batch, 1, side, side) in the network's units, known at every bin."""
    target_bins: float
    """Slide bins of the whole step that a target may be taken from."""
    picture_count: int
    """Picture patches of the whole step."""
    patches: int
    """All patches of the whole step."""
    gaps: Tensor
    """(patches, 1, side, side) 1 at the lattice's bins that are hidden, the slide's patches first; where they are scattered."""

    def parts(self, count: int) -> list[Batch]:
        """Every ``count``-th patch of both; losses of the parts add up to that of the whole."""
        slides = len(self.slide.values)
        gaps = [torch.cat([self.gaps[:slides][i::count], self.gaps[slides:][i::count]]) for i in range(count)]
        return [
            replace(self, slide=self.slide[i::count], pictures=self.pictures[i::count], gaps=gaps[i])
            for i in range(count)
        ]


class Objective:
    """The loss terms of one step. Slide and picture patches go through the network together."""

    def __init__(
        self, maps: Sequence[SparseMap], config: RunConfig, side: int, rng: np.random.Generator, device: torch.device
    ) -> None:
        """``side``: measured bins along a patch."""
        self._training, self._quantiles = config.training, config.network.quantiles
        kind = config.grid.normalisation
        self._normalisation = Normalisation("log1p" if kind == "median-log1p" else kind)
        self._stride, self._side, self._device = config.sampling.stride, side, device
        self._scattered, self._rng = config.training.hiding == "scattered", rng
        self._pictures = NaturalImages(config.training.images, rng) if config.training.image_batch else None
        values = [sparse.normalised(kind) / VALUE_SCALE for sparse in maps]
        self._sparse = _noise_scales(values, [sparse.seen for sparse in maps], 1, device)
        self._sparser = _noise_scales(values, [sparse.seen for sparse in maps], self._stride, device)

    def batch(self, slide: Patches) -> Batch:
        """The slide's patches of a step, as many pictures as are asked for, and what is hidden of both."""
        pictures = self._picture_patches()
        patches = len(pictures) + len(slide.values)
        gaps, target = slide.values[:0], slide.target
        if self._scattered:
            drawn = self._rng.random((patches, 1, self._side, self._side), dtype=np.float32)
            share = self._training.hidden_share * self._rng.uniform(0.5, 1.5, (patches, 1, 1, 1))
            gaps = torch.from_numpy((drawn < share).astype(np.float32)).to(self._device)
            target = target * gaps[: len(slide.values)]
        return Batch(slide, pictures, float(target.sum()), len(pictures), patches, gaps)

    def __call__(self, network: nn.Module, batch: Batch) -> Terms:
        """Each term with its weight: the slide's ones lambda, the pictures' 1."""
        return self._told_from_others(network, batch) if self._scattered else self._told_from_sparser(network, batch)

    def _told_from_others(self, network: nn.Module, batch: Batch) -> Terms:
        """Scattered bins of the lattice are hidden and told from the others around them; pictures are known at every bin."""
        stride, slide, dense = self._stride, batch.slide, batch.pictures
        count = len(slide.values)
        hidden = slide.target * batch.gaps[:count]
        values = torch.cat([slide.values, dense[:, :, ::stride, ::stride]])
        measured = torch.cat([slide.measured, torch.ones_like(values[count:])]) * (1 - batch.gaps)
        scale = self._scale(self._sparse, slide, (values, measured))
        estimates = network(values, measured, scale.unit)
        relative = scale if self._training.relative_loss else None
        of_slide, of_pictures = [e[:count, :, ::stride, ::stride] for e in estimates], [e[count:] for e in estimates]
        known = slide.target * (1 - hidden)
        terms = {
            "hidden": self._loss(of_slide, slide, hidden, relative, batch),
            "hidden_map": self._map_loss(
                of_slide, slide.values, slide.target, known, relative and relative[:count], batch
            ),
        }
        terms = {name: (self._training.slide_weight, term) for name, term in terms.items()}
        if len(dense):
            own = relative and relative[count:]
            lattice = place(measured[count:], stride)
            terms["pictures"] = 1.0, self._picture_loss(of_pictures, dense, own, batch)
            terms["pictures_map"] = 1.0, self._map_loss(of_pictures, dense, torch.ones_like(dense), lattice, own, batch)
        return terms

    def _told_from_sparser(self, network: nn.Module, batch: Batch) -> Terms:
        """Eqs 1-10: all but every S-th bin of the lattice are hidden, of pictures and slide alike."""
        weight, stride = self._training.slide_weight, self._stride
        slide, dense = batch.slide, batch.pictures  # X_m of the slide, X_h of the pictures
        count = len(slide.values)
        medium = dense[:, :, ::stride, ::stride] if self._training.sparse_to_dense else dense
        terms: Terms = {}

        # Eqs 1, 3, 6, 8: from the sparser lattice to the sparse one.
        values = torch.cat([slide.values, medium])
        measured = torch.cat([slide.measured, torch.ones_like(medium)])
        seen = values[:, :, ::stride, ::stride], measured[:, :, ::stride, ::stride]
        scale = self._scale(self._sparser, slide, seen)
        estimates = network(*seen, scale.unit)
        of_slide, of_pictures = [e[:count] for e in estimates], [e[count:] for e in estimates]
        relative = scale if self._training.relative_loss else None
        terms["sparser_to_sparse"] = weight, self._loss(of_slide, slide, slide.target, relative, batch)
        if len(medium):
            terms["pictures_sparse"] = (
                1.0,
                self._picture_loss(of_pictures, medium, relative and relative[count:], batch),
            )
        if self._quantiles:
            tissue = torch.cat([slide.target, torch.ones_like(medium)])  # held-out bins are glass here
            terms["map"] = 1.0, self._map_loss(estimates, values, tissue, place(seen[1], stride), relative, batch)

        # Eqs 2, 4, 7, 9: from the sparse lattice to the dense grid; the slide is known on the lattice alone.
        if self._training.sparse_to_dense:
            scale = self._scale(self._sparse, slide, (values, measured))
            estimates = network(values, measured, scale.unit)
            of_slide = [e[:count, :, ::stride, ::stride] for e in estimates]
            of_pictures = [e[count:] for e in estimates]
            relative = scale if self._training.relative_loss else None
            terms["sparse_to_dense"] = weight, self._loss(of_slide, slide, slide.target, relative, batch)
            if len(dense):
                terms["pictures_dense"] = (
                    1.0,
                    self._picture_loss(of_pictures, dense, relative and relative[count:], batch),
                )
        return terms

    def _scale(self, of_maps: NoiseScale, slide: Patches, seen: tuple[Tensor, Tensor]) -> NoiseScale:
        """The slide patches' from their whole maps, the pictures' from what is seen of them."""
        count = len(slide.values)
        slides, pictures = of_maps[slide.of_map], noise_scale(*(part[count:] for part in seen))
        return NoiseScale(
            *(torch.cat(pair) for pair in ((slides.absolute, pictures.absolute), (slides.squared, pictures.squared)))
        )

    def _loss(
        self, estimates: list[Tensor], slide: Patches, mask: Tensor, scale: NoiseScale | None, batch: Batch
    ) -> Tensor:
        scale = scale and scale[: len(slide.values)]
        return cascade_loss(estimates, slide.values, mask, self._quantiles, scale=scale, bins=batch.target_bins)

    def _picture_loss(self, estimates: list[Tensor], known: Tensor, scale: NoiseScale | None, batch: Batch) -> Tensor:
        bins = known.shape[2] * known.shape[3] * batch.picture_count
        return cascade_loss(estimates, known, None, self._quantiles, scale=scale, bins=bins)

    def _map_loss(
        self,
        estimates: list[Tensor],
        known: Tensor,
        tissue: Tensor,
        measured: Tensor,
        scale: NoiseScale | None,
        batch: Batch,
    ) -> Tensor:
        """Of all cascades' maps, k/K each; a part's share of the whole step's patches."""
        judged = known, tissue, measured, scale
        total = sum(k * map_loss(e[:, :1], *judged).sum() for k, e in enumerate(estimates, start=1))
        return total / len(estimates) / batch.patches

    def _picture_patches(self) -> Tensor:
        """(image batch, 1, side, side) in the network's units; S times larger when the dense grid is trained on too."""
        side = self._side * (self._stride if self._training.sparse_to_dense or self._scattered else 1)
        if self._pictures is None:
            return torch.zeros(0, 1, side, side, device=self._device)
        draw = self._pictures.plain if self._training.image_style == "plain" else self._pictures.counts
        patches = np.stack([draw(side) for _ in range(self._training.image_batch)])
        if self._training.image_style == "counts":
            patches = self._normalisation(patches) / VALUE_SCALE
        return torch.from_numpy(patches.astype(np.float32))[:, None].to(self._device)


def _noise_scales(values: list[np.ndarray], measured: list[np.ndarray], step: int, device: torch.device) -> NoiseScale:
    """Of each map, thinned by ``step``; (maps, 1, 1, 1)."""
    found = []
    for value, mask in zip(values, measured, strict=True):
        lattice = [torch.from_numpy(np.ascontiguousarray(part[::step, ::step], np.float32)) for part in (value, mask)]
        found.append(noise_scale(*(part[None, None] for part in lattice)))
    return NoiseScale(
        *(torch.cat([getattr(each, name) for each in found]).to(device) for name in ("absolute", "squared"))
    )
