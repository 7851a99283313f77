"""What makes a channel worth keeping."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from effwidgets.errors import TransformError, UnknownNameError
from effwidgets.records import Group, Step
from effwidgets.transforms.channels import Axes, makes, sides

__all__ = ["CRITERIA", "strength"]

CRITERIA = ("l2", "l1", "bn")
"""The norm of the weights that make a channel (Li et al. 2017, arXiv:1608.08710), summed over the layers that make it,
or the scale of its batch norms (Liu et al. 2017, arXiv:1708.06519)."""


def strength(step: Step, group: Group, modules: Mapping[str, nn.Module], axes: Mapping[str, Axes]) -> Tensor:
    """Return one number for each channel of ``group``: on the CPU, in double precision, so that ties fall alike.

    Raises:
        UnknownNameError: a criterion that there is not.
        TransformError: the group has no layer that the criterion reads, or its weights are not finite.
    """
    criterion = dict(step.settings).get("criterion", "l2")
    if criterion not in CRITERIA:
        raise UnknownNameError("criterion of channel_prune", criterion, CRITERIA)
    total = torch.zeros(group.channels, dtype=torch.float64)
    found = False
    for (layer, side), members in sides(group, axes).items():
        module = modules[layer]
        normed = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d)
        if side != "out" or not (normed if criterion == "bn" else makes(side, axes[layer])):
            continue
        weight = getattr(module, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        entries = weight.detach().double().cpu().movedim(axes[layer].sides[side], 0).abs()
        for member in members:
            span = entries[member.start : member.start + group.channels * member.repeat]
            span = span.reshape(group.channels, -1)
            total += span.sum(1) if criterion != "l2" else span.square().sum(1).sqrt()
            found = True
    if not found:
        need = "batch norm with a scale" if criterion == "bn" else "layer that makes the channels"
        raise TransformError(f"{step}: the criterion {criterion!r} needs a {need}; the group has none.")
    if not bool(torch.isfinite(total).all()):
        raise TransformError(f"{step}: weights in the group are infinite or not a number.")
    return total
