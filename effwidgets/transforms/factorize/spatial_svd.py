"""A convolution of k x k as one of k x 1 and one of 1 x k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorize.factorization import Factorization
from effwidgets.transforms.factorize.factors import spatial_factors, spatial_product
from effwidgets.transforms.factorize.parts import Part

__all__ = ["SPATIAL_SVD", "SpatialSvd"]


class SpatialSvd(Factorization):
    """A column kernel to ``rank`` channels, then a row kernel: Jaderberg et al. 2014 (arXiv:1405.3866), scheme 2.

    Setting ``rank``: 1 to ``min(in * kh, out * kw)``, in each group. Trained 3 x 3 layers are low-rank in this
    unfolding before they are in any other.
    """

    name: ClassVar[str] = "spatial_svd"
    family: ClassVar[str] = "factorize"
    title: ClassVar[str] = "Spatial decomposition"
    classes: ClassVar[tuple[type[nn.Module], ...]] = (nn.Conv2d,)
    ranks: ClassVar[tuple[str, ...]] = ("rank",)

    def fits(self, layer: LayerProfile) -> bool:
        """A kernel that is more than a point or a line."""
        weight = layer.tensor("weight")
        return weight is None or min(weight.shape[2:]) > 1

    def limits(self, weight: Shape) -> tuple[int, ...]:
        """The rank of the full unfolding."""
        out, into, high, wide = weight
        return (min(into * high, out * wide),)

    def unsuited(self, layer: LayerProfile) -> str | None:
        """Padding that needs a copy for the row kernel alone: what is kept then cannot be told."""
        whole = Part.of_layer(layer)
        column, _ = self.parts(whole, (1,))
        if column.keeps_input and not whole.keeps_input:
            return "its padding 'same' is odd along the rows: torch keeps a padded copy for one factor only"
        return None

    def parts(self, whole: Part, ranks: Sequence[int]) -> tuple[Part, ...]:
        """Stride, padding and dilation are split: the vertical part to the first, the horizontal one to the second.

        The column kernel has made its stride but not yet the row kernel's: it runs at the full width.
        """
        out, into, high, wide = whole.weight
        padding = whole.padding
        apart = (padding, padding) if isinstance(padding, str) else ((padding[0], 0), (0, padding[1]))
        column = replace(
            whole,
            weight=(ranks[0], into, high, 1),
            stride=(whole.stride[0], 1),
            padding=apart[0],
            dilation=(whole.dilation[0], 1),
            bias=False,
        )
        row = replace(
            whole,
            weight=(out, ranks[0], 1, wide),
            stride=(1, whole.stride[1]),
            padding=apart[1],
            dilation=(1, whole.dilation[1]),
        )
        return column, row

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute the nearest pair of this rank."""
        return spatial_factors(weight, ranks[0])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the two."""
        return spatial_product(*weights)


SPATIAL_SVD = SpatialSvd()
