"""The front, the hypervolume and the knee against slow, obvious versions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.search.fronts.pareto import Box, dominates, front, hypervolume, knee

# A coarse grid makes ties and equal points common, where mistakes live.
GRID = st.integers(0, 8).map(float)
ODD = st.sampled_from([math.nan, math.inf, -math.inf])
POINTS = st.lists(st.tuples(GRID | ODD, GRID | ODD), max_size=14)
FINITE = st.lists(st.tuples(GRID, GRID), max_size=10)
BETTER = st.sampled_from(["higher", "lower"])


def brute_front(points, better):
    finite = [i for i, point in enumerate(points) if all(map(math.isfinite, point))]
    kept = [i for i in finite if not any(dominates(points[j], points[i], better) for j in finite)]
    first = [i for i in kept if not any(points[j] == points[i] for j in kept if j < i)]
    return sorted(first, key=lambda i: points[i][0])


@given(POINTS, BETTER)
@settings(max_examples=300, deadline=None)
def test_the_front_is_what_nobody_dominates_once_each_from_cheap_to_dear(points, better):
    assert front(points, better) == brute_front(points, better)


@given(FINITE, GRID, GRID, GRID, BETTER)
@settings(max_examples=300, deadline=None)
def test_the_hypervolume_is_the_share_of_unit_cells_that_some_point_dominates(points, cost, worst, best, better):
    box = Box(cost=cost, worst=worst, best=best)
    sign = 1 if better == "higher" else -1
    low, high = sorted((int(sign * worst), int(sign * best)))
    cells = [(c, s) for c in range(int(cost)) for s in range(low, high)] if sign * best > sign * worst else []
    hit = [(c, s) for c, s in cells if any(p[0] <= c and sign * p[1] >= s + 1 for p in points)]
    # Sums of small whole numbers, divided once: nothing but the last bit may differ.
    assert hypervolume(points, box, better) == pytest.approx(len(hit) / len(cells) if cells else 0.0, abs=1e-12)


@given(FINITE, st.tuples(GRID, GRID), BETTER)
@settings(max_examples=200, deadline=None)
def test_one_more_point_never_lowers_the_hypervolume(points, extra, better):
    box = Box(cost=8, worst=0 if better == "higher" else 8, best=8 if better == "higher" else 0)
    assert hypervolume([*points, extra], box, better) >= hypervolume(points, box, better) - 1e-12


def brute_knee(points, better):
    sign = 1 if better == "higher" else -1
    kept = brute_front(points, better)
    if len(kept) < 3:
        return None
    (x0, y0), (x1, y1) = ((points[i][0], sign * points[i][1]) for i in (kept[0], kept[-1]))

    def distance(i):
        u, v = (points[i][0] - x0) / (x1 - x0), (sign * points[i][1] - y0) / (y1 - y0)
        return (v - u) / math.sqrt(2)

    far = max(map(distance, kept[1:-1]))
    return far if far > 1e-9 else None


@given(FINITE, BETTER)
@settings(max_examples=300, deadline=None)
def test_the_knee_is_the_point_farthest_above_the_chord(points, better):
    far, found = brute_knee(points, better), knee(points, better)
    assert (found is None) == (far is None)
    if found is not None:
        kept = brute_front(points, better)
        assert found in kept[1:-1]
        only = [points[kept[0]], points[found], points[kept[-1]]]
        assert brute_knee(only, better) == pytest.approx(far, abs=1e-9)  # no other point is farther


def test_a_point_keeps_its_place_when_an_equal_one_comes_later():
    assert front([(1.0, 0.5), (1.0, 0.5)]) == [0]


def test_points_that_are_not_finite_are_never_on_the_front():
    assert front([(math.nan, 1.0), (1.0, math.nan), (math.inf, 2.0), (3.0, 0.1)]) == [3]
    assert front([]) == []


def test_a_lower_score_wins_where_lower_is_better():
    assert front([(1.0, 2.0), (2.0, 1.0), (3.0, 3.0)], "lower") == [0, 1]
