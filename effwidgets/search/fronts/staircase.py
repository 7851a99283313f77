"""The front of a growing set of points, with the part of a box that it dominates, kept up to date point by point."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from effwidgets.search.fronts.pareto import Better, Box, Point

__all__ = ["Staircase"]

_FEW: Final = 32  # points at once below which numpy costs more than it saves


class Staircase:
    """Points by number, and of them those that no other beats, from cheap to dear.

    A new point is placed in ``O(log n)``, plus the points that it beats, which leave for good: over a whole search each
    leaves once. The hypervolume changes by the area that is gained; nothing is summed anew. Of equal points that of the
    lowest number stands, so the front does not depend on the order in which workers finish. Points with a value that is
    not finite are kept by number and stand nowhere.

    Args:
        better: in which direction scores improve.
        box: what the hypervolume is measured in, fixed; None: there is none yet (see `fix`).

    >>> front = Staircase(Box(cost=10, worst=0, best=1))
    >>> front.add(1, (5, 0.5)), front.add(2, (6, 0.4)), front.add(3, (2, 0.2))
    (True, False, True)
    >>> front.numbers, round(front.hypervolume, 9)
    ((3, 1), 0.31)
    """

    def __init__(self, box: Box | None = None, better: Better = "higher") -> None:
        self.better: Better = better
        self._sign = 1.0 if better == "higher" else -1.0
        self._points: dict[int, Point] = {}  # scores turned so that higher is better
        self._costs: list[float] = []
        self._scores: list[float] = []
        self._numbers: list[int] = []
        self._area = 0.0
        self._box: Box | None = None
        self._limit = self._worst = self._best = 0.0
        if box is not None:
            self.fix(box)

    def fix(self, box: Box) -> None:
        """Set the box. For a search it is set once: a reference that moves makes a history go down."""
        self._box = box
        self._limit, self._worst, self._best = box.cost, self._sign * box.worst, self._sign * box.best
        self._area = self._whole_area()

    def add(self, number: int, point: Point) -> bool:
        """Add a point, or move the one of that number; return whether it stands on the front now.

        Moving a point that stood on the front builds the front anew, ``O(n log n)``: others may come out behind it.
        """
        cost, score = float(point[0]), self._sign * float(point[1])
        old = self._points.get(number)
        self._points[number] = (cost, score)
        if old is not None and number in self._numbers:
            self._rebuild()
            return number in self._numbers
        return self._place(number, cost, score)

    def extend(self, numbers: Sequence[int], costs: Sequence[float], scores: Sequence[float]) -> int:
        """Add many points at once, such as those of a store that is read; return how many are on the front then.

        Does the same as `add` one by one, in one sweep.
        """
        turned = np.asarray(scores, dtype=np.float64) * self._sign
        placed = np.asarray(costs, dtype=np.float64)
        known, before = self._points, len(self._points)
        moved = not known.keys().isdisjoint(numbers)
        known.update(zip(numbers, zip(placed.tolist(), turned.tolist(), strict=True), strict=True))
        if moved or len(known) < before + len(numbers):
            self._rebuild()
            return len(self._numbers)
        if len(numbers) < _FEW:
            for number in numbers:
                self._place(number, *known[number])
            return len(self._numbers)
        old = len(self._numbers)
        joined = (
            np.asarray([*self._numbers, *numbers]),
            np.append(self._costs, placed),
            np.append(self._scores, turned),
        )
        self._sweep(*(joined if old else (np.asarray(numbers), placed, turned)))
        return len(self._numbers)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The points on the front, from cheap to dear."""
        return tuple(self._numbers)

    @property
    def points(self) -> tuple[Point, ...]:
        """Where they stand."""
        return tuple((cost, self._sign * score) for cost, score in zip(self._costs, self._scores, strict=True))

    @property
    def hypervolume(self) -> float | None:
        """The share of the box that is dominated, from 0 to 1; None without a box, 0 for one without area."""
        if self._box is None:
            return None
        whole = self._limit * (self._best - self._worst)
        return min(1.0, max(0.0, self._area / whole)) if self._open else 0.0

    def __len__(self) -> int:
        return len(self._numbers)

    def __contains__(self, number: object) -> bool:
        return number in self._numbers

    # How it is done. Costs and scores both rise from place to place.

    @property
    def _open(self) -> bool:
        return self._limit > 0 and self._best > self._worst

    def _place(self, number: int, cost: float, score: float) -> bool:
        if not (math.isfinite(cost) and math.isfinite(score)):
            return False
        costs, scores = self._costs, self._scores
        start = bisect_left(costs, cost)
        if start and scores[start - 1] >= score:  # somebody cheaper is as good
            return False
        if start < len(costs) and costs[start] == cost and scores[start] >= score:
            if scores[start] > score or self._numbers[start] < number:
                return False
            self._numbers[start] = number  # the same place: the lowest number stands
            return True
        end = bisect_right(scores, score, start)
        if self._open:
            self._area += self._gained(start, end, cost, score)
        costs[start:end], scores[start:end], self._numbers[start:end] = [cost], [score], [number]
        return True

    def _gained(self, start: int, end: int, cost: float, score: float) -> float:
        # Between the new point and the next one that is better, above what stood there.
        costs, scores = self._costs, self._scores
        top = self._clipped(score)
        height = self._clipped(scores[start - 1]) if start else self._worst
        left, area = self._within(cost), 0.0
        for place in range(start, end):
            right = self._within(costs[place])
            area += (top - height) * (right - left)
            left, height = right, self._clipped(scores[place])
        right = self._within(costs[end]) if end < len(costs) else self._limit
        return area + (top - height) * (right - left)

    def _clipped(self, score: float) -> float:
        return min(max(score, self._worst), self._best)

    def _within(self, cost: float) -> float:
        return min(max(cost, 0.0), self._limit)

    def _rebuild(self) -> None:
        numbers = np.asarray(list(self._points), dtype=np.int64)
        placed = np.asarray(list(self._points.values()), dtype=np.float64).reshape(-1, 2)
        self._sweep(numbers, placed[:, 0], placed[:, 1])

    def _sweep(self, numbers: NDArray[np.int64], costs: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        finite = np.isfinite(costs) & np.isfinite(scores)
        if not finite.all():
            numbers, costs, scores = numbers[finite], costs[finite], scores[finite]
        # Only what is better than all that is cheaper: sorted by cost first, the few that are left with all ties.
        order = np.argsort(costs, kind="stable")
        best = np.maximum.accumulate(scores[order])
        kept = order[scores[order] >= best]
        kept = kept[np.lexsort((numbers[kept], -scores[kept], costs[kept]))]
        rising = scores[kept]
        first = np.ones(len(kept), dtype=bool)
        first[1:] = rising[1:] > np.maximum.accumulate(rising)[:-1]
        kept = kept[first]
        self._costs, self._scores = costs[kept].tolist(), scores[kept].tolist()
        self._numbers = numbers[kept].tolist()
        self._area = self._whole_area()

    def _whole_area(self) -> float:
        if not self._open or not self._costs:
            return 0.0
        costs = np.clip(np.append(self._costs, self._limit), 0.0, self._limit)
        heights = np.clip(self._scores, self._worst, self._best) - self._worst
        return float(np.dot(np.diff(costs), heights))
