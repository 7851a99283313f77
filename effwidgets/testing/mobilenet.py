"""Mobile networks of the published shapes: MobileNet V1, V2, V3 and MnasNet, at any width.

Howard et al. 2017, arXiv:1704.04861, table 1; Sandler et al. 2018, arXiv:1801.04381, table 2; Howard et al. 2019,
arXiv:1905.02244, tables 1 and 2; Tan et al. 2019, arXiv:1807.11626 (B1, the one without gates).
"""

from __future__ import annotations

from typing import Final

from torch import nn

from effwidgets.testing.inverted import Inverted, InvertedBlock, conv_norm, divisible

__all__ = ["mnasnet", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"]

_V1: Final = (64, (128, 2), 128, (256, 2), 256, (512, 2), 512, 512, 512, 512, 512, (1024, 2), 1024)
# expansion, channels, repeats, stride of the first
_V2: Final = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
# expansion, channels, repeats, stride of the first, kernel
_MNAS: Final = (
    (3, 24, 3, 2, 3),
    (3, 40, 3, 2, 5),
    (6, 80, 3, 2, 5),
    (6, 96, 2, 1, 3),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
# kernel, expanded, channels, gate, hard swish, stride
_V3_LARGE: Final = (
    (3, 16, 16, 0, 0, 1),
    (3, 64, 24, 0, 0, 2),
    (3, 72, 24, 0, 0, 1),
    (5, 72, 40, 1, 0, 2),
    (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1),
    (3, 240, 80, 0, 1, 2),
    (3, 200, 80, 0, 1, 1),
    (3, 184, 80, 0, 1, 1),
    (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1),
    (3, 672, 112, 1, 1, 1),
    (5, 672, 160, 1, 1, 2),
    (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)
_V3_SMALL: Final = (
    (3, 16, 16, 1, 0, 2),
    (3, 72, 24, 0, 0, 2),
    (3, 88, 24, 0, 0, 1),
    (5, 96, 40, 1, 1, 2),
    (5, 240, 40, 1, 1, 1),
    (5, 240, 40, 1, 1, 1),
    (5, 120, 48, 1, 1, 1),
    (5, 144, 48, 1, 1, 1),
    (5, 288, 96, 1, 1, 2),
    (5, 576, 96, 1, 1, 1),
    (5, 576, 96, 1, 1, 1),
)


def _head(channels: int, classes: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]


def mobilenet_v1(width: float = 1.0, classes: int = 1000) -> nn.Sequential:
    """Each channel filtered apart, then mixed: 4,231,976 parameters and 568,740,352 MACs at 224 x 224."""
    inner = max(8, int(32 * width))
    layers: list[nn.Module] = [conv_norm((3, inner), 3, 2, act=nn.ReLU)]
    for step in _V1:
        outer, stride = step if isinstance(step, tuple) else (step, 1)
        outer = max(8, int(outer * width))
        layers.append(conv_norm((inner, inner), 3, stride, inner, nn.ReLU))
        layers.append(conv_norm((inner, outer), 1, act=nn.ReLU))
        inner = outer
    return nn.Sequential(*layers, *_head(inner, classes))


def mobilenet_v2(width: float = 1.0, classes: int = 1000) -> nn.Sequential:
    """Inverted residuals: 3,504,872 parameters and 300,774,272 MACs at 224 x 224."""
    inner = divisible(32 * width)
    layers: list[nn.Module] = [conv_norm((3, inner), 3, 2, act=nn.ReLU6)]
    for expansion, channels, repeats, first in _V2:
        outer = divisible(channels * width)
        for place in range(repeats):
            stride = 1 if place else first
            layers.append(InvertedBlock(Inverted(channels=(inner, inner * expansion, outer), stride=stride)))
            inner = outer
    last = divisible(1280 * max(1.0, width))
    layers += [conv_norm((inner, last), 1, act=nn.ReLU6), *_head(last, classes)]
    return nn.Sequential(*layers)


def mnasnet(width: float = 1.0, classes: int = 1000) -> nn.Sequential:
    """MnasNet-B1, found by search: kernels of 3 and of 5."""
    inner, outer = divisible(32 * width), divisible(16 * width)
    layers: list[nn.Module] = [
        conv_norm((3, inner), 3, 2, act=nn.ReLU),
        conv_norm((inner, inner), 3, 1, inner, nn.ReLU),
        conv_norm((inner, outer), 1),
    ]
    inner = outer
    for expansion, channels, repeats, first, kernel in _MNAS:
        outer = divisible(channels * width)
        for place in range(repeats):
            made = Inverted(
                channels=(inner, inner * expansion, outer), kernel=kernel, stride=1 if place else first, act=nn.ReLU
            )
            layers.append(InvertedBlock(made))
            inner = outer
    return nn.Sequential(*layers, conv_norm((inner, 1280), 1, act=nn.ReLU), *_head(1280, classes))


def _v3(rows: tuple[tuple[int, ...], ...], last: int, width: float, classes: int) -> nn.Sequential:
    inner = divisible(16 * width)
    layers: list[nn.Module] = [conv_norm((3, inner), 3, 2, act=nn.Hardswish)]
    for kernel, expanded, channels, gate, swish, stride in rows:
        wide, outer = divisible(expanded * width), divisible(channels * width)
        made = Inverted(
            channels=(inner, wide, outer),
            kernel=kernel,
            stride=stride,
            act=nn.Hardswish if swish else nn.ReLU,
            squeezed=divisible(wide / 4) if gate else 0,
            gate=nn.Hardsigmoid,
        )
        layers.append(InvertedBlock(made))
        inner = outer
    layers += [conv_norm((inner, 6 * inner), 1, act=nn.Hardswish), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(6 * inner, last), nn.Hardswish(), nn.Linear(last, classes))


def mobilenet_v3_large(width: float = 1.0, classes: int = 1000) -> nn.Sequential:
    """Inverted residuals, some with a gate: 5,483,032 parameters at full width."""
    return _v3(_V3_LARGE, divisible(1280 * width), width, classes)


def mobilenet_v3_small(width: float = 1.0, classes: int = 1000) -> nn.Sequential:
    """The smaller one: 2,542,856 parameters at full width."""
    return _v3(_V3_SMALL, divisible(1024 * width), width, classes)
