"""The front, what it dominates and where it bends: plain arithmetic on pairs of cost and score.

A point is ``(cost, score)``; cost is always better when lower, the score in the direction that ``better`` says.
A point with a value that is not finite is dominated by everything, itself included.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Better", "Box", "Point", "dominates", "front", "hypervolume", "knee"]

Better: TypeAlias = Literal["higher", "lower"]
Point: TypeAlias = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """The corner points that a hypervolume is measured between; fixed once for a search, so that it never moves back.

    Attributes:
        cost: the largest cost that counts, usually the dense model's; the smallest is 0.
        worst: the worst score that counts.
        best: the best possible score.
    """

    cost: float
    worst: float
    best: float


def _rising(points: Sequence[Point], better: Better) -> list[Point]:
    # The same points with a score that is better when higher.
    sign = 1.0 if better == "higher" else -1.0
    return [(float(cost), sign * float(score)) for cost, score in points]


def dominates(one: Point, other: Point, better: Better = "higher") -> bool:
    """Say whether ``one`` is nowhere worse than ``other`` and somewhere better.

    >>> dominates((1, 0.9), (2, 0.9)), dominates((1, 0.9), (1, 0.9)), dominates((1, 0.9), (0.5, 0.8))
    (True, False, False)
    """
    (cost, score), (other_cost, other_score) = _rising([one, other], better)
    return cost <= other_cost and score >= other_score and (cost < other_cost or score > other_score)


def front(points: Sequence[Point], better: Better = "higher") -> list[int]:
    """Return the places of the points that no other dominates, from cheap to dear.

    Of points with equal values the first stays and the others are left out, so a front never has two marks in
    one place, and a point keeps its place when an equal one comes later.

    >>> front([(4, 0.9), (2, 0.8), (3, 0.7), (2, 0.8)])
    [1, 0]
    """
    rising = _rising(points, better)
    order = [index for index, point in enumerate(rising) if all(map(math.isfinite, point))]
    order.sort(key=lambda index: (rising[index][0], -rising[index][1], index))
    kept: list[int] = []
    for index in order:
        if not kept or rising[index][1] > rising[kept[-1]][1]:
            kept.append(index)
    return kept


def hypervolume(points: Sequence[Point], box: Box, better: Better = "higher") -> float:
    """Return the share of ``box`` that the points dominate, between 0 and 1; 0 for a box without area.

    What lies outside the box counts up to its sides only.

    >>> hypervolume([(5, 0.5)], Box(cost=10, worst=0, best=1))
    0.25
    """
    [(limit, worst), (_, best)] = _rising([(box.cost, box.worst), (box.cost, box.best)], better)
    if not (limit > 0 and best > worst):
        return 0.0
    rising = _rising(points, better)
    area, reached = 0.0, worst
    for index in front(points, better):
        cost, score = rising[index]
        if cost >= limit:
            break
        height = min(score, best)
        if height > reached:
            area += (height - reached) * (limit - max(cost, 0.0))
            reached = height
    return min(1.0, area / (limit * (best - worst)))


def knee(points: Sequence[Point], better: Better = "higher") -> int | None:
    """Return the place of the front's point farthest above the chord between the front's ends.

    Both axes are scaled to the front's own extent first, so units do not matter. None with fewer than three
    points on the front, and where none lies above the chord.

    >>> knee([(1, 0.1), (2, 0.8), (10, 0.9)]), knee([(1, 0.1), (2, 0.2), (3, 0.3)])
    (1, None)
    """
    rising = _rising(points, better)
    kept = front(points, better)
    if len(kept) < 3:  # two points are the chord itself
        return None
    (low_cost, low_score), (high_cost, high_score) = rising[kept[0]], rising[kept[-1]]

    def above(index: int) -> float:
        # In the unit square the chord is the diagonal; the distance to it is (y - x) / sqrt(2).
        cost, score = rising[index]
        return (score - low_score) / (high_score - low_score) - (cost - low_cost) / (high_cost - low_cost)

    best = max(kept[1:-1], key=above)
    # Rounding may lift a point of the chord itself by a few ulp.
    return best if above(best) > 1e-9 else None
