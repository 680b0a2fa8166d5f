"""The parts of CDCIN: window attention, channel attention, dense blocks (Fang et al. 2025, section 2.3, Fig. 2).

Feature maps travel as (batch, channels, rows, columns) in channels-last memory, so that the attention's
(batch, rows, columns, channels) is the same memory seen in another order.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNEL_ATTENTION_WEIGHT = 0.01
"""alpha of eq. 15: the share of the channel attention beside the window attention."""


@lru_cache(maxsize=16)
def relative_positions(window: int) -> Tensor:
    """(window^2, window^2) index of each pair's offset into a table of (2 window - 1)^2 biases."""
    at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    offset = at[:, :, None] - at[:, None, :] + window - 1
    return offset[0] * (2 * window - 1) + offset[1]


@lru_cache(maxsize=64)
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
        b, rows, columns, c = x.shape
        w, heads = self.window, self.heads
        shift = self.shift if min(rows, columns) > w else 0
        if shift:
            x = torch.roll(x, (-shift, -shift), dims=(1, 2))
        x = windows(x, w)  # (B * windows, w^2, C)
        q, k, v = self.qkv(x).view(len(x), w * w, 3, heads, c // heads).permute(2, 0, 3, 1, 4)
        bias = (
            self.position_bias[self.positions].view(w * w, w * w, heads).permute(2, 0, 1)[None]
        )  # (1, heads, w^2, w^2)
        if shift:
            apart = shift_mask(rows, columns, w, shift, x.device)  # (windows, w^2, w^2)
            bias = (bias + apart[:, None]).repeat(b, 1, 1, 1)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        x = self.project(x.transpose(1, 2).reshape(-1, w * w, c))
        x = unwindows(x, w, rows, columns)
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
        x = self.features(x)
        return x * self.weigh(x)


class HybridAttentionBlock(nn.Module):
    """HAB (eqs 14-16; the published eq. 16 leaves out the residual, which belongs there)."""

    def __init__(self, channels: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.window_attention = WindowAttention(channels, heads, window, shift)
        self.channel_attention = ChannelAttentionBlock(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)  # (B, rows, columns, C)
        n = self.norm1(x)
        cab = self.channel_attention(n.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        y = x + self.window_attention(n) + CHANNEL_ATTENTION_WEIGHT * cab
        return (y + self.mlp(self.norm2(y))).permute(0, 3, 1, 2)


class ResidualDenseBlock(nn.Module):
    """RDB: every convolution sees all before it; a 1 x 1 convolution gathers them."""

    def __init__(self, channels: int, growth: int, convolutions: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth, 3, padding=1) for i in range(convolutions)
        )
        self.gather = nn.Conv2d(channels + convolutions * growth, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = torch.cat([x, F.relu(convolution(x))], dim=1)
        return self.gather(x)


class RDHAB(nn.Module):
    """Residual dense hybrid attention block: RDB, HAB, shifted HAB, plus the input."""

    def __init__(self, channels: int, growth: int, convolutions: int, heads: int, window: int, attention: bool) -> None:
        super().__init__()
        self.dense = ResidualDenseBlock(channels, growth, convolutions)
        shifts = (0, window // 2) if attention else ()
        self.attention = nn.Sequential(*(HybridAttentionBlock(channels, heads, window, shift) for shift in shifts))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention(self.dense(x))
