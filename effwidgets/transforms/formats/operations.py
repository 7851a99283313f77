"""What a layer of torch.nn does with its weight, for a weight that is computed in each forward."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Operation", "operation_of"]

Operation: TypeAlias = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""Takes the input, the weight and the bias."""

_PLAIN: dict[int, Callable[..., Tensor]] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


def operation_of(module: nn.Module) -> Operation:
    """Return what ``module``, a Linear, a convolution or an Embedding, computes, as a function of its weight.

    It uses torch alone and does not hold on to ``module``, so that it can be traced.

    >>> import torch
    >>> layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, padding_mode="reflect")
    >>> x = torch.randn(1, 4, 8, 8)
    >>> torch.equal(operation_of(layer)(x, layer.weight, layer.bias), layer(x))
    True
    """
    if isinstance(module, nn.Linear):
        return functional.linear
    if isinstance(module, nn.Embedding):
        return _looking_up(module.padding_idx)
    return _convolution(cast("nn.Conv2d", module))


def _looking_up(padding: int | None) -> Operation:
    def apply(rows: Tensor, weight: Tensor, _bias: Tensor | None) -> Tensor:
        return functional.embedding(rows, weight, padding)  # that row gets no gradient

    return apply


def _convolution(module: nn.Conv2d) -> Operation:
    convolve = _PLAIN[len(module.kernel_size)]
    stride, dilation, groups = module.stride, module.dilation, module.groups
    padding: tuple[int, ...] | str = module.padding
    mode, around = module.padding_mode, list(module._reversed_padding_repeated_twice)  # noqa: SLF001  also for "same"

    def apply(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if mode == "zeros":
            return convolve(x, weight, bias, stride, padding, dilation, groups)
        return convolve(functional.pad(x, around, mode=mode), weight, bias, stride, 0, dilation, groups)

    return apply
