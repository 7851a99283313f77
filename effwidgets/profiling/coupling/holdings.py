"""Who makes, keeps and reads which channels, as a run goes by."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

from effwidgets.profiling.coupling.channels import Axis, Channels, bind, loose, taint
from effwidgets.profiling.coupling.joins import meet
from effwidgets.profiling.coupling.owners import Owners
from effwidgets.profiling.coupling.steps import set_axes

__all__ = ["Holdings", "Side"]

Side: TypeAlias = Literal["out", "in"]


class Holdings:
    """What layers hold of channels.

    Args:
        owners: knows whose a parameter is, and which layers are tied.

    Attributes:
        order: layers in the order in which they were first seen to hold channels.
        made: the channels that a layer makes itself.
        held: by layer and side, the dimension that lies along it; None where no layer's channels do.
        closed: layers that make channels inside, which cannot be followed: what a channel is, how many there are, and
            why none may go.
        splits: the pieces of dimensions that were cut into equal parts.
        own: by module, name of a tensor of its own and dimension, what lies along it.
    """

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self.order: dict[str, int] = {}
        self.made: dict[str, Channels] = {}
        self.held: dict[tuple[str, Side], Axis | None] = {}
        self.closed: dict[str, tuple[Literal["channels", "heads"], int, str]] = {}
        self.splits: list[tuple[str, list[Axis]]] = []
        self.own: dict[tuple[str, str, int], Axis] = {}

    def makes(self, layer: str, count: int) -> Axis:
        """``layer`` makes channels of its own."""
        channels = self.made.get(layer)
        if channels is None:
            channels = self.made[layer] = Channels(count)
        axis = ((channels,),)
        self.hold(layer, "out", axis)
        return axis

    def hold(self, layer: str, side: Side, axis: Axis | None) -> None:
        """The entries of ``axis`` lie along that side of a layer."""
        place = (layer, side)
        if place not in self.held:
            self.order.setdefault(layer, len(self.order))
            self.held[place] = axis
        else:
            # A layer that runs twice holds the same channels both times.
            before = self.held[place]
            if before is not None and axis is not None:
                meet(before, axis)
            else:
                taint((before, axis), f"{layer!r} runs more than once, and not always on channels that a layer makes")
        if axis is not None and layer in self._owners.tied:
            taint((axis,), f"the weight of {layer!r} is tied to that of {self._owners.tied[layer]!r}")

    def take(self, path: str, name: str, tensor: torch.Tensor) -> None:
        """A module reads a tensor of its own: whatever its dimensions meet lies along them."""
        axes: list[Axis | None] = []
        for dim, size in enumerate(tensor.shape):
            channels = Channels(size)
            channels.loose = True
            axes.append(((channels,),) if size > 1 else None)
            if size > 1:
                self.own[path, name, dim] = ((channels,),)
        set_axes(tensor, axes)

    def bind(self, layer: str, groups: int, axis: Axis | None) -> None:
        """``layer`` is a convolution in groups: each must keep the same number."""
        if axis is not None:
            bind(axis, groups, f"{layer!r}, a convolution in {groups} groups,")

    def close(self, layer: str, kind: Literal["channels", "heads"], count: int, reason: str) -> None:
        """``layer`` makes channels inside that cannot be followed."""
        self.order.setdefault(layer, len(self.order))
        self.closed.setdefault(layer, (kind, count, reason))

    def lend(self) -> None:
        """Bar the channels of layers whose parameters others read."""
        for (path, name, _), axis in self.own.items():
            if not loose(axis) and path in self._owners.tied:
                taint((axis,), f"the parameter {name!r} of {path!r} is tied to one of {self._owners.tied[path]!r}")
        for layer, reader in self._owners.lent.items():
            reason = f"the weight of {layer!r} is also read by {reader!r}"
            taint((self.held.get((layer, "out")), self.held.get((layer, "in"))), reason)
