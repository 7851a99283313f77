"""DenseNets of the published shapes (Huang et al. 2017, arXiv:1608.06993, table 1)."""

from __future__ import annotations

from typing import Final

import torch
from torch import nn

__all__ = ["densenet"]

# stem, growth, layers of each block
_SHAPES: Final = {
    121: (64, 32, (6, 12, 24, 16)),
    161: (96, 48, (6, 12, 36, 24)),
    169: (64, 32, (6, 12, 32, 32)),
    201: (64, 32, (6, 12, 48, 32)),
}


def _steps(inner: int, outer: int, kernel: int) -> list[nn.Module]:
    conv = nn.Conv2d(inner, outer, kernel, padding=kernel // 2, bias=False)
    return [nn.BatchNorm2d(inner), nn.ReLU(inplace=True), conv]


class _Layer(nn.Module):
    # Sees all that came before it in its block, and adds its own.
    def __init__(self, inner: int, growth: int) -> None:
        super().__init__()
        self.steps = nn.Sequential(*_steps(inner, 4 * growth, 1), *_steps(4 * growth, growth, 3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, self.steps(x)], 1)


def densenet(depth: int = 121, classes: int = 1000) -> nn.Sequential:
    """DenseNet of 121, 161, 169 or 201 layers: 7,978,856 parameters for 121."""
    inner, growth, blocks = _SHAPES[depth]
    layers: list[nn.Module] = [nn.Conv2d(3, inner, 7, 2, 3, bias=False), nn.BatchNorm2d(inner), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    for block, count in enumerate(blocks):
        if block:
            layers += [*_steps(inner, inner // 2, 1), nn.AvgPool2d(2)]
            inner //= 2
        for _ in range(count):
            layers.append(_Layer(inner, growth))
            inner += growth
    layers += [nn.BatchNorm2d(inner), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(inner, classes))
