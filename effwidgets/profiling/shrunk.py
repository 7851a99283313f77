"""Layers of a shadow made smaller, and where their channels lie afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import nn

from effwidgets.profiling.fakes import Fakes
from effwidgets.records import Group, Member

__all__ = ["Gone", "members_after", "shrink", "taken"]

Gone: TypeAlias = Mapping[str, int]
"""By the name of a group: how many of its channels go."""

_VECTORS = ("bias", "running_mean", "running_var")


def taken(group: Group, wanted: int = 1) -> int:
    """Return how many channels of a group to take away for a trial: some of each block, not all; 0 where none can."""
    each = group.channels // group.blocks
    # A convolution that is left with one input for each group would be a depthwise one, which is followed otherwise.
    least = 2 if group.blocks > 1 and each > 2 else 1
    return group.blocks * min(wanted, each - least)


def shrink(model: nn.Module, groups: Sequence[Group], gone: Gone, fakes: Fakes) -> None:
    """Make the layers of a shadow smaller, whichever entries go: it has no numbers."""
    less: dict[tuple[str, str], int] = {}
    for group in groups:
        for member in group.members:
            place = (member.layer, member.side)
            less[place] = less.get(place, 0) + gone.get(group.name, 0) * member.repeat
    for (layer, side), entries in less.items():
        if entries:
            _narrow(model.get_submodule(layer), side, entries, fakes)


def members_after(group: Group, groups: Sequence[Group], gone: Gone) -> Iterator[Member]:
    """Yield the members of ``group`` as they are when channels went: what lies behind others moves to the front."""
    before: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for other in groups:
        if gone.get(other.name):
            for member in other.members:
                held = before.setdefault((member.layer, member.side), [])
                held.append((member.start, gone[other.name] * member.repeat))
    for member in group.members:
        held = before.get((member.layer, member.side), [])
        yield replace(member, start=member.start - sum(less for start, less in held if start < member.start))


def _narrow(module: nn.Module, side: str, less: int, fakes: Fakes) -> None:
    turned = isinstance(module, nn.modules.conv._ConvTransposeNd)
    grouped = getattr(module, "groups", 1) if isinstance(module, nn.modules.conv._ConvNd) else 1
    # A depthwise convolution has a side of its own only: its filters.
    deep = grouped > 1 and grouped == module.in_channels
    axis = 1 if isinstance(module, nn.Embedding) or (side == "in") != turned else 0
    if deep:
        axis = 1 if turned and module.out_channels == -1 else 0
        each = module.out_channels // grouped
        module.in_channels -= less // each
        module.groups -= less // each
        less_of_weight = less // each if turned else less
    else:
        less_of_weight = less // grouped if axis == 1 and grouped > 1 else less
    _resize(module, ("weight", axis), less_of_weight, fakes)
    if side == "out":
        for name in _VECTORS:
            _resize(module, (name, 0), less, fakes)
    for name in _counts(module, side):
        setattr(module, name, getattr(module, name) - less)


def _counts(module: nn.Module, side: str) -> list[str]:
    names = ("in_features", "in_channels") if side == "in" else (
        "out_features", "out_channels", "num_features", "num_parameters", "embedding_dim"
    )
    return [name for name in names if hasattr(module, name)]


def _resize(module: nn.Module, place: tuple[str, int], less: int, fakes: Fakes) -> None:
    name, axis = place
    tensor = getattr(module, name, None)
    if not isinstance(tensor, torch.Tensor) or tensor.dim() <= axis:
        return
    shape = [size - less * (dim == axis) for dim, size in enumerate(tensor.shape)]
    strides = [1] * len(shape)
    for dim in range(len(shape) - 1, 0, -1):
        strides[dim - 1] = strides[dim] * shape[dim]
    made = fakes.fresh(tuple(shape), tuple(strides), tensor.dtype, tensor.device, trained=tensor.requires_grad)
    if name in module._parameters:
        made._is_param = True  # type: ignore[attr-defined]
        module._parameters[name] = made  # type: ignore[assignment]
    else:
        module._buffers[name] = made
