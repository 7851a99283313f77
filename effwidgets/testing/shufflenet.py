"""ShuffleNets V2 of the published shapes (Ma et al. 2018, arXiv:1807.11164, table 5)."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

from effwidgets.testing.inverted import conv_norm

__all__ = ["shufflenet_v2"]

_WIDTHS: Final = {0.5: (48, 96, 192, 1024), 1.0: (116, 232, 464, 1024), 1.5: (176, 352, 704, 1024)}
_WIDEST: Final = (244, 488, 976, 2048)


class _Unit(nn.Module):
    # Half of the channels pass by; when the picture is halved, all go both ways.
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        half = outer // 2
        self.stride = stride
        self.aside: nn.Module = nn.Identity()
        if stride == 2:
            self.aside = nn.Sequential(conv_norm((inner, inner), 3, 2, inner), conv_norm((inner, half), 1, act=nn.ReLU))
        self.through = nn.Sequential(
            conv_norm((inner if stride == 2 else half, half), 1, act=nn.ReLU),
            conv_norm((half, half), 3, stride, half),
            conv_norm((half, half), 1, act=nn.ReLU),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = (x, x) if self.stride == 2 else x.chunk(2, 1)
        x = torch.cat([self.aside(first), self.through(second)], 1)
        batch, channels, height, width = x.shape
        return x.view(batch, 2, channels // 2, height, width).transpose(1, 2).reshape(batch, channels, height, width)


def shufflenet_v2(width: float = 1.0, classes: int = 1000) -> nn.Sequential:
    """Widths of 0.5, 1.0, 1.5 or 2.0: 2,278,604 parameters for 1.0."""
    *widths, last = _WIDTHS.get(width, _WIDEST)
    layers: list[nn.Module] = [conv_norm((3, 24), 3, 2, act=nn.ReLU), nn.MaxPool2d(3, 2, 1)]
    inner = 24
    for outer, repeats in zip(widths, (4, 8, 4), strict=True):
        for place in range(repeats):
            layers.append(_Unit(inner, outer, 1 if place else 2))
            inner = outer
    layers += [conv_norm((inner, last), 1, act=nn.ReLU), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(last, classes))
