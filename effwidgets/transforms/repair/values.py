"""Write new values into a layer, and put the old ones back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from effwidgets.transforms.repair.least_squares import Change
from effwidgets.transforms.repair.looking import Spot
from effwidgets.transforms.rows import weight_from
from effwidgets.transforms.surgery import find_layer

__all__ = ["Written", "takes_bias"]


def takes_bias(twin: nn.Module, spot: Spot) -> bool:
    """Say whether a bias can be fitted: the layer has one, or the batch norm behind it takes it up in its mean."""
    return isinstance(find_layer(twin, spot.unit.layer).bias, Tensor) or spot.norm is not None


class Written:
    """A change of one layer, written into all of ``models``, which may share their parameters.

    Flags and identities of the tensors stay: only values are written, also into frozen ones.
    """

    def __init__(self, models: Sequence[nn.Module], spot: Spot, change: Change) -> None:
        self._other: list[tuple[Tensor, Tensor]] = []
        done: set[int] = set()
        with torch.no_grad():
            for model in models:
                module = find_layer(model, spot.unit.layer)
                for tensor, add in _parts(model, module, spot, change):
                    if id(tensor) not in done:
                        done.add(id(tensor))
                        self._other.append((tensor, tensor.detach().clone()))
                        tensor.copy_(tensor.to(add.device).double() + add)

    def swap(self) -> None:
        """Put the old values back, or the new ones again."""
        with torch.no_grad():
            for number, (tensor, other) in enumerate(self._other):
                self._other[number] = (tensor, tensor.detach().clone())
                tensor.copy_(other)


def _parts(model: nn.Module, module: nn.Module, spot: Spot, change: Change) -> list[tuple[Tensor, Tensor]]:
    weight, bias = module.weight, module.bias
    parts = []
    if isinstance(weight, Tensor) and bool(change.weight.any()):
        parts.append((weight, weight_from(module, change.weight, tuple(weight.shape))))
    if isinstance(bias, Tensor):
        parts.append((bias, change.bias.flatten()))
    elif spot.norm is not None:
        mean = find_layer(model, spot.norm).running_mean
        if isinstance(mean, Tensor):
            parts.append((mean, -change.bias.flatten()))
    return parts
