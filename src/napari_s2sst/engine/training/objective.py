"""A batch of slide patches and one of picture patches -> the terms of the loss (Fang et al. 2025, eqs 1-10).

Something of what is known is hidden, the rest is shown to the network, and its estimate of the hidden is judged. What is hidden
is either a lattice (the paper's X_l -> X_m -> X_h: sparser, sparse, dense) or single bins here and there.
"""

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


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Patches that one step learns from, or a part of them."""

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


@dataclass(frozen=True)
class _Shown:
    """Inputs of the network: what it is shown of a step's patches, those of the slide first."""

    values: Tensor
    """(patches, 1, h, w) in the network's units."""
    measured: Tensor
    """(patches, 1, h, w) 1 where they are known to it, else 0."""
    scale: NoiseScale
    """The noise of each."""
    slides: int
    """Patches of the slide."""

    def estimates(self, network: nn.Module) -> list[Tensor]:
        """Estimates of each cascade, (patches, outputs, S h, S w)."""
        return network(self.values, self.measured, self.scale.unit)

    def split(self, estimates: list[Tensor], slide_stride: int = 1) -> tuple[list[Tensor], list[Tensor]]:
        """Estimates of the slide's patches, every S-th bin of them, and of the pictures'."""
        of_slide = [estimate[: self.slides, :, ::slide_stride, ::slide_stride] for estimate in estimates]
        return of_slide, [estimate[self.slides :] for estimate in estimates]


@dataclass(frozen=True)
class _Judged:
    """Targets that a map is compared with, all (patches, 1, rows, columns)."""

    known: Tensor
    """The true values in the network's units."""
    tissue: Tensor
    """1 where they count."""
    measured: Tensor
    """1 where they were shown: only other bins are judged."""
    unit: NoiseScale | None
    """In which errors are counted."""

    def loss(self, estimate: Tensor) -> Tensor:
        """(patches,) of an estimated map."""
        return map_loss(estimate, self.known, self.tissue, self.measured, self.unit)


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
        return Batch(
            slide=slide,
            pictures=pictures,
            target_bins=float(target.sum()),
            picture_count=len(pictures),
            patches=patches,
            gaps=gaps,
        )

    def __call__(self, network: nn.Module, batch: Batch) -> Terms:
        """Terms of the loss, each with its weight: the slide's ones lambda, the pictures' 1."""
        return self._from_others(network, batch) if self._scattered else self._from_sparser(network, batch)

    def _from_others(self, network: nn.Module, batch: Batch) -> Terms:
        """Scattered bins of the lattice are hidden, and learnt from the others around them; pictures are known at every bin."""
        slide, dense, stride, weight = batch.slide, batch.pictures, self._stride, self._training.slide_weight
        values, measured = self._on_lattice(slide, dense[:, :, ::stride, ::stride])
        shown = self._shown(values, measured * (1 - batch.gaps), slide, self._sparse)
        estimates = shown.estimates(network)
        of_slide, of_pictures = shown.split(estimates, slide_stride=stride)
        unit_of_slide, unit_of_pictures = self._units(shown)

        hidden = slide.target * batch.gaps[: shown.slides]
        left = slide.target * (1 - hidden)
        slide_map = _Judged(slide.values, slide.target, left, unit_of_slide)
        terms: Terms = {
            "hidden": (weight, self._slide_loss(of_slide, slide, hidden, unit_of_slide, batch)),
            "hidden_map": (weight, self._map_loss(of_slide, slide_map, batch)),
        }
        if len(dense):
            lattice = place(shown.measured[shown.slides :], stride)
            picture_map = _Judged(dense, torch.ones_like(dense), lattice, unit_of_pictures)
            terms["pictures"] = 1.0, self._picture_loss(of_pictures, dense, unit_of_pictures, batch)
            terms["pictures_map"] = 1.0, self._map_loss(of_pictures, picture_map, batch)
        return terms

    def _from_sparser(self, network: nn.Module, batch: Batch) -> Terms:
        """All but every S-th bin of the lattice are hidden, of pictures and slide alike (eqs 1-10)."""
        stride, dense = self._stride, batch.pictures  # X_h of the pictures
        medium = dense[:, :, ::stride, ::stride] if self._training.sparse_to_dense else dense  # X_m of the pictures
        terms = self._sparser_to_sparse(network, batch, medium)
        if self._training.sparse_to_dense:
            terms |= self._sparse_to_dense(network, batch, medium)
        return terms

    def _sparser_to_sparse(self, network: nn.Module, batch: Batch, medium: Tensor) -> Terms:
        """Eqs 1, 3, 6, 8: X_l, every S-th bin of the sparse lattice X_m, is shown, and X_m is judged."""
        slide, stride = batch.slide, self._stride
        values, measured = self._on_lattice(slide, medium)
        shown = self._shown(values[:, :, ::stride, ::stride], measured[:, :, ::stride, ::stride], slide, self._sparser)
        estimates = shown.estimates(network)
        of_slide, of_pictures = shown.split(estimates)
        unit_of_slide, unit_of_pictures = self._units(shown)

        loss = self._slide_loss(of_slide, slide, slide.target, unit_of_slide, batch)
        terms: Terms = {"sparser_to_sparse": (self._training.slide_weight, loss)}
        if len(medium):
            terms["pictures_sparse"] = 1.0, self._picture_loss(of_pictures, medium, unit_of_pictures, batch)
        if self._quantiles:
            tissue = torch.cat([slide.target, torch.ones_like(medium)])  # held-out bins are glass here
            unit = shown.scale if self._training.relative_loss else None
            both_maps = _Judged(values, tissue, place(shown.measured, stride), unit)
            terms["map"] = 1.0, self._map_loss(estimates, both_maps, batch)
        return terms

    def _sparse_to_dense(self, network: nn.Module, batch: Batch, medium: Tensor) -> Terms:
        """Eqs 2, 4, 7, 9: X_m is shown; of the slide X_m is judged, as no more is known, of pictures X_h."""
        slide, dense = batch.slide, batch.pictures
        shown = self._shown(*self._on_lattice(slide, medium), slide, self._sparse)
        of_slide, of_pictures = shown.split(shown.estimates(network), slide_stride=self._stride)
        unit_of_slide, unit_of_pictures = self._units(shown)

        loss = self._slide_loss(of_slide, slide, slide.target, unit_of_slide, batch)
        terms: Terms = {"sparse_to_dense": (self._training.slide_weight, loss)}
        if len(dense):
            terms["pictures_dense"] = 1.0, self._picture_loss(of_pictures, dense, unit_of_pictures, batch)
        return terms

    def _on_lattice(self, slide: Patches, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Values and mask of slide patches and of pictures (image batch, 1, h, w), which are measured at every bin."""
        values = torch.cat([slide.values, pictures])
        return values, torch.cat([slide.measured, torch.ones_like(values[len(slide.values) :])])

    def _shown(self, values: Tensor, measured: Tensor, slide: Patches, of_maps: NoiseScale) -> _Shown:
        """Inputs with the noise of the slide's patches from their whole maps, that of the pictures from what is shown of them."""
        count = len(slide.values)
        slides, pictures = of_maps[slide.of_map], noise_scale(values[count:], measured[count:])
        scale = NoiseScale(
            torch.cat([slides.absolute, pictures.absolute]), torch.cat([slides.squared, pictures.squared])
        )
        return _Shown(values, measured, scale, count)

    def _units(self, shown: _Shown) -> tuple[NoiseScale | None, NoiseScale | None]:
        """Units of the errors of slide and picture patches; None where that is the unit of the values."""
        if not self._training.relative_loss:
            return None, None
        return shown.scale[: shown.slides], shown.scale[shown.slides :]

    def _slide_loss(
        self, estimates: list[Tensor], slide: Patches, mask: Tensor, unit: NoiseScale | None, batch: Batch
    ) -> Tensor:
        """Error of slide patches over the mask; a part's share of the whole step's bins."""
        return cascade_loss(estimates, slide.values, mask, self._quantiles, scale=unit, bins=batch.target_bins)

    def _picture_loss(self, estimates: list[Tensor], known: Tensor, unit: NoiseScale | None, batch: Batch) -> Tensor:
        """Error of picture patches at all bins; a part's share of the whole step's bins."""
        bins = known.shape[2] * known.shape[3] * batch.picture_count
        return cascade_loss(estimates, known, None, self._quantiles, scale=unit, bins=bins)

    def _map_loss(self, estimates: list[Tensor], judged: _Judged, batch: Batch) -> Tensor:
        """Loss of all cascades' maps, k/K each; a part's share of the whole step's patches."""
        total = sum(k * judged.loss(estimate[:, :1]).sum() for k, estimate in enumerate(estimates, start=1))
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
    """The noise of each map, thinned by ``step``; (maps, 1, 1, 1)."""
    scales = []
    for value, mask in zip(values, measured, strict=True):
        lattice = [torch.from_numpy(np.ascontiguousarray(part[::step, ::step], np.float32)) for part in (value, mask)]
        scales.append(noise_scale(*(part[None, None] for part in lattice)))
    absolute = torch.cat([scale.absolute for scale in scales])
    squared = torch.cat([scale.squared for scale in scales])
    return NoiseScale(absolute.to(device), squared.to(device))
