"""A convolution of k x k as one of k x k to few channels and one of 1 x 1 (Zhang et al. 2016, arXiv:1505.06798)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from effwidgets.records import LayerProfile, Shape
from effwidgets.transforms.factorize.factorization import Factorization


class ChannelSvd(Factorization):
    name = "channel_svd"
    family = "factorize"
    title = "Channel decomposition"
    classes = (nn.Conv2d,)
    ranks = ("rank",)

    def fits(self, layer: LayerProfile) -> bool:
        weight = layer.tensor("weight")
        return weight is None or max(weight.shape[2:]) > 1

    def limits(self, weight: Shape) -> tuple[int, ...]:
        return (min(weight[0], prod(weight[1:])),)

    def layers(self, module: nn.Conv2d, ranks: Sequence[int]) -> tuple[nn.Module, ...]:
        first = nn.Conv2d(
            module.in_channels,
            ranks[0],
            module.kernel_size,
            stride=module.stride,
            padding=module.padding,
            dilation=module.dilation,
            padding_mode=module.padding_mode,
            bias=False,
            device="meta",
        )
        return first, nn.Conv2d(ranks[0], module.out_channels, 1, bias=module.bias is not None, device="meta")

    def factors(self, weight: Tensor, ranks: Sequence[int]) -> tuple[Tensor, ...]:
        left, values, right = torch.linalg.svd(weight.detach().float().flatten(1), full_matrices=False)
        root = values[: ranks[0]].sqrt()
        first = (root[:, None] * right[: ranks[0]]).reshape(ranks[0], *weight.shape[1:])
        return first.to(weight.dtype), (left[:, : ranks[0]] * root)[..., None, None].to(weight.dtype)

    def product(self, *weights: Tensor) -> Tensor:
        first, second = weights
        return torch.einsum("rihw,or->oihw", first, second[:, :, 0, 0])


CHANNEL_SVD = ChannelSvd()
