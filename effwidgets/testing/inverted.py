"""The block that mobile networks are made of: expand, filter each channel apart, squeeze, project, add.

Sandler et al. 2018, arXiv:1801.04381, figure 3; with the gate of Howard et al. 2019, arXiv:1905.02244, figure 4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["Inverted", "InvertedBlock", "conv_norm", "divisible"]

Make = Callable[[], nn.Module]


def divisible(channels: float, by: int = 8) -> int:
    """Round to a multiple of ``by``, to the nearest but never down by more than a tenth.

    >>> divisible(0.35 * 32), divisible(1.4 * 24)
    (16, 32)
    """
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded if rounded >= 0.9 * channels else rounded + by


def conv_norm(
    channels: tuple[int, int], kernel: int, stride: int = 1, groups: int = 1, act: Make | None = None
) -> nn.Sequential:
    """A convolution without bias that keeps places when ``stride`` is 1, its batch norm, and an activation."""
    inner, outer = channels
    conv = nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outer), *([act()] if act else []))


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverted:
    """What one block is made with.

    Attributes:
        channels: in, expanded, out.
        kernel: of the convolution that takes each channel apart.
        stride: of that convolution.
        act: makes the activation; none after the projection.
        squeezed: channels inside the gate; 0 where there is no gate.
        gate: makes what ends the gate.
    """

    channels: tuple[int, int, int]
    kernel: int = 3
    stride: int = 1
    act: Make = nn.ReLU6
    squeezed: int = 0
    gate: Make = nn.Sigmoid


class _Gate(nn.Module):
    # One number for each channel, from the means of all of them.
    def __init__(self, channels: int, made: Inverted) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, made.squeezed, 1)
        self.act = nn.SiLU() if made.act is nn.SiLU else nn.ReLU()
        self.expand = nn.Conv2d(made.squeezed, channels, 1)
        self.gate = made.gate()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means = x.mean((2, 3), keepdim=True)
        out: torch.Tensor = x * self.gate(self.expand(self.act(self.reduce(means))))
        return out


class InvertedBlock(nn.Module):
    """One block; it adds its input where shapes allow, and has no expansion where there is none to make."""

    def __init__(self, made: Inverted) -> None:
        super().__init__()
        inner, wide, outer = made.channels
        layers: list[nn.Module] = []
        if wide != inner:
            layers.append(conv_norm((inner, wide), 1, act=made.act))
        layers.append(conv_norm((wide, wide), made.kernel, made.stride, wide, made.act))
        if made.squeezed:
            layers.append(_Gate(wide, made))
        self.layers = nn.Sequential(*layers, conv_norm((wide, outer), 1))
        self.adds = made.stride == 1 and inner == outer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features, ``(batch, out, height, width)``."""
        out: torch.Tensor = self.layers(x)
        return x + out if self.adds else out
