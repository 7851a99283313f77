"""What autograd keeps for each channel of a group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from effwidgets.profiling.coupling.channels import Channels, factors, length, loose, settle, taint
from effwidgets.profiling.memory import Cell

__all__ = ["Kept", "saved_by_channels"]

Kept: TypeAlias = tuple[Cell, int, str]
"""A storage that autograd keeps, its bytes, and the layer that kept it first."""


def saved_by_channels(kept: Iterable[Kept]) -> dict[Channels, dict[str, int]]:
    """Return the bytes kept for one channel of each set, by the layer that keeps them.

    A storage shrinks by the same number for every channel that goes, whatever went of other sets, as long as only one
    of its dimensions holds channels: so the numbers of several sets add up. A storage with channels of two sets along
    two dimensions would be a product; such sets are barred.
    """
    found: dict[Channels, dict[str, int]] = {}
    for cell, size, layer in kept:
        if cell.carries is None:
            continue
        shape, axes = cell.carries
        held = [(entries, settle(axis)) for entries, axis in zip(shape, axes, strict=True) if axis and not loose(axis)]
        free = [axis for _, axis in held if any(channels.obstacle is None for channels in factors(axis))]
        if len(free) > 1:
            taint(free, f"{layer or 'the model itself'!r} keeps a tensor with channels along two of its dimensions")
        for entries, axis in held:
            for segment in axis:
                for channels in factors((segment,)):
                    each = found.setdefault(channels, {})
                    each[layer] = each.get(layer, 0) + size // entries * (length(segment) // channels.count)
    return found
