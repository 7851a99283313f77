"""A convolution of k x k as points, a column and a row for each channel, and points again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import ClassVar

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorize.canonical import cp_factors, cp_product
from effwidgets.transforms.factorize.factorization import Factorization
from effwidgets.transforms.factorize.parts import Part

__all__ = ["CP", "Cp"]


class Cp(Factorization):
    """Canonical polyadic decomposition: ``rank`` channels, each a single line in all directions: Lebedev et al. 2015.

    Four layers (arXiv:1412.6553): 1 x 1, k x 1 and 1 x k on each channel alone, 1 x 1. An expert choice: the fewest
    MACs, often slower than the layer, and hard to fine-tune. Setting ``rank``: 1 to ``kh kw min(in, out)``.
    """

    name: ClassVar[str] = "cp"
    family: ClassVar[str] = "factorize"
    title: ClassVar[str] = "Canonical polyadic decomposition"
    classes: ClassVar[tuple[type[nn.Module], ...]] = (nn.Conv2d,)
    ranks: ClassVar[tuple[str, ...]] = ("rank",)
    grouped: ClassVar[bool] = False

    def fits(self, layer: LayerProfile) -> bool:
        """A kernel that is more than a point or a line."""
        weight = layer.tensor("weight")
        return weight is None or min(weight.shape[2:]) > 1

    def limits(self, weight: Shape) -> tuple[int, ...]:
        """Every place of the kernel with a full matrix of its own."""
        out, into, *kernel = weight
        return (prod(kernel) * min(out, into),)

    def unsuited(self, layer: LayerProfile) -> str | None:
        """Padding by a copy of the inputs: what is kept then cannot be told."""
        whole = Part.of_layer(layer)
        return None if whole.keeps_input else f"its padding ({whole.padding_mode}) makes torch keep a padded copy"

    def warns(self, layer: LayerProfile) -> tuple[str, ...]:
        """An expert choice."""
        del layer
        return (
            "four layers, two of them depthwise: often slower than the layer at a quarter of its MACs",
            "the decomposition is ill-posed, slow to compute and hard to fine-tune",
        )

    def parts(self, whole: Part, ranks: Sequence[int]) -> tuple[Part, ...]:
        """Stride, padding and dilation are split: the vertical part to the column, the horizontal one to the row."""
        out, into, high, wide = whole.weight
        rank, padding = ranks[0], whole.padding
        apart = (padding, padding) if isinstance(padding, str) else ((padding[0], 0), (0, padding[1]))
        column = replace(
            whole,
            weight=(rank, 1, high, 1),
            groups=rank,
            stride=(whole.stride[0], 1),
            padding=apart[0],
            dilation=(whole.dilation[0], 1),
            bias=False,
        )
        row = replace(
            column,
            weight=(rank, 1, 1, wide),
            stride=(1, whole.stride[1]),
            padding=apart[1],
            dilation=(1, whole.dilation[1]),
        )
        last = replace(Part.point(whole.kind, out, rank), bias=whole.bias)
        return Part.point(whole.kind, rank, into), column, row, last

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute a near quadruple of this rank."""
        return cp_factors(weight, ranks[0])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the four."""
        return cp_product(*weights)


CP = Cp()
