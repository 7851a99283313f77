"""A U-Net of the published size (Ronneberger et al. 2015, arXiv:1505.04597, figure 1), padded so that places remain."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["unet"]


def _pair(inner: int, outer: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outer, outer, 3, padding=1),
        nn.ReLU(inplace=True),
    )


class _UNet(nn.Module):
    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(_pair(inner, outer) for inner, outer in zip([3, *widths], widths, strict=False))
        self.pool = nn.MaxPool2d(2)
        pairs = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(inner, outer, 2, 2) for inner, outer in pairs)
        self.up = nn.ModuleList(_pair(inner, outer) for inner, outer in pairs)
        self.head = nn.Conv2d(width, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips: list[torch.Tensor] = []
        for level, down in enumerate(self.down):
            x = down(self.pool(x) if level else x)
            skips.append(x)
        skips.pop()
        for grow, up in zip(self.grow, self.up, strict=True):
            x = up(torch.cat([skips.pop(), grow(x)], 1))
        out: torch.Tensor = self.head(x)
        return out


def unet(width: int = 64, classes: int = 2) -> nn.Module:
    """Five levels, skips, transposed convolutions; 31,031,810 parameters at full width.

    It takes pictures whose sides are multiples of 16.
    """
    return _UNet(width, classes)
