"""A trained network and a sparse map -> the whole map (Fang et al. 2025, section 2.1, last paragraph).

The lattice is continued by its mirror image, cut into overlapping tiles of the training patch's size, and the tiles'
estimates are averaged. The same may be done for the turned and flipped lattice. What takes part beside the network is
mixed in (see :mod:`.imputing.blend`); measured bins are put back last.
Glass far from the tissue is left out, so time and memory fall with the area of the regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from ..config import ImputationConfig
from ..device import arithmetic, choose_device
from ..errors import ConfigError
from ..maps import GeneMap, NormalisationKind, SparseMap
from ..network.cdcin import CDCIN
from ..network.inputs import VALUE_SCALE, noise_scale
from ..network.model import Calibration, Trained
from ..sampling.crops import Piece, around_tissue, tissue_cells, tissue_parts, whole_map
from ..threads import CorePool, one_blas_thread, one_thread
from .blend import Blend, blend_for

BORDER_LATTICE = 4
"""Bins by which the lattice is continued beyond its border; what the turned lattices are shifted by needs one."""

UNIFORM_STEPS = 8
"""Steps that a uniformly weighted tile moves by within its own length (the authors' code)."""

BINS_AT_ONCE = 16 * 32 * 32
"""Lattice bins that go through the network together."""

TAPER_LATTICE = 16
"""Lattice bins along which a tile's weight rises and falls, half a tile at most: what borders spoil reaches no further."""

GAP_WIDTHS = 5
"""Widths of the widest smooth map of glass by which parts of the tissue lie so far apart that neither tells of the other."""

SPREAD_TO_INTERVAL = 1.645
"""Half width of a normal distribution's 90 % interval in standard deviations."""


def impute(trained: Trained, sparse: SparseMap, *, device: str | None = None) -> GeneMap:
    """The whole map of a gene, (rows, columns) in the normalised space; 0 outside the tissue.

    Tiles' estimates are averaged (Fang et al. 2025, end of section 2.1), and measured bins put back (eq. 11) unless the
    settings say otherwise.

    ``uncertainty`` is the half width of the predicted 90 % interval where the network predicts one; else the spread
    over the eight turns and flips of the lattice, which tells how sure the network is of itself and no more.

    ``device`` is auto, cpu, cuda, cuda:1 or mps; without one, that of the training, or the best there is here.
    Raises :class:`ConfigError` when it is not there, :class:`BundleError` where ``median-log1p`` lacks the totals.
    """
    place = choose_device(device) if device else _device_of(trained)
    return impute_with(
        trained.network(place), sparse, trained.config.imputation, kind=trained.config.grid.normalisation,
        precision=trained.config.training.precision, calibration=trained.calibration,
    )  # fmt: skip


def _device_of(trained: Trained) -> torch.device:
    """The one it was trained on; the best one here for a model that comes from another machine."""
    try:
        return choose_device(trained.config.device)
    except ConfigError:
        return choose_device()


def impute_with(
    network: CDCIN,
    sparse: SparseMap,
    config: ImputationConfig,
    *,
    kind: NormalisationKind,
    precision: str = "float32",
    calibration: Calibration | None = None,
    blend: Blend | None = None,
) -> GeneMap:
    """The whole map of a gene as :func:`impute` gives it, from a network at hand.

    ``blend``: what :func:`blend_for` gave before, if it is known.
    """
    part = around_tissue(sparse, align=network.config.window) if _crops(network, config) else whole_map(sparse)
    known = None if blend is None else blend.cut(part)
    value, lower, upper = map(part.spread, _estimate(network, part.sparse, config, kind, precision, calibration, known))
    return sparse.filled(value, kind, interval=(lower, upper))


def _estimate(
    network: CDCIN,
    sparse: SparseMap,
    config: ImputationConfig,
    kind: NormalisationKind,
    precision: str,
    calibration: Calibration | None,
    blend: Blend | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, columns) value, lower and upper end of its interval; 0 outside the tissue."""
    stretch = (calibration or Calibration()).interval_scale
    with one_blas_thread(), ThreadPoolExecutor(1) as aside:
        awaited = aside.submit(blend_for, sparse, config, kind) if blend is None else None
        outputs = predict(network, sparse, config, kind=kind, precision=precision)
        blend = awaited.result() if awaited else blend
    if network.config.quantiles:
        value, lower, upper = _read_distribution(outputs.mean(0), network.config.quantiles, config.map_share)
    else:
        value = outputs.mean(0)[0]
        if len(outputs) < 8:
            every = config.model_copy(update={"symmetries": 8, "overlap": "hann"})
            outputs = predict(network, sparse, every, kind=kind, precision=precision)
        half = SPREAD_TO_INTERVAL * outputs[:, 0].std(0)
        lower, upper = value - half, value + half
    if blend.classical is not None:
        value = value + blend.share * (blend.classical - value)
    if blend.regression is not None:
        # Where a bin may be empty it still may, however much its image promises: the lower end moves by its own share.
        lower = lower + blend.regression * np.clip(lower / np.maximum(value, 1e-6), 0, 1)
        value, upper = value + blend.regression, upper + blend.regression
    lower, upper = (value + stretch * reach for reach in (np.minimum(lower - value, 0), np.maximum(upper - value, 0)))
    layers = value, lower, upper
    if kind != "none":  # a logarithm of 1 + counts is never negative
        layers = tuple(np.maximum(layer, 0) for layer in layers)
    layers = tuple(np.where(sparse.tissue, layer, np.float32(0)) for layer in layers)
    if config.restore_measured:
        for layer in layers:
            sparse.restore(layer, kind)
    return layers


def _read_distribution(
    outputs: np.ndarray, quantiles: Sequence[float], map_share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(1 + quantiles, ...) predicted map and quantiles -> a mix of map and median, the outer quantiles."""
    levels = np.sort(outputs[1:], axis=0)  # a network may let quantiles cross
    median = levels[int(np.argmin(np.abs(np.asarray(quantiles) - 0.5)))]
    return map_share * outputs[0] + (1 - map_share) * median, levels[0], levels[-1]


def predict(
    network: CDCIN, sparse: SparseMap, config: ImputationConfig, *, kind: NormalisationKind, precision: str = "float32"
) -> np.ndarray:
    """(symmetries, outputs, rows, columns) of the full grid in the normalised space, nothing put back; 0 far from tissue."""
    values, measured = sparse.normalised(kind) / VALUE_SCALE, sparse.seen.astype(np.float32)
    with one_thread():
        unit = noise_scale(*(torch.from_numpy(part)[None, None] for part in (values, measured))).unit.item()
    side = max(network.config.window, config.tile_bins // network.stride)
    outputs = np.zeros((config.symmetries, network.outputs, *sparse.shape), np.float32)

    def turned(part: Piece, inputs: list[np.ndarray], number: int) -> None:
        symmetry = _symmetries(config.symmetries)[number]
        whole = _predict_lattice(
            network, *(_turned(layer, *symmetry) for layer in inputs), unit, side, config.overlap, precision
        )
        part.put(_cut(_turned_back(whole, *symmetry), part.sparse, BORDER_LATTICE, *symmetry), outputs[number])

    with CorePool(config.symmetries, next(network.parameters()).device) as cores:
        for part in _parts(network, sparse, config):
            cores.map(partial(turned, part, _inputs(part.sparse, kind)), range(config.symmetries))
    outputs *= np.float32(VALUE_SCALE)
    return outputs


def _parts(network: CDCIN, sparse: SparseMap, config: ImputationConfig) -> list[Piece]:
    """Pieces of the tissue that can be predicted on their own."""
    if not _crops(network, config):
        return [whole_map(sparse)]
    gap = round(GAP_WIDTHS * max(network.config.smoothings, default=0))
    return tissue_parts(sparse, gap=gap, align=network.config.window)


def _crops(network: CDCIN, config: ImputationConfig) -> bool:
    """Whether an estimate is the same wherever its tile begins. The paper's are many and small, and attention sees all of one."""
    return config.overlap == "hann" and not network.config.attention


def _inputs(sparse: SparseMap, kind: NormalisationKind) -> list[np.ndarray]:
    """(h, w) scaled values, where measured and where an estimate is wanted, of the continued lattice."""
    measured = sparse.seen.astype(np.float32)
    values, measured = (
        np.pad(part, BORDER_LATTICE, mode="symmetric") for part in (sparse.normalised(kind) / VALUE_SCALE, measured)
    )
    # A measured bin is the first or the last of those that the network adds to it: they reach into the next cells.
    wanted = ndimage.binary_dilation(np.pad(tissue_cells(sparse), BORDER_LATTICE), np.ones((3, 3)))
    return [values, measured, wanted]


def _symmetries(count: int) -> list[tuple[int, bool]]:
    """(quarter turns, flipped) of the first ``count`` symmetries; opposite ones come first."""
    every = [(0, False), (2, False), (1, False), (3, False), (0, True), (2, True), (1, True), (3, True)]
    return every[:count]


def _turned(part: np.ndarray, turn: int, flip: bool) -> np.ndarray:
    part = part[:, ::-1] if flip else part
    return np.ascontiguousarray(np.rot90(part, turn))


def _turned_back(whole: np.ndarray, turn: int, flip: bool) -> np.ndarray:
    whole = np.rot90(whole, -turn, axes=(-2, -1))
    return whole[..., ::-1] if flip else whole


def _cut(whole: np.ndarray, sparse: SparseMap, margin: int, turn: int, flip: bool) -> np.ndarray:
    """Full grid of the padded lattice -> (outputs, rows, columns) of the map.

    The network takes a measured bin for the first of its S x S. Turned back, it may be the last along an axis instead:
    then the grid begins S - 1 bins earlier.
    """
    last = {(0, False): (0, 0), (1, False): (0, 1), (2, False): (1, 1), (3, False): (1, 0)}[turn, False]
    # A flip is undone after the turn, so it exchanges first and last along the columns.
    last = (last[0], 1 - last[1]) if flip else last
    cut = []
    for axis in (0, 1):
        begin = margin * sparse.stride - sparse.phase[axis] + last[axis] * (sparse.stride - 1)
        cut.append(slice(begin, begin + sparse.shape[axis]))
    return whole[:, cut[0], cut[1]]


@torch.inference_mode()
def _predict_lattice(
    network: CDCIN,
    values: np.ndarray,
    measured: np.ndarray,
    wanted: np.ndarray,
    unit: float,
    side: int,
    overlap: str,
    precision: str,
) -> np.ndarray:
    """(h, w) lattice -> (outputs, S h, S w), from overlapping tiles of at most ``side`` lattice bins; 0 where none is wanted."""
    stride = network.stride
    device = next(network.parameters()).device
    sides = [min(side, length) for length in values.shape]
    weight = torch.from_numpy(_tile_weight(sides, stride, overlap)).to(device)
    total = torch.zeros(network.outputs, *(length * stride for length in values.shape), device=device)
    weights = torch.zeros(total.shape[1:], device=device)
    layers = [torch.from_numpy(layer).to(device) for layer in (values, measured)]
    corners = [
        (row, column)
        for row in _tile_starts(values.shape[0], sides[0], overlap)
        for column in _tile_starts(values.shape[1], sides[1], overlap)
        if wanted[row : row + sides[0], column : column + sides[1]].any()
    ]
    tiles_at_once = max(1, BINS_AT_ONCE // (sides[0] * sides[1]))
    for first in range(0, len(corners), tiles_at_once):
        some = corners[first : first + tiles_at_once]
        tiles = [torch.stack([layer[r : r + sides[0], c : c + sides[1]] for r, c in some])[:, None] for layer in layers]
        with arithmetic(device, precision):
            estimate: Tensor = network(*tiles, torch.full((len(some), 1, 1, 1), unit, device=device))[-1].float()
        for tile, (r, c) in zip(estimate, some, strict=True):
            at = np.s_[r * stride : (r + sides[0]) * stride, c * stride : (c + sides[1]) * stride]
            total[:, at[0], at[1]] += tile * weight
            weights[at] += weight
    return (total / weights.clamp_min(1e-30)).cpu().numpy()


def _tile_starts(length: int, side: int, overlap: str) -> list[int]:
    """First lattice bins of tiles that cover the length; the last one ends with it."""
    step = max(1, side // UNIFORM_STEPS if overlap == "uniform" else side - min(side // 2, TAPER_LATTICE))
    return [*range(0, length - side, step), length - side]


def _tile_weight(sides: Sequence[int], stride: int, overlap: str) -> np.ndarray:
    """(S sides[0], S sides[1]) weight of a tile's bins in the average."""
    if overlap == "uniform":
        return np.ones([side * stride for side in sides], np.float32)
    edges = []
    for side in sides:
        taper = min(side // 2, TAPER_LATTICE) * stride
        rise = np.hanning(2 * taper + 2)[1 : taper + 1] + 1e-3
        edges.append(np.concatenate([rise, np.ones(side * stride - 2 * taper), rise[::-1]]))
    return np.outer(*edges).astype(np.float32)
