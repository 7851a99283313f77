"""What is lost without a point, and without a technique, against leaving it out for real."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.search.fronts.pareto import Box, hypervolume
from effwidgets.search.fronts.shares import contributions, technique_shares

GRID = st.integers(0, 8).map(float)
ODD = st.sampled_from([math.nan, math.inf, -math.inf])
POINTS = st.lists(st.tuples(GRID | ODD, GRID | ODD), max_size=14)
BOX = st.builds(Box, cost=GRID, worst=GRID, best=GRID)
BETTER = st.sampled_from(["higher", "lower"])
USED = st.lists(st.sets(st.sampled_from(["prune", "low_rank", "fold"])), min_size=14, max_size=14)


@given(POINTS, BOX, BETTER)
@settings(max_examples=120, deadline=None)
def test_a_point_contributes_what_is_lost_without_it(points, box, better):
    whole = hypervolume(points, box, better)
    for place, found in enumerate(contributions(points, box, better)):
        without = points[:place] + points[place + 1 :]
        # Areas of small whole numbers, divided once each: the difference is right to a few last bits.
        assert found == pytest.approx(whole - hypervolume(without, box, better), abs=1e-12)


@given(POINTS, USED, BOX, BETTER)
@settings(max_examples=120, deadline=None)
def test_a_technique_holds_the_share_that_is_lost_without_its_points(points, used, box, better):
    shares = technique_shares(points, used[: len(points)], box, better)
    whole = hypervolume(points, box, better)
    assert set(shares) == {name for names in used[: len(points)] for name in names}
    for name, share in shares.items():
        left = [point for point, names in zip(points, used, strict=False) if name not in names]
        lost = whole - hypervolume(left, box, better)
        assert share == pytest.approx(lost / whole if whole else 0.0, abs=1e-12)
        assert 0 <= share <= 1


def test_one_of_two_equal_points_is_not_missed_when_it_goes():
    box = Box(cost=10, worst=0, best=1)
    assert contributions([(5, 0.5), (5, 0.5)], box) == [0.0, 0.0]
    assert contributions([(5, 0.5)], box) == [0.25]
    assert contributions([], box) == []
    assert contributions([(5, 0.5)], Box(cost=10, worst=1, best=1)) == [0.0]
