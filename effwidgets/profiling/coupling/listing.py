"""What a run found out about channels, as groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from math import prod

from effwidgets.profiling.coupling.channels import Axis, Channels, Segment, factors, length, loose, settle, taint
from effwidgets.profiling.coupling.holdings import Holdings, Side
from effwidgets.profiling.coupling.saved import Kept, saved_by_channels
from effwidgets.records import Group, Member

__all__ = ["NONE_TO_SPARE", "listed"]

NONE_TO_SPARE = "convolutions in groups take or make one of them for each group"

_PRODUCT = "the channels of two groups multiply along one dimension"


def listed(holdings: Holdings, kept: Iterable[Kept]) -> Iterator[tuple[Group, tuple[str, ...]]]:
    """Yield the groups by the layer that makes the channels first, each with the layers that cut it by numbers.

    Args:
        holdings: what layers hold.
        kept: the storages that autograd keeps.
    """
    holdings.lend()
    _choose(holdings)
    _check(holdings)
    saved = saved_by_channels(kept)
    members = _members(holdings)
    found: dict[str, tuple[Group, tuple[str, ...]]] = {}
    for channels in _sets(holdings):
        held = members.get(channels, {})
        ordered = sorted(held, key=lambda member: _place(holdings, member))
        names = [member.layer for member in ordered if member.side == "out" and member.layer in holdings.made]
        name = next((name for name in names if name not in found), None)
        if name is not None:
            group = _group(channels, sorted(ordered, key=lambda member: member.layer != name), saved.get(channels, {}))
            found[name] = replace(group, members=tuple(ordered)) if names[0] == name else group, tuple(channels.soft)
    for name, group in _barred(holdings):
        found.setdefault(name, (group, ()))
    yield from sorted(found.values(), key=lambda pair: holdings.order[pair[0].name])


def _group(channels: Channels, members: list[Member], saved: dict[str, int]) -> Group:
    return Group(
        name=members[0].layer,
        channels=channels.count,
        members=tuple(members),
        obstacle=channels.obstacle,
        kind="heads" if channels.heads else "channels",
        blocks=channels.blocks,
        saved_bytes_each=sum(saved.values()),
        saved_at=tuple(saved.items()),
    )


def _place(holdings: Holdings, member: Member) -> tuple[int, int]:
    # Those that make channels, those that keep a number for each, those that read them; each as they ran.
    kind = 2 if member.side == "in" else 0 if member.layer in holdings.made else 1
    return kind, holdings.order.get(member.layer, -1)  # a tensor of a module's own first


def _loose(segment: Segment) -> list[Channels]:
    return [factor for factor in segment if not isinstance(factor, int) and not factor.fixed and not factor.obstacle]


def _choose(holdings: Holdings) -> None:
    """Where either heads or the channels of each may go, take the innermost: two at once would multiply."""
    for channels in holdings.made.values():
        for segment in settle(((channels,),)):
            for other in _loose(segment)[:-1]:
                other.fixed = True
                other.bar("something else of the same layer may go: the channels of each of them")
    for axis in holdings.held.values():
        for segment in settle(axis or ()):
            if len(_loose(segment)) > 1:
                taint(((segment,),), _PRODUCT)


def _check(holdings: Holdings) -> None:
    for layer, pieces in holdings.splits:
        forms = {tuple(_key(part) for part in settle(piece)) for piece in pieces}
        if len(forms) > 1:
            taint(pieces, f"the forward of {layer!r} cuts it into equal parts, which would not stay equal")
    _check_own(holdings)
    for channels in _sets(holdings):
        if channels.blocks > 1 and channels.blocks == channels.count:
            channels.bar(NONE_TO_SPARE)


def _check_own(holdings: Holdings) -> None:
    """Bar what lies along a tensor of a module's own otherwise than channel by channel, along one dimension of it."""
    seen: dict[tuple[str, str], set[Channels]] = {}
    for (path, name, _), axis in holdings.own.items():
        if loose(axis):
            continue
        held, before = factors(axis), seen.setdefault((path, name), set())
        if len(held) != 1 or settle(axis) != ((held[0],),) or held[0] in before:
            where = ".".join(filter(None, (path, name)))
            taint((axis,), f"it lies along the parameter {where!r} in several parts")
        before.update(held)


def _key(segment: Segment) -> tuple[int, ...]:
    # Heads of query, key and value are the same ones; their widths only have the same size.
    return tuple(
        factor if isinstance(factor, int) else factor.count if factor.fixed else id(factor) for factor in segment
    )


def _sets(holdings: Holdings) -> list[Channels]:
    """Return the sets that may be removed, or might if nothing barred them; those without an obstacle first."""
    found: dict[int, Channels] = {}
    for channels in holdings.made.values():
        leaves = [factor for part in settle(((channels,),)) for factor in part if not isinstance(factor, int)]
        for factor in leaves:
            if not factor.fixed or len(leaves) == 1:
                found[id(factor)] = factor
    return sorted(found.values(), key=lambda factor: factor.obstacle is not None)


def _barred(holdings: Holdings) -> Iterator[tuple[str, Group]]:
    for name, (kind, count, reason) in holdings.closed.items():
        yield (
            name,
            Group(name=name, channels=count, members=(Member(layer=name, side="out"),), obstacle=reason, kind=kind),
        )
    for name, channels in holdings.made.items():
        leaves = [factor for part in settle(((channels,),)) for factor in part if not isinstance(factor, int)]
        if leaves and all(factor.fixed for factor in leaves):
            reason = str(leaves[0].obstacle)
            yield (
                name,
                Group(name=name, channels=channels.count, members=(Member(layer=name, side="out"),), obstacle=reason),
            )


def _members(holdings: Holdings) -> dict[Channels, dict[Member, None]]:
    found: dict[Channels, dict[Member, None]] = {}
    for (layer, side), axis in holdings.held.items():
        for channels, member in _spans(layer, side, settle(axis or ())):
            found.setdefault(channels, {})[member] = None
    for (path, name, dim), axis in holdings.own.items():
        for channels, member in _spans(path, "out", () if loose(axis) else settle(axis)):
            found.setdefault(channels, {})[replace(member, tensor=name, axis=dim)] = None
    return found


def _spans(layer: str, side: Side, axis: Axis) -> Iterator[tuple[Channels, Member]]:
    """Yield the channels along one side of a layer, and where their entries lie; a span for each copy."""
    start = 0
    for segment in axis:
        for place, factor in enumerate(segment):
            if not isinstance(factor, int):
                inner = length(segment[place + 1 :])
                whole = factor.count * inner
                for copy in range(prod(_count(other) for other in segment[:place])):
                    yield factor, Member(layer=layer, side=side, repeat=inner, start=start + copy * whole)
        start += length(segment)


def _count(factor: Channels | int) -> int:
    return factor if isinstance(factor, int) else factor.count
