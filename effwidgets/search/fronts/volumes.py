"""Fronts and hypervolumes of two costs and a score."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from effwidgets.search.fronts.pareto import Better, Box
from effwidgets.search.fronts.staircase import Staircase

__all__ = ["Box3", "Point3", "front3", "hypervolume3"]

Point3: TypeAlias = tuple[float, float, float]
"""Two costs, better when lower, and a score."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Box3:
    """The corner points that a hypervolume of two costs and a score is measured between; fixed once for a search.

    Attributes:
        costs: the largest of each cost that counts, usually the dense model's; the smallest is 0.
        worst: the worst score that counts.
        best: the best possible score.
    """

    costs: tuple[float, float]
    worst: float
    best: float


def front3(points: Sequence[Point3], better: Better = "higher") -> list[int]:
    """Return the places of the points that no other dominates, by the first cost, then the second.

    Of equal points the first stays. A point with a value that is not finite stands nowhere. In the order of the first
    cost a point is beaten exactly when a staircase of the other two numbers of those before it beats it (Kung,
    Luccio and Preparata 1975): ``O(n log n)``.

    >>> front3([(1, 4, 0.5), (2, 2, 0.5), (2, 5, 0.4), (3, 3, 0.9)])
    [0, 1, 3]
    """
    sign = 1.0 if better == "higher" else -1.0
    placed = [(float(one), float(two), -sign * float(score), place) for place, (one, two, score) in enumerate(points)]
    stairs = Staircase()
    kept: list[int] = []
    # Ties in all but the place come in its order; the first of them goes on the stairs and keeps the others off.
    ordered = sorted(found for found in placed if all(map(math.isfinite, found[:3])))
    for rank, (_, two, turned, place) in enumerate(ordered):
        if stairs.add(rank, (two, -turned)):
            kept.append(place)
    return kept


def hypervolume3(points: Sequence[Point3], box: Box3, better: Better = "higher") -> float:
    """Return the share of ``box`` that the points dominate, between 0 and 1; 0 for a box without volume.

    Where moocore is installed it does the work (dimension sweep of Fonseca, Paquete and Lopez-Ibanez 2006); else slices
    between the scores, best first, each with the area that the points above it dominate. What lies outside of the box
    counts up to its sides only.

    >>> hypervolume3([(5, 5, 0.5)], Box3(costs=(10, 10), worst=0, best=1))
    0.125
    """
    sign = 1.0 if better == "higher" else -1.0
    (wide, deep), worst, best = box.costs, sign * box.worst, sign * box.best
    if not (wide > 0 and deep > 0 and best > worst):
        return 0.0
    inside = [
        (max(float(one), 0.0), max(float(two), 0.0), min(sign * float(score), best))
        for one, two, score in points
        if math.isfinite(one) and math.isfinite(two) and math.isfinite(score)
    ]
    inside = [found for found in inside if found[0] < wide and found[1] < deep and found[2] > worst]
    if not inside:
        return 0.0
    volume = _by_moocore(inside, wide, deep, worst)
    if volume is None:
        volume = _by_slices(inside, wide, deep, worst)
    return min(1.0, volume / (wide * deep * (best - worst)))


def _by_moocore(points: Sequence[Point3], wide: float, deep: float, worst: float) -> float | None:
    try:
        moocore = importlib.import_module("moocore")
    except ImportError:
        return None
    lower = np.asarray(points, dtype=np.float64) * (1.0, 1.0, -1.0)
    return float(moocore.hypervolume(lower, ref=np.asarray((wide, deep, -worst))))


def _by_slices(points: Sequence[Point3], wide: float, deep: float, worst: float) -> float:
    # From the best score down: the stairs of both costs only grow, and their area is known at each step.
    stairs = Staircase(Box(cost=wide, worst=deep, best=0.0), "lower")
    ordered = sorted(points, key=lambda point: -point[2])
    volume, height = 0.0, ordered[0][2]
    for number, (one, two, score) in enumerate(ordered):
        if score < height:
            volume += (stairs.hypervolume or 0.0) * (height - score)
            height = score
        stairs.add(number, (one, two))
    volume += (stairs.hypervolume or 0.0) * (height - worst)
    return volume * wide * deep
