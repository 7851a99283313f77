"""Help to choose against slow, obvious versions and by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effwidgets.errors import InputError
from effwidgets.search.fronts.choices import best_within, near_front, tradeoffs
from effwidgets.search.fronts.pareto import dominates, front

GRID = st.integers(0, 8).map(float)
ODD = st.sampled_from([math.nan, math.inf, -math.inf])
POINTS = st.lists(st.tuples(GRID | ODD, GRID | ODD), max_size=14)
BETTER = st.sampled_from(["higher", "lower"])


@given(POINTS, BETTER)
@settings(max_examples=120, deadline=None)
def test_with_no_tolerance_it_is_the_front_and_what_equals_it(points, better):
    kept = {points[place] for place in front(points, better)}
    assert set(near_front(points, 0.0, better)) == {place for place, point in enumerate(points) if point in kept}


@given(POINTS, st.sampled_from([0.125, 0.25, 0.5, 1.0]), BETTER)
@settings(max_examples=120, deadline=None)
def test_near_is_what_nobody_dominates_once_it_is_a_little_better(points, tolerance, better):
    sign = 1 if better == "higher" else -1
    scores = [points[place][1] for place in front(points, better)]
    extent = max(scores) - min(scores) if scores else 0.0

    def near(point):
        # Powers of two of small whole numbers: exact.
        moved = (point[0] * (1 - tolerance), point[1] + sign * tolerance * extent)
        return all(map(math.isfinite, point)) and not any(
            all(map(math.isfinite, other)) and dominates(other, moved, better) for other in points
        )

    assert set(near_front(points, tolerance, better)) == {k for k, point in enumerate(points) if near(point)}


@given(st.lists(st.tuples(GRID, GRID), max_size=12), BETTER)
@settings(max_examples=120, deadline=None)
def test_a_tradeoff_is_the_least_loss_for_a_gain(points, better):
    sign = 1 if better == "higher" else -1
    kept = front(points, better)
    found = tradeoffs(points, better)
    if len(kept) < 2:
        assert found == {}
        return
    costs, scores = [points[k][0] for k in kept], [sign * points[k][1] for k in kept]
    for k in kept:
        ratios = []
        for other in kept:
            if other == k:
                continue
            change = (
                (points[other][0] - points[k][0]) / (max(costs) - min(costs)),
                sign * (points[k][1] - points[other][1]) / (max(scores) - min(scores)),
            )
            ratios.append(sum(max(0, c) for c in change) / sum(max(0, -c) for c in change))
        assert found[k] == pytest.approx(min(ratios))


COSTS = st.lists(st.tuples(GRID | ODD, GRID, GRID | ODD), min_size=1, max_size=8)


@given(COSTS, st.dictionaries(st.sampled_from(["macs", "params"]), GRID), BETTER)
@settings(max_examples=120, deadline=None)
def test_the_best_within_budgets_keeps_them_all_and_nobody_who_does_is_better(rows, budgets, better):
    sign = 1 if better == "higher" else -1
    costs, scores = [{"macs": a, "params": b} for a, b, _ in rows], [score for _, _, score in rows]
    fitting = [
        place
        for place, row in enumerate(costs)
        if math.isfinite(scores[place]) and all(math.isfinite(row[n]) and row[n] <= budgets[n] for n in budgets)
    ]
    found = best_within(costs, scores, budgets, better)
    if not fitting:
        assert found is None
        return
    assert found in fitting
    assert sign * scores[found] == max(sign * scores[place] for place in fitting)


def test_of_equal_scores_the_one_that_leaves_more_of_the_budgets_wins():
    costs = [{"macs": 9, "params": 1}, {"macs": 5, "params": 5}, {"macs": 1, "params": 9}]
    assert best_within(costs, [0.5, 0.5, 0.5], {"macs": 10, "params": 10}) == 1
    assert best_within(costs, [0.5, 0.5, 0.5], {"macs": 10}) == 2
    assert best_within([{}], [0.5], {"macs": 10}) is None
    assert best_within([], [], {"macs": 10}) is None


def test_what_cannot_be_meant_is_refused():
    with pytest.raises(InputError, match="1 candidates and 2 scores"):
        best_within([{}], [0.1, 0.2], {})
    with pytest.raises(InputError, match="macs is nan"):
        best_within([{}], [0.1], {"macs": math.nan})
    with pytest.raises(InputError, match="tolerance is 2"):
        near_front([], 2)
