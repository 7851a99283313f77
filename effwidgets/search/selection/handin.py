"""Who is worth training: the few candidates that a front will be made of."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from effwidgets.records import Candidate
from effwidgets.search.fronts.axes import place_on
from effwidgets.search.fronts.pareto import Better

__all__ = ["hand_in"]

_RECOVERY: Final = 1.7
"""Training takes back more of a small loss than of a large one: what is left is about the loss to this power, both as
shares of the range. Measured after three epochs of distillation on a CNN (1.5 to 1.8) and an MLP (2.0 to 2.7)."""

_LEFT: Final = 0.4
"""But no less than this share of the loss is left: it was 0.3 to 0.5 of losses below a tenth, on all three tasks of
``benchmarks/search.py``. With the power alone, models near the dense one crowded out the others."""

_HOPE: Final = 1.25
"""The range of scores reaches a quarter beyond the worst that was seen: the worst too gains something by training."""

_LEAST: Final = 1e-4
"""Shares of a cost below this are one: a ratio to nothing says nothing."""

_OTHERS: Final = 0.25
"""What came of one candidate says so much about those of other techniques, beside those of the same."""

_TINY: Final = 1e-6

_MOST_OFF: Final = math.log(4)

_FOR_GAPS: Final = 0.3
"""Share of the places for gaps: a guess from untrained scores is wrong about whole regions. A perceptron without any of
its blocks looked better untrained than what costs two to six times as much, and ended worse when all were trained (.69
against .84 to .90)."""


@dataclass(frozen=True, slots=True)
class _Point:
    number: int
    shares: tuple[float, ...]
    gain: float  # from 0 to 1, the dense model's: what is known of a trained one, a guess for the others


def hand_in(
    candidates: Sequence[Candidate],
    axes: Sequence[str] = ("macs",),
    most: int = 10,
    *,
    better: Better = "higher",
    trained: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the numbers of the candidates that are worth training, the most useful first.

    Those are not the front of today's scores: training lifts small models most, and models of one size end close to
    each other. So the score after training is guessed from the one before it, and those are taken that together
    dominate most of the plane of cost and guessed score, over all axes alike. That spreads them by cost, densely where
    the front will be steep. Of ten places three do not trust the guess: they go where the step of the front from one
    neighbour to the next leaves most room along the first cost.

    Ask again after each training: what came of it takes the place of the guess, and corrects the guesses of those of
    about the same cost, of the same techniques most of all: of a perceptron of two hundredths of the size, what had
    lost its blocks stayed at .72, and what was cut to that size rose from .33 to .87.

    Args:
        candidates: what there is; only those that were scored are looked at. The dense model, number 0, sets the scale
            of the costs and is never among the answers.
        axes: the costs of interest; a candidate that was not measured on one counts on the others.
        most: how many are trained at most, those that were included.
        better: in which direction the main score improves.
        trained: the numbers of those that were trained, also in vain; their scores are what came of it. They are not
            among the answers.

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
    points = _points(done, dense, axes, better, trained)
    fixed = [point for point in points if point.number in trained]
    chosen = list(fixed)
    trusting = most - int(_FOR_GAPS * most)
    while len(chosen) < min(trusting, len(points)):
        left = [point for point in points if point not in chosen]
        best = max(left, key=lambda point: (_worth([*chosen, point], len(axes)), point.gain, -point.number))
        chosen.append(best)
    chosen = _exchanged(chosen, points, len(axes), len(fixed))
    while len(chosen) < min(most, len(points)):
        left = [point for point in points if point not in chosen]
        chosen.append(max(left, key=lambda point: (_room(point, chosen), point.gain, -point.number)))
    return tuple(point.number for point in chosen[len(fixed) :])


def _room(point: _Point, chosen: Sequence[_Point]) -> float:
    # The area that the point adds where it comes out as guessed, or on the upper hull of the front over the logarithm
    # of the cost, where that is better.
    front = sorted((max(one.shares[0], _LEAST), one.gain) for one in chosen if one.shares[0] < 1)
    hull: list[tuple[float, float]] = []
    for one in sorted({**dict(front), 1.0: 1.0}.items()):  # of those of the same cost the best
        if hull and hull[-1][1] >= one[1]:
            continue
        while len(hull) > 1 and _along([hull[-2], one], hull[-1][0]) >= hull[-1][1]:
            hull.pop()
        hull.append(one)
    cost = max(point.shares[0], _LEAST)
    hope = max(point.gain, _along(hull, cost))
    first = [_Point(0, (below,), gain) for below, gain in front]
    return round(_worth([*first, _Point(0, (cost,), hope)], 1) - _worth(first, 1), 12)


def _along(hull: Sequence[tuple[float, float]], cost: float) -> float:
    for (low, bottom), (high, top) in itertools.pairwise(hull):
        if low <= cost <= high:
            return bottom + (top - bottom) * math.log(cost / low) / math.log(high / low)
    return 0.0


def _points(
    done: Sequence[Candidate], dense: Candidate | None, axes: Sequence[str], better: Better, trained: Collection[int]
) -> list[_Point]:
    sign = 1.0 if better == "higher" else -1.0
    scores = {one.number: sign * (one.score() or 0.0) for one in done}
    top = scores[0] if dense is not None else max(scores.values(), default=0.0)
    # The range of first scores too: it must not move with what training makes of the worst.
    seen = [
        sign * score for one in done for score in (one.score() or 0.0, *(first.value for first in one.first_scores[:1]))
    ]
    span = _HOPE * (top - min(seen, default=top))
    wholes = {axis: place_on(axis, dense) if dense is not None else None for axis in axes}
    for axis in axes:
        places = [place for one in done if (place := place_on(axis, one)) is not None]
        wholes[axis] = wholes[axis] or max(places, default=0.0)

    def lost(score: float | None) -> float:
        return min(max((top - sign * (score or 0.0)) / span, 0.0), 1.0) if span > 0 else 0.0

    known = [one for one in done if one.number and one.number in trained]
    lessons = [
        (_kind(one), _log_of(one, axes[0], wholes), _off(lost(one.score()), guess))
        for one in known
        if (guess := _left(lost(one.first_scores[0].value))) > _TINY
    ]
    found = []
    for one in done:
        shares = tuple(_share(place_on(axis, one), wholes[axis]) for axis in axes)
        if one.number == 0 or min(shares, default=1.0) >= 1:
            continue
        left = now = lost(one.score())
        if one.number not in trained:
            left = min(now, _left(now) * _taught(lessons, _kind(one), _log_of(one, axes[0], wholes)))
        found.append(_Point(one.number, shares, 1 - left))
    return found


def _left(lost: float) -> float:
    left: float = max(lost**_RECOVERY, _LEFT * lost)
    return left


def _off(left: float, guess: float) -> float:
    # A few samples more or less are a large ratio where hardly anything is lost.
    return min(max(math.log(max(left, _TINY) / guess), -_MOST_OFF), _MOST_OFF)


def _kind(candidate: Candidate) -> frozenset[str]:
    return frozenset(step.transform for step in candidate.plan)


def _log_of(candidate: Candidate, axis: str, wholes: Mapping[str, float | None]) -> float:
    share = _share(place_on(axis, candidate), wholes[axis])
    return math.log(max(min(share, 1.0), _LEAST))


def _taught(lessons: Sequence[tuple[frozenset[str], float, float]], kind: frozenset[str], cost: float) -> float:
    # By what the guess was off for those of about that cost, the same techniques most of all; one lesson alone, that
    # it was right, weighs as much as one of the same kind and cost.
    weights = [math.exp(-abs(cost - other)) * (1.0 if kind == name else _OTHERS) for name, other, _ in lessons]
    return math.exp(sum(w * off for w, (_, _, off) in zip(weights, lessons, strict=True)) / (1 + sum(weights)))


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


def _exchanged(chosen: list[_Point], points: Sequence[_Point], axes: int, fixed: int) -> list[_Point]:
    # What was taken first may be worth less beside the last: each gives way where another does better.
    for _ in range(len(chosen)):
        before = _worth(chosen, axes)
        held = [
            ([*chosen[:place], point, *chosen[place + 1 :]], place)
            for place in range(fixed, len(chosen))
            for point in points
            if point not in chosen
        ]
        best = max(held, key=lambda pair: _worth(pair[0], axes), default=None)
        if best is None or _worth(best[0], axes) <= before + 1e-12:
            break
        chosen = best[0]
    return chosen
