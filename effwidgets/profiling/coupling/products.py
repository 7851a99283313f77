"""Channels that go into products of activations: attention, and whatever is like it."""

from __future__ import annotations

from typing import Any

import torch

from effwidgets.profiling.calls import tensors_in
from effwidgets.profiling.coupling.channels import Axis, factors, fix, taint
from effwidgets.profiling.coupling.joins import meet
from effwidgets.profiling.coupling.steps import axes_of, set_axes

__all__ = ["attend", "multiply"]

_CONTRACTED = "it goes into a product of activations (attention)"
_CARRIED = "it goes through a product of activations, whose work would shrink by a part that no layer's numbers tell"
_WIDTH = "it is the width of an attention head"


def multiply(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """Follow ``left @ right``, two matrices or two stacks of them.

    What is summed over must stay. A stack goes on as it is: heads. The outer dimensions go on too, unless they are the
    channels of each of several heads.
    """
    mine, theirs = axes_of(left), axes_of(right)
    fix((mine[-1], theirs[-2]), _CONTRACTED)
    found: list[Axis | None] = [None] * out.dim()
    if out.dim() == 3:
        found[0] = _together(mine[0], theirs[0], out.shape[0])
    found[-2], found[-1] = _passed(mine[-2]), _passed(theirs[-1])
    set_axes(out, found)


def attend(args: Any, kwargs: Any, out: Any) -> None:
    """Follow one of torch's fused attentions: query, key and value of ``(batch, heads, tokens, width)``."""
    query, key, value = args[:3]
    asked, known, told = (axes_of(tensor) for tensor in (query, key, value))
    results = list(tensors_in(out))
    if query.dim() != 4:
        taint((*asked, *known, *told), _CONTRACTED)
        return
    fix((asked[3], known[3], told[3]), _WIDTH)
    taint((asked[2], known[2], told[2]), _CONTRACTED)
    # Fewer keys than queries: each is taken for so many queries in a row.
    shared = query.shape[1] // max(1, key.shape[1])
    keys, values = (_widened(axes[1], shared) for axes in (known, told))
    batch = _together(_together(asked[0], known[0], query.shape[0]), told[0], query.shape[0])
    heads = _together(_together(asked[1], keys, query.shape[1]), values, query.shape[1])
    for tensor in tensors_in((args[3:], kwargs)):
        taint(axes_of(tensor), _CONTRACTED)
    masks = [tensor for tensor in tensors_in((args[3:], kwargs)) if tensor.dim() > 2 and tensor.shape[-3] > 1]
    if masks:
        taint((heads,), "its attention mask has one plane for each head")
    set_axes(results[0], [batch, heads, None, None])
    for tensor in results[1:]:
        if tensor.dim() == 3 and tensor.shape[:2] == query.shape[:2]:
            set_axes(tensor, [batch, heads, None])


def _widened(axis: Axis | None, times: int) -> Axis | None:
    return axis if axis is None or times == 1 else tuple((*part, times) for part in axis)


def _together(first: Axis | None, second: Axis | None, size: int) -> Axis | None:
    if first is not None and second is not None:
        meet(first, second)
    elif size > 1:
        taint((first, second), _CONTRACTED)
    for channels in (*factors(first), *factors(second)):
        channels.heads = True
    return first if first is not None else second


def _passed(axis: Axis | None) -> Axis | None:
    if any(channels.digit for channels in factors(axis)):
        fix((axis,), _WIDTH)
        return None
    taint((axis,), _CARRIED)
    return axis
