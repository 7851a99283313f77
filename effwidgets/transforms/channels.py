"""Along which axes of which tensors the channels of a layer lie, and what is left when some of them go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import Group, Member, Shape
from effwidgets.transforms.surgery import blank_parameter

__all__ = [
    "Axes",
    "Cuts",
    "Side",
    "axes_of",
    "cut_layer",
    "entries_kept",
    "fill_layer",
    "kept_sizes",
    "shape_kept",
    "sides",
]

Side: TypeAlias = Literal["out", "in"]
Cuts: TypeAlias = dict[str, dict[Side, tuple[int, ...]]]
"""By layer and side: the entries that stay, in their old numbering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Axes:
    """Where the channels of a kind of layer lie.

    Attributes:
        sides: by side, the axis of the weight; a layer that works on each channel alone has "out" only.
        vectors: tensors beside the weight that have one entry for each channel of the "out" side.
        counts: by side, the attributes that say how many channels there are.
    """

    sides: Mapping[Side, int]
    vectors: tuple[str, ...]
    counts: Mapping[Side, tuple[str, ...]]


_LINEAR = Axes(sides={"out": 0, "in": 1}, vectors=("bias",), counts={"out": ("out_features",), "in": ("in_features",)})
_CONV = Axes(sides={"out": 0, "in": 1}, vectors=("bias",), counts={"out": ("out_channels",), "in": ("in_channels",)})
_TURNED = Axes(sides={"out": 1, "in": 0}, vectors=("bias",), counts={"out": ("out_channels",), "in": ("in_channels",)})
_DEPTHWISE = Axes(sides={"out": 0}, vectors=("bias",), counts={"out": ("out_channels", "in_channels", "groups")})
_NORM = Axes(sides={"out": 0}, vectors=("bias", "running_mean", "running_var"), counts={"out": ("num_features",)})
_PRELU = Axes(sides={"out": 0}, vectors=(), counts={"out": ("num_parameters",)})
_EMBEDDING = Axes(sides={"out": 1}, vectors=(), counts={"out": ("embedding_dim",)})

_KINDS = {
    "Linear": _LINEAR,
    "PReLU": _PRELU,
    "Embedding": _EMBEDDING,
    **{f"Conv{dims}d": _CONV for dims in (1, 2, 3)},
    **{f"ConvTranspose{dims}d": _TURNED for dims in (1, 2, 3)},
    **{f"BatchNorm{dims}d": _NORM for dims in (1, 2, 3)},
    **{f"InstanceNorm{dims}d": _NORM for dims in (1, 2, 3)},
}


def axes_of(kind: str, groups: int, channels_in: int, channels_out: int) -> Axes | None:
    """Return where the channels of a layer lie; None for a kind whose channels cannot be cut.

    ``groups`` and the two counts are those of a convolution; other layers pass 1 and what they like.
    """
    axes = _KINDS.get(kind)
    if axes is None or groups == 1:
        return axes
    return _DEPTHWISE if axes is _CONV and groups == channels_in == channels_out else None


def makes(side: str, axes: Axes | None) -> bool:
    """Say whether a member makes its channels; a layer with a single side, but for an embedding, passes them on."""
    return side == "out" and axes is not None and (len(axes.sides) > 1 or axes is _EMBEDDING)


def sides(group: Group, known: Mapping[str, Axes]) -> dict[tuple[str, Side], tuple[Member, ...]]:
    """Sort the members of ``group`` by layer and side; a layer without an "in" side is cut on its "out" side."""
    found: dict[tuple[str, Side], list[Member]] = {}
    for member in group.members:
        side: Side = member.side if member.side in known[member.layer].sides else "out"
        held = found.setdefault((member.layer, side), [])
        if all((other.start, other.repeat) != (member.start, member.repeat) for other in held):
            held.append(member)
    return {key: tuple(members) for key, members in found.items()}


def entries_kept(size: int, members: Sequence[Member], channels: int, kept: Sequence[int]) -> tuple[int, ...]:
    """Return which of ``size`` entries of a side stay when of ``channels`` channels only ``kept`` stay.

    Raises:
        TransformError: the members reach beyond the side.
    """
    removed = sorted(set(range(channels)) - set(kept))
    gone: set[int] = set()
    for member in members:
        if member.start + channels * member.repeat > size:
            raise TransformError(
                f"{member.layer} has {size} entries on its {member.side} side; the group needs "
                f"{channels} x {member.repeat} from {member.start} on. The profile is not of this model."
            )
        for channel in removed:
            first = member.start + channel * member.repeat
            gone.update(range(first, first + member.repeat))
    return tuple(entry for entry in range(size) if entry not in gone)


def kept_sizes(axes: Axes, weight: Shape, cut: Mapping[Side, Sequence[int]]) -> Shape:
    """Return the shape of the weight with only the entries in ``cut`` left."""
    shape = list(weight)
    for side, kept in cut.items():
        shape[axes.sides[side]] = len(kept)
    return tuple(shape)


def shape_kept(axes: Axes, name: str, shape: Shape, cut: Mapping[Side, Sequence[int]]) -> Shape:
    """Return the shape that is left of the tensor ``name`` of a layer."""
    if name == "weight":
        return shape if len(shape) < len(axes.sides) else kept_sizes(axes, shape, cut)
    return (len(cut["out"]),) if name in axes.vectors and "out" in cut else shape


def _tensors(axes: Axes, module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name in ("weight", *axes.vectors):
        tensor = getattr(module, name, None)
        if isinstance(tensor, torch.Tensor):
            yield name, tensor


def cut_layer(axes: Axes, module: nn.Module, cut: Mapping[Side, Sequence[int]]) -> None:
    """Give ``module`` tensors of zeros of the shapes that are left, and the counts that go with them."""
    for name, tensor in list(_tensors(axes, module)):
        shape = shape_kept(axes, name, tuple(tensor.shape), cut)
        made = blank_parameter(tensor, shape) if isinstance(tensor, nn.Parameter) else tensor.new_zeros(shape)
        setattr(module, name, made)
    for side, kept in cut.items():
        for count in axes.counts[side]:
            setattr(module, count, len(kept))


def fill_layer(axes: Axes, module: nn.Module, original: nn.Module, cut: Mapping[Side, Sequence[int]]) -> None:
    """Copy what is left of the tensors of ``original`` into ``module``, which `cut_layer` has shaped."""
    with torch.no_grad():
        for name, tensor in _tensors(axes, original):
            left = tensor.detach()
            for side, kept in cut.items():
                if name == "weight" or (name in axes.vectors and side == "out"):
                    axis = axes.sides[side] if name == "weight" else 0
                    left = left.index_select(axis, torch.tensor(kept, dtype=torch.long, device=left.device))
            getattr(module, name).copy_(left)
