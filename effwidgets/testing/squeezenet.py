"""SqueezeNets of the published shapes.

Iandola et al. 2016, arXiv:1602.07360, table 1; 1.1 is the authors' later one.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["squeezenet1_0", "squeezenet1_1"]


class _Fire(nn.Module):
    # Squeeze, then expand by two kernels side by side.
    def __init__(self, inner: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inner, squeezed, 1)
        self.expand1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.squeeze(x))
        return torch.cat([self.relu(self.expand1(x)), self.relu(self.expand3(x))], 1)


def _squeezenet(stem: nn.Conv2d, pools: tuple[int, ...], classes: int) -> nn.Sequential:
    # ``pools``: before which of the eight fire modules the picture is halved.
    layers: list[nn.Module] = [stem, nn.ReLU(inplace=True)]
    inner = stem.out_channels
    for place in range(8):
        if place in pools:
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
        squeezed = 16 * (1 + place // 2)
        layers.append(_Fire(inner, squeezed, 4 * squeezed))
        inner = 8 * squeezed
    layers += [nn.Dropout(0.5), nn.Conv2d(inner, classes, 1), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


def squeezenet1_0(classes: int = 1000) -> nn.Sequential:
    """A first kernel of 7 x 7: 1,248,424 parameters and 818,924,576 MACs at 224 x 224."""
    return _squeezenet(nn.Conv2d(3, 96, 7, 2), (0, 3, 7), classes)


def squeezenet1_1(classes: int = 1000) -> nn.Sequential:
    """A first kernel of 3 x 3 and earlier pools: less than half of the work."""
    return _squeezenet(nn.Conv2d(3, 64, 3, 2), (0, 2, 4), classes)
