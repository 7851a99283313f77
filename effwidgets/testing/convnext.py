"""ConvNeXts of the published shapes (Liu et al. 2022, arXiv:2201.03545, section 3)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["convnext_base", "convnext_large", "convnext_small", "convnext_tiny"]


class _ChannelNorm(nn.LayerNorm):
    # Over the channels of a picture, which torch keeps second.
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)
        x = functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)
        return x.permute(0, 3, 1, 2)


class _Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.widen = nn.Linear(channels, 4 * channels)
        self.narrow = nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.norm(self.filter(x).permute(0, 2, 3, 1))
        out = self.narrow(functional.gelu(self.widen(rows))).permute(0, 3, 1, 2)
        sum_: torch.Tensor = x + self.scale * out
        return sum_


def _convnext(widths: tuple[int, ...], depths: tuple[int, ...], classes: int) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4), _ChannelNorm(widths[0], eps=1e-6)]
    inner = widths[0]
    for width, depth in zip(widths, depths, strict=True):
        if width != inner:
            layers += [_ChannelNorm(inner, eps=1e-6), nn.Conv2d(inner, width, 2, 2)]
        layers += [_Block(width) for _ in range(depth)]
        inner = width
    layers += [nn.AdaptiveAvgPool2d(1), _ChannelNorm(inner, eps=1e-6), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(inner, classes))


def convnext_tiny(classes: int = 1000) -> nn.Sequential:
    """28,589,128 parameters and 4,455,531,264 MACs at 224 x 224."""
    return _convnext((96, 192, 384, 768), (3, 3, 9, 3), classes)


def convnext_small(classes: int = 1000) -> nn.Sequential:
    """27 blocks in the third stage."""
    return _convnext((96, 192, 384, 768), (3, 3, 27, 3), classes)


def convnext_base(classes: int = 1000) -> nn.Sequential:
    """From 128 to 1,024 channels."""
    return _convnext((128, 256, 512, 1024), (3, 3, 27, 3), classes)


def convnext_large(classes: int = 1000) -> nn.Sequential:
    """From 192 to 1,536 channels."""
    return _convnext((192, 384, 768, 1536), (3, 3, 27, 3), classes)
