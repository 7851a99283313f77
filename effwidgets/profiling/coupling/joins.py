"""What stays together: channels that are summed entry by entry, cut apart, and laid one behind the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from effwidgets.profiling.coupling.channels import Axis, Channels, Segment, fix, length, refine, settle, taint

__all__ = ["cut", "divided", "join", "meet"]

_ALIEN = "a sum or product couples it with entries that no layer's channels make"
_PARTS = "a sum or product couples parts of several layers' channels"
_SLICE = "a slice takes some of its channels and leaves others"


def meet(first: Axis, second: Axis) -> None:
    """Entries of two dimensions are combined one by one: their channels are the same ones."""
    if first is second:
        return
    mine, theirs = list(settle(first)), list(settle(second))
    if [_form(part) for part in mine] == [_form(part) for part in theirs]:
        for part, other in zip(mine, theirs, strict=True):
            _meet_segments(part, other)
        return
    while mine and theirs:
        a, b = mine.pop(0), theirs.pop(0)
        if length(a) != length(b):
            # One holds in one piece what the other holds in several: it is cut where they are.
            rest, whole, size = (mine, a, length(b)) if length(a) > length(b) else (theirs, b, length(a))
            pieces = _halves(whole, size)
            if pieces is None:
                taint((first, second), _PARTS)
                return
            rest.insert(0, pieces[1])
            a, b = (pieces[0], b) if rest is mine else (a, pieces[0])
        if not _meet_segments(a, b):
            taint((first, second), _PARTS)
            return
        mine, theirs = list(settle(tuple(mine))), list(settle(tuple(theirs)))


def _form(segment: Segment) -> list[int]:
    return [factor if isinstance(factor, int) else factor.count for factor in segment]


def _halves(segment: Segment, size: int) -> tuple[Segment, Segment] | None:
    """Return a segment as two, the first with ``size`` entries."""
    outer, inner = segment[0], segment[1:]
    each = length(inner)
    if size % each or (not isinstance(outer, int) and outer.digit):
        return None
    if isinstance(outer, int):
        return (size // each, *inner), (outer - size // each, *inner)
    pair = Channels(size // each), Channels(outer.count - size // each)
    refine(outer, tuple((part,) for part in pair))
    return (pair[0], *inner), (pair[1], *inner)


def _meet_segments(first: Segment, second: Segment) -> bool:
    left, right = list(first), list(second)
    while left and right:
        a, b = left.pop(0), right.pop(0)
        wide, narrow = (a if isinstance(a, int) else a.count), (b if isinstance(b, int) else b.count)
        if wide < narrow:
            a, b, left, right, wide, narrow = b, a, right, left, narrow, wide
        if wide != narrow:
            if wide % narrow:
                return False
            a, rest = divided(a, narrow)
            left.insert(0, rest)
        if isinstance(a, int) or isinstance(b, int):
            fix((((factor,),) for factor in (a, b) if not isinstance(factor, int)), _ALIEN)
        else:
            a.joined(b)
    return True


def divided(factor: Channels | int, outer: int, soft: Iterable[str] = ()) -> tuple[Channels | int, Channels | int]:
    """Return a factor as a product of two, the outer one of ``outer``, which divides it."""
    if isinstance(factor, int):
        return outer, factor // outer
    pair = Channels(outer, soft=soft, digit=True), Channels(factor.count // outer, soft=soft, digit=True)
    refine(factor, (pair,))
    return pair


def cut(axis: Axis, start: int, stop: int, soft: Iterable[str] = ()) -> Axis | None:
    """Return the part of a dimension between two entries; None, and a bar, where it cuts through what holds together.

    Args:
        axis: the dimension.
        start: its first entry.
        stop: the first behind it.
        soft: layers whose forward may state where it is cut.
    """
    kept: list[Segment] = []
    place = 0
    for segment in settle(axis):
        end = place + length(segment)
        first, last = max(start, place) - place, min(stop, end) - place
        if first == 0 and last == end - place:
            kept.append(segment)
        elif first < last:
            part = _cut_segment(segment, first, last, soft)
            if part is None:
                taint((axis,), _SLICE)
                return None
            kept.append(part)
        place = end
    return tuple(kept)


def _cut_segment(segment: Segment, start: int, stop: int, soft: Iterable[str]) -> Segment | None:
    outer, inner = segment[0], segment[1:]
    each = length(inner)
    if start % each or stop % each:
        return None
    first, last = start // each, stop // each
    if isinstance(outer, int):
        return (last - first, *inner)
    if outer.digit:
        return None
    sizes = (first, last - first, outer.count - last)
    parts = [Channels(size, soft=soft) for size in sizes]
    refine(outer, tuple((part,) for part in parts if part.count))
    return (parts[1], *inner)


def join(axes: Sequence[Axis | None], sizes: Sequence[int]) -> Axis | None:
    """Return the dimension made of several, one behind the other."""
    if not any(axes):
        return None
    parts: list[Segment] = []
    for axis, size in zip(axes, sizes, strict=True):
        parts.extend(axis if axis is not None else ((size,),))
    return tuple(parts)
