"""Where a factorization stops saving, and the words that refuse what saves nothing."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Sequence
from math import prod

from effwidgets.records import Shape
from effwidgets.transforms.factorize.parts import Part

__all__ = ["fewer", "largest", "nothing_saved", "saves_both"]

Ranks = Sequence[int]


def fewer(whole: Part, chain: Sequence[Part]) -> bool:
    """Say whether the weights of ``chain`` have fewer numbers than that of ``whole``."""
    return sum(part.params for part in chain) < whole.params


def saves_both(whole: Part, chain: Sequence[Part], given: Shape) -> bool:
    """Say whether ``chain`` has fewer parameters than ``whole`` and, where that has MACs at all, fewer of these.

    Args:
        whole: the layer.
        chain: what would stand for it.
        given: shape of the layer's input.
    """
    macs, spent = whole.macs(whole.returns(given)), 0
    for part in chain:
        given = part.returns(given)
        spent += part.macs(given)
    return fewer(whole, chain) and (spent < macs or not macs)


def largest(limits: Ranks, saves: Callable[[Ranks], bool]) -> tuple[int, ...] | None:
    """Return the largest ranks that save, all at the same fraction of ``limits``; None where even the least do not."""

    def ranks(first: int) -> tuple[int, ...]:
        return first, *(max(1, first * high // limits[0]) for high in limits[1:])

    dear = bisect.bisect_left(range(1, limits[0] + 1), True, key=lambda first: not saves(ranks(first)))  # noqa: FBT003  the value looked for
    return ranks(dear) if dear else None


def nothing_saved(whole: Part, names: Sequence[str], ranks: Ranks, even: Ranks | None) -> str:
    """Say that ``ranks`` save nothing, and which would.

    >>> linear = Part.point("Linear", 1000, 2048)
    >>> nothing_saved(linear, ["rank"], [700], [671])
    'rank 700 saves nothing: Linear 2048 -> 1000 breaks even at 671. Set anyway=True to have it done.'
    """
    said = ", ".join(f"{name} {rank}" for name, rank in zip(names, ranks, strict=True))
    kernel = f", {' x '.join(map(str, whole.kernel))}" if prod(whole.kernel) > 1 else ""
    layer = f"{whole.kind} {whole.into} -> {whole.out}{kernel}"
    if even is None:
        ends = f"no rank saves parameters of {layer}"
    elif len(names) == 1:
        ends = f"{layer} breaks even at {even[0]}"
    else:
        ends = f"{layer} breaks even at {', '.join(f'{n} {rank}' for n, rank in zip(names, even, strict=True))}"
    return f"{said} saves nothing: {ends}. Set anyway=True to have it done."
