"""A convolution of k x k as 1 x 1, k x k, 1 x 1 with fewer channels in the middle, from its weight alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorize.factorization import Factorization
from effwidgets.transforms.factorize.factors import tucker_factors, tucker_product
from effwidgets.transforms.factorize.parts import Part

__all__ = ["TUCKER2", "Tucker2", "narrowed"]


def narrowed(whole: Part, rank_in: int, rank_out: int) -> tuple[Part, ...]:
    """Return the three factors: points to few channels, the kernel on these, points back.

    Stride and dilation stay with the kernel. So does padding with zeros; any other is made of the layer's own inputs,
    before the first factor, where it gives the same: the kernel then meets points of what was padded.
    """
    out, into, *kernel = whole.weight
    first = Part.point(whole.kind, rank_in, into)
    middle = replace(whole, weight=(rank_out, rank_in, *kernel), bias=False)
    if whole.padding_mode != "zeros" and whole.padding != "same":
        first = replace(first, padding=whole.padding, padding_mode=whole.padding_mode)
        middle = replace(middle, padding=(0,) * len(kernel), padding_mode="zeros")
    return first, middle, replace(Part.point(whole.kind, out, rank_out), bias=whole.bias)


class Tucker2(Factorization):
    """Tucker-2 decomposition by higher-order orthogonal iteration: Kim et al. 2016 (arXiv:1511.06530).

    Settings ``rank_in``: 1 to ``in``; ``rank_out``: 1 to ``out``, in each group. With calibration data `bottleneck`,
    of the same shape, comes nearer to the layer's outputs.
    """

    name: ClassVar[str] = "tucker2"
    family: ClassVar[str] = "factorize"
    title: ClassVar[str] = "Tucker-2 decomposition"
    classes: ClassVar[tuple[type[nn.Module], ...]] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    ranks: ClassVar[tuple[str, ...]] = ("rank_in", "rank_out")

    def fits(self, layer: LayerProfile) -> bool:
        """A kernel that is more than a point."""
        weight = layer.tensor("weight")
        return weight is None or max(weight.shape[2:], default=1) > 1

    def limits(self, weight: Shape) -> tuple[int, ...]:
        """All channels."""
        return weight[1], weight[0]

    def unsuited(self, layer: LayerProfile) -> str | None:
        """Padding whose copy cannot be made before the first factor: what is kept then cannot be told."""
        whole = Part.of_layer(layer)
        if self.parts(whole, (1, 1))[0].keeps_input and not whole.keeps_input:
            return "its padding 'same' makes torch keep a padded copy of the inputs, and not the inputs themselves"
        return None

    def warns(self, layer: LayerProfile) -> tuple[str, ...]:
        """An expert choice."""
        del layer
        return ("three small layers for one are often slower than their MACs say; bottleneck is refitted to data",)

    def parts(self, whole: Part, ranks: Sequence[int]) -> tuple[Part, ...]:
        """The first runs where the layer reads, the others where it writes."""
        return narrowed(whole, ranks[0], ranks[1])

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute a near triple of these ranks."""
        return tucker_factors(weight, ranks[0], ranks[1])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the three."""
        return tucker_product(*weights)


TUCKER2 = Tucker2()
