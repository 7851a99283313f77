"""Help to choose from a front: what bends it, what fits several budgets, what lies close to it."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence

from effwidgets.errors import InputError
from effwidgets.search.fronts.pareto import Better, Point, front

__all__ = ["best_within", "near_front", "tradeoffs"]


def tradeoffs(points: Sequence[Point], better: Better = "higher") -> dict[int, float]:
    """Return for each place on the front how much more is lost than won by going to another place on it, at least.

    Both axes are scaled to the front's own extent. Going from one point to another loses on one axis and wins on the
    other; the smallest ratio of loss to gain over all others is the point's trade-off (Rachmawati and Srinivasan 2009,
    doi:10.1109/TEVC.2009.2017515). Above 1 no neighbour is a good bargain: the highest are knees, also where the chord
    of `knee` lies badly. Empty with fewer than two points on the front.

    >>> found = tradeoffs([(0, 0.0), (1, 0.8), (10, 1.0)])
    >>> max(found, key=found.get)
    1
    """
    sign = 1.0 if better == "higher" else -1.0
    kept = front(points, better)
    if len(kept) < 2:
        return {}
    (low, bottom), (high, top) = points[kept[0]], points[kept[-1]]
    scaled = [((points[k][0] - low) / (high - low), sign * (points[k][1] - bottom) / abs(top - bottom)) for k in kept]

    def ratio(one: Point, other: Point) -> float:
        dearer, better_by = other[0] - one[0], other[1] - one[1]
        # To a dearer point: cost is lost and score won; to a cheaper one the other way round.
        return dearer / better_by if dearer > 0 else better_by / dearer

    return {
        place: min(ratio(here, there) for other, there in enumerate(scaled) if other != at)
        for at, (place, here) in enumerate(zip(kept, scaled, strict=True))
    }


def best_within(
    costs: Sequence[Mapping[str, float]],
    scores: Sequence[float],
    budgets: Mapping[str, float],
    better: Better = "higher",
) -> int | None:
    """Return the place of the best score that keeps all ``budgets``; None where nobody does.

    Of equal scores the one that leaves most of the tightest budget, then the first. A cost that is missing or not
    finite keeps no budget, and a score that is not finite is no score.

    Args:
        costs: of each candidate, by the name of the cost.
        scores: of each candidate.
        budgets: the most that each cost may be; none means that all fit.
        better: in which direction scores improve.

    Raises:
        InputError: a budget is not a number, or there is not one score for each candidate.

    >>> costs = [{"macs": 9, "params": 5}, {"macs": 4, "params": 9}, {"macs": 4, "params": 3}]
    >>> best_within(costs, [0.9, 0.8, 0.7], {"macs": 5}), best_within(costs, [0.9, 0.8, 0.7], {"macs": 5, "params": 5})
    (1, 2)
    """
    if len(costs) != len(scores):
        raise InputError(f"There are {len(costs)} candidates and {len(scores)} scores; as many were expected.")
    for name, limit in budgets.items():
        if math.isnan(limit):
            raise InputError(f"The budget for {name} is {limit}; a number was expected.")
    sign = 1.0 if better == "higher" else -1.0

    def tightest(place: int) -> float:
        # Budgets of 0 are kept by a cost of 0 alone, which leaves nothing of them.
        return max((costs[place][name] / limit if limit else 1.0 for name, limit in budgets.items()), default=0.0)

    fitting = [
        place
        for place, score in enumerate(scores)
        if math.isfinite(score) and all(_fits(costs[place].get(name), limit) for name, limit in budgets.items())
    ]
    return min(fitting, key=lambda place: (-sign * scores[place], tightest(place), place), default=None)


def _fits(cost: float | None, limit: float) -> bool:
    return cost is not None and math.isfinite(cost) and cost <= limit


def near_front(points: Sequence[Point], tolerance: float, better: Better = "higher") -> list[int]:
    """Return the places of the points that would stand on the front if they were a little better, from cheap to dear.

    A little: cheaper by the share ``tolerance`` of their own cost, and better by that share of the extent of the
    front's scores. It is how points are chosen whose cost was only predicted and is now measured. With 0 it is the
    front, and points that equal one of it.

    Raises:
        InputError: ``tolerance`` is not a share from 0 to 1.

    >>> near_front([(10, 0.9), (10.2, 0.89), (11, 0.5), (5, 0.4)], 0.05)
    [3, 0, 1]
    """
    if not 0 <= tolerance <= 1:
        raise InputError(f"tolerance is {tolerance}; a share from 0 to 1 was expected.")
    sign = 1.0 if better == "higher" else -1.0
    kept = front(points, better)
    costs = [float(points[place][0]) for place in kept]
    scores = [sign * points[place][1] for place in kept]
    extent = scores[-1] - scores[0] if scores else 0.0
    found = []
    for place, (cost, score) in enumerate(points):
        if not (math.isfinite(cost) and math.isfinite(score)):
            continue
        nearer, higher = cost - tolerance * abs(cost), sign * score + tolerance * extent
        rival = bisect_right(costs, nearer) - 1  # the best of those that are no dearer
        beaten = rival >= 0 and (scores[rival] > higher or (scores[rival] == higher and costs[rival] < nearer))
        if not beaten:
            found.append(place)
    return sorted(found, key=lambda place: (points[place][0], -sign * points[place][1], place))
