"""Channels followed through reshapes: merged dimensions, and dimensions that are taken apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import prod

from effwidgets.profiling.coupling.channels import Axis, Channels, Segment, length, settle, taint
from effwidgets.profiling.coupling.joins import cut, divided, meet

__all__ = ["reshape"]


def reshape(
    axes: Sequence[Axis | None], before: Sequence[int], after: Sequence[int], soft: Iterable[str] = ()
) -> list[Axis | None]:
    """Follow dimensions through a reshape; bars those of which it makes what cannot be named.

    A dimension that is taken apart becomes a product: ``view(batch, tokens, heads, width)`` of 64 channels with 4 heads
    is 4 times 16, and either the heads or the channels of every head may go, as what follows allows.

    Args:
        axes: what stands along the dimensions before.
        before: the sizes before.
        after: the sizes after.
        soft: layers whose forward may state the sizes.
    """
    found: list[Axis | None] = [None] * len(after)
    for old, new in _blocks(before, after):
        if all(axes[place] is None for place in old):
            continue
        targets = [place for place in new if after[place] > 1]
        sizes = [after[place] for place in targets]
        parts = _taken(_sequence(axes, before, old), sizes, soft)
        if parts is None:
            shapes = " × ".join(map(str, before)), " × ".join(map(str, after))
            reason = f"a reshape from {shapes[0]} to {shapes[1]} splits or mixes its channels (heads, shuffle, patches)"
            taint([axes[place] for place in old], reason)
            continue
        for place, axis in zip(targets, parts, strict=True):
            held = any(not isinstance(factor, int) for part in axis for factor in part)
            found[place] = axis if held else None
    return found


def _sequence(axes: Sequence[Axis | None], before: Sequence[int], old: Sequence[int]) -> Axis | None:
    """Return several dimensions as one; None where one that is not the outermost has several segments."""
    found: Axis = ((),)
    for place in old:
        axis = axes[place]
        settled: Axis = ((before[place],),) if axis is None else settle(axis)
        if len(settled) == 1:
            found = tuple((*part, *settled[0]) for part in found)
        elif len(found) == 1 and length(found[0]) == 1:
            found = settled
        else:
            return None
    return found


def _taken(axis: Axis | None, sizes: Sequence[int], soft: Iterable[str]) -> list[Axis] | None:
    """Take one dimension apart into some of ``sizes``."""
    if axis is None or not sizes:
        return None if axis is None or any(length(part) > 1 for part in axis) else []
    if len(sizes) == 1:
        return [axis]
    if len(axis) == 1:
        return _distributed(axis[0], sizes, soft)
    inner = prod(sizes[1:])
    stripped = [_stripped(part, inner) for part in axis]
    if all(part is not None for part in stripped):
        # Flattened pictures one behind the other, opened again.
        return [tuple(part for part in stripped if part is not None), *(((size,),) for size in sizes[1:])]
    return _stacked(axis, sizes, soft)


def _stripped(segment: Segment, inner: int) -> Segment | None:
    left = list(segment)
    while inner > 1:
        last = left.pop() if left else None
        if not isinstance(last, int):
            return None
        if last > inner and last % inner == 0:
            left.append(last // inner)
            inner = 1
        elif inner % last:
            return None
        else:
            inner //= last
    return tuple(left)


def _stacked(axis: Axis, sizes: Sequence[int], soft: Iterable[str]) -> list[Axis] | None:
    # Equal runs are laid side by side: what stands at one place of each is treated alike from here on.
    each = prod(sizes[1:])
    runs = [cut(axis, first * each, (first + 1) * each, soft) for first in range(sizes[0])]
    whole = [run for run in runs if run is not None]
    if len(whole) < len(runs):
        return None
    for run in whole[1:]:
        meet(whole[0], run)
    inner = _taken(settle(whole[0]), sizes[1:], soft)
    return None if inner is None else [((sizes[0],),), *inner]


def _distributed(segment: Segment, sizes: Sequence[int], soft: Iterable[str]) -> list[Axis] | None:
    waiting = [factor for factor in segment if not (isinstance(factor, int) and factor == 1)]
    found: list[Axis] = []
    for size in sizes:
        taken: list[Channels | int] = []
        need = size
        while need > 1:
            if not waiting:
                return None
            factor = waiting.pop(0)
            count = factor if isinstance(factor, int) else factor.count
            if need % count == 0:
                taken.append(factor)
                need //= count
            elif count % need == 0:
                outer, rest = divided(factor, need, soft)
                taken.append(outer)
                waiting.insert(0, rest)
                need = 1
            else:
                return None
        found.append((tuple(taken),))
    return found


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
