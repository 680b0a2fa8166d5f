"""CDCIN: measured bins of a lattice -> estimates on the full grid (Fang et al. 2025, sections 2.2 and 2.3, eqs 11-16).

From leaf to net, as in the paper's figure 2: window and channel attention -> hybrid attention block; convolutions -> residual
dense block; the two -> RDHAB; several of those -> RDHAN, a cascade's correction; several cascades, with the measured bins put
back before each -> CDCIN. Comments give shapes: B maps of a batch, C channels, h x w bins of the lattice, S the stride.

Maps travel as (B, C, h, w) in channels-last memory, so that the attention's (B, h, w, C) is the same memory in another order.

Two layouts share all parts. ``dense`` is the paper's: each cascade works on the full grid. ``lattice`` lets each
cascade work on the lattice, with the S * S bins that belong to a measured one as channels: S * S times cheaper.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..config import NetworkConfig
from .inputs import VALUE_SCALE, kept_constant, noise_scale, smoothed

CHANNEL_ATTENTION_WEIGHT = 0.01
"""alpha of eq. 15: the share of the channel attention beside the window attention."""

MOST_NOISE = 16.0
"""Differences are shown up to about so many times the noise; borders of strong genes would drown all else."""


@kept_constant(maxsize=16)
def relative_positions(window: int) -> Tensor:
    """(window^2, window^2) index of each pair's offset into a table of (2 window - 1)^2 biases."""
    at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    offset = at[:, :, None] - at[:, None, :] + window - 1
    return offset[0] * (2 * window - 1) + offset[1]


@kept_constant(maxsize=64)
def shift_mask(rows: int, columns: int, window: int, shift: int, device: torch.device) -> Tensor:
    """(windows, window^2, window^2) that is -inf between bins which only the cyclic shift made neighbours."""
    zone = torch.zeros(rows, columns)
    edges = (slice(0, -window), slice(-window, -shift), slice(-shift, None))
    for i, row in enumerate(edges):
        for j, column in enumerate(edges):
            zone[row, column] = 3 * i + j
    zone = windows(zone[None, :, :, None], window).squeeze(-1)
    apart = zone[:, None, :] != zone[:, :, None]
    return torch.zeros(apart.shape).masked_fill(apart, float("-inf")).to(device)


def windows(x: Tensor, window: int) -> Tensor:
    """(B, rows, columns, C) -> (B * windows, window^2, C)."""
    b, rows, columns, c = x.shape
    x = x.view(b, rows // window, window, columns // window, window, c)
    return x.transpose(2, 3).reshape(-1, window * window, c)


def unwindows(x: Tensor, window: int, rows: int, columns: int) -> Tensor:
    """(B * windows, window^2, C) -> (B, rows, columns, C)."""
    x = x.view(-1, rows // window, columns // window, window, window, x.shape[-1])
    return x.transpose(2, 3).reshape(-1, rows, columns, x.shape[-1])


class WindowAttention(nn.Module):
    """Multi-head self-attention within windows, shifted or not, with learned relative position biases."""

    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.position_bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.position_bias, std=0.02)
        self.register_buffer("positions", relative_positions(window).flatten(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, rows, columns, C) -> the same shape; both sides are whole windows."""
        b, rows, columns, c = x.shape
        w, heads = self.window, self.heads
        shift = self.shift if min(rows, columns) > w else 0
        if shift:
            x = torch.roll(x, (-shift, -shift), dims=(1, 2))
        x = windows(x, w)  # (B * windows, w^2, C)
        q, k, v = self.qkv(x).view(len(x), w * w, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        # Each (B * windows, heads, w^2, C / heads).
        bias = self.position_bias[self.positions].view(w * w, w * w, heads)
        bias = bias.permute(2, 0, 1)[None]  # (1, heads, w^2, w^2)
        if shift:
            apart = shift_mask(rows, columns, w, shift, x.device)  # (windows, w^2, w^2)
            bias = (bias + apart[:, None]).repeat(b, 1, 1, 1)  # (B * windows, heads, w^2, w^2)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        x = self.project(x.transpose(1, 2).reshape(-1, w * w, c))  # (B * windows, w^2, C)
        x = unwindows(x, w, rows, columns)  # (B, rows, columns, C)
        return torch.roll(x, (shift, shift), dims=(1, 2)) if shift else x


class ChannelAttentionBlock(nn.Module):
    """Two convolutions, their channels weighted by what the whole patch shows."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, channels // 4, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(channels // 4, channels, 3, padding=1),
        )
        self.weigh = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, channels // 8, 1), nn.ReLU(),
            nn.Conv2d(channels // 8, channels, 1), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) -> the same shape."""
        x = self.features(x)
        return x * self.weigh(x)  # weights (B, C, 1, 1)


class HybridAttentionBlock(nn.Module):
    """HAB: window attention beside channel attention, then an MLP (eqs 14-16).

    The published eq. 16 leaves out the residual, which belongs there.
    """

    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.window_attention = WindowAttention(channels, heads, window, shift)
        self.channel_attention = ChannelAttentionBlock(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) -> the same shape."""
        x = x.permute(0, 2, 3, 1)  # (B, rows, columns, C)
        n = self.norm1(x)
        of_channels = self.channel_attention(n.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        y = x + self.window_attention(n) + CHANNEL_ATTENTION_WEIGHT * of_channels
        return (y + self.mlp(self.norm2(y))).permute(0, 3, 1, 2)


class ResidualDenseBlock(nn.Module):
    """RDB: every convolution takes in all before it; a 1 x 1 convolution gathers them."""

    def __init__(self, channels: int, growth: int, convolutions: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(convolutions)
        )
        self.gather = nn.Conv2d(channels + convolutions * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) -> the same shape."""
        for convolution in self.convolutions:
            x = torch.cat([x, F.relu(convolution(x))], dim=1)  # (B, C + i * growth, rows, columns)
        return self.gather(x)


class RDHAB(nn.Module):
    """Residual dense hybrid attention block: RDB, HAB, shifted HAB, plus the input."""

    def __init__(self, channels: int, growth: int, convolutions: int, heads: int, window: int, attention: bool) -> None:
        super().__init__()
        self.dense = ResidualDenseBlock(channels, growth, convolutions)
        shifts = (0, window // 2) if attention else ()
        self.attention = nn.Sequential(*(HybridAttentionBlock(channels, heads, window, shift) for shift in shifts))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, rows, columns) -> the same shape."""
        return x + self.attention(self.dense(x))


class RDHAN(nn.Module):
    """Residual dense hybrid attention network: one cascade's correction (section 2.3)."""

    def __init__(self, inputs: int, outputs: int, config: NetworkConfig) -> None:
        super().__init__()
        c = config.channels
        self.first = nn.Conv2d(inputs, c, 3, padding=1)
        self.second = nn.Conv2d(c, c, 3, padding=1)
        self.blocks = nn.ModuleList(
            RDHAB(c, config.growth, config.convolutions, config.heads, config.window, config.attention)
            for _ in range(config.blocks)
        )
        self.gather = nn.Conv2d(c * config.blocks, c, 1)
        self.smooth = nn.Conv2d(c, c, 3, padding=1)
        self.last = nn.Conv2d(c, outputs, 3, padding=1)
        self.recompute = False
        """Forget what happens inside blocks and work it out again for the gradients: a tenth of the memory for a third more
        time. The paper's batch needs more than 20 GB otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, inputs, rows, columns) -> (B, outputs, rows, columns)."""
        first = self.first(x)  # (B, C, rows, columns)
        x = self.second(first)
        of_blocks = []
        for block in self.blocks:
            forgets = self.recompute and torch.is_grad_enabled()
            x = checkpoint(block, x, use_reentrant=False) if forgets else block(x)
            of_blocks.append(x)
        x = self.smooth(self.gather(torch.cat(of_blocks, dim=1)))  # (B, blocks * C, ...) -> (B, C, ...)
        return self.last(x + first)


def data_consistency(estimate: Tensor, measured: Tensor, mask: Tensor) -> Tensor:
    """Put the measured bins back (eq. 11). (B, any or 1, rows, columns) each; ``mask`` is 1 where measured, else 0."""
    return estimate * (1 - mask) + measured * mask


def replicate(lattice: Tensor, stride: int) -> Tensor:
    """U of eq. 12: (B, C, h, w) -> (B, C, S h, S w), each value copied over its S x S bins."""
    return lattice.repeat_interleave(stride, dim=2).repeat_interleave(stride, dim=3)


def place(lattice: Tensor, stride: int) -> Tensor:
    """(B, C, h, w) -> (B, C, S h, S w): each value at its own bin, the first of its S x S, and 0 elsewhere."""
    full = lattice.new_zeros(*lattice.shape[:2], lattice.shape[2] * stride, lattice.shape[3] * stride)
    full[:, :, ::stride, ::stride] = lattice
    return full


def bilinear(values: Tensor, measured: Tensor, stride: int) -> Tensor:
    """(B, 1, h, w) -> (B, 1, S h, S w), linear between the measured bins around; unmeasured ones carry no weight."""

    def between(x: Tensor) -> Tensor:
        x = F.pad(x, (0, 1, 0, 1), mode="replicate")
        h, w = x.shape[2:]
        size = ((h - 1) * stride + 1, (w - 1) * stride + 1)
        return F.interpolate(x, size=size, mode="bilinear", align_corners=True)[:, :, :-1, :-1]

    return between(values * measured) / between(measured).clamp_min(1e-3)


class CDCIN(nn.Module):
    """Cascaded data consistent imputation network.

    ``forward(values, measured)`` takes (B, 1, h, w) lattice values and their mask (1 measured, 0 not) and returns the
    K cascades' estimates, each (B, outputs, S h, S w): the mean, then one channel for each quantile of the config.
    ``unit`` (B, 1, 1, 1) is the noise of the whole map (:attr:`NoiseScale.unit`) where the input is a part of one.
    With the paper's numbers it has 3,310,659 weights.
    """

    def __init__(self, config: NetworkConfig, stride: int) -> None:
        super().__init__()
        self.config, self.stride = config, stride
        self.outputs = 1 + len(config.quantiles)
        maps_in = self.outputs + len(config.smoothings)
        if config.layout == "dense":
            sizes = (maps_in, self.outputs)
        else:  # the mask of measured lattice bins goes in as one more channel
            sizes = (maps_in * stride**2 + 1 + config.scaled, self.outputs * stride**2)
        self.cascades = nn.ModuleList(RDHAN(*sizes, config) for _ in range(config.cascades))
        if config.start != "replicate":  # a good first estimate is not to be spoilt by a random correction
            for cascade in self.cascades:
                nn.init.zeros_(cascade.last.weight)
                nn.init.zeros_(cascade.last.bias)

    def forward(self, values: Tensor, measured: Tensor, unit: Tensor | None = None) -> list[Tensor]:
        h, w = values.shape[2:]
        values, measured = self._padded(values * measured), self._padded(measured)  # (B, 1, h, w), of whole windows
        known, mask = place(values, self.stride), place(measured, self.stride)  # (B, 1, S h, S w)
        x = self._start(values, measured).repeat(1, self.outputs, 1, 1)  # (B, outputs, S h, S w)
        smooth = smoothed(values, measured, self.config.smoothings, self.stride) if self.config.smoothings else x[:, :0]
        scale, of_lattice = self._scale(values, measured, unit)
        estimates = []
        for cascade in self.cascades:
            z = data_consistency(x, known, mask) if self.config.data_consistency else x
            x = z + scale * self._correction(cascade, self._shown(z, smooth, scale), of_lattice)
            estimates.append(x[:, :, : h * self.stride, : w * self.stride])
        return estimates

    def _start(self, values: Tensor, measured: Tensor) -> Tensor:
        """(B, 1, h, w) -> the first estimate, (B, 1, S h, S w)."""
        if self.config.start == "replicate":
            return replicate(values, self.stride)
        return bilinear(values, measured, self.stride)

    def _scale(self, values: Tensor, measured: Tensor, unit: Tensor | None) -> tuple[Tensor | float, Tensor]:
        """The unit that each map is worked on in, as the network's values are, (B, 1, 1, 1); and what cascades on the lattice are
        shown of it beside the maps, (B, 1 or 2, h, w): where it was measured, and how noisy the map is."""
        if not self.config.scaled:
            return 1.0, measured
        unit = noise_scale(values, measured).unit if unit is None else unit
        return unit / VALUE_SCALE, torch.cat([measured, unit.log().expand_as(measured)], dim=1)

    def _shown(self, z: Tensor, smooth: Tensor, scale: Tensor | float) -> Tensor:
        """(B, outputs + smooth maps, S h, S w) that a cascade is shown: the estimate in its unit; with smooth maps, how it and
        they differ from the sharpest, and that one."""
        if not smooth.shape[1]:
            return z / scale
        base = smooth[:, :1]
        difference = (torch.cat([z, smooth[:, 1:]], dim=1) - base) / scale
        return torch.cat([MOST_NOISE * torch.tanh(difference / MOST_NOISE), base * VALUE_SCALE], dim=1)

    def _correction(self, cascade: nn.Module, shown: Tensor, of_lattice: Tensor) -> Tensor:
        """(B, outputs, S h, S w), worked out on the full grid or on the lattice with the S * S phases as channels."""
        if self.config.layout == "dense":
            return cascade(shown.contiguous(memory_format=torch.channels_last))
        phases = F.pixel_unshuffle(shown, self.stride)  # (B, maps * S^2, h, w)
        x = torch.cat([phases, of_lattice], dim=1).contiguous(memory_format=torch.channels_last)
        return F.pixel_shuffle(cascade(x).contiguous(), self.stride)

    def _padded(self, x: Tensor) -> Tensor:
        """Pad the lattice at its end so that the cascades' grid holds whole windows."""
        window, stride = self.config.window, 1 if self.config.layout == "lattice" else self.stride
        h, w = x.shape[2:]
        short = []
        for length in (w, h):
            more = 0
            while (length + more) * stride % window:
                more += 1
            short += [0, more]
        if not any(short):
            return x
        mode = "reflect" if short[1] < w and short[3] < h else "replicate"
        return F.pad(x, short, mode=mode)


def parameters(network: nn.Module) -> int:
    """Number of trainable weights."""
    return sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
