"""EfficientNets B0 to B7 of the published shapes (Tan and Le 2019, arXiv:1905.11946, table 1 and equation 3)."""

from __future__ import annotations

import math
from typing import Final

from torch import nn

from effwidgets.testing.inverted import Inverted, InvertedBlock, conv_norm, divisible

__all__ = ["efficientnet"]

# expansion, kernel, stride of the first, channels, repeats
_ROWS: Final = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
# factor of the width, factor of the depth
_SCALES: Final = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2.0, 3.1))


def efficientnet(number: int = 0, classes: int = 1000) -> nn.Sequential:
    """EfficientNet-B``number``: 5,288,548 parameters for B0."""
    width, depth = _SCALES[number]
    inner = divisible(32 * width)
    layers: list[nn.Module] = [conv_norm((3, inner), 3, 2, act=nn.SiLU)]
    for expansion, kernel, first, channels, repeats in _ROWS:
        outer = divisible(channels * width)
        for place in range(math.ceil(repeats * depth)):
            made = Inverted(
                channels=(inner, divisible(inner * expansion), outer),
                kernel=kernel,
                stride=1 if place else first,
                act=nn.SiLU,
                squeezed=max(1, inner // 4),
            )
            layers.append(InvertedBlock(made))
            inner = outer
    last = 4 * inner
    layers += [conv_norm((inner, last), 1, act=nn.SiLU), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(last, classes))
