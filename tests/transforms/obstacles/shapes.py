"""Obstacles in shapes and in what stands around a layer: sizes, kinds, blocks, pictures, where channels go."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from effwidgets.testing.attentive import GatedInput
from effwidgets.testing.convolutional import StatedViewNet, ViewNet
from effwidgets.testing.grouped import ResNextNet, TwoTowerNet
from effwidgets.testing.wrapped import half_frozen
from tests.transforms.obstacles.case import FLATTENED, FORMATS, Case, Made, after, numbers, seeded

_BLOCKS = ("bottleneck_block", "fire", "inverted_residual")
_KERNELS = ("bottleneck", "tucker2", "depthwise_separable")


class OneHot(nn.Module):
    """Whole numbers below 40 as rows that are one at their place."""

    def forward(self, ids):
        return functional.one_hot(ids, 40).float()


class Block(nn.Module):
    """A convolution around which its input is added."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, x):
        return torch.relu(x + self.norm(self.conv(x)))


class Joined(nn.Module):
    """A block behind a convolution, called with one tensor, with two, or by the name of what it takes."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.stem = conv(8, 8)
        self.block = Fed()
        self.way = way

    def forward(self, x):
        made = self.stem(x)
        if self.way == "by name":
            return self.block(x=made)
        return self.block(made, x) if self.way == "two" else self.block(made)


class Fed(Block):
    """A block that may be given something to add."""

    def forward(self, x, more=0):
        return super().forward(x) + more


def conv(into: int, out: int, groups: int = 1) -> nn.Module:
    """Return a convolution of 3 x 3 that keeps the size of its picture."""
    return nn.Conv2d(into, out, 3, padding=1, groups=groups)


def two() -> nn.Module:
    """Return a block of two convolutions, 8-16-8."""
    return nn.Sequential(conv(8, 16), nn.ReLU(), conv(16, 8), nn.ReLU())


def _widened() -> nn.Module:
    return nn.Sequential(conv(8, 16), nn.ReLU())


def _row(*layers: nn.Module | Callable[[], nn.Module], at: torch.Tensor) -> Callable[[], Made]:
    # Layers are made anew each time, from the seed: a maker for each.
    return seeded(lambda: nn.Sequential(*(layer() for layer in layers)), at)


def _of(kind: Callable[..., nn.Module], *sizes: int) -> Callable[[], nn.Module]:
    return lambda: kind(*sizes)


def _alone(layer: Callable[[], nn.Module], *shape: int) -> Callable[[], Made]:
    return _row(layer, nn.ReLU, at=numbers(*shape))


def _grow(layer: Callable[[], nn.Module]) -> Callable[[], Made]:
    return _row(_of(conv, 3, 16), layer, _of(conv, 24, 4), at=numbers(2, 3, 6, 6))


def _upsampled() -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(16, 24, 1))


def _between(norm: Callable[[], nn.Module]) -> Callable[[], Made]:
    return _row(_of(nn.Linear, 8, 16), norm, nn.ReLU, _of(nn.Linear, 16, 4), at=numbers(4, 8))


def _pooled(size: int) -> Callable[[], Made]:
    last = _of(nn.Linear, 8 * size * size, 8)
    return _row(_of(conv, 3, 8), _of(nn.AdaptiveAvgPool2d, size), nn.Flatten, last, at=numbers(4, 3, 8, 8))


def _together(model: nn.Module) -> None:
    model.block.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)


_PICTURE = numbers(2, 3, 16, 16)
_TURNED = _grow(_of(nn.ConvTranspose2d, 16, 24, 2, 2))
_WHOLE = _grow(_upsampled)
_RESNEXT = seeded(ResNextNet, _PICTURE)
_DEPTHWISE = _alone(_of(conv, 8, 8, 8), 2, 8, 6, 6)
_GROUPS = _alone(_of(conv, 16, 16, 2), 2, 16, 6, 6)
_PERCEPTRON = _row(_of(nn.Linear, 8, 16), nn.ReLU, _of(nn.Linear, 16, 6), at=numbers(4, 8))
_LONGER = _row(_of(nn.Linear, 8, 16), nn.ReLU, _of(nn.Linear, 16, 6), nn.ReLU, _of(nn.Linear, 6, 3), at=numbers(4, 8))
_INPUT = numbers(2, 5, 8)

SHAPES = (
    Case(
        reason="ConvTranspose2d is not among those that it is written for: *",
        techniques=FORMATS,
        blocked=_TURNED,
        freed=_WHOLE,
        at="1",
        then="1.1",
    ),
    Case(
        reason="it is transposed: factors would have to be applied in the other order",
        techniques=("low_rank",),
        blocked=_TURNED,
        freed=_WHOLE,
        at="1",
        then="1.1",
    ),
    Case(
        reason="Embedding is not among those that it is written for: *",
        techniques=("two_four",),
        blocked=_row(_of(nn.Embedding, 40, 16), _of(nn.Linear, 16, 4), at=torch.arange(8)),
        freed=_row(OneHot, _of(nn.Linear, 40, 16), _of(nn.Linear, 16, 4), at=torch.arange(8)),
        at="0",
        then="1",
    ),
    Case(
        reason="its weight has * numbers, no more than a codebook",
        techniques=("codebook",),
        blocked=_alone(_of(nn.Linear, 8, 16), 4, 8),
        freed=_alone(_of(nn.Linear, 8, 48), 4, 8),
        at="0",
    ),
    Case(
        reason="its inputs do not come in fours: each output reads *",
        techniques=("two_four",),
        blocked=_alone(_of(conv, 3, 16), 2, 3, 6, 6),
        freed=_alone(_of(conv, 4, 16), 2, 4, 6, 6),
        at="0",
    ),
    Case(
        reason="it is too small to factor: *",
        techniques=("low_rank",),
        blocked=_alone(_of(nn.Linear, 12, 3), 4, 12),
        freed=_alone(_of(nn.Linear, 12, 8), 4, 12),
        at="0",
    ),
    Case(
        reason="it is too small to factor: *",
        techniques=_KERNELS[:2],
        blocked=_alone(_of(conv, 3, 16), 2, 3, 6, 6),
        freed=_alone(_of(conv, 12, 16), 2, 12, 6, 6),
        at="0",
    ),
    Case(
        reason="it is too small to factor: *",
        techniques=_KERNELS[2:],
        blocked=_alone(_of(nn.Conv1d, 16, 16, 3), 2, 16, 9),
        freed=_alone(_of(nn.Conv1d, 16, 16, 5), 2, 16, 9),
        at="0",
    ),
    Case(
        reason="it is depthwise: one channel each",
        techniques=(*_KERNELS, "cp", "low_rank", "spatial_svd"),
        blocked=_DEPTHWISE,
        freed=_alone(_of(conv, 8, 8), 2, 8, 6, 6),
        at="0",
    ),
    Case(
        reason="it is grouped (* groups)",
        techniques=("depthwise_separable", "cp"),
        blocked=_GROUPS,
        freed=_alone(_of(conv, 16, 16), 2, 16, 6, 6),
        at="0",
    ),
    Case(
        reason="it is the model itself; put it into a torch.nn.Sequential",
        techniques=_BLOCKS,
        blocked=seeded(two, numbers(8, 8, 6, 6)),
        freed=_row(two, at=numbers(8, 8, 6, 6)),
        at="",
        then="0",
    ),
    Case(
        reason="it is the model itself; put it into a torch.nn.Sequential",
        techniques=("drop_block",),
        blocked=seeded(two, numbers(8, 8, 6, 6)),
        freed=_row(_of(conv, 8, 8), two, at=numbers(8, 8, 6, 6)),
        at="",
        then="1",
    ),
    Case(
        reason="it makes * of *; the same shape was expected",
        techniques=("drop_block",),
        blocked=_row(_of(conv, 8, 8), _widened, at=numbers(2, 8, 6, 6)),
        freed=_row(_of(conv, 8, 8), two, at=numbers(2, 8, 6, 6)),
        at="1",
    ),
    Case(
        reason="it takes * tensors; one was expected",
        techniques=("drop_block",),
        blocked=seeded(lambda: Joined("two"), numbers(2, 8, 6, 6)),
        freed=seeded(lambda: Joined("one"), numbers(2, 8, 6, 6)),
        at="block",
    ),
    Case(
        reason="it is called with, or returns, something else than one plain tensor, writes into its input, or the model "
        "was run with real numbers",
        techniques=("drop_block",),
        blocked=seeded(lambda: Joined("by name"), numbers(2, 8, 6, 6)),
        freed=seeded(lambda: Joined("one"), numbers(2, 8, 6, 6)),
        at="block",
    ),
    Case(
        reason="only * layer in it multiplies; replace that one by itself (spatial_svd, bottleneck)",
        techniques=_BLOCKS,
        blocked=_row(lambda: nn.Sequential(conv(8, 8), nn.ReLU()), at=numbers(8, 8, 6, 6)),
        freed=_row(two, at=numbers(8, 8, 6, 6)),
        at="0",
    ),
    Case(
        reason="an inverted residual saves nothing here, even with expansion 1",
        techniques=("inverted_residual",),
        blocked=_RESNEXT,
        freed=after(_RESNEXT, _together),
        at="block",
    ),
    Case(
        reason="it runs along the last of several dimensions: no picture was flattened for it",
        techniques=FLATTENED,
        blocked=_row(_of(conv, 3, 8), _of(nn.Linear, 8, 8), at=numbers(4, 3, 8, 8)),
        freed=_row(_of(conv, 3, 8), nn.Flatten, _of(nn.Linear, 8 * 64, 8), at=numbers(4, 3, 8, 8)),
        at="1",
        then="2",
    ),
    Case(
        reason="its inputs are no flattened picture of more than one place",
        techniques=FLATTENED,
        blocked=_pooled(1),
        freed=_pooled(2),
        at="3",
    ),
    Case(
        reason="it reaches the model's output, whose shape must stay",
        techniques=("channel_prune",),
        blocked=_PERCEPTRON,
        freed=_LONGER,
        at="2",
    ),
    Case(
        reason="it meets a tensor whose channels no layer makes (an input, an attention product, a constant)",
        techniques=("channel_prune",),
        blocked=_row(GatedInput, _of(nn.Linear, 8, 4), at=_INPUT),
        freed=_row(GatedInput, _of(nn.Linear, 8, 8), GatedInput, _of(nn.Linear, 8, 4), at=_INPUT),
        at="0.down_proj",
        then="1",
    ),
    Case(
        reason="the forward itself states the size of a reshape, *, which would not follow",
        techniques=("channel_prune",),
        blocked=seeded(StatedViewNet, _PICTURE),
        freed=seeded(ViewNet, _PICTURE),
        at="conv2",
    ),
    Case(
        reason="* divides each channel by those beside it",
        techniques=("channel_prune",),
        blocked=seeded(TwoTowerNet, _PICTURE),
        freed=after(seeded(TwoTowerNet, _PICTURE), lambda model: setattr(model, "norm", nn.Identity())),
        at="conv1",
    ),
    Case(
        reason="no second block of the same shape takes what it returns",
        techniques=("reversible",),
        blocked=_row(_of(conv, 3, 8), Block, _of(conv, 8, 4), at=numbers(2, 3, 6, 6)),
        freed=_row(_of(conv, 3, 8), Block, Block, _of(conv, 8, 4), at=numbers(2, 3, 6, 6)),
        at="1",
    ),
    Case(
        reason="nothing inside of it is kept for the backward: no parameter before it or in it learns",
        techniques=("checkpoint",),
        blocked=seeded(half_frozen, _PICTURE),
        freed=after(seeded(half_frozen, _PICTURE), lambda model: model.requires_grad_(requires_grad=True)),
        at="block1",
    ),
)
"""One for each reason, or several where the techniques that give it need other layers."""
