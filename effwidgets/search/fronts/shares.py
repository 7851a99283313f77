"""Who holds a front up: what would be lost without a point, and without all points of a technique."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Collection, Sequence

from effwidgets.search.fronts.pareto import Better, Box, Point, front, hypervolume

__all__ = ["contributions", "technique_shares"]


def contributions(points: Sequence[Point], box: Box, better: Better = "higher") -> list[float]:
    """Return for each point the share of ``box`` that all lose together when it alone is taken away.

    What a point hides comes out when it goes, so a point with another close behind it contributes little, and one of
    two equal points nothing. Points that are not on the front contribute 0. ``O(n log n)``: a point that comes out lies
    between the costs of the one that went and the next on the front.

    >>> found = contributions([(5, 0.5), (2, 0.2), (6, 0.4)], Box(cost=10, worst=0, best=1))
    >>> [round(share, 3) for share in found]
    [0.07, 0.06, 0.0]
    """
    sign = 1.0 if better == "higher" else -1.0
    found = [0.0] * len(points)
    whole = box.cost * sign * (box.best - box.worst)
    if not (box.cost > 0 and sign * (box.best - box.worst) > 0):
        return found
    kept = front(points, better)
    costs = [float(points[place][0]) for place in kept]
    behind: list[list[int]] = [[] for _ in kept]
    standing = set(kept)
    for place, point in enumerate(points):
        if place not in standing and all(map(math.isfinite, point)):
            behind[bisect_right(costs, float(point[0])) - 1].append(place)
    for at, place in enumerate(kept):
        around = [kept[near] for near in (at - 1, at + 1) if 0 <= near < len(kept)]
        without = [points[near] for near in (*around, *behind[at])]
        lost = hypervolume([*without, points[place]], box, better) - hypervolume(without, box, better)
        # Rounding only: no area is below 0, or below what a double can tell of the whole.
        found[place] = max(0.0, round(lost, 15)) if whole else 0.0
    return found


def technique_shares(
    points: Sequence[Point], techniques: Sequence[Collection[str]], box: Box, better: Better = "higher"
) -> dict[str, float]:
    """Return for each technique the share of the hypervolume that is lost without the points that use it.

    That is ``1 - HV(points that do without it) / HV(all points)``, from 0 (others do as well) to 1 (nothing is left).
    A plan of several techniques is lost with each of them, so the shares need not add up to 1. All 0 where the points
    dominate nothing of the box.

    Args:
        points: all of a search, the dense model among them.
        techniques: of each point, the names of what its plan uses; none for the dense model.
        box: what hypervolumes are measured in.
        better: in which direction scores improve.

    >>> used = [(), ("prune",), ("prune", "low_rank")]
    >>> shares = technique_shares([(10, 0.9), (5, 0.8), (1, 0.8)], used, Box(cost=10, worst=0, best=1))
    >>> {name: round(share, 3) for name, share in shares.items()}
    {'low_rank': 0.444, 'prune': 1.0}
    """
    names = sorted({name for used in techniques for name in used})
    whole = hypervolume(points, box, better)
    pairs = list(zip(points, techniques, strict=True))

    def without(name: str) -> float:
        return hypervolume([point for point, used in pairs if name not in used], box, better)

    return {name: max(0.0, 1 - without(name) / whole) if whole > 0 else 0.0 for name in names}
