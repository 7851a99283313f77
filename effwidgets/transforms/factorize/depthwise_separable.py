"""A convolution of k x k as a depthwise one and one of 1 x 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import ClassVar

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorize.canonical import depthwise_factors, depthwise_product
from effwidgets.transforms.factorize.factorization import Factorization
from effwidgets.transforms.factorize.parts import Part

__all__ = ["DEPTHWISE_SEPARABLE", "DepthwiseSeparable"]


class DepthwiseSeparable(Factorization):
    """Each input channel by itself to ``multiplier`` channels, then points: Guo et al. 2018 (arXiv:1808.05517).

    An expert choice: with a multiplier of 1 little is left of a trained layer before it is trained again. Setting
    ``multiplier``: 1 to ``min(k * k, out)``.
    """

    name: ClassVar[str] = "depthwise_separable"
    family: ClassVar[str] = "factorize"
    title: ClassVar[str] = "Depthwise and pointwise layers"
    classes: ClassVar[tuple[type[nn.Module], ...]] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    ranks: ClassVar[tuple[str, ...]] = ("multiplier",)
    grouped: ClassVar[bool] = False

    def fits(self, layer: LayerProfile) -> bool:
        """A kernel that is more than a point."""
        weight = layer.tensor("weight")
        return weight is None or prod(weight.shape[2:]) > 1

    def limits(self, weight: Shape) -> tuple[int, ...]:
        """All places of the kernel."""
        return (min(prod(weight[2:]), weight[0]),)

    def warns(self, layer: LayerProfile) -> tuple[str, ...]:
        """An expert choice."""
        del layer
        return ("needs training afterwards at small multipliers; depthwise layers wait for memory, not for MACs",)

    def parts(self, whole: Part, ranks: Sequence[int]) -> tuple[Part, ...]:
        """Stride, padding and dilation stand on the first, which sees what the layer saw."""
        out, into, *kernel = whole.weight
        depth = replace(whole, weight=(into * ranks[0], 1, *kernel), groups=into, bias=False)
        return depth, replace(Part.point(whole.kind, out, into * ranks[0]), bias=whole.bias)

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute the nearest pair with this multiplier."""
        return depthwise_factors(weight, ranks[0])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the two as if each channel of the first had an input of its own; see `product_for`."""
        depth, point = weights
        return depthwise_product(depth, point, into=depth.shape[0])

    def product_for(self, whole: Part, *weights: Tensor) -> Tensor:
        """Multiply the two: the first has several channels for each input."""
        depth, point = weights
        return depthwise_product(depth, point, into=whole.into)


DEPTHWISE_SEPARABLE = DepthwiseSeparable()
