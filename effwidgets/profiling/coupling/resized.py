"""Layers of a shadow given other sizes, and where their channels lie afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import torch
from torch import nn

from effwidgets.profiling.fakes import Fakes
from effwidgets.records import Group, Member

__all__ = ["Added", "members_after", "resize"]

Added: TypeAlias = Mapping[str, int]
"""By the name of a group: how many channels come to it; a negative number goes."""

_VECTORS = ("bias", "running_mean", "running_var")


def resize(model: nn.Module, groups: Sequence[Group], added: Added, fakes: Fakes) -> None:
    """Give the layers of a shadow other sizes; it has no numbers."""
    more: dict[tuple[str, str], int] = {}
    for group in groups:
        for member in group.members:
            if member.tensor:
                extra = added.get(group.name, 0) * member.repeat
                _resize(model.get_submodule(member.layer), (member.tensor, member.axis), extra, fakes)
                continue
            place = (member.layer, member.side)
            more[place] = more.get(place, 0) + added.get(group.name, 0) * member.repeat
    for (layer, side), entries in more.items():
        if entries:
            _narrow(model.get_submodule(layer), side, entries, fakes)


def members_after(group: Group, groups: Sequence[Group], added: Added) -> Iterator[Member]:
    """Yield the members of ``group`` as they are when channels came: what lies behind others moves back."""
    before: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for other in groups:
        if added.get(other.name):
            for member in other.members:
                held = before.setdefault((member.layer, member.side), [])
                held.append((member.start, added[other.name] * member.repeat))
    for member in group.members:
        held = before.get((member.layer, member.side), [])
        yield replace(member, start=member.start + sum(more for start, more in held if start < member.start))


def _narrow(module: nn.Module, side: str, more: int, fakes: Fakes) -> None:
    turned = isinstance(module, nn.modules.conv._ConvTransposeNd)
    grouped = module.groups if isinstance(module, nn.modules.conv._ConvNd) else 1
    axis = 1 if isinstance(module, nn.Embedding) or (side == "in") != turned else 0
    if isinstance(module, nn.modules.conv._ConvNd) and 1 < grouped == module.in_channels:
        # A depthwise convolution has one side only: its filters.
        axis = 0
        each = module.out_channels // grouped
        module.in_channels += more // each
        module.groups += more // each
        rows = more // each if turned else more
    else:
        rows = more // grouped if axis == 1 and grouped > 1 else more
    _resize(module, ("weight", axis), rows, fakes)
    if side == "out":
        for name in _VECTORS:
            _resize(module, (name, 0), more, fakes)
    for name in _counts(module, side):
        setattr(module, name, getattr(module, name) + more)
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        module.normalized_shape = (module.normalized_shape[0] + more,)


def _counts(module: nn.Module, side: str) -> list[str]:
    names = (
        ("in_features", "in_channels")
        if side == "in"
        else ("out_features", "out_channels", "num_features", "num_parameters", "embedding_dim")
    )
    return [name for name in names if hasattr(module, name)]


def _resize(module: nn.Module, place: tuple[str, int], more: int, fakes: Fakes) -> None:
    name, axis = place
    tensor = getattr(module, name, None)
    if not isinstance(tensor, torch.Tensor) or tensor.dim() <= axis:
        return
    shape = [size + more * (dim == axis) for dim, size in enumerate(tensor.shape)]
    strides = [1] * len(shape)
    for dim in range(len(shape) - 1, 0, -1):
        strides[dim - 1] = strides[dim] * shape[dim]
    made = fakes.fresh(tuple(shape), tuple(strides), tensor.dtype, tensor.device, trained=tensor.requires_grad)
    if name in module._parameters:
        made._is_param = True
        module._parameters[name] = made  # type: ignore[assignment]
    else:
        module._buffers[name] = made
