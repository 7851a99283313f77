"""Layers that did not run: what reads channels on another way through the model is not seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from effwidgets.records import Group

__all__ = ["never_run"]

_WIDTHS = ("in_features", "in_channels", "num_features", "input_size", "num_channels", "embed_dim")


def never_run(modules: Mapping[str, nn.Module], ran: Collection[str], groups: Sequence[Group]) -> list[Group]:
    """Return the groups, barred where a layer that this forward did not reach could take their channels.

    A branch that other inputs take, or a head that only training uses, may read what a group holds, and would break
    when channels go. What cannot be seen is told by width: a layer with parameters that did not run and whose inputs
    are as many as the entries of a member of the group.
    """
    idle: dict[int, str] = {}
    for name, module in modules.items():
        width = next(
            (size for size in (getattr(module, each, None) for each in _WIDTHS) if isinstance(size, int)), None
        )
        if (
            width is not None
            and name not in ran
            and any(isinstance(each, torch.Tensor) for each in module._parameters.values())
        ):
            idle.setdefault(width, name)
    if not idle:
        return list(groups)
    return [replace(group, obstacle=group.obstacle or _reason(group, modules, idle)) for group in groups]


def _reason(group: Group, modules: Mapping[str, nn.Module], idle: Mapping[int, str]) -> str | None:
    widths = {group.channels * member.repeat for member in group.members}
    for member in group.members:
        if member.side == "in":
            module = modules[member.layer]
            widths.update(getattr(module, each) for each in _WIDTHS if isinstance(getattr(module, each, None), int))
    name = next((idle[width] for width in sorted(widths) if width in idle), None)
    if name is None:
        return None
    return (
        f"{name!r} did not run and takes as many inputs: on another way through the model it may read these channels; "
        "profile with inputs that reach it, or take it out"
    )
