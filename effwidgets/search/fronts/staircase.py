"""The front of a growing set of points, with the part of a box that it dominates, kept up to date point by point."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from effwidgets.search.fronts.pareto import Better, Box, Point

__all__ = ["Staircase"]

_Block: TypeAlias = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]

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
        self._blocks: list[_Block] = []  # points that came many at once, not yet in the dict
        self._costs: list[float] = []
        self._scores: list[float] = []
        self._numbers: list[int] = []
        self._swept: _Block | None = None  # the front of the last sweep, not yet in the lists
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
        self._unpack()
        cost, score = float(point[0]), self._sign * float(point[1])
        old = self._points.get(number)
        self._points[number] = (cost, score)
        if old is not None and number in self._numbers:
            self._rebuild()
            self._unpack()
            return number in self._numbers
        return self._place(number, cost, score)

    def extend(
        self,
        numbers: Sequence[int] | NDArray[np.int64],
        costs: Sequence[float] | NDArray[np.float64],
        scores: Sequence[float] | NDArray[np.float64],
    ) -> int:
        """Add many points at once, such as those of a store that is read; return how many are on the front then.

        Does the same as `add` one by one, in one sweep.
        """
        block = (
            np.array(numbers, dtype=np.int64),
            np.array(costs, dtype=np.float64),
            np.array(scores, dtype=np.float64) * self._sign,
        )
        known = bool(self._points or self._blocks)
        if len(block[0]) < _FEW or _repeated(block[0]) or (known and self._moves(block[0])):
            for number, cost, score in zip(*(part.tolist() for part in block), strict=True):
                self.add(number, (cost, self._sign * score))
            return len(self)
        self._blocks.append(block)
        front = self._front()
        joined = (np.concatenate((one, other)) for one, other in zip(front, block, strict=True))
        self._sweep(*(tuple(joined) if len(front[0]) else block))
        return len(self)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The points on the front, from cheap to dear."""
        return tuple(self._front()[0].tolist()) if self._swept else tuple(self._numbers)

    @property
    def points(self) -> tuple[Point, ...]:
        """Where they stand."""
        _, costs, scores = self._front()
        return tuple(zip(costs.tolist(), (self._sign * scores).tolist(), strict=True))

    @property
    def hypervolume(self) -> float | None:
        """The share of the box that is dominated, from 0 to 1; None without a box, 0 for one without area."""
        if self._box is None:
            return None
        whole = self._limit * (self._best - self._worst)
        return min(1.0, max(0.0, self._area / whole)) if self._open else 0.0

    def __len__(self) -> int:
        return len(self._swept[0]) if self._swept else len(self._numbers)

    def __contains__(self, number: object) -> bool:
        return number in self.numbers

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

    def _moves(self, numbers: NDArray[np.int64]) -> bool:
        self._unpack()
        return not self._points.keys().isdisjoint(numbers.tolist())

    def _unpack(self) -> None:
        # What came in one piece, as `add` needs it; done once for each piece.
        for numbers, costs, scores in self._blocks:
            placed = zip(costs.tolist(), scores.tolist(), strict=True)
            self._points.update(zip(numbers.tolist(), placed, strict=True))
        self._blocks.clear()
        if self._swept is not None:
            numbers, costs, scores = self._swept
            self._numbers, self._costs, self._scores = numbers.tolist(), costs.tolist(), scores.tolist()
            self._swept = None

    def _front(self) -> _Block:
        if self._swept is not None:
            return self._swept
        return np.asarray(self._numbers, dtype=np.int64), np.asarray(self._costs), np.asarray(self._scores)

    def _rebuild(self) -> None:
        numbers = np.asarray(list(self._points), dtype=np.int64)
        placed = np.asarray(list(self._points.values()), dtype=np.float64).reshape(-1, 2)
        self._sweep(numbers, placed[:, 0], placed[:, 1])

    def _sweep(self, numbers: NDArray[np.int64], costs: NDArray[np.float64], scores: NDArray[np.float64]) -> None:
        finite = np.isfinite(costs) & np.isfinite(scores)
        if not finite.all():
            numbers, costs, scores = numbers[finite], costs[finite], scores[finite]
        order = np.argsort(costs)
        rising = scores[order]
        kept = order[rising >= np.maximum.accumulate(rising)]  # as good as all that is cheaper, ties still among them
        costs, scores, numbers = costs[kept], scores[kept], numbers[kept]
        if not ((costs[1:] > costs[:-1]) & (scores[1:] > scores[:-1])).all():
            costs, scores, numbers = _untied(costs, scores, numbers)
        self._swept = (numbers, costs, scores)
        self._area = self._whole_area()

    def _whole_area(self) -> float:
        _, costs, scores = self._front()
        if not self._open or not len(costs):
            return 0.0
        ends = np.append(costs, self._limit).clip(0.0, self._limit)
        return float(np.dot(np.diff(ends), scores.clip(self._worst, self._best) - self._worst))


def _repeated(numbers: NDArray[np.int64]) -> bool:
    if (numbers[1:] > numbers[:-1]).all():
        return False
    return len(np.unique(numbers)) < len(numbers)


def _untied(
    costs: NDArray[np.float64], scores: NDArray[np.float64], numbers: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    # Of each cost the best score, of equal points the lowest number; then only what is better than all before it.
    order = np.lexsort((numbers, -scores, costs))
    rising = scores[order]
    first = np.ones(len(order), dtype=bool)
    first[1:] = rising[1:] > np.maximum.accumulate(rising)[:-1]
    kept = order[first]
    return costs[kept], scores[kept], numbers[kept]
