"""Residual networks of the published shapes, for tests at their scale.

ResNet: He et al. 2016, arXiv:1512.03385, table 1; ResNeXt: Xie et al. 2017, arXiv:1611.05431; wide: Zagoruyko and
Komodakis 2016, arXiv:1605.07146.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50", "wide_resnet50"]


class _Block(nn.Module):
    """Convolutions with batch norm, a shortcut, and an activation after the sum.

    Args:
        channels: in, inside, out.
        stride: of the first 3 x 3 convolution, as in the common implementation.
        groups: of the 3 x 3 convolution of a narrow block.
        narrow: 1x1, 3x3, 1x1 when true; two 3x3 otherwise.
    """

    def __init__(self, channels: tuple[int, int, int], stride: int, groups: int = 1, *, narrow: bool) -> None:
        super().__init__()
        inner, middle, outer = channels
        steps = [(inner, middle, 3, stride), (middle, outer, 3, 1)]
        if narrow:
            steps = [(inner, middle, 1, 1), (middle, middle, 3, stride), (middle, outer, 1, 1)]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, k, s, k // 2, groups=groups if k == 3 else 1, bias=False) for a, b, k, s in steps
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) for _, b, _, _ in steps)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.shortcut = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = self.shortcut(x)
        for place, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x))
            if place < len(self.convs) - 1:
                x = self.relu(x)
        x += shortcut
        out: torch.Tensor = self.relu(x)
        return out


def _resnet(
    depths: tuple[int, ...], classes: int, *, narrow: bool, width: float = 1.0, groups: int = 1
) -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    layers.append(nn.MaxPool2d(3, 2, 1))
    inner = 64
    for stage, depth in enumerate(depths):
        planes = 64 * 2**stage
        outer = planes * (4 if narrow else 1)
        for place in range(depth):
            stride = 2 if stage and not place else 1
            layers.append(_Block((inner, int(planes * width), outer), stride, groups, narrow=narrow))
            inner = outer
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, classes))


def resnet18(classes: int = 1000) -> nn.Sequential:
    """Two 3 x 3 convolutions a block: 11,689,512 parameters and 1,814,073,344 MACs at 224 x 224."""
    return _resnet((2, 2, 2, 2), classes, narrow=False)


def resnet34(classes: int = 1000) -> nn.Sequential:
    """Two 3 x 3 convolutions a block, 16 blocks."""
    return _resnet((3, 4, 6, 3), classes, narrow=False)


def resnet50(classes: int = 1000) -> nn.Sequential:
    """Narrow blocks: 25,557,032 parameters and 4,089,184,256 MACs at 224 x 224."""
    return _resnet((3, 4, 6, 3), classes, narrow=True)


def resnet101(classes: int = 1000) -> nn.Sequential:
    """Narrow blocks, 33 of them."""
    return _resnet((3, 4, 23, 3), classes, narrow=True)


def resnet152(classes: int = 1000) -> nn.Sequential:
    """Narrow blocks, 50 of them."""
    return _resnet((3, 8, 36, 3), classes, narrow=True)


def resnext50(classes: int = 1000) -> nn.Sequential:
    """ResNet-50 with twice the width inside its blocks, in 32 groups."""
    return _resnet((3, 4, 6, 3), classes, narrow=True, width=2.0, groups=32)


def wide_resnet50(classes: int = 1000) -> nn.Sequential:
    """ResNet-50 with twice the width inside its blocks."""
    return _resnet((3, 4, 6, 3), classes, narrow=True, width=2.0)
