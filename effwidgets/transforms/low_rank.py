"""A Linear, or a convolution of 1 x 1, as two of lower rank."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import ClassVar, cast

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorization import Factorization, Stage, weight_shape
from effwidgets.transforms.factors import matrix_factors, matrix_product

__all__ = ["LOW_RANK", "LowRank"]


class LowRank(Factorization):
    """Truncated singular value decomposition: ``(out, in)`` becomes ``(rank, in)``, then ``(out, rank)``.

    Setting ``rank``: 1 to ``min(in, out)``. It saves below ``in * out / (in + out)``.
    """

    name: ClassVar[str] = "low_rank"
    family: ClassVar[str] = "factorize"
    title: ClassVar[str] = "Singular value decomposition"
    classes: ClassVar[tuple[type[nn.Module], ...]] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    ranks: ClassVar[tuple[str, ...]] = ("rank",)
    reports_raw: ClassVar[bool] = True

    def fits(self, layer: LayerProfile) -> bool:
        """A weight of two sizes, or one whose kernel is a single point."""
        weight = layer.tensor("weight")
        return weight is None or prod(weight.shape[2:]) == 1

    def limits(self, weight: Shape) -> tuple[int, ...]:
        """The rank of a full matrix."""
        return (min(weight[:2]),)

    def regular(self, layer: LayerProfile) -> bool:
        """The places are counted over all calls, whatever their shapes."""
        return layer.self_cost.macs > 0 and layer.self_cost.macs % prod(weight_shape(layer)) == 0

    def stages(self, layer: LayerProfile, ranks: Sequence[int]) -> tuple[Stage, ...]:
        """Both factors run at the places of the layer: the first one takes its stride."""
        out, into, *ones = weight_shape(layer)
        places = layer.self_cost.macs // (out * into)
        return (
            Stage(weight=(ranks[0], into, *ones), positions=places),
            Stage(weight=(out, ranks[0], *ones), positions=places),
        )

    def layers(self, module: nn.Module, ranks: Sequence[int]) -> tuple[nn.Module, ...]:
        """Stride and padding stand on the first: a point of it sees what a point of the layer saw."""
        if isinstance(module, nn.Linear):
            return (
                nn.Linear(module.in_features, ranks[0], bias=False, device="meta"),
                nn.Linear(ranks[0], module.out_features, bias=module.bias is not None, device="meta"),
            )
        point = cast("nn.Conv2d", module)
        conv: Callable[..., nn.Module] = type(module)
        first = conv(
            point.in_channels,
            ranks[0],
            1,
            stride=point.stride,
            padding=point.padding,
            padding_mode=point.padding_mode,
            bias=False,
            device="meta",
        )
        return first, conv(ranks[0], point.out_channels, 1, bias=point.bias is not None, device="meta")

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute the nearest pair of this rank."""
        return matrix_factors(weight, ranks[0])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the two."""
        return matrix_product(*weights)


LOW_RANK = LowRank()
