"""The probability that one point dominates another, against draws and against counting."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effwidgets.errors import InputError
from effwidgets.search.fronts.doubts import Measured, p_dominates, p_less

ROWS = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=8)


@given(ROWS, ROWS)
def test_less_is_the_share_of_pairs_with_ties_half(these, those):
    pairs = [(x < y) + (x == y) / 2 for x in these for y in those]
    assert p_less(these, those) == pytest.approx(sum(pairs) / len(pairs))
    assert p_less(these, those) + p_less(those, these) == pytest.approx(1)


@pytest.mark.parametrize("better", ["higher", "lower"])
def test_the_probability_is_that_of_normal_draws(better):
    one = Measured(cost=1.0, cost_error=0.4, score=0.80, score_error=0.05)
    other = Measured(cost=1.3, cost_error=0.3, score=0.78, score_error=0.02)
    drawn, count, hits = random.Random(0), 40_000, 0  # noqa: S311  draws to count, not a secret

    def draw(value, half_width):
        return drawn.gauss(value, half_width / 1.959964)

    for _ in range(count):
        cheaper = draw(one.cost, one.cost_error) < draw(other.cost, other.cost_error)
        apart = draw(one.score, one.score_error) - draw(other.score, other.score_error)
        hits += cheaper and (apart > 0) == (better == "higher")
    # Four standard errors of a share of 40,000 draws: at most 0.01.
    assert p_dominates(one, other, better) == pytest.approx(hits / count, abs=0.01)


def test_without_errors_it_is_plain_dominance():
    one, other = Measured(cost=1, score=0.9), Measured(cost=2, score=0.9)
    assert [p_dominates(one, other), p_dominates(other, one), p_dominates(one, one)] == [1, 0, 0]


def test_a_number_without_an_error_only_has_to_be_no_worse():
    one = Measured(cost=1, score=0.9, score_error=0.1)
    assert p_dominates(one, Measured(cost=1, score=0.9)) == 0.5
    assert p_dominates(one, Measured(cost=0.5, score=0.5)) == 0


def test_what_was_not_measured_is_refused():
    with pytest.raises(InputError, match="not finite"):
        p_dominates(Measured(cost=math.nan, score=1), Measured(cost=1, score=1))
    with pytest.raises(InputError, match="below 0"):
        p_dominates(Measured(cost=1, score=1), Measured(cost=1, score=1, cost_error=-1))
    with pytest.raises(InputError, match="empty"):
        p_less([], [1.0])
    with pytest.raises(InputError, match="NaN"):
        p_less([math.nan], [1.0])
