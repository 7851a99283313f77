"""The weight of a layer that is factored, and the values of its factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from effwidgets.errors import TransformError
from effwidgets.records import LayerProfile, Shape

__all__ = ["Values", "groups_of", "of_groups", "weight_of", "weight_shape"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Values:
    """The values of the factors.

    Attributes:
        weights: one for each factor.
        bias: what the last factor adds; None where it is what the layer added.
        notes: what a reader must know of how they were found.
    """

    weights: tuple[Tensor, ...]
    bias: Tensor | None = None
    notes: tuple[str, ...] = ()


def weight_shape(layer: LayerProfile) -> Shape:
    """Return the sizes of a layer's weight.

    Raises:
        TransformError: it has no plain weight, or did not run in the profiled forward.
    """
    weight = layer.tensor("weight")
    if weight is None or not layer.calls:
        raise TransformError(f"{layer.name or 'the model itself'} has no plain weight or did not run in this forward.")
    return weight.shape


def of_groups(groups: int, into: int) -> str:
    """Say why a convolution in groups is left alone."""
    return "it is depthwise: one channel each" if groups == into else f"it is grouped ({groups} groups)"


def weight_of(module: nn.Module) -> Tensor:
    """Return the weight of a layer that has one."""
    return cast("Tensor", module.weight)


def groups_of(module: nn.Module) -> int:
    """Return the groups of a convolution; 1 for every other layer."""
    return cast("int", getattr(module, "groups", 1))
