"""Channels that lie along the dimensions of tensors: sets, products of sets, and what speaks against removing some."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd, prod
from typing import TypeAlias

__all__ = ["Axis", "Channels", "Segment", "bind", "factors", "fix", "length", "loose", "refine", "settle", "taint"]

_PARTS = "a sum or product couples parts of several layers' channels"


class Channels:
    """Channels that change together; two sets that turn out to be one are `joined`.

    A set may turn out to be made of others: of several one behind the other (a cut), or to be a product (a reshape:
    heads of so many channels each). Then it has `parts`, and what is asked of it is asked of them.

    Args:
        count: how many there are.
        obstacle: why none may be removed, in words; None when nothing speaks against it.

    Attributes:
        blocks: equal runs that must keep the same number each.
        digit: whether it is a factor of a product: heads, the channels of each of several runs.
        loose: whether only parameters of modules' own are known to hold it: no layer makes it.
        fixed: whether it counts something that cannot change alone, such as the channels of a head.
        heads: whether it counts attention heads.
        soft: layers whose forward cuts it by a number that may be written there.
    """

    __slots__ = ("_root", "blocks", "count", "digit", "fixed", "heads", "loose", "obstacle", "parts", "soft")

    def __init__(
        self, count: int, obstacle: str | None = None, *, soft: Iterable[str] = (), digit: bool = False
    ) -> None:
        self.count = count
        self.obstacle = obstacle
        self.parts: Axis | None = None
        self.blocks = 1
        self.digit = digit
        self.fixed = False
        self.heads = False
        self.loose = False
        self.soft: dict[str, None] = dict.fromkeys(soft)
        self._root: Channels | None = None

    @property
    def root(self) -> Channels:
        """The set that this one is part of now."""
        found = self
        while found._root is not None:
            if found._root._root is not None:
                found._root = found._root._root  # a residual stream joins thousands: the way is halved as it is walked
            found = found._root
        return found

    def joined(self, other: Channels) -> None:
        """Make one set of two of the same count, neither of which has parts."""
        mine, theirs = self.root, other.root
        if mine is theirs:
            return
        theirs._root = mine
        mine.obstacle = mine.obstacle or theirs.obstacle
        mine.digit |= theirs.digit
        mine.fixed |= theirs.fixed
        mine.heads |= theirs.heads
        mine.loose &= theirs.loose
        mine.soft.update(theirs.soft)
        mine.bound(theirs.blocks)

    def bound(self, blocks: int) -> None:
        """Note that so many equal runs must keep the same number each, beside those that there are."""
        self.blocks = self.blocks * blocks // gcd(self.blocks, blocks)

    def bar(self, reason: str) -> None:
        """Note why none may be removed; the first reason stays."""
        root = self.root
        if root.parts is None:
            root.obstacle = root.obstacle or reason
        else:
            taint((root.parts,), reason)


Segment: TypeAlias = tuple[Channels | int, ...]
"""Channels with so many entries each, from the outermost factor to the innermost; a number is a factor without
channels. ``(channels, 16)``: a flattened picture, each channel sixteen times in a row. ``(3, heads, 64)``: query, key
and value, each with heads of 64 entries."""

Axis: TypeAlias = tuple[Segment, ...]
"""What stands along one dimension: segments one behind the other."""


def length(segment: Segment) -> int:
    """Return how many entries a segment has."""
    return prod(factor if isinstance(factor, int) else factor.root.count for factor in segment)


def settle(axis: Axis) -> Axis:
    """Return the same dimension by the sets that stand now, none of which has parts."""
    for part in axis:  # asked for every dimension of every operation: no generators
        for factor in part:
            if not isinstance(factor, int) and (factor._root is not None or factor.parts is not None):
                return _resettled(axis)
    return axis


def _resettled(axis: Axis) -> Axis:
    found: list[Segment] = []
    for segment in axis:
        found.extend(_settled(segment))
    return tuple(found)


def _settled(segment: Segment) -> list[Segment]:
    found: list[Segment] = [()]
    for factor in segment:
        root = factor if isinstance(factor, int) else factor.root
        if isinstance(root, int) or root.parts is None:
            found = [(*left, root) for left in found]
            continue
        parts = settle(root.parts)
        if len(parts) == 1:
            found = [(*left, *parts[0]) for left in found]
        elif len(found) == 1 and all(isinstance(left, int) for left in found[0]):
            found = [part for _ in range(length(found[0])) for part in parts]
        else:
            # Sets lie in turns within the channels of another: nobody could name their entries.
            taint([(part,) for part in (*found, *parts)], _PARTS)
            found = [(*left, root.count) for left in found]
    return found


def factors(axis: Axis | None) -> list[Channels]:
    """Return the sets of channels along a dimension, as they stand now, each as often as it comes."""
    return [factor for part in settle(axis or ()) for factor in part if not isinstance(factor, int)]


def loose(axis: Axis | None) -> bool:
    """Say whether a dimension holds nothing but what parameters of modules' own hold, which no layer makes."""
    return axis is not None and all(channels.loose for channels in factors(axis))


def taint(axes: Iterable[Axis | None], reason: str) -> None:
    """Bar all channels along these dimensions."""
    for axis in axes:
        for channels in factors(axis):
            channels.bar(reason)


def fix(axes: Iterable[Axis | None], reason: str) -> None:
    """Bar all channels along these dimensions, for good: where they are heads of a width, the heads may still go."""
    for axis in axes:
        for channels in factors(axis):
            channels.fixed = True
            channels.bar(reason)


def refine(channels: Channels, parts: Axis) -> None:
    """Say what a set is made of; ``parts`` are new sets, which inherit what speaks against it."""
    if channels.obstacle:
        taint((parts,), channels.obstacle)
    for part in factors(parts):
        part.fixed |= channels.fixed
        part.loose |= channels.loose
        part.soft.update(channels.soft)
    channels.parts = parts
    if channels.blocks > 1:
        bind(parts, channels.blocks, "a convolution in groups")


def bind(axis: Axis, blocks: int, who: str) -> None:
    """Note that equal runs of a dimension must keep the same number each."""
    reason = f"{who} binds channels of several layers in {blocks} groups"
    settled = settle(axis)
    if len(settled) != 1:
        taint((axis,), reason)
        return
    for factor in settled[0]:
        count = factor if isinstance(factor, int) else factor.count
        if blocks == 1:
            break
        if count % blocks == 0:
            if not isinstance(factor, int):
                factor.bound(blocks)
            blocks = 1
        elif blocks % count == 0:
            if not isinstance(factor, int):
                fix((((factor,),),), f"{who} takes each of them as whole groups")
            blocks //= count
        else:
            taint((axis,), reason)
            return
