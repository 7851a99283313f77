"""Along which axes of which tensors the channels of a layer lie, and what is left when some of them go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import torch
from torch import nn

from effwidgets.errors import TransformError
from effwidgets.records import Group, Member, Shape
from effwidgets.transforms.surgery import blank_parameter

__all__ = [
    "WIDE_NORMS",
    "Axes",
    "Cuts",
    "Side",
    "axes_of",
    "counts_kept",
    "cut_layer",
    "entries_kept",
    "fill_layer",
    "makes",
    "shape_kept",
    "sides",
    "weight_mask",
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
        counts: by side, the attributes that say how many channels there are, and how many entries of the side one of
            them counts.
        blocked: the side whose axis, always 1, holds the entries of one block only: in a convolution in groups. The
            blocks follow one another along axis 0.
        blocks: how many blocks there are; each must keep the same number of entries, on both sides.
        own: of a module that is no layer of torch, its tensors that the channels lie along, each with the dimension.
    """

    sides: Mapping[Side, int]
    vectors: tuple[str, ...]
    counts: Mapping[Side, tuple[tuple[str, int], ...]]
    blocked: Side | None = None
    blocks: int = 1
    own: Mapping[str, int] = field(default_factory=dict)

    def entries(self, side: Side, weight: Shape) -> int:
        """Return how many entries a side has; of own tensors, whose shape is then asked for, along their dimension."""
        if self.own:
            return weight[next(iter(self.own.values()))]
        return weight[self.sides[side]] * (self.blocks if side == self.blocked else 1)


WIDE_NORMS = ("LayerNorm", "RMSNorm")
"""Kinds of norms over all channels: when some go, those that stay have other statistics."""

_LINEAR = Axes(
    sides={"out": 0, "in": 1},
    vectors=("bias",),
    counts={"out": (("out_features", 1),), "in": (("in_features", 1),)},
)
_CONV = Axes(
    sides={"out": 0, "in": 1},
    vectors=("bias",),
    counts={"out": (("out_channels", 1),), "in": (("in_channels", 1),)},
)
_TURNED = replace(_CONV, sides={"out": 1, "in": 0})
_NORM = Axes(sides={"out": 0}, vectors=("bias", "running_mean", "running_var"), counts={"out": (("num_features", 1),)})
_LAYER_NORM = Axes(sides={"out": 0}, vectors=("bias",), counts={"out": (("normalized_shape", 1),)})
_PRELU = Axes(sides={"out": 0}, vectors=(), counts={"out": (("num_parameters", 1),)})
_EMBEDDING = Axes(sides={"out": 1}, vectors=(), counts={"out": (("embedding_dim", 1),)})

_KINDS = {
    "Linear": _LINEAR,
    "PReLU": _PRELU,
    **dict.fromkeys(WIDE_NORMS, _LAYER_NORM),
    "Embedding": _EMBEDDING,
    **{f"Conv{dims}d": _CONV for dims in (1, 2, 3)},
    **{f"ConvTranspose{dims}d": _TURNED for dims in (1, 2, 3)},
    **{f"BatchNorm{dims}d": _NORM for dims in (1, 2, 3)},
    **{f"InstanceNorm{dims}d": _NORM for dims in (1, 2, 3)},
}


def axes_of(kind: str, groups: int, channels_in: int, channels_out: int, own: Sequence[Member] = ()) -> Axes | None:
    """Return where the channels of a layer lie; None for a kind whose channels cannot be cut.

    ``groups`` and the two counts are those of a convolution; other layers pass 1 and what they like. A depthwise
    convolution passes its channels on, each to one or several of its own; unless ``own``, what a group says of the
    layer, has it make them: it was left with one channel in each of its groups since the group was found. A transposed
    one that passes each on to several cannot be cut: its weight has one row for all of them.
    """
    named = {member.tensor: member.axis for member in own if member.tensor}
    if named:
        return Axes(sides={"out": 0}, vectors=(), counts={"out": ()}, own=named)
    axes = _KINDS.get(kind)
    if axes is None or groups == 1:
        return axes
    if groups == channels_in and (channels_out == channels_in or axes is _CONV):
        times = channels_out // channels_in
        if any(member.side == "out" and member.repeat % times for member in own):
            return replace(axes, blocked="in", blocks=groups)
        counts = (("out_channels", 1), ("in_channels", times), ("groups", times))
        return Axes(sides={"out": 0}, vectors=("bias",), counts={"out": counts})
    if groups == channels_in and own and all(member.side == "out" and member.repeat > 1 for member in own):
        return None
    return replace(axes, blocked="in" if axes is _CONV else "out", blocks=groups)


def makes(side: str, axes: Axes | None) -> bool:
    """Say whether a member makes its channels; a layer with a single side, but for an embedding, passes them on."""
    return side == "out" and axes is not None and (len(axes.sides) > 1 or axes is _EMBEDDING)


def sides(group: Group, known: Mapping[str, Axes]) -> dict[tuple[str, Side], tuple[Member, ...]]:
    """Sort the members of ``group`` by layer and side; a layer without an "in" side is cut on its "out" side."""
    both = {(member.layer, member.side) for member in group.members}
    found: dict[tuple[str, Side], list[Member]] = {}
    for member in group.members:
        side: Side = member.side if member.side in known[member.layer].sides else "out"
        if side != member.side and (member.layer, side) in both:
            continue  # it is said twice, and its "out" side knows how many entries a channel has there
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


def shape_kept(axes: Axes, name: str, shape: Shape, left: Mapping[Side, int]) -> Shape:
    """Return the shape of the tensor ``name`` of a layer when so many entries of its sides are ``left``."""
    if axes.own:
        return tuple(left["out"] if axis == axes.own.get(name) else size for axis, size in enumerate(shape))
    if name != "weight":
        return (left["out"],) if name in axes.vectors and "out" in left else shape
    if len(shape) < len(axes.sides):
        return shape
    made = list(shape)
    for side, count in left.items():
        made[axes.sides[side]] = count // axes.blocks if side == axes.blocked else count
    return tuple(made)


def counts_kept(axes: Axes, left: Mapping[Side, int]) -> dict[str, int | tuple[int, ...]]:
    """Return the attributes that count the channels, as they are when so many entries of the sides are ``left``."""
    return {
        name: (count,) if name == "normalized_shape" else count // each
        for side, count in left.items()
        for name, each in axes.counts[side]
    }


def cut_layer(axes: Axes, module: nn.Module, cut: Mapping[Side, Sequence[int]]) -> None:
    """Give ``module`` tensors of zeros of the shapes that are left, and the counts that go with them."""
    left = {side: len(kept) for side, kept in cut.items()}
    for name, tensor in list(_tensors(axes, module)):
        shape = shape_kept(axes, name, tuple(tensor.shape), left)
        made = blank_parameter(tensor, shape) if isinstance(tensor, nn.Parameter) else tensor.new_zeros(shape)
        setattr(module, name, made)
    for name, count in counts_kept(axes, left).items():
        setattr(module, name, count)


def fill_layer(axes: Axes, module: nn.Module, original: nn.Module, cut: Mapping[Side, Sequence[int]]) -> None:
    """Copy what is left of the tensors of ``original`` into ``module``, which `cut_layer` has shaped."""
    with torch.no_grad():
        for name, tensor in _tensors(axes, original):
            left = tensor.detach()
            if axes.own:
                left = left.index_select(axes.own[name], _places(cut["out"], left))
            elif name == "weight":
                left = _weight_kept(axes, left, cut)
            elif "out" in cut:
                left = left.index_select(0, _places(cut["out"], left))
            getattr(module, name).copy_(left)


def weight_mask(axes: Axes, weight: torch.Tensor, cut: Mapping[Side, Sequence[int]]) -> torch.Tensor:
    """Return which entries of a weight stay, as booleans that broadcast over it.

    >>> conv = nn.Conv2d(4, 2, 1, groups=2)
    >>> axes = axes_of("Conv2d", 2, 4, 2)
    >>> weight_mask(axes, conv.weight, {"in": (0, 3)})[:, :, 0, 0].tolist()
    [[True, False], [False, True]]
    """
    mask = weight.new_ones(weight.shape[:2] + (1,) * (weight.dim() - 2), dtype=torch.bool)
    for side, kept in cut.items():
        axis = axes.sides[side]
        stays = mask.new_zeros(axes.entries(side, tuple(weight.shape)))
        stays[_places(kept, weight)] = True
        if side == axes.blocked:
            part = stays.view(axes.blocks, -1).repeat_interleave(weight.shape[0] // axes.blocks, 0)
        else:
            part = stays[:, None] if axis == 0 else stays[None]
        mask = mask & part.reshape(part.shape + (1,) * (weight.dim() - 2))
    return mask


def _tensors(axes: Axes, module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    for name in axes.own or ("weight", *axes.vectors):
        tensor = getattr(module, name, None)
        if isinstance(tensor, torch.Tensor):
            yield name, tensor


def _weight_kept(axes: Axes, weight: torch.Tensor, cut: Mapping[Side, Sequence[int]]) -> torch.Tensor:
    if axes.blocked is not None and axes.blocked in cut:
        # Each block reads entries of its own: these have other places in each.
        kept = _places(cut[axes.blocked], weight).view(axes.blocks, -1)
        first = torch.arange(axes.blocks, device=weight.device)[:, None] * weight.shape[1]
        runs = zip(weight.chunk(axes.blocks), kept - first, strict=True)
        weight = torch.cat([run.index_select(1, places) for run, places in runs])
    for side, places in cut.items():
        if side != axes.blocked:
            weight = weight.index_select(axes.sides[side], _places(places, weight))
    return weight


def _places(kept: Sequence[int], like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(tuple(kept), dtype=torch.long, device=like.device)
