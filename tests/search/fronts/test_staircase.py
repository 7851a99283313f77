"""A front that grows point by point is the front of all points, and its hypervolume that of the plain sweep."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.search.fronts.pareto import Box, dominates, hypervolume
from effwidgets.search.fronts.staircase import Staircase

GRID = st.integers(0, 8).map(float)  # coarse: ties and equal points are common, where mistakes live
ODD = st.sampled_from([math.nan, math.inf, -math.inf, -1.0, 1e300])
PUTS = st.lists(st.tuples(st.integers(0, 9), st.tuples(GRID | ODD, GRID | ODD)), max_size=24)
BOX = st.builds(Box, cost=GRID, worst=GRID, best=GRID)
BETTER = st.sampled_from(["higher", "lower"])


def brute(points, better):
    """By comparing every pair; of equal points the lowest number."""
    finite = {n: p for n, p in points.items() if all(map(math.isfinite, p))}
    kept = [n for n, p in finite.items() if not any(dominates(q, p, better) for q in finite.values())]
    kept = [n for n in kept if not any(m < n and finite[m] == finite[n] for m in kept)]
    return tuple(sorted(kept, key=lambda n: finite[n][0]))


@given(PUTS, BOX, BETTER)
@settings(max_examples=120, deadline=None)
def test_after_every_point_it_is_the_front_of_all_so_far_and_of_points_that_moved(puts, box, better):
    stairs, points = Staircase(box, better), {}
    for number, point in puts:
        points[number] = point
        stands = stairs.add(number, point)
        expected = brute(points, better)
        assert stairs.numbers == expected
        assert stands == (number in expected)
        assert stairs.points == tuple(points[n] for n in expected)
        # Whole numbers below 10: sums of a few dozen of them, so only the last bits may differ.
        assert stairs.hypervolume == pytest.approx(hypervolume(list(points.values()), box, better), abs=1e-12)


@given(PUTS, PUTS, BOX, BETTER)
@settings(max_examples=120, deadline=None)
def test_many_at_once_are_the_same_as_one_by_one(first, second, box, better):
    one_by_one, at_once = Staircase(box, better), Staircase(box, better)
    for puts in (first, second * 3):  # long enough for the sweep
        for number, point in puts:
            one_by_one.add(number, point)
        numbers, points = [number for number, _ in puts], [point for _, point in puts]
        count = at_once.extend(numbers, [cost for cost, _ in points], [score for _, score in points])
        assert at_once.numbers == one_by_one.numbers
        assert count == len(one_by_one)
        assert at_once.hypervolume == pytest.approx(one_by_one.hypervolume, abs=1e-12)


@given(st.lists(st.tuples(GRID, GRID), min_size=40, max_size=60), BETTER)
@settings(max_examples=40, deadline=None)
def test_new_points_join_those_that_stand_in_one_sweep(points, better):
    box = Box(cost=8, worst=0 if better == "higher" else 8, best=8 if better == "higher" else 0)
    stairs = Staircase(box, better)
    for part in (range(3), range(3, len(points))):
        stairs.extend(list(part), [points[n][0] for n in part], [points[n][1] for n in part])
    assert stairs.numbers == brute(dict(enumerate(points)), better)
    assert stairs.hypervolume == pytest.approx(hypervolume(points, box, better), abs=1e-12)


def test_it_does_not_depend_on_the_order_in_which_equal_points_come():
    early, late = Staircase(), Staircase()
    for number in (2, 1):
        early.add(number, (1.0, 0.5))
    for number in (1, 2):
        late.add(number, (1.0, 0.5))
    assert early.numbers == late.numbers == (1,)


def test_a_point_that_moves_back_lets_out_what_it_hid():
    stairs = Staircase(Box(cost=10, worst=0, best=1))
    stairs.add(1, (5, 0.5))
    stairs.add(2, (4, 0.9))
    assert stairs.numbers == (2,)
    assert not stairs.add(2, (6, 0.4))
    assert stairs.numbers == (1,)
    assert stairs.hypervolume == pytest.approx(0.25)


def test_without_a_box_there_is_a_front_and_no_hypervolume_until_it_is_fixed():
    stairs = Staircase()
    assert stairs.add(3, (5, 0.5))
    assert stairs.hypervolume is None
    stairs.fix(Box(cost=10, worst=0, best=1))
    assert stairs.hypervolume == 0.25
    assert 3 in stairs
    assert len(stairs) == 1


def test_the_area_of_thousands_of_points_added_up_is_that_of_one_sum():
    # Each point of a line gains a sliver; errors of rounding add up to far less than a billionth.
    points = [((k * 7919) % 5003 / 5003, (k * 7919) % 5003 / 5003) for k in range(5003)]
    box = Box(cost=1, worst=0, best=1)
    stairs = Staircase(box)
    for number, point in enumerate(points):
        stairs.add(number, point)
    assert len(stairs) == 5003
    assert stairs.hypervolume == pytest.approx(hypervolume(points, box), abs=1e-11)
