"""What a profile will say of a layer that became a chain of others: by arithmetic, to the integer."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod
from typing import Literal, TypeAlias

from effwidgets.profiling.layers import config_of
from effwidgets.records import Cost, Group, LayerProfile, Member, Profile, Shape
from effwidgets.transforms.dtypes import bytes_each
from effwidgets.transforms.factorize.parts import Part

__all__ = ["Graded", "chained", "graded_as", "regroup"]

Graded: TypeAlias = Literal["no", "forward", "backward"]
"""Whether a profile is of a forward without gradients, of one with, or of one whose backward was counted too."""


@dataclass(slots=True)
class _Passing:
    # What goes from one factor to the next in the forward, over all calls of the layer.

    shape: Shape  # of the first call
    times: Fraction  # all calls, in first calls
    graded: Fraction  # share of the calls whose input has a gradient


@dataclass(frozen=True, slots=True)
class _Run:
    # How the layer was run, as far as its own record tells.

    each: int  # bytes of a number that it returns
    learns: bool  # whether its weight gets a gradient
    biased: bool  # whether its bias does
    again: bool  # a checkpoint runs its forward once more in the backward, and keeps nothing of it
    cast: bool  # autocast: weights are copied to another dtype, and the copies are kept
    trainable: bool
    counted: bool  # whether the profile counts a backward

    def node(self, graded: Fraction, *, last: bool) -> Fraction:
        """Return the share of the calls for which autograd writes a factor down."""
        return Fraction(1) if self.learns or (last and self.biased) else graded


def graded_as(profile: Profile) -> Graded:
    """Return how much of a backward ``profile`` knows of."""
    if profile.cost.backward_macs:
        return "backward"
    return "forward" if profile.cost.saved_bytes else "no"


def chained(layer: LayerProfile, parts: Sequence[Part], *, graded: Graded = "backward") -> tuple[LayerProfile, ...]:
    """Return the records of the `torch.nn.Sequential` of ``parts`` that stands for ``layer``, and of these.

    Only the last one has the layer's bias. A backward costs as much as the forward for each gradient: of the weight,
    and of the inputs where they have one; what the layer had the first factor has, and the inputs of the others have
    one whenever the weights before them do. A Linear keeps its input for the gradient of its weight, a convolution
    whenever autograd writes it down at all. ``graded``: whether the profile is of a forward with gradients, and
    whether its backward was counted too.
    """
    run, now = _run(layer, graded=graded)
    whole, made = Part.of_layer(layer), []
    for number, part in enumerate(parts):
        last = number + 1 == len(parts)
        given = now.shape
        returned = part.returns(given)
        node = run.node(now.graded, last=last)
        if number:
            kept = _kept(part, run, now, node)
        else:
            ours = run.node(now.graded, last=True)
            kept = layer.self_cost.saved_bytes - _copies(whole, run, now, ours, layer.calls)
            kept = (kept if node or not ours else 0) + _copies(part, run, now, node, layer.calls)
        kept += _copies(part, run, now, node, layer.calls) if number else 0
        cost = _cost(layer, part, run, now, returned)
        made.append(_record(layer, number, part, (given, returned), replace(cost, saved_bytes=int(kept))))
        now = _Passing(returned, now.times, node if not last else now.graded)
    first = made[0]
    parent = LayerProfile(
        name=layer.name,
        kind="Sequential",
        aliases=layer.aliases,
        inputs=layer.inputs,
        outputs=layer.outputs,
        calls=layer.calls,
    )
    return parent, first, *made[1:]


def _run(layer: LayerProfile, *, graded: Graded) -> tuple[_Run, _Passing]:
    own, whole = layer.self_cost, Part.of_layer(layer)
    weight, bias = layer.tensor("weight"), layer.tensor("bias")
    assert weight is not None  # noqa: S101  Part.of_layer said so
    once = whole.macs(layer.outputs[0])
    times = Fraction(own.macs, once) if once else Fraction(layer.calls)
    numbers = prod(layer.outputs[0]) * times
    each = int(own.output_bytes / numbers) if numbers else bytes_each(weight.dtype)
    share = Fraction(own.backward_macs, own.macs) if own.macs else Fraction(2 * bool(own.saved_bytes))
    again = share > 1 + weight.trainable
    learns = weight.trainable and share > 0
    given = share - learns - again if share else Fraction(0)
    biased = graded != "no" and bias is not None and bias.trainable
    if not own.macs:  # an Embedding: no product of its own tells
        learns, given = graded != "no" and weight.trainable, Fraction(0)
    elif graded == "forward":  # what is kept tells instead
        learns, given = weight.trainable, Fraction(not weight.trainable and own.saved_bytes > 0)
    run = _Run(each, learns, biased, again, each != bytes_each(weight.dtype), weight.trainable, graded == "backward")
    return run, _Passing(layer.inputs[0], times, given)


def _kept(part: Part, run: _Run, now: _Passing, node: Fraction) -> int:
    # Bytes of the activation before a factor that is kept for its backward.
    if run.again:
        return 0
    if part.kernel:
        share = node if part.padding_mode == "zeros" else now.graded
        share = share if part.keeps_input else Fraction(0)
    else:
        share = Fraction(run.learns)
    return int(prod(now.shape) * now.times * share) * run.each


def _copies(part: Part, run: _Run, now: _Passing, node: Fraction, calls: int) -> int:
    # Bytes of the copies that are kept: of the input, padded, and of the weight, under autocast.
    if run.again:
        return 0
    copied = part.copied(now.shape) * now.times * node if part.kernel else 0
    weights: Fraction | int = 0
    if run.cast:
        # A weight that learns is copied once in a forward; others at every call.
        asked = node if part.kernel else now.graded
        weights = part.params * ((1 if asked else 0) if run.trainable else asked * calls)
    return int(copied + weights) * run.each


def _cost(layer: LayerProfile, part: Part, run: _Run, now: _Passing, returned: Shape) -> Cost:
    weight = layer.tensor("weight")
    assert weight is not None  # noqa: S101  Part.of_layer said so
    macs, numbers = int(part.macs(returned) * now.times), int(prod(returned) * now.times)
    params = part.params + (part.out if part.bias else 0)
    read = int(prod(now.shape) * now.times)
    return Cost(
        params=params,
        param_bytes=params * bytes_each(weight.dtype),
        macs=macs,
        backward_macs=int(macs * (run.learns + run.again + now.graded)) if run.counted else 0,
        moved_bytes=(read + numbers + params * layer.calls) * run.each,
        output_bytes=numbers * run.each,
    )


def _record(layer: LayerProfile, number: int, part: Part, shapes: tuple[Shape, Shape], cost: Cost) -> LayerProfile:
    weight, bias = layer.tensor("weight"), layer.tensor("bias")
    assert weight is not None  # noqa: S101  Part.of_layer said so
    tensors = [replace(weight, shape=part.weight)]
    if part.bias and bias is not None:
        tensors.append(bias)
    return LayerProfile(
        name=f"{layer.name}.{number}",
        kind=part.kind,
        aliases=tuple(f"{alias}.{number}" for alias in layer.aliases),
        config=config_of(part.build()),
        tensors=tuple(tensors),
        inputs=(shapes[0],),
        outputs=(shapes[1],),
        calls=layer.calls,
        cost=cost,
        self_cost=cost,
    )


def regroup(profile: Profile, layer: LayerProfile, made: Sequence[LayerProfile]) -> tuple[Group, ...]:
    """Return the groups of ``profile`` after ``layer`` became ``made``, the chain and its links.

    Who read the layer's inputs is the first link now, who made its outputs the last; between them stand the channels
    of the ranks, made by one link and read by the next. A depthwise link passes its channels on.
    """
    links = made[1:]
    bound = Part.of_layer(layer).groups > 1 and any(_each_alone(Part.of_layer(link)) for link in links)
    found = [_renamed(group, layer, links, bound=bound) for group in profile.groups]
    inner = [replace(group, obstacle=_BOUND) if bound else group for group in _inner(links)]
    order = {other.name: place for place, other in enumerate(profile.layers)} | {links[-1].name: -1}
    own = order[layer.name]
    behind = (
        place for place, group in enumerate(found) if group.name == links[-1].name or order.get(group.name, -1) > own
    )
    at = next(behind, len(found))
    return (*found[:at], *inner, *found[at:])


_BOUND = "convolutions in groups take or make one of them for each group"


def _each_alone(part: Part) -> bool:
    return part.groups > 1 and part.groups in (part.into, part.out)


def _renamed(group: Group, layer: LayerProfile, links: Sequence[LayerProfile], *, bound: bool) -> Group:
    sides = {member.side for member in group.members if member.layer == layer.name}
    if not sides:
        return group
    ends = {"in": links[0].name, "out": links[-1].name}
    # What the layer kept of its inputs is kept by the first link, less or more where it is a padded copy.
    more = links[0].self_cost.saved_bytes - layer.self_cost.saved_bytes
    each = more // group.channels if "in" in sides else 0
    kept = tuple((ends["in"], worth + each) if name == layer.name else (name, worth) for name, worth in group.saved_at)
    members = tuple(
        replace(member, layer=ends[member.side]) if member.layer == layer.name else member for member in group.members
    )
    first, last = Part.of_layer(links[0]), links[-1]
    if "in" in sides and first.groups == first.into > 1:  # each channel goes on as several of its own
        many = first.out // first.into
        members = tuple(_through(members, links[0].name, last.name, many))
        kept = (*kept, (last.name, last.self_cost.saved_bytes // first.into)) if last.self_cost.saved_bytes else kept
    named = f"'{ends['in' if 'in' in sides else 'out']}'"
    return replace(
        group,
        name=ends["out"] if group.name == layer.name else group.name,
        members=members,
        obstacle=group.obstacle.replace(f"'{layer.name}'", named)
        if group.obstacle
        else _BOUND
        if bound and "out" in sides
        else None,
        saved_bytes_each=group.saved_bytes_each + sum(worth for _, worth in kept) - sum(w for _, w in group.saved_at),
        saved_at=kept,
    )


def _through(members: Sequence[Member], depth: str, point: str, many: int) -> Iterator[Member]:
    passed = [member for member in members if member.layer == depth and member.side == "in"]
    makers = [member for member in members if member.side == "out"]
    yield from makers
    for member in passed:
        yield Member(layer=depth, side="out", repeat=member.repeat * many, start=member.start * many)
    for member in members:
        if member in passed:
            yield Member(layer=point, side="in", repeat=member.repeat * many, start=member.start * many)
        elif member.side == "in":
            yield member


def _inner(links: Sequence[LayerProfile]) -> Iterator[Group]:
    members: list[Member] = []
    saved: list[tuple[str, int]] = []
    blocks = 1
    first = Part.of_layer(links[0])
    if first.groups == first.into > 1:
        return  # its channels are those of the inputs, passed on
    for link, behind in itertools.pairwise(links):
        part, after = Part.of_layer(link), Part.of_layer(behind)
        members.append(Member(layer=link.name, side="out"))
        if behind.self_cost.saved_bytes:
            saved.append((behind.name, behind.self_cost.saved_bytes // part.out))
        through = after.groups == after.into == after.out
        blocks = max([blocks, *(each.groups for each in (part, after) if each.groups < each.into)])
        if through:
            continue
        members.append(Member(layer=behind.name, side="in"))
        yield Group(
            name=members[0].layer,
            channels=part.out,
            members=tuple(members),
            blocks=blocks,
            saved_bytes_each=sum(worth for _, worth in saved),
            saved_at=tuple(saved),
        )
        members, saved, blocks = [], [], 1
