"""A convolution of k x k as one of k x 1 and one of 1 x k."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import ClassVar, cast

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorization import Factorization, Stage, weight_shape
from effwidgets.transforms.factors import spatial_factors, spatial_product

__all__ = ["SPATIAL_SVD", "SpatialSvd"]


class SpatialSvd(Factorization):
    """A column kernel to ``rank`` channels, then a row kernel: Jaderberg et al. 2014 (arXiv:1405.3866), scheme 2.

    Setting ``rank``: 1 to ``min(in * kh, out * kw)``. Trained 3 x 3 layers are low-rank in this unfolding
    before they are in any other.
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

    def stages(self, layer: LayerProfile, ranks: Sequence[int]) -> tuple[Stage, ...]:
        """The column kernel has made its stride but not yet the row kernel's: it runs at the full width."""
        out, into, high, wide = weight_shape(layer)
        *_, rows, columns = layer.outputs[0]
        batch = prod(layer.outputs[0][:-3]) * layer.calls
        return (
            Stage(weight=(ranks[0], into, high, 1), positions=batch * rows * layer.inputs[0][-1]),
            Stage(weight=(out, ranks[0], 1, wide), positions=batch * rows * columns),
        )

    def layers(self, module: nn.Module, ranks: Sequence[int]) -> tuple[nn.Module, ...]:
        """Stride, padding and dilation are split: the vertical part to the first, the horizontal one to the second."""
        old, conv = cast("nn.Conv2d", module), cast("Callable[..., nn.Module]", nn.Conv2d)
        high, wide = old.kernel_size
        stride, dilation, padding = old.stride, old.dilation, old.padding
        apart = (padding, padding) if isinstance(padding, str) else ((padding[0], 0), (0, padding[1]))
        first = conv(
            old.in_channels,
            ranks[0],
            (high, 1),
            stride=(stride[0], 1),
            padding=apart[0],
            dilation=(dilation[0], 1),
            bias=False,
            padding_mode=old.padding_mode,
            device="meta",
        )
        second = conv(
            ranks[0],
            old.out_channels,
            (1, wide),
            stride=(1, stride[1]),
            padding=apart[1],
            dilation=(1, dilation[1]),
            bias=old.bias is not None,
            padding_mode=old.padding_mode,
            device="meta",
        )
        return first, second

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute the nearest pair of this rank."""
        return spatial_factors(weight, ranks[0])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the two."""
        return spatial_product(*weights)


SPATIAL_SVD = SpatialSvd()
