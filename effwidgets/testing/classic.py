"""Networks before residuals, of the published shapes: AlexNet and VGG.

Krizhevsky, Sutskever and Hinton 2012 (AlexNet on two devices) as Caffe's bvlc_alexnet has it; Krizhevsky 2014,
arXiv:1404.5997 (AlexNet on one device); Simonyan and Zisserman 2015, arXiv:1409.1556, table 1.
"""

from __future__ import annotations

from typing import Final

from torch import nn

__all__ = ["alexnet", "alexnet_bvlc", "vgg"]

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


def alexnet_bvlc(classes: int = 1000) -> nn.Sequential:
    """Convolutions in two groups and response norms, for 227 x 227: 60,965,224 parameters and 724,406,816 MACs.

    The network that SqueezeNet is compared with: 48.83 times as many parameters.
    """
    layers: list[nn.Module] = []
    # in, out, kernel, stride, padding, groups
    steps = (
        (3, 96, 11, 4, 0, 1),
        (96, 256, 5, 1, 2, 2),
        (256, 384, 3, 1, 1, 1),
        (384, 384, 3, 1, 1, 2),
        (384, 256, 3, 1, 1, 2),
    )
    for place, (inner, outer, kernel, stride, padding, groups) in enumerate(steps):
        layers += [nn.Conv2d(inner, outer, kernel, stride, padding, groups=groups), nn.ReLU(inplace=True)]
        layers += [nn.LocalResponseNorm(5)] if place in (0, 1) else []
        layers += [nn.MaxPool2d(3, 2)] if place in (0, 1, 4) else []
    return nn.Sequential(*layers, *_head(256 * 36, classes))


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
