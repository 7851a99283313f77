"""Who is worth training: the few candidates that a front will be made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from effwidgets.records import Candidate
from effwidgets.search.fronts.axes import place_on
from effwidgets.search.fronts.pareto import Better

__all__ = ["hand_in"]

_RECOVERY: Final = 1.7
"""Training takes back more of a small loss than of a large one: what is left is about the loss to this power, both as
shares of the range. Measured after three epochs of distillation on a CNN (1.5 to 1.8) and an MLP (2.0 to 2.7)."""

_HOPE: Final = 1.25
"""The range of scores reaches a quarter beyond the worst that was seen: the worst too gains something by training."""


_LEAST: Final = 1e-4
"""Shares of a cost below this are one: a ratio to nothing says nothing."""

_FOR_GAPS: Final = 0.3
"""Share of the places for the largest gaps: a guess from untrained scores is wrong about whole regions. A perceptron
without any of its blocks looked better untrained than what costs two to six times as much, and ended worse when all
were trained (.69 against .84 to .90). A gap is as large as the step of the front from one end to the other would be
missed there: its width times the difference of the untrained scores, which no power makes small."""


@dataclass(frozen=True, slots=True)
class _Point:
    number: int
    shares: tuple[float, ...]
    gain: float
    left: float


def hand_in(
    candidates: Sequence[Candidate],
    axes: Sequence[str] = ("macs",),
    most: int = 10,
    *,
    better: Better = "higher",
) -> tuple[int, ...]:
    """Return the numbers of at most ``most`` candidates that are worth training, the most useful first.

    Those are not the front of today's scores: training lifts small models most, and models of one size end close to
    each other. So the score after training is guessed from the one before it, and those are taken that together
    dominate most of the plane of cost and guessed score, over all axes alike. That spreads them by cost, densely where
    the front will be steep. Of ten places three do not trust the guess: they go to the largest gaps that are left along
    the first cost, as wide as the untrained scores at their ends are apart, each to the best of the candidates inside.

    Args:
        candidates: what there is; only those that were scored are looked at. The dense model, number 0, sets the scale
            of the costs and is never among the answers.
        axes: the costs of interest; a candidate that was not measured on one counts on the others.
        most: how many at most.
        better: in which direction the main score improves.

    Example:
        >>> from effwidgets import Candidate, Cost, Memory, Plan, Score
        >>> memory = Memory(param_bytes=1, inference_peak_bytes=1, inference_peak_at="", saved_bytes=1)
        >>> rows = [(0, 100, 1.0), (1, 50, 0.95), (2, 49, 0.95), (3, 10, 0.6), (4, 9, 0.1)]
        >>> known = {"plan": Plan(), "rung": "repaired", "state": "done", "memory": memory}
        >>> found = [
        ...     Candidate(number=row, cost=Cost(macs=macs), scores=(Score(metric="accuracy", value=score),), **known)
        ...     for row, macs, score in rows
        ... ]
        >>> hand_in(found, most=2)
        (3, 2)
    """
    done = [one for one in candidates if one.state == "done" and one.score() is not None]
    dense = next((one for one in done if one.number == 0), None)
    points = _points(done, dense, axes, better)
    chosen: list[_Point] = []
    trusting = most - int(_FOR_GAPS * most)
    while len(chosen) < trusting and len(chosen) < len(points):
        left = [point for point in points if point not in chosen]
        best = max(left, key=lambda point: (_worth([*chosen, point], len(axes)), point.gain, -point.number))
        chosen.append(best)
    chosen = _exchanged(chosen, points, len(axes))
    while len(chosen) < most and len(chosen) < len(points):
        chosen.append(_between(chosen, [point for point in points if point not in chosen]))
    return tuple(point.number for point in chosen)


def _between(chosen: Sequence[_Point], left: Sequence[_Point]) -> _Point:
    # The best in the middle half (by ratio) of the largest gap that holds any; the last ends at the dense model.
    ends = {max(point.shares[0], _LEAST): point.left for point in sorted(chosen, key=lambda point: point.left)[::-1]}
    ordered = sorted({**{cost: left for cost, left in ends.items() if cost < 1}, 1.0: 0.0}.items())
    gaps = sorted(itertools.pairwise(ordered), key=lambda gap: _size(*gap), reverse=True)
    for (low, _), (high, _) in gaps:
        edge = (high / low) ** 0.25
        inside = [point for point in left if low * edge <= point.shares[0] <= high / edge]
        if inside:
            return max(inside, key=lambda point: (point.gain, -point.number))
    return max(left, key=lambda point: (_worth([*chosen, point], len(point.shares)), point.gain, -point.number))


def _size(low: tuple[float, float], high: tuple[float, float]) -> float:
    return (high[0] - low[0]) * max(0.0, low[1] - high[1])


def _points(done: Sequence[Candidate], dense: Candidate | None, axes: Sequence[str], better: Better) -> list[_Point]:
    sign = 1.0 if better == "higher" else -1.0
    scores = {one.number: sign * (one.score() or 0.0) for one in done}
    top = scores[0] if dense is not None else max(scores.values(), default=0.0)
    span = _HOPE * (top - min(scores.values(), default=top))
    wholes = {axis: place_on(axis, dense) if dense is not None else None for axis in axes}
    for axis in axes:
        known = [place for one in done if (place := place_on(axis, one)) is not None]
        wholes[axis] = wholes[axis] or max(known, default=0.0)
    found = []
    for one in done:
        if one.number == 0:
            continue
        lost = min(max((top - scores[one.number]) / span, 0.0), 1.0) if span > 0 else 0.0
        shares = tuple(_share(place_on(axis, one), wholes[axis]) for axis in axes)
        if min(shares, default=1.0) < 1:
            found.append(_Point(one.number, shares, 1 - lost**_RECOVERY, lost))
    return found


def _share(place: float | None, whole: float | None) -> float:
    return place / whole if place is not None and whole else math.inf


def _worth(chosen: Sequence[_Point], axes: int) -> float:
    # The area that they dominate, added up over the axes.
    total = 0.0
    for axis in range(axes):
        ordered = sorted(chosen, key=lambda point: point.shares[axis])
        high = 0.0
        for place, point in enumerate(ordered):
            high = max(high, point.gain)
            end = ordered[place + 1].shares[axis] if place + 1 < len(ordered) else 1.0
            total += high * max(0.0, min(end, 1.0) - min(point.shares[axis], 1.0))
    return round(total, 12)  # what is equal but for the order of the sum is equal


def _exchanged(chosen: list[_Point], points: Sequence[_Point], axes: int) -> list[_Point]:
    # What was taken first may be worth less beside the last: each gives way where another does better.
    for _ in range(len(chosen)):
        before = _worth(chosen, axes)
        held = [
            ([*chosen[:place], point, *chosen[place + 1 :]], place)
            for place in range(len(chosen))
            for point in points
            if point not in chosen
        ]
        best = max(held, key=lambda pair: _worth(pair[0], axes), default=None)
        if best is None or _worth(best[0], axes) <= before + 1e-12:
            break
        chosen = best[0]
    return chosen
