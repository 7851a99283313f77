"""What a profile says after channels are removed: each layer's tensors, shapes and costs, and where channels lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import prod

from effwidgets.records import Cost, Group, LayerProfile, Member, Profile, Shape, settings
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.foresee import Foreseen
from effwidgets.transforms.prune.channels import WIDE_NORMS, Axes, Side, counts_kept, shape_kept, sides
from effwidgets.transforms.prune.narrowed import narrowed_layers, seams_after
from effwidgets.transforms.prune.trims import Trim, weight_shape_of

__all__ = ["foreseen", "product_layers", "trim_change"]

_BOUND = "convolutions in groups take or make one of them for each group"  # as the profile says it


def trim_change(trim: Trim) -> Cost:
    """Return the change of the whole cost: arithmetic, without making a profile.

    A weight shrinks along the axes that are cut, its MACs in the same ratio. Products of activations inside an
    attention run once for each head. What autograd keeps shrinks by `Group.saved_bytes_each` for each channel.
    """
    total = Cost(saved_bytes=-trim.removed * trim.group.saved_bytes_each)
    for name, left in trim.left().items():
        total += _layer_change(trim.layers[name], trim.axes[name], left)
    for layer in product_layers(trim.group, trim.layers):
        total += _product_change(layer, trim)
    return total


def foreseen(profile: Profile, trim: Trim) -> Foreseen:
    """Return what stands in ``profile`` when the channels are gone.

    Tensors, configuration, shapes, parameters and MACs of every member are exact, and so are the groups: channels
    behind others in a concatenation move to the front. Saved bytes go where `Group.saved_at` says that they lie, which
    may be a layer that holds none of the channels: an activation keeps its result, a parent a sum. Element operations
    and moved bytes are near. What modules with others inside take and return, and what is kept around them, follows
    from who makes and reads inside of them (`narrowed_layers`, `seams_after`); the shapes of a layer that only passes
    channels on and keeps none, such as a pooling, stay as they were. A convolution in groups that is left with one
    channel in each has become depthwise: its groups are told as if it had not, and a new profile may find more.
    """
    changed = {name: _layer_after(trim.layers[name], trim.axes[name], left) for name, left in trim.left().items()}
    for layer in product_layers(trim.group, trim.layers):
        changed[layer.name] = replace(layer, self_cost=layer.self_cost + _product_change(layer, trim))
    for name, each in trim.group.saved_at:
        keeps = changed.get(name, trim.layers[name])
        changed[name] = replace(keeps, self_cost=keeps.self_cost - Cost(saved_bytes=each * trim.removed))
    for name, attribute, worth in trim.group.stated:
        stated = changed.get(name, trim.layers[name])
        changed[name] = _configured(stated, {attribute: worth * trim.channels})
    changed.update({layer.name: layer for layer in narrowed_layers(trim, changed)})
    return Foreseen(
        layers={name: (layer,) for name, layer in changed.items()},
        seams=seams_after(profile, trim),
        groups=tuple(_group_after(group, trim) for group in profile.groups),
    )


def _layer_change(layer: LayerProfile, axes: Axes, left: Mapping[Side, int]) -> Cost:
    params = param_bytes = macs = backward = 0
    own = layer.self_cost
    for tensor in layer.tensors:
        less = prod(shape_kept(axes, tensor.name, tensor.shape, left)) - prod(tensor.shape)
        params += less if tensor.kind == "parameter" else 0
        param_bytes += less * bytes_each(tensor.dtype)
        if tensor.name == "weight" and less and not axes.own:
            whole = prod(tensor.shape)
            macs, backward = own.macs * less // whole, own.backward_macs * less // whole
    return Cost(params=params, param_bytes=param_bytes, macs=macs, backward_macs=backward)


def _layer_after(layer: LayerProfile, axes: Axes, left: Mapping[Side, int]) -> LayerProfile:
    tensors = tuple(
        replace(tensor, shape=shape_kept(axes, tensor.name, tensor.shape, left)) for tensor in layer.tensors
    )
    if axes.own:  # what it takes and returns is told with the modules that are no members
        return replace(layer, tensors=tensors, self_cost=layer.self_cost + _layer_change(layer, axes, left))
    weight = weight_shape_of(layer)
    change = _layer_change(layer, axes, left) + _traffic(layer, axes, left)
    alone = "in" not in axes.sides  # its input has the channels of its output
    out, into = left.get("out"), left.get("out" if alone else "in")
    each = dict(axes.counts["out"]).get("in_channels", 1) if alone else 1
    before = axes.entries("out" if alone else "in", weight) // each
    return replace(
        _configured(layer, counts_kept(axes, left)),
        tensors=tensors,
        inputs=layer.inputs if into is None else _narrowed(layer, layer.inputs, before, into // each),
        outputs=layer.outputs if out is None else _narrowed(layer, layer.outputs, axes.entries("out", weight), out),
        self_cost=layer.self_cost + change,
    )


def _traffic(layer: LayerProfile, axes: Axes, left: Mapping[Side, int]) -> Cost:
    # Bytes and element operations go with the sides that they lie along. Not promised: a layer may do more than this.
    own, weight = layer.self_cost, weight_shape_of(layer)

    def less(count: int, side: Side) -> int:
        size = axes.entries(side, weight)
        return count * left[side] // size - count if side in left and size else 0

    returned = less(own.output_bytes, "out")
    if "in" not in axes.sides:
        moved = less(own.moved_bytes, "out")
    else:
        held = sum(prod(tensor.shape) * bytes_each(tensor.dtype) for tensor in layer.tensors)
        lost = sum(
            (prod(shape_kept(axes, tensor.name, tensor.shape, left)) - prod(tensor.shape)) * bytes_each(tensor.dtype)
            for tensor in layer.tensors
        )
        read = max(0, own.moved_bytes - held * layer.calls - own.output_bytes)
        moved = lost * layer.calls + returned + less(read, "in")
    return Cost(output_bytes=returned, moved_bytes=moved, elementwise_ops=less(own.elementwise_ops, "out"))


def _narrowed(layer: LayerProfile, shapes: Sequence[Shape], before: int, after: int) -> tuple[Shape, ...]:
    if not shapes or (layer.kind == "Embedding" and shapes is layer.inputs):
        return tuple(shapes)
    first = list(shapes[0])
    axis = _channel_axis(layer, first)
    if axis is None or first[axis] != before:
        return tuple(shapes)
    first[axis] = after
    return (tuple(first), *shapes[1:])


def _channel_axis(layer: LayerProfile, shape: Sequence[int]) -> int | None:
    weight = layer.tensor("weight")
    if layer.kind in ("Linear", "Embedding", *WIDE_NORMS):
        place = len(shape) - 1
    elif layer.kind.startswith("Conv") and weight is not None:
        place = len(shape) - len(weight.shape) + 1  # also without a batch
    else:
        place = 1
    return place if 0 <= place < len(shape) else None


def _configured(layer: LayerProfile, counts: Mapping[str, int | tuple[int, ...]]) -> LayerProfile:
    known = dict(layer.config)
    new = {name: value for name, value in counts.items() if name in known}
    return replace(layer, config=settings({**known, **new})) if new else layer


def product_layers(group: Group, layers: Mapping[str, LayerProfile]) -> Iterator[LayerProfile]:
    """Yield the layers that multiply activations for the heads of ``group``: nothing for plain channels.

    They stand beside the members, in what holds them all or below that.
    """
    if group.kind != "heads":
        return
    members = {member.layer for member in group.members}
    paths = [name.split(".")[:-1] for name in members]
    shared = [parts[0] for parts in zip(*paths, strict=False) if len(set(parts)) == 1]
    depth = next((place for place, parts in enumerate(zip(*paths, strict=False)) if len(set(parts)) > 1), len(shared))
    parent = ".".join(shared[:depth])
    for name, layer in layers.items():
        below = name == parent or not parent or name.startswith(f"{parent}.")
        if below and name not in members and layer.self_cost.macs and layer.tensor("weight") is None:
            yield layer


def _product_change(layer: LayerProfile, trim: Trim) -> Cost:
    own, whole = layer.self_cost, trim.group.channels
    return Cost(
        macs=own.macs * trim.channels // whole - own.macs,
        backward_macs=own.backward_macs * trim.channels // whole - own.backward_macs,
    )


def _group_after(group: Group, trim: Trim) -> Group:
    own = sides(trim.group, trim.axes)
    moved = tuple(_member_after(member, trim, own) for member in group.members)
    if group.name != trim.group.name:
        return replace(group, members=moved)
    bound = group.blocks > 1 and trim.channels == group.blocks
    return replace(group, members=moved, channels=trim.channels, obstacle=_BOUND if bound else None)


def _member_after(member: Member, trim: Trim, own: Mapping[tuple[str, Side], Sequence[Member]]) -> Member:
    axes = trim.axes.get(member.layer)
    if axes is None or not member.start:
        return member
    side: Side = member.side if member.side in axes.sides else "out"
    before = sum(other.repeat for other in own.get((member.layer, side), ()) if other.start < member.start)
    return replace(member, start=member.start - trim.removed * before) if before else member
