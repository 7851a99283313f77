"""Networks before residuals, of the published shapes: AlexNet and VGG.

Krizhevsky 2014, arXiv:1404.5997 (AlexNet on one device); Simonyan and Zisserman 2015, arXiv:1409.1556, table 1.
"""

from __future__ import annotations

from typing import Final

from torch import nn

__all__ = ["alexnet", "vgg"]

# convolutions in each of the five stages
_VGG: Final = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def _head(features: int, classes: int) -> list[nn.Module]:
    return [
        nn.Flatten(),
        nn.Linear(features, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(4096, 4096),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(4096, classes),
    ]


def alexnet(classes: int = 1000) -> nn.Sequential:
    """Five convolutions and three linear layers: 61,100,840 parameters."""
    layers: list[nn.Module] = []
    steps = ((3, 64, 11, 4, 2), (64, 192, 5, 1, 2), (192, 384, 3, 1, 1), (384, 256, 3, 1, 1), (256, 256, 3, 1, 1))
    for place, (inner, outer, kernel, stride, padding) in enumerate(steps):
        layers += [nn.Conv2d(inner, outer, kernel, stride, padding), nn.ReLU(inplace=True)]
        if place in (0, 1, 4):
            layers.append(nn.MaxPool2d(3, 2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(6), *_head(256 * 36, classes))


def vgg(depth: int = 16, classes: int = 1000, *, norms: bool = False) -> nn.Sequential:
    """VGG of 11, 13, 16 or 19 layers with weights, with batch norms if asked for."""
    layers: list[nn.Module] = []
    inner = 3
    for stage, convs in enumerate(_VGG[depth]):
        outer = min(512, 64 * 2**stage)
        for _ in range(convs):
            layers.append(nn.Conv2d(inner, outer, 3, padding=1))
            layers += [nn.BatchNorm2d(outer)] if norms else []
            layers.append(nn.ReLU(inplace=True))
            inner = outer
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7), *_head(512 * 49, classes))
