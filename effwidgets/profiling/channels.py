"""Channels followed along the dimensions of tensors: what stays together through reshapes, sums and concatenations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod
from typing import TypeAlias

from effwidgets.records import Member

__all__ = ["Axis", "Channels", "cut", "join", "meet", "reshape", "taint"]


class Channels:
    """Channels that change together; two sets that turn out to be one are `joined`.

    Args:
        count: how many there are.
        obstacle: why none may be removed, in words; None when nothing speaks against it.
    """

    __slots__ = ("_root", "count", "members", "obstacle")

    def __init__(self, count: int, obstacle: str | None = None) -> None:
        self.count = count
        self.obstacle = obstacle
        self.members: dict[Member, None] = {}  # in the order in which they came; looked up for each of thousands
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
        """Make one set of two."""
        mine, theirs = self.root, other.root
        if mine is theirs:
            return
        obstacle = mine.obstacle or theirs.obstacle
        if len(mine.members) < len(theirs.members):
            mine, theirs = theirs, mine
        theirs._root = mine
        mine.members.update(theirs.members)
        mine.obstacle = obstacle

    def add(self, member: Member) -> None:
        """Note that a layer holds these channels."""
        self.root.members[member] = None

    def bar(self, reason: str) -> None:
        """Note why none may be removed; the first reason stays."""
        root = self.root
        root.obstacle = root.obstacle or reason


Axis: TypeAlias = tuple[tuple[Channels, int], ...]
"""What stands along one dimension: sets of channels one after the other, each channel so many times in a row."""


def taint(axes: Iterable[Axis | None], reason: str) -> None:
    """Bar all channels along these dimensions."""
    for axis in axes:
        for channels, _ in axis or ():
            channels.bar(reason)


def meet(first: Axis, second: Axis) -> None:
    """Entries of two dimensions are combined one by one: their channels are the same ones."""
    if [_form(part) for part in first] == [_form(part) for part in second]:
        for (mine, _), (theirs, _) in zip(first, second, strict=True):
            mine.joined(theirs)
    else:
        taint((first, second), "a sum or product couples parts of several layers' channels")


def _form(part: tuple[Channels, int]) -> tuple[int, int]:
    return part[0].root.count, part[1]


def cut(axis: Axis, start: int, stop: int) -> Axis | None:
    """Return the part of a dimension between two entries; None, and a bar, when it cuts through a layer's channels."""
    kept: list[tuple[Channels, int]] = []
    place = 0
    for channels, repeat in axis:
        end = place + channels.root.count * repeat
        if start <= place and end <= stop:
            kept.append((channels, repeat))
        elif place < stop and start < end:
            taint((axis,), "a slice takes some of its channels and leaves others")
            return None
        place = end
    return tuple(kept)


def join(axes: Sequence[Axis | None], sizes: Sequence[int]) -> Axis | None:
    """Return the dimension made of several, one behind the other."""
    if not any(axes):
        return None
    fixed = "it is concatenated with something that no layer's channels make"
    parts: list[tuple[Channels, int]] = []
    for axis, size in zip(axes, sizes, strict=True):
        parts.extend(axis if axis is not None else ((Channels(size, fixed), 1),))
    return tuple(parts)


def reshape(axes: Sequence[Axis | None], before: Sequence[int], after: Sequence[int]) -> list[Axis | None]:
    """Follow dimensions through a reshape; bars those that it mixes."""
    found: list[Axis | None] = [None] * len(after)
    for old, new in _blocks(before, after):
        held = [place for place in old if axes[place] is not None]
        if not held:
            continue
        axis = axes[held[0]] or ()
        wide = [place for place in old if before[place] > 1]
        outermost = all(before[place] == 1 for place in old if place < held[0])
        targets = [place for place in new if after[place] > 1] or list(new)
        if len(held) > 1 or not targets or not outermost:
            _mixed([axes[place] for place in held], before, after)
        elif len(targets) == 1:
            inner = prod(before[place] for place in old) // before[held[0]]
            found[targets[0]] = tuple((channels, repeat * inner) for channels, repeat in axis)
        elif len(wide) <= 1 and len(axis) == 1 and _form(axis[0])[0] == after[targets[0]]:
            # A flattened picture that is opened again: channels first.
            found[targets[0]] = ((axis[0][0], 1),)
        else:
            _mixed([axis], before, after)
    return found


def _mixed(axes: Sequence[Axis | None], before: Sequence[int], after: Sequence[int]) -> None:
    shapes = " × ".join(map(str, before)), " × ".join(map(str, after))
    taint(axes, f"a reshape from {shapes[0]} to {shapes[1]} splits or mixes its channels (heads, shuffle, patches)")


def _blocks(before: Sequence[int], after: Sequence[int]) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the smallest runs of dimensions, before and after, that hold the same entries."""
    i = j = 0
    while i < len(before) or j < len(after):
        old, new = [], []
        left = right = 1
        if i < len(before):
            old.append(i)
            left = before[i]
            i += 1
        if j < len(after):
            new.append(j)
            right = after[j]
            j += 1
        while left != right:
            if left < right and i < len(before):
                old.append(i)
                left *= before[i]
                i += 1
            elif j < len(after):
                new.append(j)
                right *= after[j]
                j += 1
            else:
                return
        yield old, new
