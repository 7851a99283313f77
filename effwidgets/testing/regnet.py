"""RegNets of the published shapes: widths from a line (Radosavovic et al. 2020, arXiv:2003.13678, section 3.3)."""

from __future__ import annotations

import math
from itertools import groupby
from typing import Final

import torch
from torch import nn

from effwidgets.testing.inverted import conv_norm, divisible

__all__ = ["regnet"]

# depth, first width, slope, step between stages, width of a group: the paper's top models of each size
_SHAPES: Final = {
    "x_400mf": (22, 24, 24.48, 2.54, 16),
    "x_800mf": (16, 56, 35.73, 2.28, 16),
    "x_1_6gf": (18, 80, 34.01, 2.25, 24),
    "x_3_2gf": (25, 88, 26.31, 2.25, 48),
    "y_400mf": (16, 48, 27.89, 2.09, 8),
    "y_800mf": (14, 56, 38.84, 2.4, 16),
    "y_1_6gf": (27, 48, 20.71, 2.65, 24),
    "y_3_2gf": (21, 80, 42.63, 2.66, 24),
}


def _widths(depth: int, first: int, slope: float, step: float) -> list[int]:
    # Equations 2 to 4: a line, put on powers of ``step``, rounded to eights.
    powers = (round(math.log((first + slope * place) / first) / math.log(step)) for place in range(depth))
    return [round(first * step**power / 8) * 8 for power in powers]


class _Gate(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(means))))


class _Block(nn.Module):
    def __init__(self, channels: tuple[int, int], stride: int, groups: int, *, gate: bool) -> None:
        super().__init__()
        inner, outer = channels
        layers: list[nn.Module] = [conv_norm((inner, outer), 1, act=nn.ReLU)]
        layers.append(conv_norm((outer, outer), 3, stride, groups, nn.ReLU))
        layers += [_Gate(outer, round(0.25 * inner))] if gate else []
        self.layers = nn.Sequential(*layers, conv_norm((outer, outer), 1))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inner != outer:
            self.shortcut = conv_norm((inner, outer), 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.shortcut(x) + self.layers(x))


def regnet(name: str, classes: int = 1000) -> nn.Sequential:
    """RegNet of that name, such as ``"x_400mf"`` or, with gates, ``"y_400mf"``."""
    depth, first, slope, step, group = _SHAPES[name]
    layers: list[nn.Module] = [conv_norm((3, 32), 3, 2, act=nn.ReLU)]
    inner = 32
    for width, same in groupby(_widths(depth, first, slope, step)):
        size = min(group, width)
        outer = divisible(width, size)
        for place, _ in enumerate(same):
            gate = name.startswith("y")
            layers.append(_Block((inner, outer), 1 if place else 2, outer // size, gate=gate))
            inner = outer
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, classes))
