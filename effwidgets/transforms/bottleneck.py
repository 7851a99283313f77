"""A convolution of k x k as 1 x 1, k x k, 1 x 1 with fewer channels in the middle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, cast

from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorization import Factorization, Stage, positions, weight_shape
from effwidgets.transforms.factors import tucker_factors, tucker_product

__all__ = ["BOTTLENECK", "Bottleneck"]


class Bottleneck(Factorization):
    """Channels down to ``rank_in``, the kernel on these to ``rank_out``, channels up again.

    It starts from a Tucker-2 decomposition (Kim et al. 2016, arXiv:1511.06530): the same shape started at random is no
    better than guessing before it is trained. Settings ``rank_in``: 1 to ``in``; ``rank_out``: 1 to ``out``.
    """

    name: ClassVar[str] = "bottleneck"
    family: ClassVar[str] = "bottleneck"
    title: ClassVar[str] = "A bottleneck"
    classes: ClassVar[tuple[type[nn.Module], ...]] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    ranks: ClassVar[tuple[str, ...]] = ("rank_in", "rank_out")

    def fits(self, layer: LayerProfile) -> bool:
        """A kernel that is more than a point."""
        weight = layer.tensor("weight")
        return weight is None or max(weight.shape[2:], default=1) > 1

    def limits(self, weight: Shape) -> tuple[int, ...]:
        """All channels."""
        return weight[1], weight[0]

    def stages(self, layer: LayerProfile, ranks: Sequence[int]) -> tuple[Stage, ...]:
        """The first runs where the layer reads, the others where it writes."""
        out, into, *kernel = weight_shape(layer)
        ones = [1] * len(kernel)
        reads = positions(layer.inputs[0], len(kernel)) * layer.calls
        writes = positions(layer.outputs[0], len(kernel)) * layer.calls
        return (
            Stage(weight=(ranks[0], into, *ones), positions=reads),
            Stage(weight=(ranks[1], ranks[0], *kernel), positions=writes),
            Stage(weight=(out, ranks[1], *ones), positions=writes),
        )

    def layers(self, module: nn.Module, ranks: Sequence[int]) -> tuple[nn.Module, ...]:
        """Stride, padding and dilation stay with the kernel; points map to points before it and after it."""
        old = cast("nn.Conv2d", module)
        conv: Callable[..., nn.Module] = type(module)
        middle = conv(
            ranks[0],
            ranks[1],
            old.kernel_size,
            stride=old.stride,
            padding=old.padding,
            dilation=old.dilation,
            padding_mode=old.padding_mode,
            bias=False,
            device="meta",
        )
        return (
            conv(old.in_channels, ranks[0], 1, bias=False, device="meta"),
            middle,
            conv(ranks[1], old.out_channels, 1, bias=old.bias is not None, device="meta"),
        )

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        """Compute a near triple of these ranks."""
        return tucker_factors(weight, ranks[0], ranks[1])

    def product(self, *weights: Tensor) -> Tensor:
        """Multiply the three."""
        return tucker_product(*weights)


BOTTLENECK = Bottleneck()
