"""How sure it is that one candidate dominates another."""

from __future__ import annotations

import pytest

from effwidgets.errors import InputError, UnknownNameError
from effwidgets.records import Candidate, Cost, Memory, Plan, Score
from effwidgets.search.engine.book import Book
from effwidgets.search.engine.choice import best_within, chance_to_dominate
from effwidgets.search.engine.options import SearchOptions

MEMORY = Memory(param_bytes=8, inference_peak_bytes=7, inference_peak_at="", saved_bytes=0)


def candidate(number, score, seconds=None, error=None):
    return Candidate(
        number=number,
        plan=Plan(),
        rung="repaired",
        state="done",
        cost=Cost(macs=10 + number),
        memory=MEMORY,
        scores=(Score(metric="accuracy", value=score),),
        measures=() if seconds is None else (Score(metric="latency_s", value=seconds, error=error),),
    )


@pytest.fixture
def book():
    return Book(SearchOptions(objectives=("latency_s",)))


def test_what_is_exact_dominates_or_does_not(book):
    one, other = candidate(1, 0.9), candidate(2, 0.8)
    assert chance_to_dominate(book, one, other, "macs") == 1
    assert chance_to_dominate(book, other, one, "macs") == 0


def test_a_time_with_an_error_dominates_with_a_probability(book):
    one, other = candidate(1, 0.9, 1.0, 0.2), candidate(2, 0.9, 1.2, 0.2)
    # By hand: a difference of 0.2 in units of 0.2 x sqrt(2) / 1.96 is 1.386 deviations; Phi of that is 0.917.
    assert chance_to_dominate(book, one, other, "latency_s") == pytest.approx(0.917, abs=5e-4)


def test_what_was_not_timed_or_is_no_cost_is_answered(book):
    with pytest.raises(InputError, match="Candidate 2 has no number for latency_s"):
        chance_to_dominate(book, candidate(1, 0.9, 1.0), candidate(2, 0.8), "latency_s")
    with pytest.raises(UnknownNameError, match="'macs'"):
        chance_to_dominate(book, candidate(1, 0.9), candidate(2, 0.8), "joules")


def test_a_budget_of_what_nobody_was_measured_by_says_so(book):
    book.archive.put(candidate(0, 0.9))
    with pytest.raises(InputError, match="No candidate has both a score and a number for latency_s"):
        best_within(book, 0.5, "latency_s")
