"""Fronts and hypervolumes of three numbers against counting by pairs and by cells."""

from __future__ import annotations

import itertools
import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.search.fronts.pareto import Box, hypervolume
from effwidgets.search.fronts.volumes import Box3, front3, hypervolume3

GRID = st.integers(0, 5).map(float)
ODD = st.sampled_from([math.nan, math.inf, -math.inf])
POINTS = st.lists(st.tuples(GRID | ODD, GRID | ODD, GRID | ODD), max_size=12)
FINITE = st.lists(st.tuples(GRID, GRID, GRID), max_size=8)
BETTER = st.sampled_from(["higher", "lower"])


@pytest.fixture(autouse=True)
def _our_own_sweep(monkeypatch):
    monkeypatch.setitem(sys.modules, "moocore", None)


def brute_front(points, better):
    sign = 1 if better == "higher" else -1
    turned = [(a, b, -sign * s) for a, b, s in points]
    finite = [k for k, point in enumerate(turned) if all(map(math.isfinite, point))]

    def beats(one, other):
        return all(x <= y for x, y in zip(one, other, strict=True)) and one != other

    kept = [k for k in finite if not any(beats(turned[j], turned[k]) for j in finite)]
    return {k for k in kept if not any(j < k and turned[j] == turned[k] for j in kept)}


@given(POINTS, BETTER)
@settings(max_examples=120, deadline=None)
def test_the_front_is_what_nobody_dominates_once_each(points, better):
    kept = front3(points, better)
    assert set(kept) == brute_front(points, better)
    assert len(set(kept)) == len(kept)
    assert kept == sorted(kept, key=lambda k: points[k][:2])


@given(FINITE, st.tuples(GRID, GRID), GRID, GRID, BETTER)
@settings(max_examples=120, deadline=None)
def test_the_hypervolume_is_the_share_of_unit_cells_that_some_point_dominates(points, costs, worst, best, better):
    sign = 1 if better == "higher" else -1
    low, high = int(sign * worst), int(sign * best)
    cells = list(itertools.product(range(int(costs[0])), range(int(costs[1])), range(low, high)))
    hit = [c for c in cells if any(a <= c[0] and b <= c[1] and sign * s >= c[2] + 1 for a, b, s in points)]
    found = hypervolume3(points, Box3(costs=costs, worst=worst, best=best), better)
    # Whole numbers of cells over their number: nothing but the last bits may differ.
    assert found == pytest.approx(len(hit) / len(cells) if cells else 0.0, abs=1e-12)


@given(st.lists(st.tuples(GRID, GRID), max_size=10))
@settings(max_examples=40, deadline=None)
def test_with_one_cost_equal_for_all_it_is_the_hypervolume_of_the_others(points):
    flat = [(0.0, cost, score) for cost, score in points]
    found = hypervolume3(flat, Box3(costs=(3, 5), worst=0, best=5))
    assert found == pytest.approx(hypervolume(points, Box(cost=5, worst=0, best=5)), abs=1e-12)


def test_moocore_is_asked_where_it_is_installed(monkeypatch):
    asked = []

    class Moocore:
        @staticmethod
        def hypervolume(points, ref):
            asked.append((points.tolist(), ref.tolist()))
            return 25.0

    monkeypatch.setitem(sys.modules, "moocore", Moocore)
    assert hypervolume3([(5, 4, 0.5), (99, 1, 1)], Box3(costs=(10, 10), worst=0, best=1)) == 0.25
    assert asked == [([[5.0, 4.0, -0.5]], [10.0, 10.0, 0.0])]


def test_points_that_are_not_finite_or_outside_of_the_box_count_nothing():
    box = Box3(costs=(10, 10), worst=0.5, best=1)
    outside = [(math.nan, 1, 1), (1, math.inf, 1), (10, 1, 1), (1, 11, 1), (1, 1, 0.5)]
    assert hypervolume3(outside, box) == 0.0
    assert hypervolume3([(-5, -5, 2)], box) == 1.0
    assert hypervolume3([], box) == 0.0
